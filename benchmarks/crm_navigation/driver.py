"""The frozen driver: from where the free floor ends and where it is sent, to speed and turn rate. No map.

Arcs are compared as in the dynamic window approach (Fox, Burgard and Thrun 1997) against the ends of the floor that
it sees, and those it saw a moment ago beside its field of view. Three settings steer it: by which way it sets out, how
fast it drives and how much room it likes.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.envs.compiled import kept
from embodied_cf.envs.state import MAX_TURN, ROBOT_RADIUS_M
from embodied_cf.language.predicate_geometry import in_frame

WAYS = ("right", "straight", "left", "wait")
"""The last lets people pass first, and then goes straight."""
ASIDE_M = 0.9
"""So far from the middle of the straight line the ways to the sides lead."""
SPEED, ROOM = (0.3, 1.0), (0.05, 0.7)
"""Least and most speed, m/s, and air that is liked around the robot, m."""
REACHED_M = 0.4
WAIT = 8
"""Control periods that the last way waits."""
MEMORY = 2
"""Looks whose floor ends are remembered."""
_CURVATURES = np.linspace(-2.4, 2.4, 13)
_AHEAD_M = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
_LEAST_M = 0.04
"""Air around the robot below which an arc is not driven."""
_TURN = 1.0
"""Turn rate on the spot where no arc is free, rad/s."""


class Settings(NamedTuple):
    """How B robots are steered through an episode."""

    way: Int64[np.ndarray, " b"]
    """Index into WAYS."""
    speed: Float64[np.ndarray, " b"]
    room: Float64[np.ndarray, " b"]


class Memory(NamedTuple):
    """Floor ends in the odometry frame, oldest first."""

    point: Float64[np.ndarray, "b m 2"]


def remember(memory: Memory | None, pose: Float64[np.ndarray, "b 3"], floor: Float64[np.ndarray, "b c 2"]) -> Memory:
    cos, sin = np.cos(pose[:, 2, None]), np.sin(pose[:, 2, None])
    x = pose[:, 0, None] + cos * floor[..., 0] - sin * floor[..., 1]
    y = pose[:, 1, None] + sin * floor[..., 0] + cos * floor[..., 1]
    seen = np.stack([x, y], axis=-1)
    old = np.repeat(seen, MEMORY - 1, axis=1) if memory is None else memory.point[:, floor.shape[1] :]
    return Memory(np.concatenate([old, seen], axis=1))


def via(goal: Float64[np.ndarray, "b 2"]) -> Float64[np.ndarray, "b k 2"]:
    """Return the point by which each way leads, in the frame of the start."""
    side = np.stack([-goal[:, 1], goal[:, 0]], axis=1) / np.linalg.norm(goal, axis=1, keepdims=True)
    return goal[:, None] / 2 + ASIDE_M * np.array([-1.0, 0.0, 1.0, 0.0])[:, None] * side[:, None]


def act(
    pose: Float64[np.ndarray, "b 3"], goal: Float64[np.ndarray, "b 2"], memory: Memory, settings: Settings
) -> Float64[np.ndarray, "b 2"]:
    """Return (v m/s, w rad/s). Poses and goals are in the odometry frame, which is that of the start."""
    target = in_frame(pose, _target(pose, goal, settings.way)[:, None])[:, 0]
    air = _air(in_frame(pose, memory.point), arcs())  # (b, arcs, ahead)
    lack = np.maximum(1 - air.min(axis=2) / settings.room[:, None], 0)
    blocked = air[:, :, :3].min(axis=2) < _LEAST_M
    price = _detour(target) + 1.5 * lack**2 + 100.0 * blocked
    best = price.argmin(axis=1)
    rows = np.arange(len(pose))
    speed = settings.speed * (1 - 0.6 * np.clip(lack[rows, best], 0, 1))
    bend = _CURVATURES[best]
    speed = np.minimum(speed, MAX_TURN / np.maximum(np.abs(bend), 1e-9))
    action = np.stack([speed, speed * bend], axis=1)
    return np.where(blocked[rows, best, None], _turning(target), action)


def _target(
    pose: Float64[np.ndarray, "b 3"], goal: Float64[np.ndarray, "b 2"], way: Int64[np.ndarray, " b"]
) -> Float64[np.ndarray, "b 2"]:
    """Return the way's middle until the robot has come past it, then the goal."""
    length = np.linalg.norm(goal, axis=1)
    along = (pose[:, :2] * goal).sum(axis=1) / length
    middle = via(goal)[np.arange(len(goal)), way]
    return np.where((along < 0.4 * length)[:, None], middle, goal)


@kept
def _air(point, arc):
    """Return the air around the robot at each point of each arc (b, a, s), m, with floor ends (b, m, 2)."""
    air = np.empty((len(point), *arc.shape[:2]))
    for row in range(len(point)):
        for a in range(arc.shape[0]):
            for s in range(arc.shape[1]):
                nearest = np.inf
                for x, y in point[row]:
                    nearest = min(nearest, (x - arc[a, s, 0]) ** 2 + (y - arc[a, s, 1]) ** 2)
                air[row, a, s] = math.sqrt(nearest) - ROBOT_RADIUS_M
    return air


def arcs() -> Float64[np.ndarray, "a s 2"]:
    bend = np.where(np.abs(_CURVATURES) < 1e-9, 1e-9, _CURVATURES)[:, None]
    return np.stack([np.sin(bend * _AHEAD_M) / bend, (1 - np.cos(bend * _AHEAD_M)) / bend], axis=-1)


def _detour(target: Float64[np.ndarray, "b 2"]) -> Float64[np.ndarray, "b a"]:
    """Return how much less near to the target each arc leads than it could, per metre."""
    end = arcs()[:, 3]
    away = np.linalg.norm(target[:, None] - end, axis=2) - np.linalg.norm(target, axis=1)[:, None]
    return 1 + away / _AHEAD_M[3]


def _turning(target: Float64[np.ndarray, "b 2"]) -> Float64[np.ndarray, "b 2"]:
    turn = np.where(target[:, 1] >= 0, _TURN, -_TURN)
    return np.stack([np.zeros(len(turn)), turn], axis=1)


def reached(pose: Float64[np.ndarray, "b 3"], goal: Float64[np.ndarray, "b 2"]) -> Bool[np.ndarray, " b"]:
    return np.linalg.norm(pose[:, :2] - goal, axis=1) <= REACHED_M
