"""Graded instruction following: how many demands, put together how, a policy meets, and how reliably.

| level | instruction |
|---|---|
| 1-constraint | go to a thing |
| 2-constraints | the same, in so many metres, or in so many seconds, or staying away from another thing |
| 3-constraints | with that demand and the next; which comes first turns with the seed |
| 4-constraints | with all three |
| within-metres, within-seconds | go to a thing with this limit alone |
| then, reversed | two things in turn, and the same two the other way around |
| any-order | two things, in whichever order |
| if-visible | one thing if a third can be seen, else another |
| nested | two in turn if a third can be seen, else two in any order |

All are judged by program on the whole path (`language.composed`), and a collision fails. Limits are those of the
rehearsed way with some slack. Every task is solvable: the planner's rehearsal meets it. Each is tried several times,
with other words and other chance, which shows how often all of K tries succeed.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from embodied_cf.datasets.randomness import generator, number
from embodied_cf.envs.splits import Split, uses_held_out_phrasing
from embodied_cf.envs.state import PERIOD_S
from embodied_cf.envs.tasks import Task
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.graded_levels import LEVELS, TRIES, ground_of
from embodied_cf.evaluate.rollout import Drives
from embodied_cf.evaluate.statistics import all_of, rate
from embodied_cf.language.composed import Composed, Driven, carried_out
from embodied_cf.language.composed_words import say
from embodied_cf.language.grammar import phrase


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
    ground = ground_of(world, split, seed, people)
    for _, instruction in zip(range(TRIES), LEVELS[level](ground), strict=False):
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


def _level(table: np.ndarray) -> dict[str, Any]:
    tries = [all_of(table, k) for k in range(1, table.shape[1] + 1)]
    return {"success": rate(table[:, 0]).plain("rate"), "mean": float(table.mean()), "all_of": tries}


def _order(tried: Sequence[Tried]) -> dict[str, object] | None:
    first = {(one.level, one.seed): one.success[0] for one in tried}
    seeds = [one.seed for one in tried if one.level == "then" and ("reversed", one.seed) in first]
    both = np.array([first["then", seed] and first["reversed", seed] for seed in seeds], bool)
    return rate(both).plain("rate") if len(both) else None
