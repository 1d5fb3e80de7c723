"""Which decision made an episode of any environment fail: every choice at every decision, by re-execution."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.measure_table import Measures
from embodied_cf.explain.outside.choices import Choices, choices_in
from embodied_cf.explain.outside.measures import env_measures
from embodied_cf.explain.outside.reexecute import Correction, Log, Reexecution

_MORE = 0.5
"""By how much the share of other draws under which a correction helps exceeds that of doing the same, at least."""
_SURE = 4
"""Times as many draws, and other ones, confirm what a first look shows."""


@dataclass(frozen=True)
class Found:
    """A correction that averts the failure."""

    decision: int
    choice: int
    share: float
    """Of other draws of the policy after it under which it averts the failure, too."""
    luck: float
    """Of these draws under which doing the same does."""


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
    found: Found | None
    """The earliest single correction that averts the failure, and not by luck."""
    draws: int
    """Other draws of the policy that confirmed it; 0 for a policy that draws nothing."""
    cost: int
    """Episodes that were played for it."""
    placebo: bool
    """Whether the same actions again lead elsewhere: never, if it repeats itself."""

    @property
    def decisive(self) -> tuple[int, int] | None:
        """Decision and choice of that correction."""
        return None if self.found is None else (self.found.decision, self.found.choice)

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
        validity = None if self.found is None else self.found.share
        return env_measures(self.averted.astype(float), self.taken, self.decisive, validity, self.placebo, self.cost)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the observations."""
        found = self.correction
        return {"success_rule": self.log.rule.in_words, "actions": list(self.log.actions),
                "choices": list(self.choices.names), "hold": self.hold, "averted": self.averted.tolist(),
                "decisive": found and (found.step, found.choice), "draws": self.draws,
                "share": self.found and self.found.share, "luck": self.found and self.found.luck,
                "necessity": self.necessity.tolist(), "placebo": self.placebo,
                "measures": asdict(self.measures)}  # fmt: skip


def _at(decision: int, choice: int | None, hold: int) -> Correction:
    return Correction(decision * hold, choice, hold)


def explain_env_episode(
    what: Reexecution,
    hold: int = 1,
    draws: int = 4,
    most: int = 100_000,
    tell: Callable[[str], object] = lambda words: None,
) -> EnvExplanation:
    """Try every other choice at every decision of a failed episode, for `hold` steps; at most so many.

    What averts the failure is tried under so many other draws of the policy, if it draws, and then under four times as
    many others: a correction helps under half of them more than doing the same. `tell` hears what is being done. Raises
    ReplayError if the episode succeeds, does not repeat itself, has actions that cannot be listed, or is too long.
    """
    choices, log = choices_in(what.make_env), _failure(what)
    starts = range(0, len(log.actions), hold)
    if len(starts) * len(choices.names) > most:
        raise ReplayError(f"{len(starts)} decisions among {len(choices.names)} actions are more than {most} episodes",
                          remedy="Hold corrections for more steps (--hold): decisions are fewer then.")  # fmt: skip
    again = what.run(log)
    taken = np.array([_taken(choices, log.actions[at : at + hold]) for at in starts])
    averted = np.zeros((len(starts), len(choices.names)), bool)
    for decision, done in enumerate(taken):
        for choice in set(range(len(choices.names))) - {done}:
            averted[decision, choice] = what.run(log, _at(decision, choice, hold)).success
        tell(f"other actions: {decision + 1} of {len(starts)} decisions")
    drawn, looks = _Draws(what, log, hold), draws if log.draws else 0
    found = _earliest(drawn, averted, looks, tell)
    cost = averted.size - int((taken >= 0).sum()) + 2 + len(drawn.known)
    return EnvExplanation(log, choices, hold, taken, averted, found, _SURE * looks, cost, again != log)


def _failure(what: Reexecution) -> Log:
    log = what.run()
    if log.success:
        raise ReplayError(f"the episode succeeds ({log.rule.in_words}): there is no failure to explain",
                          remedy="Choose another seed.")  # fmt: skip
    return log


@dataclass
class _Draws:
    """Other draws of the policy after a decision. Only what is known grows."""

    what: Reexecution
    log: Log
    hold: int
    known: dict[tuple[int, int | None, int], bool] = field(default_factory=dict)
    """Success, by decision, choice and draw."""

    def found(self, decision: int, choice: int, draws: range) -> Found | None:
        """Return what a choice is as a correction; None if these draws do not show that it is one."""
        share, luck = self._share(decision, choice, draws), self._share(decision, None, draws)
        return Found(decision, choice, share, luck) if share - luck >= _MORE else None

    def _share(self, decision: int, choice: int | None, draws: range) -> float:
        for draw in draws:
            if (decision, choice, draw) not in self.known:
                run = self.what.run(self.log, _at(decision, choice, self.hold), draw)
                self.known[decision, choice, draw] = run.success
        return sum(self.known[decision, choice, draw] for draw in draws) / len(draws)


def _earliest(
    draws: _Draws, averted: Bool[np.ndarray, "d a"], looks: int, tell: Callable[[str], object]
) -> Found | None:
    """Return the earliest correction that other draws show, and then others again: of many, some would by chance."""
    for decision, choice in np.argwhere(averted).tolist():
        if not looks:
            return Found(decision, choice, 1.0, 0.0)
        tell(f"other draws of the policy after decision {decision + 1} of {len(averted)}")
        if draws.found(decision, choice, range(looks)):
            found = draws.found(decision, choice, range(looks, looks + _SURE * looks))
            if found:
                return found
    return None


def _taken(choices: Choices, actions: tuple) -> int:
    """Return the choice whose action was done all the time; -1 if it was none."""
    same = (at for at in range(len(choices.names)) if all(choices.instead(at, it) == it for it in actions))
    return next(same, -1)


def in_words(told: EnvExplanation) -> str:
    """Return the explanation as sentences."""
    fails = f"It fails after {len(told.log.actions)} steps"
    rule = f"It succeeds if {told.log.rule.in_words}."
    if not told.averted.any():
        single = "single other action" if told.hold == 1 else f"other action that is held for {told.hold} steps"
        return f"{fails}, and no {single} averts that. {rule}"
    of = f"at {np.count_nonzero(told.necessity)} of {len(told.taken)} {'steps' if told.hold == 1 else 'decisions'}"
    if told.found is None:
        luck = "but by luck: under other draws of the policy none helps in half of them more than doing the same"
        return (
            f"{fails}. {of.capitalize()} some other action averts that, {luck}; one that lasts might (--hold). {rule}"
        )
    share = f"{of.capitalize()} some other action averts it{_most(told)}."
    return f"{fails}. {_correction(told, told.found)} {share} {rule}"


def _correction(told: EnvExplanation, found: Found) -> str:
    held = "" if told.hold == 1 else f" for {told.hold} steps"
    what = f"{told.choices.names[found.choice]} instead of {told.done(found.decision)}{held}"
    helps = (
        f": under {told.draws} other draws of the policy it averts the failure in {found.share:.0%}, and doing the "
        f"same does in {found.luck:.0%}"
    )
    where = f"Earliest single correction: at step {found.decision * told.hold}, {what}"
    unjudged = " (not tried under other draws of the policy)" if told.log.draws else ""
    return f"{where}{helps if told.draws else unjudged}."


def _most(told: EnvExplanation) -> str:
    """Return at which step the choice mattered most, if there is one such step."""
    (most,) = np.nonzero(told.necessity == told.necessity.max())
    if len(most) > 1 or np.count_nonzero(told.necessity) == 1:
        return ""
    share = told.necessity.max()
    return f"; it mattered most at step {most[0] * told.hold}, where {share:.0%} of the other actions do"
