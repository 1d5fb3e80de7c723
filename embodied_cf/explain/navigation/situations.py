"""Situations that a driving robot can be in, in words that people use: how far the target is, whether it is in view,
whether something is in the way, what is asked. They tell people where a policy changed, and baselines what to expect.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float64

from embodied_cf.envs import geometry
from embodied_cf.envs.episodes import Episodes
from embodied_cf.envs.state import PERSON_RADIUS_M, ROBOT_RADIUS_M
from embodied_cf.language.predicate_geometry import blocked, wrap
from embodied_cf.language.predicate_program import Rule

CONTEXT = (
    "distance to the target (m)", "bearing of the target (rad, left positive)", "target in view",
    "free way ahead (m)", "distance to people (m)", "progress", "time (share)", "names a target", "rule", "cell",
)  # fmt: skip
"""Columns of a context."""
_FAR = 10.0
"""m, what is written where there is nothing."""
_VIEW_RAD = math.radians(45)
"""Half the camera's field of view."""
_AHEAD_RAD = math.radians(60)
"""How far off the heading something still is in the way."""

Context = Float64[np.ndarray, "n c"]


def context(now: Episodes, cell: np.ndarray) -> Context:
    """Return the CONTEXT of each episode; distances are from the robot's edge, none above 10 m."""
    return np.stack([_one(now, row, int(cell[row])) for row in range(len(now))])


def _one(now: Episodes, row: int, cell: int) -> Float64[np.ndarray, " c"]:
    pose, clause = now.state.pose[row], int(now.tracker.clause[row])
    place, radius = _target(now, row, clause, pose)
    away = place - pose[:2]
    named = bool(np.isfinite(away).all())
    bearing = float(wrap(np.arctan2(away[1:], away[:1]) - pose[2])[0]) if named else 0.0
    distance = max(float(np.hypot(*away)) - radius - ROBOT_RADIUS_M, 0.0) if named else _FAR
    seen = named and abs(bearing) <= _VIEW_RAD and not _hidden(now, row, pose[:2], place, radius)
    ahead, people = _in_the_way(now, row, pose, place)
    return np.array([
        min(distance, _FAR), bearing, seen, ahead, people, now.tracker.progress[row],
        now.clock[row] / now.limit[row], named, now.programs.rule[row, clause], cell,
    ], np.float64)  # fmt: skip


def _target(now: Episodes, row: int, clause: int, pose: np.ndarray) -> tuple[Float64[np.ndarray, " 2"], float]:
    """Return centre and radius of the nearest thing, or gap, that the present clause means; nan if it means none."""
    count, between = int(now.programs.num_matches[row, clause]), now.programs.rule[row, clause] == Rule.PASS_BETWEEN
    if not count:
        return np.full(2, np.nan), 0.0
    if between:
        things = np.pad(now.programs.gaps[row, clause, :count].reshape(-1, 2, 2).mean(axis=1), ((0, 0), (0, 1)))
    else:
        things = now.programs.things[row, clause, :count]
    nearest = things[np.argmin(np.hypot(*(things[:, :2] - pose[:2]).T))]
    return nearest[:2], float(nearest[2])


def _hidden(now: Episodes, row: int, here: np.ndarray, place: np.ndarray, radius: float) -> bool:
    """Whether a wall stands before the near side of the target."""
    away = place - here
    distance = max(float(np.hypot(*away)), 1e-9)
    near = here + away * (distance - min(radius, distance)) / distance * 0.999
    walls = now.worlds.walls[row, : now.worlds.num_walls[row]]
    return bool(blocked(here[None], near[None], walls[None])[0])


def _in_the_way(now: Episodes, row: int, pose: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return the distance to the nearest wall, thing (but the target) or person ahead, and to the nearest person."""
    worlds, things, people = now.worlds, int(now.worlds.num_objects[row]), int(now.worlds.num_people[row])
    walls = worlds.walls[row, : worlds.num_walls[row]]
    nearest = geometry.nearest_on_segment(pose[None, :2], walls)[0]
    place = worlds.position[row, :things]
    other = ~(np.hypot(*(place - target).T) < 1e-6)  # a target that is none is nan, and equals nothing
    walkers = now.state.person[row, :people, :2]
    points = np.concatenate([nearest, place[other], walkers])
    size = np.concatenate([np.zeros(len(walls)), worlds.radius[row, :things][other], np.full(people, PERSON_RADIUS_M)])
    away = points - pose[:2]
    gap = np.maximum(np.hypot(*away.T) - size - ROBOT_RADIUS_M, 0.0)
    ahead = np.abs(wrap(np.arctan2(away[:, 1], away[:, 0]) - pose[2])) <= _AHEAD_RAD
    person = gap[len(gap) - people :]
    return min(float(gap[ahead].min(initial=_FAR)), _FAR), min(float(person.min(initial=_FAR)), _FAR)


def _column(name: str) -> Callable[[Context], Float64[np.ndarray, " n"]]:
    at = next(index for index, told in enumerate(CONTEXT) if told.startswith(name))
    return lambda given: given[:, at]


_distance, _seen, _ahead = _column("distance to the target"), _column("target in view"), _column("free way")
_named, _rule, _bearing = _column("names a target"), _column("rule"), _column("bearing")


def bearing_of(given: Context) -> Float64[np.ndarray, " n"]:
    """Return the bearing of each target, rad; nan where none is named."""
    return np.where(_named(given) > 0, _bearing(given), np.nan)


def situations(given: Context) -> Mapping[str, Mapping[str, Bool[np.ndarray, " n"]]]:
    """Return for each question its answers, and which of n decisions each answer is of."""
    named, distance, seen = _named(given) > 0, _distance(given), _seen(given) > 0
    reach = {"at the target (< 0.5 m)": named & (distance < 0.5),
             "near it (0.5 to 1.5 m)": named & (distance >= 0.5) & (distance < 1.5),
             "far from it (> 1.5 m)": named & (distance >= 1.5)}  # fmt: skip
    view = {"target in view": named & seen, "target out of view": named & ~seen, "no target named": ~named}
    both = {f"{near}, {sight}": a & b for near, a in reach.items() for sight, b in list(view.items())[:2]}
    close = _ahead(given) < 0.4
    asked = {rule.name.lower().replace("_", " "): _rule(given) == rule for rule in Rule}
    return {
        "how far is the target?": reach,
        "does it see the target?": view,
        "both": both,
        "is something in the way?": {"something within 0.4 m ahead": close, "nothing in the way": ~close},
        "what is asked?": {name: rows for name, rows in asked.items() if rows.any()},
    }
