"""What each level of graded instruction following asks for in a scene; see `evaluate.graded`."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.candidates import Sights, candidates
from embodied_cf.envs.driving.expert import Expert
from embodied_cf.envs.driving.plans import QUIET, plan, unpeopled
from embodied_cf.envs.episodes import settle, start_episodes
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.splits import Split
from embodied_cf.envs.state import PERIOD_S
from embodied_cf.envs.tasks import Task, make_task
from embodied_cf.errors import UsageError
from embodied_cf.language.composed import (
    AnyOrder,
    Away,
    Composed,
    Driven,
    IfVisible,
    Then,
    Within,
    carried_out,
    resolved,
)
from embodied_cf.language.instruction import Chain, Clause, GoTo, Thing
from embodied_cf.language.predicate_geometry import length

SLACK = 1.4
"""Limits, in lengths and durations of the rehearsed way."""
AWAY_M, _SPARE_M, _NEARBY_M = 0.6, 0.25, 2.5
"""Distance to keep from a thing's surface; the rehearsed way keeps so much more, and comes at least so near."""
METRES, SECONDS, AWAY = "metres", "seconds", "away"
DEMANDS = (METRES, SECONDS, AWAY)
"""What is asked for beside the goal: a short way, a quick one, and one that stays away from a thing."""
TRIES = 6
"""Instructions that are tried before a scene offers no task of a level."""


@dataclass(frozen=True)
class Ground:
    """A scene with things to go to."""

    base: Task
    split: Split

    @cached_property
    def goal(self) -> Clause:
        """Return what the base task asks for."""
        assert isinstance(self.base.instruction, GoTo)
        return self.base.instruction

    @cached_property
    def driven(self) -> Driven:
        """The rehearsed way to the goal."""
        return Driven(rehearsed(self.base), self.base.scene.surroundings(), PERIOD_S)

    def others(self) -> list[Clause]:
        """Return other things to go to, by their full names, in random order."""
        found = candidates(self.base.scene, self.split, "object")
        other = [one for one in found if isinstance(one, GoTo) and one.thing.colour and one.thing.kind != self._kind]
        return [other[row] for row in generator(self.base.seed, "other goals").permutation(len(other))]

    @property
    def _kind(self) -> str:
        return self.goal.thing.kind if isinstance(self.goal, GoTo) else ""

    @cached_property
    def partner(self) -> tuple[Clause, ...]:
        """Return another thing that can be gone to after the goal and before it, if there is one."""
        for other in self.others()[:TRIES]:
            if self.can_be_met(Then((self.goal, other))) and self.can_be_met(Then((other, self.goal))):
                return (other,)
        return ()

    def can_be_met(self, instruction: Composed) -> Task | None:
        """Return the task to meet an instruction, None if the rehearsal does not meet it."""
        task = self.way(instruction)
        driven = Driven(rehearsed(task), task.scene.surroundings(), PERIOD_S) if task else None
        return task if driven and carried_out(instruction, driven) is not None else None

    def things(self) -> list[Thing]:
        """Return things that are not the goal, each named by its full name alone, in random order."""
        sights = Sights(self.base.scene, self.split)
        found = [sights.things[row] for row in sights.unique if sights.things[row].kind != self._kind]
        return [found[row] for row in generator(self.base.seed, "other things").permutation(len(found))]

    def way(self, instruction: Composed) -> Task | None:
        """Return the task to carry its clauses out in turn, None if no way is found."""
        scene = self.base.scene
        clauses = resolved(instruction, scene.surroundings(), scene.start)
        told = clauses[0] if len(clauses) == 1 else Chain(clauses)
        try:
            return replace(self.base, instruction=told, routes=plan(scene, told))
        except UsageError:
            return None


def rehearsed(task: Task) -> Float64[np.ndarray, "t 3"]:
    """Return the poses of the expert in the task's scene, alone and without slip."""
    scene = unpeopled(task.scene)
    expert = Expert.by([scene], [task.instruction], [task.routes])
    now = start_episodes([replace(task, scene=scene)])
    poses = [now.state.pose[0]]
    while not now.over.all():
        now = settle(now, step(now.worlds, now.state, expert.act(now.state), QUIET))
        poses.append(now.state.pose[0])
    return np.stack(poses)


Level: TypeAlias = Callable[[Ground], Iterator[Composed]]
"""Yields what may be asked for on a ground."""


@lru_cache(maxsize=32)
def ground_of(world: str, split: Split, seed: int, people: tuple[int, int]) -> Ground:
    """Return the ground of a seed, kept for its other levels. Raises UsageError as `make_task` does."""
    return Ground(make_task(world, "object", split, seed, people), split)


def _demanding(*demands: str) -> Level:
    """Return the level that asks for the goal and makes these demands."""
    return lambda ground: _demanded(ground, demands)


def _further(count: int) -> Level:
    """Return the level of so many demands beside the goal. Which is the first turns with the seed, so that none of
    them stands for a number; each level of a seed has the demands of the one before."""

    def level(ground: Ground) -> Iterator[Composed]:
        first = ground.base.seed % len(DEMANDS)
        return _demanded(ground, (*DEMANDS[first:], *DEMANDS[:first])[:count])

    return level


def _demanded(ground: Ground, demands: tuple[str, ...]) -> Iterator[Composed]:
    goal: Composed = ground.goal
    if METRES in demands or SECONDS in demands:
        metres = _metres(ground) if METRES in demands else math.inf
        goal = Within(goal, metres, _seconds(ground) if SECONDS in demands else math.inf)
    yield from (Away(goal, thing, AWAY_M) for thing in _passed(ground)) if AWAY in demands else (goal,)


def _passed(ground: Ground) -> list[Thing]:
    """Return what the way passes, the nearest first."""
    path, around, near = ground.driven.path[:, None, :2], ground.driven.surroundings, {}
    for thing in ground.things():
        row = list(zip(around.kind, around.colour, strict=True)).index((thing.kind, thing.colour))
        near[thing] = float((length(path - around.position[[row]]) - around.radius[row]).min())
    passed = [thing for thing in near if AWAY_M + _SPARE_M <= near[thing] <= _NEARBY_M]
    return sorted(passed, key=lambda one: near[one])


def _metres(ground: Ground) -> float:
    """Return the longest way allowed, in half metres."""
    return math.ceil(2 * SLACK * ground.driven.metres(0, len(ground.driven.path))) / 2


def _seconds(ground: Ground) -> float:
    return float(math.ceil(SLACK * PERIOD_S * len(ground.driven.path)))


def _then(ground: Ground) -> Iterator[Composed]:
    yield from (Then((ground.goal, other)) for other in ground.partner)


def _reversed(ground: Ground) -> Iterator[Composed]:
    yield from (Then((other, ground.goal)) for other in ground.partner)


def _any_order(ground: Ground) -> Iterator[Composed]:
    yield from (AnyOrder((ground.goal, other)) for other in ground.partner)


def _if_visible(ground: Ground) -> Iterator[Composed]:
    """Ask for a thing in view and for one out of view alike, by chance."""
    for thing, other in _conditions(ground):
        yield IfVisible(thing, ground.goal, other)


def _nested(ground: Ground) -> Iterator[Composed]:
    for thing, other in _conditions(ground):
        yield IfVisible(thing, Then((ground.goal, other)), AnyOrder((other, ground.goal)))


def _conditions(ground: Ground) -> Iterator[tuple[Thing, Clause]]:
    for other in ground.others():
        for thing in ground.things():
            if isinstance(other, GoTo) and thing.kind != other.thing.kind:
                yield thing, other


LEVELS: Mapping[str, Level] = {
    "1-constraint": _further(0), "2-constraints": _further(1), "3-constraints": _further(2),
    "4-constraints": _further(3), "within-metres": _demanding(METRES), "within-seconds": _demanding(SECONDS),
    "then": _then, "reversed": _reversed,
    "any-order": _any_order, "if-visible": _if_visible, "nested": _nested,
}  # fmt: skip
"""Instructions of each level, the first that can be met is taken."""
