"""The best drive of a fan for each goal: the one that leaves the shortest way, and keeps clear of what stands there."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.scale import MotionScale
from embodied_cf.relabel.asked import STOPS
from embodied_cf.relabel.fan import Fan
from embodied_cf.relabel.lanes import lane_drives
from embodied_cf.relabel.standing import Standing
from embodied_cf.relabel.wall_drives import wall_drives
from embodied_cf.relabel.ways import way_left

ROOM_M, LEAST_ROOM_M = 0.4, 0.08
"""Room beside things that a drive should keep, and must keep."""
_CAUTION = 3.0
"""What each metre of missing room costs, in metres of way."""
_HEADWAY = 0.4
"""Share of a whole drive's length by which the robot comes nearer, at least."""
_THERE_M = 0.25
"""Way left at which a goal counts as reached."""
_NOWHERE_M = 1e6
"""Way left to what has no place."""
_EARLIER_M = 1e-3
"""What a later stop costs: of equal ones the earliest."""


@dataclass(frozen=True)
class Drives:
    """A chunk for each of P goals."""

    chunk: Float32[np.ndarray, "p h 2"]
    feasible: Bool[np.ndarray, " p"]
    """Whether it keeps clear and makes headway, or stands where the goal is."""


def chosen_drives(fan: Fan, scale: MotionScale, standing: Standing) -> Drives:
    """Return the drive of each goal. Who arrives on the way, and is to stop there, stands from then on."""
    count, points = len(standing.start), fan.yaw.shape[1]
    cost, here = _costs(fan, standing)
    best = cost.reshape(count, -1).argmin(axis=1)
    drive, stop = best // points, best % points
    final = cost[np.arange(count), drive, stop]
    longest = np.hypot(*(fan.place[:, 1] - fan.place[:, 0]).T).max() * (points - 1)
    feasible = (here - final >= _HEADWAY * longest) | (_may_stop(standing) & (final <= _THERE_M))
    along = np.flatnonzero(standing.aims.rule == Rule.KEEP_SIDE)
    if len(along):
        side, pose = standing.aims.side[along], standing.track[standing.start[along]]
        free = np.isfinite(cost[along, : len(fan.fast.yaw), -1])
        drive[along], feasible[along] = lane_drives(fan.fast, side, pose, standing.obstacles, free)
        stop[along] = points - 1
    at = np.minimum(np.arange(1, points), stop[:, None])
    chunk = fan.place[drive[:, None], at].astype(np.float32)
    follows = np.flatnonzero(standing.aims.rule == Rule.FOLLOW_WALL)
    if len(follows):
        here = standing.track[standing.start[follows]]
        walls = wall_drives(scale, points - 1, standing.aims.side[follows], here, standing.obstacles)
        chunk[follows], feasible[follows] = walls
    return Drives(chunk, feasible)


def _costs(fan: Fan, standing: Standing) -> tuple[Float[np.ndarray, "p c k"], Float[np.ndarray, " p"]]:
    """Return the way left from each point of each drive, and what lack of room adds, m; and the way left from here.

    inf where the robot may not end: too near to something, or before it has arrived.
    """
    count, (drives, points) = len(standing.start), fan.yaw.shape
    place = np.broadcast_to(fan.place.reshape(1, -1, 2), (count, drives * points, 2))
    yaw = np.broadcast_to(fan.yaw.reshape(1, -1), place.shape[:2])
    left = np.nan_to_num(way_left(standing.aims, place, yaw), nan=_NOWHERE_M).reshape(count, drives, points)
    room = _room(fan, standing)
    first = room[:, :, :1]
    missing = np.maximum(ROOM_M - room, 0.0) - np.maximum(ROOM_M - first, 0.0)  # who stands near may leave
    cost = left + _CAUTION * missing + _EARLIER_M * np.arange(points)
    cost[room < np.minimum(LEAST_ROOM_M, first)] = np.inf
    cost[..., :-1][~_may_stop(standing)[:, None, None] | (left[..., :-1] > _THERE_M)] = np.inf
    return cost, left[:, 0, 0]


def _may_stop(standing: Standing) -> Bool[np.ndarray, " p"]:
    """Which goals end with a stop: a clause that is driven through, or followed by another, does not."""
    rule = standing.aims.rule
    return (rule == Rule.STOP_BESIDE) | standing.is_last & np.isin(rule, STOPS)


def _room(fan: Fan, standing: Standing) -> Float[np.ndarray, "p c k"]:
    """Return the least room on the way to each point of each drive, m."""
    steps, which = np.unique(standing.start, return_inverse=True)
    place = np.broadcast_to(fan.place.reshape(1, -1, 2), (len(steps), fan.yaw.size, 2))
    room = standing.obstacles.room(standing.track[steps], place).reshape(len(steps), *fan.yaw.shape)
    return np.minimum.accumulate(room, axis=2)[which]
