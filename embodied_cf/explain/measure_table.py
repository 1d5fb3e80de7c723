"""One table of measures for explanations of policies, episodes (of the simulator, and of others by actions), inputs."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["policy", "episode", "actions", "input"]
_PLACEBO = "what the same query finds where nothing is changed"
MEANING: Mapping[Kind, Mapping[str, str]] = {
    "policy": {
        "validity": "1 if the changed policy has the target return on fresh episodes, else 0",
        "proximity": "KL of the changed policy from the original, summed over an episode (nats)",
        "sparsity": "least share of the changed policy's states that hold nine tenths of the divergence",
        "plausibility": "log-likelihood under the original policy of the changed one's actions, less that of its own",
        "diversity": "total variation between answers of several searches (--repeat), where this one goes",
        "placebo": "for a target that the policy has already nothing is searched: it comes back as it is",
        "stability": "correlation of where answers of several searches (--repeat) change the policy",
        "simulatability": "accuracy of a reader who is told which way the policy leans where, on other episodes",
        "blind reader": "the same for a reader who is told nothing",
        "cost": "seconds of the search",
    },
    "episode": {
        "validity": "share of other draws of chance under which the correction averts the failure, too",
        "proximity": "how far the corrected actions are from what was done, in shares of the wheels' range",
        "sparsity": "share of the episode's decisions that are corrected",
        "plausibility": "share of the policy's own draws at the decision that do the corrected command",
        "diversity": "mean distance between commands that are corrections there, in shares of the wheels' range",
        "placebo": f"{_PLACEBO}: share of decisions at which doing the same does not fail",
        "stability": "share of other draws of chance under which the expert averts it there, or a decision off",
        "simulatability": "accuracy of a reader who is told the outcomes here, on corrections under other chance",
        "blind reader": "the same for a reader who is told nothing",
        "cost": "branches driven",
    },
    "actions": {
        "validity": "share of other draws, of policy or model, under which the correction averts the failure",
        "proximity": "an action is another one or it is not: see sparsity",
        "sparsity": "share of the episode's decisions that are corrected",
        "plausibility": "share of the episode's other decisions that are the corrected one",
        "diversity": "actions have no distance here",
        "placebo": f"{_PLACEBO}: doing the same again averts the failure",
        "stability": "share of the decisions next to the correction at which some other action averts it, too",
        "simulatability": "accuracy of a reader who is told the outcomes of every other decision, on those after them",
        "blind reader": "the same for a reader who is told nothing",
        "cost": "episodes that were played or imagined",
    },
    "input": {
        "validity": "share of views from nearby in which the smallest edit changes the action as well",
        "proximity": "share of the frame's pixels that the smallest edit changes",
        "sparsity": "edits in the smallest set that changes the action, of all that were tried",
        "plausibility": "share of edits that leave a scene such as the simulator could have made",
        "diversity": "mean Jaccard distance between the smallest sets",
        "placebo": f"{_PLACEBO}, and where something out of sight is changed: share of changed actions",
        "stability": "mean Jaccard index between the causes here and in views from nearby",
        "simulatability": "accuracy of a reader who is told the effects here, on edits in views from nearby",
        "blind reader": "the same for a reader who is told nothing",
        "cost": "questions that the policy was asked",
    },
}


@dataclass(frozen=True)
class Measures:
    """Of one explanation; what each means is in `MEANING` by kind. None: not measured."""

    kind: Kind
    validity: float | None
    proximity: float | None
    sparsity: float | None
    plausibility: float | None
    diversity: float | None
    placebo: float | None
    stability: float | None
    simulatability: float | None
    blind_reader: float | None
    cost: float

    def rows(self) -> tuple[tuple[str, str, str], ...]:
        """Return name, value and meaning of each."""
        values = {name.replace("_", " "): value for name, value in asdict(self).items() if name != "kind"}
        return tuple((name, "not measured" if values[name] is None else f"{values[name]:.3g}", meaning)
                     for name, meaning in MEANING[self.kind].items())  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """How well readers predict what a policy does on inputs that they have not seen."""

    told: float
    blind: float


def simulate(shown: Sequence[tuple[Hashable, int]], asked: Sequence[tuple[Hashable, int]]) -> Reading | None:
    """Return how often two readers predict the outcomes `asked`, given outcomes `shown`; each is (what, outcome).

    The told reader expects what was shown of the same thing, the blind one what was most frequent; of equally frequent
    ones the least. None without any.
    """
    if not shown or not asked:
        return None
    seen: defaultdict[Hashable, Counter[int]] = defaultdict(Counter)
    for what, outcome in shown:
        seen[what][outcome] += 1
    usual = _usual(Counter(outcome for _, outcome in shown))
    expected = {what: _usual(outcomes) for what, outcomes in seen.items()}
    told = [expected.get(what, usual) == outcome for what, outcome in asked]
    return Reading(sum(told) / len(told), sum(outcome == usual for _, outcome in asked) / len(asked))


def _usual(outcomes: Counter[int]) -> int:
    return min(outcomes, key=lambda outcome: (-outcomes[outcome], outcome))


def jaccard(one: frozenset, other: frozenset) -> float:
    """Return the share of the union that both hold; 1 for two empty sets."""
    return len(one & other) / len(one | other) if one | other else 1.0


def diversity(sets: Sequence[frozenset]) -> float | None:
    """Return the mean Jaccard distance between sets; None for fewer than two."""
    pairs = [1.0 - jaccard(*pair) for pair in combinations(sets, 2)]
    return sum(pairs) / len(pairs) if pairs else None
