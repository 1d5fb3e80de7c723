"""Which decision made an episode of any environment fail: every choice at every decision, by re-execution."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.measure_table import Measures
from embodied_cf.explain.outside.choices import Choices, choices_in
from embodied_cf.explain.outside.measures import env_measures
from embodied_cf.explain.outside.reexecute import WHERE_ELSE, Correction, Log, Reexecution

_MORE = 0.5
"""By how much the share of other draws under which a correction helps exceeds that of doing the same, at least."""
_SURE = 4
"""Times as many draws, and other ones, confirm what a first look shows."""


@dataclass(frozen=True)
class Found:
    """A correction that averts the failure."""

    decision: int
    choice: int
    share: float | None = None
    """Of other draws of the policy after it under which it averts the failure, too; None if that was not tried."""
    luck: float | None = None
    """Of these draws under which the failure is averted without it."""
    varied: bool = False
    """Whether these draws changed anything that was done."""

    @property
    def effect(self) -> float:
        """Return by how much the share under which the failure is averted is greater with it than without."""
        return (self.share or 0.0) - (self.luck or 0.0)


@dataclass(frozen=True)
class EnvExplanation:
    """What other actions would have changed, one decision at a time: D decisions, A choices."""

    log: Log
    choices: Choices
    hold: int
    """Steps that a decision lasts, but for the last, which may be shorter."""
    done: Bool[np.ndarray, "d a"]
    """Which choices are what was done at each decision: none, one, or several that are the same there."""
    averted: Bool[np.ndarray, "d a"]
    """Whether the episode succeeds if choice a is made at decision d, and only there."""
    found: Found | None
    """The earliest single correction that averts the failure, under other draws of the policy, too."""
    nearest: Found | None
    """If there is none: what came nearest to it at a first look."""
    draws: int
    """Other draws of the policy that confirm a correction; 0 for a policy that draws nothing."""
    cost: int
    """Episodes that were played for it."""

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
        return np.asarray(self.averted.sum(axis=1) / np.maximum((~self.done).sum(axis=1), 1))

    def did(self, decision: int) -> str:
        """Return what was done at a decision, in words."""
        return self.choices.told(self.log.actions[decision * self.hold : (decision + 1) * self.hold])

    @property
    def measures(self) -> Measures:
        """How good the explanation is."""
        validity = None if self.found is None else self._validity(self.found)
        return env_measures(self.averted.astype(float), self.done, self.decisive, validity, 0.0, self.cost)

    def _validity(self, found: Found) -> float | None:
        if not self.log.draws:
            return 1.0  # nothing is left to chance
        return found.share if found.varied else None

    def to_json(self) -> dict[str, Any]:
        """Return everything but the observations."""
        found = self.correction
        return {"success_rule": self.log.rule.in_words, "actions": list(self.log.actions),
                "choices": list(self.choices.names), "hold": self.hold, "averted": self.averted.tolist(),
                "decisive": found and (found.step, found.choice), "draws": self.draws,
                "found": self.found and asdict(self.found), "nearest": self.nearest and asdict(self.nearest),
                "necessity": self.necessity.tolist(), "measures": asdict(self.measures)}  # fmt: skip


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
    many others: a correction averts it under half of them more than going on without it. `tell` hears what is being
    done. Raises ReplayError if the episode succeeds, does not repeat itself, has actions that cannot be listed, or is
    too long.
    """
    choices, log = choices_in(what.make_env), _failure(what)
    starts = range(0, len(log.actions), hold)
    if len(starts) * len(choices.names) > most:
        raise ReplayError(f"{len(starts)} decisions among {len(choices.names)} actions are more than {most} episodes",
                          remedy="Hold corrections for more steps (--hold): decisions are fewer then.")  # fmt: skip
    if what.run(log) != log:
        again = "the same actions again end otherwise: the environment does not repeat itself"
        raise ReplayError(again, remedy=WHERE_ELSE)
    done = np.array([_same(choices, log.actions[at : at + hold]) for at in starts])
    averted = np.zeros_like(done)
    for decision, choice in np.argwhere(~done).tolist():
        averted[decision, choice] = what.run(log, _at(decision, choice, hold)).success
        tell(f"other actions: decision {decision + 1} of {len(starts)}")
    drawn, looks = _Draws(what, log, hold), draws if log.draws else 0
    found, nearest = _earliest(drawn, averted, looks, tell)
    if found and not what.run(log, _at(found.decision, found.choice, hold)).success:
        fickle = (
            "a correction averts the failure once, and then not: the environment does not repeat itself beside its way"
        )
        raise ReplayError(fickle, remedy=WHERE_ELSE)
    cost = int((~done).sum()) + 2 + bool(found) + len(drawn.known)
    return EnvExplanation(log, choices, hold, done, averted, found, nearest, _SURE * looks, cost)


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
    known: dict[tuple[int, int | None, int], Log] = field(default_factory=dict)
    """Episodes by decision, choice and draw."""

    def found(self, decision: int, choice: int, draws: range) -> Found:
        """Return what these draws show of a choice as a correction."""
        helped, without = (self._runs(decision, it, draws) for it in (choice, None))
        varied = any(len({run.actions for run in runs}) > 1 for runs in (helped, without))
        share, luck = (sum(run.success for run in runs) / len(runs) for runs in (helped, without))
        return Found(decision, choice, share, luck, varied)

    def _runs(self, decision: int, choice: int | None, draws: range) -> list[Log]:
        for draw in draws:
            if (decision, choice, draw) not in self.known:
                run = self.what.run(self.log, _at(decision, choice, self.hold), draw)
                self.known[decision, choice, draw] = run
        return [self.known[decision, choice, draw] for draw in draws]


def _earliest(
    draws: _Draws, averted: Bool[np.ndarray, "d a"], looks: int, tell: Callable[[str], object]
) -> tuple[Found | None, Found | None]:
    """Return the earliest correction that other draws show, and then others again: of many, some would by chance.

    If there is none, return what came nearest.
    """
    nearest: Found | None = None
    for decision, choice in np.argwhere(averted).tolist():
        if not looks:
            return Found(decision, choice), None
        tell(f"other draws of the policy after decision {decision + 1} of {len(averted)}")
        seen = draws.found(decision, choice, range(looks))
        if seen.effect >= _MORE:
            seen = draws.found(decision, choice, range(looks, looks + _SURE * looks))
            if seen.effect >= _MORE:
                return seen, None
        if nearest is None or seen.effect > nearest.effect:
            nearest = seen
    return None, nearest


def _same(choices: Choices, actions: tuple) -> list[bool]:
    """Return which choices are what was done all the time."""
    return [all(choices.instead(at, it) == it for it in actions) for at in range(len(choices.names))]


def in_words(told: EnvExplanation) -> str:
    """Return the explanation as sentences."""
    fails = f"It fails after {len(told.log.actions)} steps"
    rule = f"It succeeds if {told.log.rule.in_words}."
    if not told.averted.any():
        single = "single other action" if told.hold == 1 else f"other action that is held for {told.hold} steps"
        return f"{fails}, and no {single} averts that. {rule}"
    of = f"At {np.count_nonzero(told.necessity)} of {len(told.done)} {'steps' if told.hold == 1 else 'decisions'}"
    averts = f"{of} some other action averts it{_most(told)}."
    if told.found is None:
        return f"{fails}. {averts} {_none(told)} {rule}"
    return f"{fails}. {_correction(told, told.found)} {averts} {rule}"


def _correction(told: EnvExplanation, found: Found) -> str:
    helps = ""
    if told.log.draws and not told.draws:
        helps = " (not tried under other draws of the policy)"
    elif told.log.draws and not found.varied:
        helps = " (the policy draws nothing anew after it that would change what it does)"
    elif told.log.draws:
        helps = f": under {told.draws} other draws of the policy it averts the failure in {_shares(found)}"
    return f"Earliest single correction: {_what(told, found)}{helps}."


def _none(told: EnvExplanation) -> str:
    """Return that no correction was found under other draws, and how near one came."""
    none = f"Under other draws of the policy none does in {_MORE:.0%} more of them than going on without it"
    best = told.nearest
    nearest = f"; nearest comes {_what(told, best)}, with {_shares(best)}" if best and best.effect > 0 else ""
    return f"{none}{nearest}. An action that lasts longer may (--hold)."


def _what(told: EnvExplanation, found: Found) -> str:
    held = "" if told.hold == 1 else f" for {told.hold} steps"
    what = f"{told.choices.names[found.choice]} instead of {told.did(found.decision)}{held}"
    return f"at step {found.decision * told.hold}, {what}"


def _shares(found: Found) -> str:
    return f"{found.share:.0%}, and without it that happens in {found.luck:.0%}"


def _most(told: EnvExplanation) -> str:
    """Return at which step the choice mattered most, if there is one such step; or whose draws that is of."""
    if told.log.draws:
        return " under the draws that it had"
    (most,) = np.nonzero(told.necessity == told.necessity.max())
    if len(most) > 1 or np.count_nonzero(told.necessity) == 1:
        return ""
    share = told.necessity.max()
    return f"; it mattered most at step {most[0] * told.hold}, where {share:.0%} of the other actions do"
