"""Which decision made an episode fail: the earliest single correction that averts it, and what each step had to do
with it.

A *correction* moves what was done towards what the expert would have done there; another action that happens to
avert the failure is luck, and is shown but not called one. It counts if the failure is averted under the episode's
own chance, and under at least half more of the other draws of chance than if nothing is changed.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.explain.episode.alternatives import COMMANDS, at_the_wheel, distance
from embodied_cf.explain.episode.replay import Branches, Chance, Recording, branch_off
from embodied_cf.explain.episode.wheel import Driver

EXPERT = "expert"
OPTIONS = (EXPERT, *COMMANDS)
_NEARER = 0.05
"""By how much, in shares of the wheels' range, a correction must be nearer to the expert than what was done."""
_EFFECT = 0.5
"""Least effect on the chance of success that makes a correction decisive."""


@dataclass(frozen=True)
class Correction:
    """A change that averts the failure."""

    decision: int
    length: int
    """Decisions that are changed, one after the other."""
    option: str
    """`expert`, or the atomic command that is enough."""
    averts: float
    """Share of the other draws of chance under which it averts the failure, too; of its own if there are no others."""
    unchanged: float
    """The same share if what was done is done again."""


@dataclass(frozen=True)
class Attribution:
    """What doing otherwise at each of D decisions, for that decision only, would have changed."""

    averted: Bool[np.ndarray, "o d"]
    """Under the episode's own chance, by option (`OPTIONS`)."""
    corrects: Bool[np.ndarray, "o d"]
    """Whether the option is a correction there."""
    apart: Float64[np.ndarray, " d"]
    """How far what was done is from what the expert would have done there, see `distance`."""
    necessity: Float64[np.ndarray, " d"]
    """Share of draws of chance under which the expert's action there, and there only, averts the failure."""
    unchanged: Float64[np.ndarray, " d"]
    """The same if what was done is done again: what chance alone would mend. Placebo."""
    takeover: Float64[np.ndarray, " e"]
    """Share of draws under which the expert succeeds from each of D + 1 moments on."""
    placebo: float
    """Share of decisions at which doing the same under the same chance does not fail: 0 if replay is exact."""
    decisive: Correction | None
    """The earliest correction of a single decision, or else of the fewest in a row; None if only a takeover helps."""
    branches: int
    """How many were driven."""

    @property
    def sufficiency(self) -> Float64[np.ndarray, " d"]:
        """Share of draws under which the episode fails after each decision, though the expert drives from then on."""
        return 1.0 - self.takeover[1:]

    @property
    def no_return(self) -> int | None:
        """The last moment at which the expert still succeeds more often than not; None if it never does."""
        saved = np.flatnonzero(self.takeover >= 0.5)
        return int(saved[-1]) if len(saved) else None

    def options_at(self, decision: int) -> tuple[str, ...]:
        """Return what averts the failure at a decision under the episode's own chance."""
        return tuple(name for name, row in zip(OPTIONS, self.averted, strict=True) if row[decision])

    def corrections_at(self, decision: int) -> tuple[str, ...]:
        """Return those of them that are corrections."""
        return tuple(name for name in self.options_at(decision) if self.corrects[OPTIONS.index(name), decision])


@dataclass
class Search:
    """Counterfactuals of one failed recording. Only the count of branches changes."""

    recording: Recording
    expert: Driver
    chance: Chance
    branches: int = 0

    @property
    def draws(self) -> int:
        """How many draws of chance there are, the episode's own first."""
        return len(self.chance.noise.slip)

    def run(
        self,
        decision: Int64[np.ndarray, " n"],
        first: Driver | Float64[np.ndarray, "n p 2"],
        periods: int,
        then: Driver,
        draw: Int64[np.ndarray, " n"],
    ) -> Branches:
        """Drive branches, see `branch_off`."""
        self.branches += len(decision)
        return branch_off(self.recording, decision, first, periods, then, self.chance, draw)

    def instead(self, options: list[tuple[int, str]], length: int, draw: Int64[np.ndarray, " m"]) -> Branches:
        """Do an option at a decision and the next ones (`length` in all), then as before; each under every draw."""
        names, each = [name for _, name in options], len(draw)
        decision = np.repeat(np.array([at for at, _ in options], np.int64), each)
        periods = length * self.recording.execute
        first: Driver | np.ndarray = self.expert
        if names[0] != EXPERT:
            first = np.repeat(np.stack([at_the_wheel(name, periods) for name in names]), each, axis=0)
        return self.run(decision, first, periods, self.recording.driver, np.tile(draw, len(options)))

    @property
    def judging(self) -> Int64[np.ndarray, " m"]:
        """Draws by which corrections are judged: not the episode's own, under which they were found, unless alone."""
        return np.arange(min(1, self.draws - 1), self.draws)

    def share(
        self, options: list[tuple[int, str]], length: int, draw: Int64[np.ndarray, " m"]
    ) -> Float64[np.ndarray, " n"]:
        """Return the share of draws under which each option averts the failure."""
        return self.instead(options, length, draw).success.reshape(len(options), -1).mean(axis=1)


def attribute(search: Search) -> Attribution:
    """Try everything at every decision of a failed episode."""
    recording, every = search.recording, np.arange(search.draws)
    steps = np.arange(recording.decisions)
    own = np.zeros(1, np.int64)
    expert = search.instead([(at, EXPERT) for at in steps.tolist()], 1, own)
    commands = search.instead([(at, name) for name in COMMANDS for at in steps.tolist()], 1, own)
    averted = np.concatenate([expert.success, commands.success]).reshape(len(OPTIONS), -1)
    done = np.stack([recording.done_at(at) for at in steps.tolist()])
    ideal = expert.first
    apart = distance(done, ideal)
    gap = distance(np.concatenate([ideal, commands.first]), np.tile(ideal, (len(OPTIONS), 1, 1))).reshape(averted.shape)
    corrects = gap < apart - _NEARER
    again = _again(search, done, every)
    takeover = _takeover(search, every)
    necessity = search.share([(at, EXPERT) for at in steps.tolist()], 1, every)
    luck = again[:, search.judging].mean(axis=1)
    found = _single(search, averted & corrects, gap, luck) or _several(search, luck)
    return Attribution(
        averted, corrects, apart, necessity, again.mean(axis=1), takeover, float(again[:, 0].mean()), found,
        search.branches,
    )  # fmt: skip


def _again(
    search: Search, done: Float64[np.ndarray, "d p 2"], every: Int64[np.ndarray, " m"]
) -> Bool[np.ndarray, "d m"]:
    steps, each = np.arange(len(done)), len(every)
    first = np.repeat(done, each, axis=0)
    same = search.run(np.repeat(steps, each), first, done.shape[1], search.recording.driver, np.tile(every, len(done)))
    return same.success.reshape(len(done), each)


def _takeover(search: Search, every: Int64[np.ndarray, " m"]) -> Float64[np.ndarray, " e"]:
    moments, each = np.arange(search.recording.decisions + 1), len(every)
    saved = search.run(np.repeat(moments, each), search.expert, 0, search.expert, np.tile(every, len(moments)))
    return saved.success.reshape(len(moments), each).mean(axis=1)


def _single(
    search: Search,
    candidates: Bool[np.ndarray, "o d"],
    gap: Float64[np.ndarray, "o d"],
    luck: Float64[np.ndarray, " d"],
) -> Correction | None:
    """Return a correction at the earliest decision where one has an effect that is more than chance.

    `luck` is the share of the judging draws under which doing the same again averts the failure. A command says more
    than "as the expert": of those that help most, the nearest to the expert, whose gap is 0.
    """
    for decision in np.flatnonzero(candidates.any(axis=0)).tolist():
        rows = np.flatnonzero(candidates[:, decision])
        shares = np.concatenate([search.share([(decision, OPTIONS[row])], 1, search.judging) for row in rows])
        best = min(range(len(rows)), key=lambda it: (-shares[it], rows[it] == 0, gap[rows[it], decision]))
        if shares[best] - luck[decision] >= _EFFECT:
            return Correction(decision, 1, OPTIONS[rows[best]], float(shares[best]), float(luck[decision]))
    return None


def _several(search: Search, luck: Float64[np.ndarray, " d"]) -> Correction | None:
    """Return the earliest of the shortest stretches for which the expert must drive, by doubling.

    A stretch may outlast what happened: whoever stood still too early needs time that the episode did not take.
    """
    length, decisions = 2, search.recording.decisions
    while length * search.recording.execute < search.recording.moments.limit[0]:
        starts = [(at, EXPERT) for at in range(decisions)]
        own = search.instead(starts, length, np.zeros(1, np.int64)).success
        for decision in np.flatnonzero(own).tolist():
            share = float(search.share([(decision, EXPERT)], length, search.judging)[0])
            if share - luck[decision] >= _EFFECT:
                return Correction(decision, length, EXPERT, share, float(luck[decision]))
        length *= 2
    return None
