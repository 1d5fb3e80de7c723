"""Which decision made an episode of any environment fail: every choice at every decision, by re-execution."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.explain.choices import Choices, choices_in
from embodied_cf.explain.env_measures import env_measures
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.measure_table import Measures
from embodied_cf.explain.reexecute import Correction, Log, Reexecution


@dataclass(frozen=True)
class EnvExplanation:
    """What other actions would have changed, one decision at a time: D decisions, A choices."""

    log: Log
    choices: Choices
    hold: int
    """Steps that a decision lasts, but for the last, which may be shorter."""
    taken: Int64[np.ndarray, " d"]
    """The choice that was made at each decision; -1 where what was done is none of them."""
    averted: Bool[np.ndarray, "d a"]
    """Whether the episode succeeds if choice a is made at decision d, and only there."""
    placebo: bool
    """Whether the same actions again lead elsewhere: never, if it repeats itself."""

    @property
    def decisive(self) -> tuple[int, int] | None:
        """Decision and choice of the earliest single correction that averts the failure."""
        decisions, choices = np.nonzero(self.averted)
        return (int(decisions[0]), int(choices[0])) if len(decisions) else None

    @property
    def correction(self) -> Correction | None:
        """The same, as it is carried out."""
        return None if self.decisive is None else _at(*self.decisive, self.hold)

    @property
    def necessity(self) -> Float64[np.ndarray, " d"]:
        """Share of the other choices that avert the failure, by decision."""
        return np.asarray(self.averted.sum(axis=1) / (self.averted.shape[1] - (self.taken >= 0)))

    def done(self, decision: int) -> str:
        """Return what was done at a decision, in words."""
        return self.choices.told(self.log.actions[decision * self.hold : (decision + 1) * self.hold])

    @property
    def measures(self) -> Measures:
        """How good the explanation is."""
        played = self.averted.size - int((self.taken >= 0).sum()) + 2
        return env_measures(self.averted.astype(float), self.taken, self.decisive, self.placebo, played)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the observations."""
        found = self.correction
        return {"success_rule": self.log.rule.in_words, "actions": list(self.log.actions),
                "choices": list(self.choices.names), "hold": self.hold, "averted": self.averted.tolist(),
                "decisive": found and (found.step, found.choice),
                "necessity": self.necessity.tolist(), "placebo": self.placebo,
                "measures": asdict(self.measures)}  # fmt: skip


def _at(decision: int, choice: int, hold: int) -> Correction:
    return Correction(decision * hold, choice, hold)


def explain_env_episode(
    what: Reexecution, hold: int = 1, most: int = 100_000, tell: Callable[[int, int], object] = lambda done, of: None
) -> EnvExplanation:
    """Try every other choice at every decision of a failed episode, for `hold` steps, in at most so many episodes.

    `tell` hears how many decisions are done, and of how many. Raises ReplayError if the episode succeeds, does not
    repeat itself, has actions that cannot be listed, or is too long for that many.
    """
    choices = choices_in(what.make_env)
    log = what.run()
    if log.success:
        raise ReplayError(f"the episode succeeds ({log.rule.in_words}): there is no failure to explain",
                          remedy="Choose another seed.")  # fmt: skip
    decisions = -(-len(log.actions) // hold)
    if decisions * len(choices.names) > most:
        raise ReplayError(f"{decisions} decisions among {len(choices.names)} actions are more than {most} episodes",
                          remedy="Hold corrections for more steps (--hold): decisions are fewer then.")  # fmt: skip
    again = what.run(log)
    taken = [_taken(choices, log.actions[at * hold : (at + 1) * hold]) for at in range(decisions)]
    averted = np.zeros((decisions, len(choices.names)), bool)
    for at, row in enumerate(taken):
        for choice in set(range(len(choices.names))) - {row}:
            averted[at, choice] = what.run(log, _at(at, choice, hold)).success
        tell(at + 1, decisions)
    return EnvExplanation(log, choices, hold, np.array(taken), averted, again != log)


def _taken(choices: Choices, actions: tuple) -> int:
    """Return the choice whose action was done all the time; -1 if it was none."""
    same = (at for at in range(len(choices.names)) if all(choices.instead(at, it) == it for it in actions))
    return next(same, -1)


def in_words(told: EnvExplanation) -> str:
    """Return the explanation as sentences."""
    steps = len(told.log.actions)
    rule = f"It succeeds if {told.log.rule.in_words}."
    if told.decisive is None:
        single = "single other action" if told.hold == 1 else f"other action that is held for {told.hold} steps"
        return f"It fails after {steps} steps, and no {single} averts that. {rule}"
    decision, choice = told.decisive
    held = "" if told.hold == 1 else f" for {told.hold} steps"
    averting = np.count_nonzero(told.necessity)
    of = f"{averting} of {len(told.taken)} {'steps' if told.hold == 1 else 'decisions'}"
    return (
        f"It fails after {steps} steps. Earliest single correction: at step {decision * told.hold}, "
        f"{told.choices.names[choice]} instead of {told.done(decision)}{held}. At {of} some other action averts the "
        f"failure{_most(told)}. {rule}"
    )


def _most(told: EnvExplanation) -> str:
    """Return at which step the choice mattered most, if there is one such step."""
    (most,) = np.nonzero(told.necessity == told.necessity.max())
    if len(most) > 1 or np.count_nonzero(told.necessity) == 1:
        return ""
    return f"; it mattered most at step {most[0] * told.hold}, where {told.necessity.max():.0%} of the other actions do"
