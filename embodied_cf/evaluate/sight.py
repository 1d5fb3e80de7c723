"""Where the thing that a task names first is when the episode begins."""

import math

import numpy as np

from embodied_cf.envs.tasks import Task
from embodied_cf.evaluate.record import Sight
from embodied_cf.language.instruction import PassBetween, clauses
from embodied_cf.language.predicate import compile_instruction
from embodied_cf.language.predicate_geometry import blocked

_VIEW_RAD = math.radians(45)
"""Half the camera's field of view."""
_SAME_M = 0.05
"""What is nearer by less is no nearer."""


def sight_of(task: Task) -> Sight:
    """Return `nearest` or `far` for what stands in the field of view with no wall before it, else `unseen`.

    `far`: another thing in view is nearer. Tasks that name no thing (walls, commands) count as `nearest`.
    """
    named = _named(task)
    if not len(named):
        return "nearest"
    seen = task.scene.surroundings()
    shown = _shown(seen.position, seen.radius, task)
    in_view = _shown(named[:, :2], named[:, 2], task)
    if not in_view.any():
        return "unseen"
    here = task.scene.start[:2]
    nearest = np.hypot(*(seen.position[shown] - here).T).min(initial=np.inf)
    return "far" if nearest < np.hypot(*(named[in_view, :2] - here).T).min() - _SAME_M else "nearest"


def _named(task: Task) -> np.ndarray:
    """Return (n, 3): places x, y and radii, m, that the first clause means."""
    program = compile_instruction(task.instruction, task.scene.surroundings())
    count = int(program.num_matches[0])
    if isinstance(clauses(task.instruction)[0], PassBetween):
        middle = program.gaps[0, :count].reshape(-1, 2, 2).mean(axis=1)
        return np.concatenate([middle, np.zeros((count, 1))], axis=1)
    return program.things[0, :count]


def _shown(place: np.ndarray, radius: np.ndarray, task: Task) -> np.ndarray:
    """Return (n,): which circles stand in the field of view, their near side in front of every wall."""
    away = place - task.scene.start[:2]
    distance = np.maximum(np.hypot(*away.T), 1e-9)
    bearing = np.arctan2(away[:, 1], away[:, 0]) - task.scene.start[2]
    inside = np.abs((bearing + np.pi) % (2 * np.pi) - np.pi) <= _VIEW_RAD
    near = task.scene.start[:2] + away * ((distance - np.minimum(radius, distance)) / distance)[:, None] * 0.999
    begin, walls = np.tile(task.scene.start[:2], (len(place), 1)), np.tile(task.scene.walls, (len(place), 1, 1))
    return inside & ~blocked(begin, near, walls)
