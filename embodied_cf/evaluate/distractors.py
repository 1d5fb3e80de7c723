"""A task's scene with one thing more, or one less, that the instruction does not speak of."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.driving.planner import Grid
from embodied_cf.envs.driving.plans import plan
from embodied_cf.envs.layouts.furnish import PASSAGE_M
from embodied_cf.envs.scene import MAX_OBJECTS, RADIUS_M, Scene
from embodied_cf.envs.tasks import Task
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import COLOURS, KINDS, named
from embodied_cf.language.predicate import compile_instruction

_TRIES = 6
"""Places at which a new thing is tried, or things that are tried to take away."""
_AHEAD_RAD, _AWAY_M = 0.6, (1.5, 4.5)
"""Where a new thing stands: so far to either side of the heading, so far from the start. It is seen."""
_BESIDE_WAY_M = 0.35
"""Free width at least left on the rehearsed way beside the robot's middle."""
_OBJECT_COLUMNS = ("kind", "colour", "position", "yaw", "scale")


def with_distractor(task: Task, rng: np.random.Generator) -> Task | None:
    """Return the task with a further thing in view, of the target's colour and of a kind that is not there.

    None where there is no room, or the way leads nowhere else.
    """
    kinds = _absent_kinds(task)
    if len(task.scene.kind) == MAX_OBJECTS or not kinds:
        return None
    kind, colour = kinds[int(rng.integers(len(kinds)))], _colour(task, rng)
    return _first_solvable(task, (_added(task.scene, kind, colour, place, rng) for place in _places(task, kind, rng)))


def without_distractor(task: Task) -> Task | None:
    """Return the task without the thing that is nearest to the start and does not change what is meant.

    None where every thing counts.
    """
    scene = task.scene
    nearest = np.argsort(np.hypot(*(scene.position - scene.start[:2]).T), kind="stable")
    kinds = {thing.kind for thing in named(task.instruction)}
    rows = [row for row in nearest.tolist() if KINDS[scene.kind[row]] not in kinds]
    return _first_solvable(task, (_removed(scene, row) for row in rows[:_TRIES]))


def _first_solvable(task: Task, scenes: Iterator[Scene]) -> Task | None:
    """Return the task in the first scene in which it means the same and can be done."""
    meant = compile_instruction(task.instruction, task.scene.surroundings())
    for scene in scenes:
        now = compile_instruction(task.instruction, scene.surroundings())
        if not (np.array_equal(now.things, meant.things) and np.array_equal(now.gaps, meant.gaps)):
            continue
        try:
            return replace(task, scene=scene, routes=plan(scene, task.instruction))
        except UsageError:
            continue
    return None


def _absent_kinds(task: Task) -> list[int]:
    there = {KINDS[kind] for kind in task.scene.kind.tolist()} | {thing.kind for thing in named(task.instruction)}
    outdoors = () if task.scene.family == "courtyard" else ("tree",)
    return [index for index, kind in enumerate(KINDS) if kind not in there and kind not in outdoors]


def _colour(task: Task, rng: np.random.Generator) -> int:
    colours = [COLOURS.index(thing.colour) for thing in named(task.instruction) if thing.colour]
    return colours[-1] if colours else int(rng.integers(len(COLOURS)))


def _places(task: Task, kind: int, rng: np.random.Generator) -> Iterator[Float64[np.ndarray, " 2"]]:
    """Yield free places in view that leave the rehearsed way free."""
    scene, radius = task.scene, RADIUS_M[KINDS[kind]]
    angle = scene.start[2] + rng.uniform(-_AHEAD_RAD, _AHEAD_RAD, 64)
    points = scene.start[:2] + rng.uniform(*_AWAY_M, (64, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    room = Grid.of(scene).clearance_at(points) >= radius + PASSAGE_M
    way = np.concatenate([route.path for route in task.routes])
    beside = np.linalg.norm(points[:, None] - way, axis=2).min(axis=1) >= radius + _BESIDE_WAY_M
    yield from points[room & beside][:_TRIES]


def _added(scene: Scene, kind: int, colour: int, place: Float64[np.ndarray, " 2"], rng: np.random.Generator) -> Scene:
    new = {
        "kind": np.int32(kind),
        "colour": np.int32(colour),
        "position": place,
        "yaw": rng.uniform(-np.pi, np.pi),
        "scale": 1.0,
    }
    columns = {name: np.concatenate([getattr(scene, name), np.asarray(new[name])[None]]) for name in _OBJECT_COLUMNS}
    return replace(scene, **columns)  # type: ignore[arg-type] # columns by name


def _removed(scene: Scene, row: int) -> Scene:
    return replace(scene, **{name: np.delete(getattr(scene, name), row, axis=0) for name in _OBJECT_COLUMNS})
