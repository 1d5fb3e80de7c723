"""Graded instruction following: how many demands, put together how, a policy meets, and how reliably.

| level | instruction |
|---|---|
| 1-constraint | go to a thing |
| 2-constraints | the same in less than so many seconds |
| 3-constraints | and driving no more than so many metres |
| 4-constraints | and staying away from another thing |
| within-metres, within-seconds | go to a thing with this limit alone |
| then, reversed | two things in turn, and the same two the other way around |
| any-order | two things, in whichever order |
| if-visible | one thing if a third can be seen, else another |
| nested | two in turn if a third can be seen, else two in any order |

All are judged by program on the whole path (`language.composed`), and a collision fails. Limits are those of the
rehearsed way with SLACK. Every task is solvable: the planner's rehearsal meets it. Each is tried several times,
with other words and other chance, which shows how often all of K tries succeed.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float64

from embodied_cf.datasets.randomness import generator, number
from embodied_cf.envs.candidates import Sights, candidates
from embodied_cf.envs.driving.expert import Expert
from embodied_cf.envs.driving.plans import QUIET, plan, unpeopled
from embodied_cf.envs.episodes import settle, start_episodes
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.splits import Split, uses_held_out_phrasing
from embodied_cf.envs.state import PERIOD_S
from embodied_cf.envs.tasks import Task, make_task
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.rollout import Drives
from embodied_cf.evaluate.statistics import all_of, rate
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
from embodied_cf.language.composed_words import say
from embodied_cf.language.grammar import phrase
from embodied_cf.language.instruction import Chain, Clause, GoTo, Thing
from embodied_cf.language.predicate_geometry import length

SLACK = 1.4
"""Limits, in lengths and durations of the rehearsed way."""
AWAY_M, _SPARE_M, _NEARBY_M = 0.6, 0.25, 2.5
"""Distance to keep from a thing's surface; the rehearsed way keeps so much more, and comes at least so near."""
_TRIES = 6
"""Instructions that are tried before a scene offers no task of a level."""


@dataclass(frozen=True)
class Graded:
    """One task of a level."""

    level: str
    task: Task
    """Its instruction: the clauses to be carried out, in an order that will do. Its text: the first try's."""
    instruction: Composed
    """What is judged."""
    split: Split

    def attempt(self, index: int) -> Task:
        """Return the task of one try: with its own chance and, in the clauses, its own words."""
        seed = number(self.task.seed, "try", self.level, str(index)) >> 65  # 63 bits
        rng, held_out = generator(seed, "words"), uses_held_out_phrasing(self.split)
        return replace(self.task, seed=seed, text=say(self.instruction, lambda clause: phrase(clause, rng, held_out)))

    def met(self, path: Float64[np.ndarray, "t 3"], collisions: int) -> bool:
        """Return whether a way meets every demand."""
        driven = Driven(path, self.task.scene.surroundings(), PERIOD_S)
        return not collisions and carried_out(self.instruction, driven) is not None


@dataclass(frozen=True)
class Tried:
    """What became of the tries of one task."""

    level: str
    seed: int
    told: tuple[str, ...]
    success: tuple[bool, ...]


def make_graded(level: str, world: str, split: Split, seed: int, people: tuple[int, int] = (0, 2)) -> Graded | None:
    """Return the task of a level and a seed, None if its scene offers none. Levels of one seed share the scene.

    Raises UsageError for an unknown level, and as `make_task` does.
    """
    if level not in LEVELS:
        raise UsageError(f"unknown level {level!r}", remedy=f"Choose of {', '.join(LEVELS)}.")
    ground = _ground(world, split, seed, people)
    for _, instruction in zip(range(_TRIES), LEVELS[level](ground), strict=False):
        task = ground.can_be_met(instruction)
        if task:
            graded = Graded(level, task, instruction, split)
            return replace(graded, task=replace(task, text=graded.attempt(0).text))
    return None


def try_all(
    graded: Sequence[Graded], tries: int, run: Callable[[Sequence[Task], Sequence[str]], Drives]
) -> list[Tried]:
    """Let a policy try every task so many times; `run` drives tasks under the texts that it is told.

    Such as `lambda tasks, told: run_episodes(policy, tasks, told, rng)`.
    """
    tasks = [[one.attempt(index) for index in range(tries)] for one in graded]
    flat = [task for row in tasks for task in row]
    drives = run(flat, [task.text for task in flat])
    done = []
    for row, (one, attempts) in enumerate(zip(graded, tasks, strict=True)):
        rows = range(row * tries, (row + 1) * tries)
        success = tuple(one.met(drives.path(at), int(drives.final.collisions[at])) for at in rows)
        done.append(Tried(one.level, one.task.seed, tuple(task.text for task in attempts), success))
    return done


def score(tried: Sequence[Tried]) -> dict[str, Any]:
    """Return the numbers, as JSON has them, of tasks that were tried equally often.

    By level: `success` of first tries with its interval, `mean` of all tries, and `all_of`: for K = 1, 2, ... how
    often K tries all succeed. `order`: of seeds that have `then` and `reversed`, in how many first tries of both
    succeed; who does not mind the order can succeed in one of the two only.
    """
    by_level: dict[str, list[tuple[bool, ...]]] = defaultdict(list)
    for one in tried:
        by_level[one.level].append(one.success)
    tables = {level: np.array(by_level[level], bool) for level in LEVELS if by_level[level]}
    return {"levels": {level: _level(table) for level, table in tables.items()}, "order": _order(tried)}


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


@dataclass(frozen=True)
class _Ground:
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
        for other in self.others()[:_TRIES]:
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


@lru_cache(maxsize=32)
def _ground(world: str, split: Split, seed: int, people: tuple[int, int]) -> _Ground:
    """Kept for the other levels."""
    return _Ground(make_task(world, "object", split, seed, people), split)


def _alone(ground: _Ground) -> Iterator[Composed]:
    yield ground.goal


def _in_time(ground: _Ground) -> Iterator[Composed]:
    yield Within(ground.goal, seconds=_seconds(ground))


def _nearby(ground: _Ground) -> Iterator[Composed]:
    yield Within(ground.goal, metres=_metres(ground))


def _limited(ground: _Ground) -> Iterator[Composed]:
    yield Within(ground.goal, _metres(ground), _seconds(ground))


def _all_limits(ground: _Ground) -> Iterator[Composed]:
    """Stay away from what the way passes, the nearest first."""
    path, around, near = ground.driven.path[:, None, :2], ground.driven.surroundings, {}
    for thing in ground.things():
        row = list(zip(around.kind, around.colour, strict=True)).index((thing.kind, thing.colour))
        near[thing] = float((length(path - around.position[[row]]) - around.radius[row]).min())
    passed = [thing for thing in near if AWAY_M + _SPARE_M <= near[thing] <= _NEARBY_M]
    for thing in sorted(passed, key=lambda one: near[one]):
        yield Away(next(_limited(ground)), thing, AWAY_M)


def _metres(ground: _Ground) -> float:
    """Return the longest way allowed, in half metres."""
    return math.ceil(2 * SLACK * ground.driven.metres(0, len(ground.driven.path))) / 2


def _seconds(ground: _Ground) -> float:
    return float(math.ceil(SLACK * PERIOD_S * len(ground.driven.path)))


def _then(ground: _Ground) -> Iterator[Composed]:
    yield from (Then((ground.goal, other)) for other in ground.partner)


def _reversed(ground: _Ground) -> Iterator[Composed]:
    yield from (Then((other, ground.goal)) for other in ground.partner)


def _any_order(ground: _Ground) -> Iterator[Composed]:
    yield from (AnyOrder((ground.goal, other)) for other in ground.partner)


def _if_visible(ground: _Ground) -> Iterator[Composed]:
    """Ask for a thing in view and for one out of view alike, by chance."""
    for thing, other in _conditions(ground):
        yield IfVisible(thing, ground.goal, other)


def _nested(ground: _Ground) -> Iterator[Composed]:
    for thing, other in _conditions(ground):
        yield IfVisible(thing, Then((ground.goal, other)), AnyOrder((other, ground.goal)))


def _conditions(ground: _Ground) -> Iterator[tuple[Thing, Clause]]:
    for other in ground.others():
        for thing in ground.things():
            if isinstance(other, GoTo) and thing.kind != other.thing.kind:
                yield thing, other


LEVELS: Mapping[str, Callable[[_Ground], Iterator[Composed]]] = {
    "1-constraint": _alone, "2-constraints": _in_time, "3-constraints": _limited, "4-constraints": _all_limits,
    "within-metres": _nearby, "within-seconds": _in_time, "then": _then, "reversed": _reversed,
    "any-order": _any_order, "if-visible": _if_visible, "nested": _nested,
}  # fmt: skip
"""Instructions of each level, the first that can be met is taken."""


def _level(table: np.ndarray) -> dict[str, Any]:
    tries = [all_of(table, k) for k in range(1, table.shape[1] + 1)]
    return {"success": rate(table[:, 0]).plain("rate"), "mean": float(table.mean()), "all_of": tries}


def _order(tried: Sequence[Tried]) -> dict[str, object] | None:
    first = {(one.level, one.seed): one.success[0] for one in tried}
    seeds = [one.seed for one in tried if one.level == "then" and ("reversed", one.seed) in first]
    both = np.array([first["then", seed] and first["reversed", seed] for seed in seeds], bool)
    return rate(both).plain("rate") if len(both) else None
