"""The arms: which labels each policy is trained on, in which shares, and with which settings.

All arms have the same network, number of steps and batch, and learn from the same logs, except where it says
otherwise. One set of captioner answers (the honest `scene` captioner) serves all that need any; only `oracle` reads
geometry.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from embodied_cf.evaluate.demo import ARMS as DEMO
from embodied_cf.evaluate.demo import OURS, THEIRS

ORACLE, PLANNER, BLIND = "oracle", "planner", "blind"
LABELLED, CAST, EXACT, DEMOS, EXACT_DEMOS = "labelled", "cast", "exact", "demos", "exact-demos"
"""Datasets, see `benchmarks.cast.data`."""
DECISION, MATCHED, ALL = "decision", "matched", "all"
"""Label sets, beside the default one."""


@dataclass(frozen=True)
class Share:
    """A part of the samples: labels of one kind, of one label set of one dataset."""

    data: str
    kind: str
    weight: float
    """Relative to the other parts'."""
    label_set: str = "labels"


@dataclass(frozen=True)
class Arm:
    """One way of making a policy."""

    name: str
    shares: tuple[Share, ...]
    """None for who is not trained."""
    settings: tuple[str, ...] = ()
    """Of training, beside those of all arms."""
    deaf: bool = False
    """Whether it is told nothing when it drives."""

    @property
    def trained(self) -> bool:
        """Whether there is a policy to train."""
        return bool(self.shares)

    @property
    def logs(self) -> bool:
        """Whether what it learns depends on the logs, and so on their bias."""
        return any(share.data not in (DEMOS, EXACT_DEMOS) for share in self.shares)


def _mix(data: str, *, extra: str = "labels", shares: tuple[float, float, float] = DEMO[OURS]) -> tuple[Share, ...]:
    """Return hindsight labels of a dataset and rows with chunks of their own, in the shares of `embodied-cf`."""
    told, _, otherwise = shares
    return Share(data, "hindsight", told), Share(data, "counterfactual", otherwise, extra)


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        # what was done, in the captioner's words
        Arm(THEIRS, (Share(LABELLED, "hindsight", DEMO[THEIRS][0]),)),
        # the same, and what could have been told instead, at every frame
        Arm(OURS, _mix(LABELLED)),
        # every kind of instruction, planned on the true map, at states of the logs and of an expert
        Arm(ORACLE, (*_mix(EXACT, extra=ALL), *_mix(EXACT_DEMOS, extra=ALL))),
        # half of the samples where a decision is made: first frames, and where another segment or arrival begins
        Arm(
            "hindsight+",
            (Share(LABELLED, "hindsight", 1), Share(LABELLED, "counterfactual", 1, DECISION)),
            ("loss.instruction_dropout=0.15",),
        ),
        # as `embodied-cf`, each counterfactual row replaced by what was really done at the same frame
        Arm("matched", _mix(LABELLED, extra=MATCHED)),
        # an expert who was told one instruction an episode, as many episodes as there are logs
        Arm("demos", (Share(DEMOS, "hindsight", 1),)),
        # the published recipe: counterfactual words at segment starts, driven as one atomic command, not verified
        Arm("cast", _mix(CAST)),
        # as `embodied-cf`, but told nothing in training and in driving: the language-blind twin
        Arm(BLIND, _mix(LABELLED), ("loss.instruction_dropout=1.0",), deaf=True),
        # the expert itself
        Arm(PLANNER, ()),
        # the motion of each segment under the words of its atomic command, and nothing else
        Arm("atomic", (Share(LABELLED, "atomic", 1),)),
    )
}
"""By name, in order of worth."""


def datasets(arms: Iterable[Arm]) -> tuple[str, ...]:
    """Return the datasets that arms need, each once."""
    return tuple(dict.fromkeys(share.data for arm in arms for share in arm.shares))
