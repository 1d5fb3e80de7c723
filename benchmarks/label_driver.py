"""How far the rule that makes labels carries out whole tasks itself: the ceiling of policies that learn from them.

    python -m benchmarks.label_driver --suite rooms/all/dev --episodes 100

At every decision the rule (`relabel.drives`) is asked for the chunk, for what the task says and with things and walls
where they truly are, and half of it is driven. Chains of three parts are left out: the rule knows two.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.envs.episodes import LONGEST, Episodes, start_episodes
from embodied_cf.envs.motion.tracking import follow, seen_from
from embodied_cf.envs.scene import Scene
from embodied_cf.envs.state import draw_noise
from embodied_cf.envs.tasks import Task
from embodied_cf.evaluate.backend import RAYCAST
from embodied_cf.evaluate.ledger import LEDGER, note_look
from embodied_cf.evaluate.rollout import EXECUTE
from embodied_cf.evaluate.statistics import rate
from embodied_cf.evaluate.suites import parse_suite
from embodied_cf.language.instruction import DOOR, WALL, Clause, GoTo, PassBetween, clauses, named
from embodied_cf.language.predicate_program import rule_of
from embodied_cf.language.referents import nearest, referents, wall_point
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.surroundings import Surroundings
from embodied_cf.relabel.asked import PARTS, Asked
from embodied_cf.relabel.drives import chosen_drives
from embodied_cf.relabel.fan import Fan
from embodied_cf.relabel.free_space import CELL_M, FreeSpace
from embodied_cf.relabel.goal import begun_command
from embodied_cf.relabel.landmarks import Landmarks
from embodied_cf.relabel.obstacles import Obstacles
from embodied_cf.relabel.standing import Standing
from embodied_cf.relabel.synthesize import nav_primitives

SCALE = MotionScale(step=0.13, turn=0.9)
"""About that of the collector's logs."""
_BORDER_M = 1.0


@dataclass(frozen=True)
class Known:
    """What is asked in a scene, and where everything stands."""

    asked: Asked
    place: np.ndarray
    """(n, 3): centres and radii of things, and of the walls that gaps end at."""
    obstacles: Obstacles

    @staticmethod
    def of(task: Task) -> "Known":
        seen, asked = task.scene.surroundings(), Asked.nothing(1)
        place = [*np.column_stack([seen.position, seen.radius])]
        for at, clause in enumerate(clauses(task.instruction)):
            asked.rule[0, at], asked.side[0, at] = rule_of(clause)
            for column, row in enumerate(_rows(clause, seen, place)):
                asked.landmark[0, at, column] = row
        return Known(asked, np.array(place), _obstacles(task.scene, seen))

    def chunk(self, track: np.ndarray) -> np.ndarray:
        """Return what the rule drives after the poses (t, 3) of a robot that was told at the first of them."""
        count, steps = len(self.place), len(track)
        seen = np.ones((count, steps), bool)
        landmarks = Landmarks(("",) * count, self.place, seen, ~seen, np.ones(count))
        told, now = np.array([0]), np.array([steps - 1])
        standing = Standing(told, now, self.asked, landmarks, track, self.obstacles)
        if standing.tracker.done[0]:
            return np.zeros((_rows_of_chunk(), 2))
        command = int(begun_command(standing)[0])
        return _primitives()[command] if command >= 0 else chosen_drives(_fan(), SCALE, standing).chunk[0]


@cache
def _rows_of_chunk() -> int:
    return load_embodiment("nav").chunk_length


@cache
def _fan() -> Fan:
    return Fan.of(SCALE, _rows_of_chunk())


@cache
def _primitives() -> np.ndarray:
    return nav_primitives(SCALE, _rows_of_chunk())


def _rows(clause: Clause, seen: Surroundings, place: list[np.ndarray]) -> Iterator[int]:
    """Yield the rows of what a clause names; a wall is added to the places."""
    if isinstance(clause, GoTo) and clause.near is not None:
        yield int(nearest(clause.thing, clause.near, seen)[0])
        return
    for thing in named(clause):
        if thing.kind == WALL and isinstance(clause, PassBetween):
            first = seen.position[referents(clause.first, seen)[0]]
            place.append(np.array([*wall_point(first, seen), 0.0]))
            yield len(place) - 1
        elif thing.kind != WALL:
            yield int(referents(thing, seen)[0])


def _obstacles(scene: Scene, seen: Surroundings) -> Obstacles:
    things = np.array([kind != DOOR for kind in seen.kind], bool)
    return Obstacles(np.column_stack([seen.position, seen.radius])[things], _walls(scene.walls))


def _walls(walls: np.ndarray) -> FreeSpace:
    share = np.linspace(0.0, 1.0, int(np.ptp(walls) / CELL_M) * 4)[:, None, None]
    point = (walls[:, :2] + share * (walls[:, 2:] - walls[:, :2])).reshape(-1, 2)
    corner = point.min(axis=0) - _BORDER_M
    occupied = np.zeros(np.ceil((point.max(axis=0) + _BORDER_M - corner) / CELL_M).astype(int), bool)
    occupied[tuple(np.floor((point - corner) / CELL_M).astype(int).T)] = True
    return FreeSpace(corner, occupied)


def drive(tasks: Sequence[Task]) -> Episodes:
    """Let the rule drive tasks to their ends."""
    known, now = [Known.of(task) for task in tasks], start_episodes(tasks)
    noise, poses = draw_noise([task.seed for task in tasks], LONGEST), [now.state.pose]
    while not now.over.all():
        track, origin = np.stack(poses, axis=1), now.state.pose
        plan = np.zeros((len(tasks), _rows_of_chunk(), 2))
        for row in np.flatnonzero(~now.over).tolist():
            plan[row] = known[row].chunk(track[row])
        for step in range(EXECUTE):
            chunk = seen_from(plan[:, step:], origin, now.state.pose)
            now = RAYCAST.move(now, follow(chunk, np.ones(chunk.shape[:2], bool)), noise)
            poses.append(now.state.pose)
    return now


def outcomes(tasks: Sequence[Task]) -> Mapping[str, Counter[str]]:
    """Return how often tasks that begin with each kind of clause end how."""
    ends, table = drive(tasks), defaultdict[str, Counter[str]](Counter)
    for row, task in enumerate(tasks):
        first = clauses(task.instruction)[0]
        kind = type(first).__name__ + " nearest" * (isinstance(first, GoTo) and first.near is not None)
        end = "collision" if ends.crashed[row] else "time" if ends.truncated[row] else "failed"
        table[kind].update(["all", "success" if ends.success[row] else end])
    return table


def main(told: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="rooms/all/dev")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--ledger", type=Path, default=LEDGER, help="where a look at the split `test` leaves a line")
    arguments = parser.parse_args(told)
    for cell, seeds in parse_suite(arguments.suite).seeds(0, arguments.episodes):
        tasks = [cell.task(seed) for seed in seeds]
        known = [task for task in tasks if len(clauses(task.instruction)) <= PARTS]
        found = outcomes(known)
        for kind, ends in sorted(found.items()):
            rest = ", ".join(f"{name} {ends[name]}" for name in ("collision", "time", "failed"))
            print(f"{cell}  {kind:16} {ends['success']:3} of {ends['all']:3}  ({rest})", flush=True)
        if cell.split == "test":
            won = np.arange(len(known)) < sum(ends["success"] for ends in found.values())
            plan = {"benchmark": "label_driver", "suite": [str(cell)], "episodes": arguments.episodes}
            note_look(arguments.ledger, plan, {str(cell): rate(won).plain("rate")})


if __name__ == "__main__":
    main()
