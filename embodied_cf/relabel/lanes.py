"""Drives along walls: follow the wall on one side, keep to one side of a corridor."""

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.language.predicate_geometry import length
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import CORRIDOR_M, KEEP_SHARE, WALL_M
from embodied_cf.relabel.fan import Fan
from embodied_cf.relabel.obstacles import WALL_SEEN_M, Obstacles, beside

ALONG = (Rule.FOLLOW_WALL, Rule.KEEP_SIDE)
_LANE_M, _LANE_SHARE = 0.72, 0.29
"""Clearance that is aimed at: to a wall that is followed; share of a corridor's width."""
_CLOSE = 4.0
"""What a metre beside the lane costs at the end, or on the way to or from its wall there, in waypoints off it."""
HEADWAY = 0.35
"""Share of its length by which a drive comes nearer to a wall that is still far, at least."""
_LEAST_SHARE = 0.5
"""Share of the waypoints looked at where the walls must be as asked."""
_EVERY = 2
"""Waypoints that are looked at."""
_SPARE_M = 0.05
"""By how much the walls must be as asked: a cell is as large."""


def holds(
    rule: Int64[np.ndarray, " p"], side: Int64[np.ndarray, " p"], left: Float[np.ndarray, "p k"],
    right: Float[np.ndarray, "p k"], spare: float = 0.0,
) -> Bool[np.ndarray, "p k"]:  # fmt: skip
    """Return whether walls are as asked where they are so far off on both sides (`predicate_rules.along_walls`)."""
    near, other = np.where(side[:, None] > 0, left, right), np.where(side[:, None] > 0, right, left)
    follows = (near >= WALL_M[0] + spare) & (near <= WALL_M[1] - spare) & (near < other - spare)
    with np.errstate(invalid="ignore"):
        keeps = (near + other <= CORRIDOR_M - spare) & (near <= KEEP_SHARE * (near + other) - spare)
    return np.where(rule[:, None] == Rule.FOLLOW_WALL, follows, keeps)


def lane_drives(
    fan: Fan,
    rule: Int64[np.ndarray, " p"],
    side: Int64[np.ndarray, " p"],
    here: Float[np.ndarray, "p 3"],
    obstacles: Obstacles,
    free: Bool[np.ndarray, "p c"],
) -> tuple[Int64[np.ndarray, " p"], Bool[np.ndarray, " p"]]:
    """Return the drive of the fan that keeps best to each lane, among those that are free, and whether it does.

    A side (1 left, -1 right) of the walls that a rule is about, for robots at `here` in the odometry frame.
    """
    at = np.arange(_EVERY, fan.yaw.shape[1], _EVERY)
    count, drives, looked = len(rule), len(fan.yaw), len(at)
    local = np.concatenate([fan.place[:, at], fan.yaw[:, at, None]], axis=2).reshape(1, -1, 3)
    left, right = beside(_moved(here, local), obstacles.walls_near(here[:, :2]))
    kept = holds(rule, side, left, right, _SPARE_M).reshape(count, drives, looked)
    near, off = (part.reshape(count, drives, looked) for part in _off_lane(rule, side, left, right))
    merit = kept.sum(axis=2) - _CLOSE * (off[..., -1] + np.abs(near[..., -1] - near[..., -2]))
    best = np.where(free, merit, -np.inf).argmax(axis=1)
    each = np.arange(count)
    keeps = (kept[each, best].mean(axis=1) >= _LEAST_SHARE) & kept[each, best, -1]
    track = np.concatenate([here[:, None], _moved(here, local).reshape(count, drives, looked, 3)[each, best]], axis=1)
    driven = length(np.diff(track[..., :2], axis=1)).sum(axis=1)
    comes = nearer(rule, side, track[:, [0, -1]], obstacles.walls_near(here[:, :2])) >= HEADWAY * driven
    return best, (keeps | comes) & free[each, best]


def nearer(
    rule: Int64[np.ndarray, " p"], side: Int64[np.ndarray, " p"], pose: Float[np.ndarray, "p k 3"],
    wall: Float[np.ndarray, "p w 2"],
) -> Float[np.ndarray, " p"]:  # fmt: skip
    """Return by how much the last of K poses is nearer to the lane beside the wall than the first, m."""
    _, off = _off_lane(rule, side, *beside(pose, wall))
    return off[:, 0] - off[:, -1]


def _off_lane(rule: np.ndarray, side: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far poses are from the wall on the side, and from the lane beside it, m."""
    near, other = (np.minimum(np.where(side[:, None] * way > 0, left, right), WALL_SEEN_M) for way in (1, -1))
    lane = np.where((rule == Rule.FOLLOW_WALL)[:, None], _LANE_M, _LANE_SHARE * (near + other))
    return near, np.abs(near - lane)


def _moved(here: Float[np.ndarray, "p 3"], local: Float[np.ndarray, "1 k 3"]) -> Float[np.ndarray, "p k 3"]:
    """Return poses of robot frames in the odometry frame."""
    cos, sin = np.cos(here[:, 2])[:, None], np.sin(here[:, 2])[:, None]
    x = here[:, :1] + cos * local[..., 0] - sin * local[..., 1]
    y = here[:, 1:2] + sin * local[..., 0] + cos * local[..., 1]
    return np.stack([x, y, here[:, 2:] + local[..., 2]], axis=-1)
