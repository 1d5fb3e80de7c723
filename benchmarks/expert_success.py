"""How often the expert does what it is told, on generated episodes with people, against drivers who should fail.

Beside the expert drive: nobody (stands still), chance (random actions held for a while, halts among them), and the
expert told something else in the same scene: the other side where the instruction has one, else another thing. A
success is judged by the instruction's predicate within its time limit, with no object and no person touched.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.driving.expert import Expert
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.scene import stack
from embodied_cf.envs.state import HIT_OBJECT, HIT_PERSON, HIT_WALL, PERIOD_S, State, draw_noise, initial_state
from embodied_cf.envs.tasks import Task, make_task
from embodied_cf.evaluate.otherwise import something_else
from embodied_cf.evaluate.statistics import wilson
from embodied_cf.language.instruction import FAMILIES, TIME_LIMIT_S, family
from embodied_cf.language.predicate import advance, begin, compile_instruction, stack_programs

WORLDS = ("rooms", "corridors", "courtyard")
BATCH = 250
Driver = Callable[[State], np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """Of a batch: success, and what was hit, each (b,)."""

    success: np.ndarray
    hit: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--first-seed", type=int, default=50_000)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--people", type=int, nargs=2, default=(0, 2), help="fewest and most in a scene")
    parser.add_argument("--worlds", nargs="+", default=WORLDS)
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    arguments = parser.parse_args()
    count = 20 if arguments.quick else arguments.episodes
    result = []
    for world in arguments.worlds:
        for kind in arguments.families:
            seeds = range(arguments.first_seed, arguments.first_seed + count)
            cell = measure(world, kind, arguments.split, seeds, tuple(arguments.people))
            result.append(cell)
            show(cell)
            if arguments.json:
                arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(world: str, kind: str, split: str, seeds: range, people: tuple[int, int]) -> dict[str, object]:
    """Run one cell, batch by batch."""
    started = time.perf_counter()
    counts: dict[str, list[int]] = {}
    touched, failures = np.zeros(3, int), []
    for first in range(seeds.start, seeds.stop, BATCH):
        tasks = [make_task(world, kind, split, seed, people) for seed in seeds if first <= seed < first + BATCH]
        for name, (success, total, outcome) in trials(tasks, split).items():
            counts[name] = [had + new for had, new in zip(counts.get(name, [0, 0]), (success, total), strict=True)]
            if name == "expert":
                touched += [int((outcome.hit & bit > 0).sum()) for bit in (HIT_WALL, HIT_OBJECT, HIT_PERSON)]
                failures += [tasks[row].seed for row in np.flatnonzero(~outcome.success)]
    return {"world": world, "family": kind, "split": split, "people": people, "seconds": time.perf_counter() - started,
            "touched wall, object, person": touched.tolist(), "failed seeds": failures, **counts}  # fmt: skip


def trials(tasks: Sequence[Task], split: str) -> dict[str, tuple[int, int, Outcome]]:
    """Let every driver drive every task; (successes, episodes, outcome) by driver."""
    told = [task.instruction for task in tasks]
    scenes = [task.scene for task in tasks]
    drivers: dict[str, tuple[Sequence[Task], Driver]] = {
        "expert": (tasks, Expert.by(scenes, told, [task.routes for task in tasks]).act),
        "stands still": (tasks, lambda state: np.zeros((len(state), 2))),
        "random": (tasks, chance([task.seed for task in tasks])),
    }
    misled = [(task, other) for task in tasks if (other := something_else(task, split)) is not None]
    if misled:
        some = [task for task, _ in misled]
        drivers["told otherwise"] = (some, Expert.of([task.scene for task in some], [other for _, other in misled]).act)
    found = {name: run(some, driver) for name, (some, driver) in drivers.items()}
    return {name: (int(outcome.success.sum()), len(outcome.success), outcome) for name, outcome in found.items()}


def run(tasks: Sequence[Task], driver: Driver) -> Outcome:
    """Drive until every instruction is judged or its time is up."""
    scenes, worlds = [task.scene for task in tasks], stack([task.scene for task in tasks])
    programs = stack_programs([compile_instruction(task.instruction, task.scene.surroundings()) for task in tasks])
    limit = np.array([TIME_LIMIT_S[family(task.instruction)] / PERIOD_S for task in tasks])
    noise = draw_noise([task.seed for task in tasks], int(limit.max()))
    state = initial_state(scenes)
    tracker, hit = begin(programs, state.pose), np.zeros(len(tasks), np.uint8)
    success, over = np.zeros(len(tasks), bool), np.zeros(len(tasks), bool)
    for at in range(int(limit.max())):
        state = step(worlds, state, driver(state), noise.at(at))
        tracker = advance(programs, tracker, state.pose)
        hit |= np.where(over, 0, state.hit).astype(np.uint8)
        success |= ~over & tracker.success & (hit & (HIT_OBJECT | HIT_PERSON) == 0)
        over |= tracker.done | (hit & (HIT_OBJECT | HIT_PERSON) > 0) | (at + 1 >= limit)
        if over.all():
            break
    return Outcome(success, hit)


def chance(seeds: Sequence[int]) -> Driver:
    """Return a driver of random actions, each held for 1-8 steps; a fifth of them are halts."""
    rngs = [generator(seed, "random driver") for seed in seeds]
    action, left = np.zeros((len(seeds), 2)), np.zeros(len(seeds), int)

    def act(state: State) -> np.ndarray:
        left[:] -= 1
        for row in np.flatnonzero(left < 0):
            left[row] = rngs[row].integers(0, 8)
            action[row] = rngs[row].uniform((0.0, -1.5), (1.0, 1.5)) * (rngs[row].random() >= 0.2)
        return action

    return act


def show(cell: dict[str, object]) -> None:
    touched = cell["touched wall, object, person"]
    print(f"{cell['world']:10} {cell['family']:12} touched {touched}  {cell['seconds']:.0f} s")
    for name in ("expert", "told otherwise", "random", "stands still"):
        if name in cell:
            done, total = cell[name]  # type: ignore[misc]
            low, high = wilson(done, total)
            print(f"  {name:14} {done:5} of {total:5} = {done / total:7.2%}  [{low:.2%}, {high:.2%}]", flush=True)


if __name__ == "__main__":
    main()
