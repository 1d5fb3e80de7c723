"""How well a way was driven: success weighted by length, distance to the goal, likeness to the rehearsed way.

P is the way driven, R the reference, S success. Lengths are sums of straight steps, m. Distances to the goal are
geodesic: along free ground, people left out. Waiting does not count: before ways are compared, both are cut into
steps of SPACING_M. Definitions: SPL 1807.06757; soft SPL and geodesic distances as in habitat-lab; nDTW and SDTW
1907.05446; CLS 1905.12255.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Float64

from embodied_cf.envs.driving.planner import Field, Grid, explore, path_length, resampled
from embodied_cf.envs.geometry import rotation
from embodied_cf.envs.tasks import Task
from embodied_cf.language.predicate import advance, begin, compile_instruction, stack_programs
from embodied_cf.language.predicate_rules import REACH_M

NEAR_M = REACH_M
"""d_th: distance at which likeness has fallen to 1/e; 3 m in the literature's larger buildings."""
SPACING_M = 0.25
"""Step of the ways that are compared: a control period at full speed."""

Points = Float[np.ndarray, "_ d"]
Poses = Float64[np.ndarray, "_ 3"]


def measure(task: Task, path: Poses, success: bool) -> dict[str, float]:
    """Return the measures of one episode by name; see `measure_all`."""
    return measure_all([task], [path], np.array([success]))[0]


def measure_all(
    tasks: Sequence[Task], paths: Sequence[Poses], success: Bool[np.ndarray, " b"]
) -> tuple[dict[str, float], ...]:
    """Return each episode's measures by name; what is not defined for a task is left out.

    | measure | is | left out |
    |---|---|---|
    | spl | S l / max(l, len P), l the length of the rehearsed way | |
    | oracle_success | S, or what was asked but for the stop came true on the way | |
    | navigation_error | from the end of P to the end of R, m | unless the task ends with a stop at a place |
    | oracle_error | from the nearest point of P to the end of R, m | the same |
    | soft_spl | the same as spl with max(0, 1 - error at the end / at the start) for S | the same |
    | ndtw, sdtw, cls | likeness of P and R | where R is known in the robot's frame only, later than the start |

    An instruction may be carried out elsewhere than rehearsed (on another side of a thing, say): success does not
    make errors 0, nor likeness 1.
    """
    seen = oracle_success(tasks, paths) | success
    rows = zip(tasks, paths, success.tolist(), seen.tolist(), strict=True)
    return tuple(
        {
            "spl": spl(done, rehearsed_length(task), path_length(path[:, :2])),
            "oracle_success": float(ever),
            **_at_the_goal(task, path[:, :2]),
            **_along_the_way(task, path[:, :2], done),
        }
        for task, path, done, ever in rows
    )


def rehearsed_length(task: Task) -> float:
    """Return the length of the rehearsed way, m. It keeps clear of things, so that a way may be shorter."""
    return sum(path_length(route.path) for route in task.routes)


def reference(task: Task) -> Points | None:
    """Return the rehearsed way in the world; None where a later part of it is known in the robot's frame only.

    A turn at the start adds no point but the start.
    """
    start, parts = task.scene.start, []
    for row, route in enumerate(task.routes):
        inside = route.relative or not np.isnan(route.turn)
        if inside and row:
            return None
        parts.append(start[:2] + route.path @ rotation(start[2]).T if inside else route.path)
    return np.concatenate(parts)


def oracle_success(tasks: Sequence[Task], paths: Sequence[Poses]) -> Bool[np.ndarray, " b"]:
    """Return whether each way would have been a success if the robot had known when to stop."""
    compiled = [compile_instruction(task.instruction, task.scene.surroundings()) for task in tasks]
    programs = stack_programs([replace(one, stops=np.zeros_like(one.stops)) for one in compiled])
    length = np.array([len(path) for path in paths])
    tracker = begin(programs, np.stack([path[0] for path in paths]))
    for step in range(1, int(length.max())):
        pose = np.stack([path[min(step, len(path) - 1)] for path in paths])
        ended = np.flatnonzero(step >= length)
        tracker = advance(programs, tracker, pose).replaced(ended, tracker.take(ended))
    return tracker.success


def spl(success: float, shortest: float, travelled: float) -> float:
    """Return S l / max(l, p); S where both lengths are 0."""
    longer = max(shortest, travelled)
    return success * shortest / longer if longer > 0 else float(success)


def dtw(path: Points, reference: Points) -> float:
    """Return the least sum of distances over monotone alignments of two ways (dynamic time warping), exactly."""
    cost = np.linalg.norm(path[:, None] - reference, axis=2)
    best = np.cumsum(cost[0])
    for row in cost[1:]:
        entered = np.minimum(best, np.concatenate([[np.inf], best[:-1]]))  # from the point of P before
        driven = np.cumsum(row)
        best = driven + np.minimum.accumulate(entered - driven + row)  # then along R
    return float(best[-1])


def ndtw(path: Points, reference: Points, near: float = NEAR_M) -> float:
    """Return exp(-dtw / (points of R * near)), in (0, 1]."""
    return float(np.exp(-dtw(path, reference) / (len(reference) * near)))


def cls(path: Points, reference: Points, near: float = NEAR_M) -> float:
    """Return coverage weighted by length score: how much of R is covered, times how well P's length fits that.

    Where both lengths to be compared are 0, they fit.
    """
    nearest = np.linalg.norm(reference[:, None] - path, axis=2).min(axis=1)
    coverage = float(np.exp(-nearest / near).mean())
    expected, driven = coverage * _length(reference), _length(path)
    off = expected + abs(expected - driven)
    return coverage * (expected / off if off > 0 else 1.0)


def _length(path: Points) -> float:
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def _along_the_way(task: Task, path: Points, success: float) -> dict[str, float]:
    way = reference(task)
    if way is None:
        return {}
    driven, wanted = resampled(path, SPACING_M), resampled(way, SPACING_M)
    likeness = ndtw(driven, wanted)
    return {"ndtw": likeness, "sdtw": success * likeness, "cls": cls(driven, wanted)}


def _at_the_goal(task: Task, path: Points) -> dict[str, float]:
    last = task.routes[-1]
    if not last.stop or last.relative:
        return {}
    left = _distances(explore(Grid.of(task.scene), last.path[-1:]), path)
    nearer = max(0.0, 1 - left[-1] / left[0]) if left[0] > 0 else float(left[-1] == 0)
    soft = spl(nearer, rehearsed_length(task), path_length(path))
    return {"navigation_error": float(left[-1]), "oracle_error": float(left.min()), "soft_spl": float(soft)}


def _distances(field: Field, points: Float64[np.ndarray, "n 2"]) -> Float64[np.ndarray, " n"]:
    """Return each point's way to the field's source, m; where the robot hardly fits, by way of where it does."""
    left = field.at(points)
    reached = np.isfinite(field.cost)
    places, cost = field.grid.centres[reached], field.cost[reached]
    for row in np.flatnonzero(np.isinf(left)):
        away = np.hypot(*(places - points[row]).T)
        left[row] = cost[away.argmin()] + away.min()
    return left
