"""What steering goes by and what it chooses among."""

import itertools

import numpy as np
from jaxtyping import Float64, Int64

from benchmarks.crm_navigation.driver import WAYS, Settings
from benchmarks.crm_navigation.drives import LOOKS, Moment
from embodied_cf.crm.steering import Menu
from embodied_cf.envs.state import PERIOD_S

FEATURES = ("distance", "closeness", "in the way", "approach", "free way")
USED = (1, 2)
"""Of FEATURES, what the policy goes by: few, so that a thousand episodes can tell. Logs hold all."""
SPEEDS = (0.35, 0.9)
ROOM_M = 0.35
MENU = tuple(itertools.product(range(len(WAYS)), SPEEDS))
"""Each setting: (way, speed)."""
_NEAR_M, _WIDE_M = 5.0, 0.8
_ATTRIBUTES = {"right": (1.0, 0.0), "straight": (0.0, 0.0), "left": (1.0, 0.0), "wait": (0.0, 1.0)}
"""Of a way: whether it is aside, whether it waits. A setting is fast or not besides."""
EXPLORE = 0.2
"""Every policy tries any setting with this probability: later logs must speak of all of them."""
STEERING = Menu(len(USED), tuple((*_ATTRIBUTES[WAYS[way]], float(speed == SPEEDS[1])) for way, speed in MENU), EXPLORE)


def settings(action: Int64[np.ndarray, " n"]) -> Settings:
    way, speed = np.array(MENU)[action].T
    return Settings(way.astype(np.int64), speed, np.full(len(action), ROOM_M))


def situation(moment: Moment) -> Float64[np.ndarray, "n d"]:
    """Return FEATURES of each moment, each about as large as 1, from what was seen and where the robot is sent.

    Of people, the nearest that was found counts: how near (0: further than 5 m, or nobody), how near to the straight
    line ahead of the robot, and by how many m/s it comes nearer.
    """
    length = np.linalg.norm(moment.goal, axis=1)
    along = moment.goal / length[:, None]
    away = np.linalg.norm(moment.person, axis=2)  # (n, p), nan for who is not found
    nearest = np.where(np.isnan(away), np.inf, away).argmin(axis=1)
    rows = np.arange(len(length))
    person, distance = moment.person[rows, nearest], away[rows, nearest]
    closeness = np.nan_to_num(np.clip(1 - distance / _NEAR_M, 0, 1))
    aside = _across(along, person)
    ahead = np.exp(-((aside / _WIDE_M) ** 2)) * ((along * person).sum(axis=1) > 0)
    approach = (np.linalg.norm(moment.before[rows, nearest], axis=1) - distance) / (LOOKS * PERIOD_S)
    return np.stack([
        (length - 3.5) / 0.6,
        2 * closeness,
        2 * closeness * np.nan_to_num(ahead),
        np.clip(np.nan_to_num(approach), -1.5, 1.5),
        2 * _free_way(moment.floor, along, length) - 1,
    ], axis=1)  # fmt: skip


def _free_way(
    floor: Float64[np.ndarray, "n c 2"], along: Float64[np.ndarray, "n 2"], length: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Return which share of the straight line to the goal the floor is seen free, half a metre to either side."""
    ahead = (floor * along[:, None]).sum(axis=2)
    beside = np.abs(_across(along[:, None], floor)) > 0.4
    return np.minimum(np.where(beside, np.inf, ahead).min(axis=1) / length, 1.0)


def _across(along: np.ndarray, point: np.ndarray) -> np.ndarray:
    return along[..., 0] * point[..., 1] - along[..., 1] * point[..., 0]
