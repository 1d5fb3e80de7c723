"""A collector that behaves like an operator who plays: it moves things as it likes and knows no instruction."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.tabletop import expert
from embodied_cf.envs.tabletop.dynamics import Instant
from embodied_cf.envs.tabletop.goals import Goal, Tracker, advance, goal_of
from embodied_cf.envs.tabletop.layout import Layout
from embodied_cf.envs.tabletop.tasks import TIME_LIMIT_STEPS, instructions
from embodied_cf.language.tabletop import SKILLS, ArmInstruction, skill, things

Row = Float64[np.ndarray, " 7"]


@dataclass(frozen=True)
class Manner:
    """How the collector plays."""

    bias: float = 0.7
    """How often it turns to the thing that is nearest to its fingers, rather than to any, in [0, 1]."""
    wander: float = 0.2
    """Share of its moves that go nowhere in particular."""
    clumsiness: float = 0.004
    """Standard deviation of each move, m and tenths of rad."""


class Collector:
    """Plays for one episode: call `act` once per control period."""

    def __init__(self, layout: Layout, rng: np.random.Generator, manner: Manner = Manner()) -> None:
        self._layout, self._rng, self._manner = layout, rng, manner
        self._goal: Goal | None = None
        self._target = np.zeros(3)
        self._tracker, self._left = Tracker(), 0

    def act(self, now: Instant) -> Row:
        """Return the next action row."""
        if self._left == 0 or self._tracker.done:
            self._choose(now)
        self._left -= 1
        if self._goal is None:
            row = expert.towards(now, self._target, now.effector[5], 1.0)
        else:
            row = expert.act(self._goal, now)
            self._tracker = advance(self._goal, self._tracker, now)
        shake = self._manner.clumsiness * np.array([1.0, 1.0, 1.0, 0.0, 0.0, 10.0, 0.0])
        return row + shake * self._rng.standard_normal(7)

    def _choose(self, now: Instant) -> None:
        self._tracker, self._goal = Tracker(), None
        table = replace(self._layout, position=now.position[:, :2].copy(), yaw=now.yaw)
        possible = list(instructions(table, str(self._rng.choice(SKILLS))))
        if self._rng.random() < self._manner.wander or not possible:
            self._target = self._rng.uniform([0.25, -0.25, 0.08], [0.6, 0.25, 0.25])
            self._left = int(self._rng.integers(4, 12))
            return
        liked = self._liked(table, possible, now)
        self._goal = goal_of(liked, table, now)
        self._left = TIME_LIMIT_STEPS[skill(liked)]

    def _liked(self, table: Layout, possible: list[ArmInstruction], now: Instant) -> ArmInstruction:
        if self._rng.random() < self._manner.bias:
            distance = {
                (thing_kind, colour): float(np.hypot(*(place - now.effector[:2])))
                for thing_kind, colour, place in zip(table.kinds, table.colours, table.position, strict=True)
            }
            near = [distance[things(each)[0].kind, things(each)[0].colour] for each in possible]
            possible = [each for each, far in zip(possible, near, strict=True) if far == min(near)]
        return possible[self._rng.integers(len(possible))]
