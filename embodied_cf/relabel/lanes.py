"""Drives that keep to one side of a corridor."""

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.language.predicate_geometry import length
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import CORRIDOR_M, KEEP_SHARE
from embodied_cf.relabel.fan import Fan
from embodied_cf.relabel.obstacles import WALL_SEEN_M, Obstacles, beside

ALONG = (Rule.FOLLOW_WALL, Rule.KEEP_SIDE)
_LANE_SHARE = 0.29
"""Clearance that is aimed at: share of the corridor's width."""
_CLOSE = 4.0
"""What a metre beside the lane costs at the end, or on the way to or from its wall there, in waypoints off it."""
HEADWAY = 0.35
"""Share of its length by which a drive comes nearer to a lane that is still far, at least."""
_LEAST_SHARE = 0.5
"""Share of the waypoints looked at where the walls must be as asked."""
_EVERY = 2
"""Waypoints that are looked at."""
_SPARE_M = 0.05
"""By how much the walls must be as asked: a cell is as large."""


def keeps_side(
    side: Int64[np.ndarray, " p"], left: Float[np.ndarray, "p k"], right: Float[np.ndarray, "p k"], spare: float = 0.0
) -> Bool[np.ndarray, "p k"]:
    """Return whether walls are as asked where they are so far off on both sides (`predicate_rules.along_walls`)."""
    near, other = sides_of(side, left, right)
    with np.errstate(invalid="ignore"):
        return (near + other <= CORRIDOR_M - spare) & (near <= KEEP_SHARE * (near + other) - spare)


def sides_of(
    side: Int64[np.ndarray, " p"], left: Float[np.ndarray, "p k"], right: Float[np.ndarray, "p k"]
) -> tuple[Float[np.ndarray, "p k"], Float[np.ndarray, "p k"]]:
    """Return how far walls are on the side that is asked for (1 left, -1 right) and on the other one, m."""
    is_left = side[:, None] > 0
    return np.where(is_left, left, right), np.where(is_left, right, left)


def lane_drives(
    fan: Fan,
    side: Int64[np.ndarray, " p"],
    here: Float[np.ndarray, "p 3"],
    obstacles: Obstacles,
    free: Bool[np.ndarray, "p c"],
) -> tuple[Int64[np.ndarray, " p"], Bool[np.ndarray, " p"]]:
    """Return the drive of the fan that keeps best to each lane, among those that are free, and whether it does, for
    robots at `here` in the odometry frame."""
    at = np.arange(_EVERY, fan.yaw.shape[1], _EVERY)
    count, drives, looked = len(side), len(fan.yaw), len(at)
    local = np.concatenate([fan.place[:, at], fan.yaw[:, at, None]], axis=2).reshape(1, -1, 3)
    walls = obstacles.walls_near(here[:, :2])
    left, right = beside(_moved(here, local), walls)
    kept = keeps_side(side, left, right, _SPARE_M).reshape(count, drives, looked)
    near, off = (part.reshape(count, drives, looked) for part in _off_lane(side, left, right))
    merit = kept.sum(axis=2) - _CLOSE * (off[..., -1] + np.abs(near[..., -1] - near[..., -2]))
    best = np.where(free, merit, -np.inf).argmax(axis=1)
    each = np.arange(count)
    keeps = (kept[each, best].mean(axis=1) >= _LEAST_SHARE) & kept[each, best, -1]
    _, now = _off_lane(side, *beside(here[:, None], walls))
    driven = length(np.diff(fan.place[best], axis=1)).sum(axis=1)
    comes = now[:, 0] - off[each, best, -1] >= HEADWAY * driven
    return best, (keeps | comes) & free[each, best]


def _off_lane(side: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far poses are from the wall on the side, and from the lane beside it, m."""
    near, other = (np.minimum(part, WALL_SEEN_M) for part in sides_of(side, left, right))
    return near, np.abs(near - _LANE_SHARE * (near + other))


def _moved(here: Float[np.ndarray, "p 3"], local: Float[np.ndarray, "1 k 3"]) -> Float[np.ndarray, "p k 3"]:
    """Return poses of robot frames in the odometry frame."""
    cos, sin = np.cos(here[:, 2])[:, None], np.sin(here[:, 2])[:, None]
    x = here[:, :1] + cos * local[..., 0] - sin * local[..., 1]
    y = here[:, 1:2] + sin * local[..., 0] + cos * local[..., 1]
    return np.stack([x, y, here[:, 2:] + local[..., 2]], axis=-1)
