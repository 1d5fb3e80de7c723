"""Local collision avoidance: the admissible action nearest to the one that is wanted.

Samples of (v, w) are driven ahead with people walking on at their present velocity, as in the dynamic window approach
(Fox, Burgard and Thrun 1997). The robot never turns on the spot and never reverses.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64

from embodied_cf.envs import state as state_file
from embodied_cf.envs.compiled import compiled, fingerprint, kept
from embodied_cf.envs.driving import _search
from embodied_cf.envs.driving._search import segment_distance
from embodied_cf.envs.scene import Worlds
from embodied_cf.envs.state import MAX_SPEED, MAX_TURN, PERIOD_S, PERSON_RADIUS_M, ROBOT_RADIUS_M, State

MIN_SPEED = 0.12
"""Slowest speed at which the robot drives and turns, m/s."""
SPEEDS = np.array([0.12, 0.25, 0.4, 0.6, 0.8])
TURNS = np.linspace(-MAX_TURN, MAX_TURN, 11)
HORIZON = 6
"""Control steps for which people are looked ahead."""
STATIC_HORIZON = 3
"""Control steps for which walls and objects are looked ahead: the robot can stop within one."""
GAP_OBJECT, GAP_PERSON, GAP_WALL = 0.06, 0.12, 0.03
"""Distances kept from hull to hull, m; from people 0.06 m more for each step ahead."""
STANDING = 3.0
"""Price of standing still where it is not wanted."""
IMPATIENT = 8.0
"""The same for the restless."""
EASE_M = 0.35
"""Further distance from people within which a little is paid for closeness."""


def avoid(
    worlds: Worlds, state: State, wanted: Float64[np.ndarray, "b 2"], restless: Bool[np.ndarray, " b"]
) -> Float64[np.ndarray, "b 2"]:
    """Return the action (v m/s, w rad/s) nearest to `wanted` that keeps clear of walls, objects and people.

    The restless stand still only where nothing else is safe.
    """
    action = np.empty_like(wanted)
    _avoid_all(worlds.walls, worlds.position, worlds.radius, worlds.num_walls, worlds.num_objects, worlds.num_people,
               state.pose, state.person, wanted, restless, action)  # fmt: skip
    return action


@compiled
def _nearby(pose, walls, position, radius):
    """Obstacles that the robot could come near within the static horizon: rows x0, y0, x1, y1, radius, gap kept."""
    reach = ROBOT_RADIUS_M + MAX_SPEED * PERIOD_S * STATIC_HORIZON + 0.1
    found = np.empty((len(walls) + len(position), 6))
    count = 0
    for index in range(len(walls)):
        x0, y0, x1, y1 = walls[index]
        if segment_distance(pose[0], pose[1], x0, y0, x1, y1) < reach:
            found[count] = (x0, y0, x1, y1, 0.0, GAP_WALL)
            count += 1
    for index in range(len(position)):
        x, y = position[index]
        if math.hypot(x - pose[0], y - pose[1]) - radius[index] < reach:
            found[count] = (x, y, x, y, radius[index], GAP_OBJECT)
            count += 1
    return found[:count]


@compiled
def _choose(pose, obstacles, person, wanted, restless, action):
    """Write the cheapest of the wanted action, standing still, and the samples."""
    v, w = wanted[0], wanted[1]
    action[0], action[1] = v, w
    if v == 0.0:  # nobody walks into a robot that stands
        return
    standing = IMPATIENT if restless else STANDING
    best = _price(pose, obstacles, person, v, w, restless)
    if best == 0.0:
        return
    for speed_index in range(-1, len(SPEEDS)):
        for turn_index in range(-1, len(TURNS)):
            if speed_index < 0 and turn_index >= 0:
                continue
            speed = 0.0 if speed_index < 0 else SPEEDS[speed_index]
            turn = 0.0 if speed_index < 0 else w if turn_index < 0 else TURNS[turn_index]
            price = (speed - v) ** 2 + 0.25 * (turn - w) ** 2 if speed > 0.0 else standing
            if price < best:
                price += _price(pose, obstacles, person, speed, turn, restless)
            if price < best:
                best = price
                action[0], action[1] = speed, turn


@compiled
def _price(pose, obstacles, person, v, w, restless):
    """Price of coming close: 0 at ease, large where a gap is not kept."""
    x, y, yaw = pose[0], pose[1], pose[2]
    static, close = 0.0, 0.0
    half = 0.5 * w * PERIOD_S
    chord = v * PERIOD_S * (1.0 if abs(half) < 1e-9 else math.sin(half) / half)
    tight, boxed = _lack(obstacles, x, y, 0.0), _boxed_in(obstacles, x, y, yaw)
    for step in range(1, HORIZON + 1):
        x += chord * math.cos(yaw + half)
        y += chord * math.sin(yaw + half)
        yaw += 2.0 * half
        if step <= STATIC_HORIZON and v > 0.0:
            static = max(static, _lack(obstacles, x, y, 0.0) - tight)
        if step == 1 and v > 0.0:
            static = max(static, _boxed_in(obstacles, x, y, yaw) - boxed)
        for index in range(len(person)):
            lack = _kept(step, restless) - _person_gap(person[index], step * PERIOD_S, x, y)
            # people do not walk into a robot that stands; what is further ahead may still change
            weight = 3.0 if v == 0.0 else 100.0 if step <= 2 else 1.0 if restless else 10.0
            close = max(close, weight * lack / step if lack > 0.0 else 0.3 * max(0.0, 1.0 + lack / EASE_M) / step)
    return 1000.0 * static + close


@compiled
def _kept(step, restless):
    """Gap to be kept to people some steps ahead, m."""
    return 0.05 + 0.03 * step if restless else GAP_PERSON + 0.06 * step


@compiled
def _person_gap(person, time, x, y):
    """Gap from hull to hull to a person who walks on for a time, or who stops at once: whichever is smaller."""
    walking = math.hypot(person[0] + time * person[2] - x, person[1] + time * person[3] - y)
    standing = math.hypot(person[0] - x, person[1] - y)
    return min(walking, standing) - ROBOT_RADIUS_M - PERSON_RADIUS_M


@compiled
def _boxed_in(obstacles, x, y, yaw):
    """What lacks to the room for a full turn on the tightest arc, to the better side, m."""
    radius = MIN_SPEED / MAX_TURN
    left = _lack(obstacles, x - radius * math.sin(yaw), y + radius * math.cos(yaw), radius)
    right = _lack(obstacles, x + radius * math.sin(yaw), y - radius * math.cos(yaw), radius)
    return min(left, right)


@compiled
def _lack(obstacles, x, y, further):
    """By how much the gaps to walls and objects, and further ones, are not kept at a place, m."""
    worst = 0.0
    for x0, y0, x1, y1, radius, gap in obstacles:
        kept = gap + further + radius + ROBOT_RADIUS_M
        worst = max(worst, kept - segment_distance(x, y, x0, y0, x1, y1))
    return worst


def _make_kernel(version: int) -> Callable[..., None]:
    def avoid_all(walls, position, radius, num_walls, num_objects, num_people, pose, person, wanted, restless,
                  action):  # fmt: skip
        _ = version  # a change in any of the files compiles anew
        for row in range(len(pose)):
            wall, thing = walls[row, : num_walls[row]], position[row, : num_objects[row]]
            obstacles = _nearby(pose[row], wall, thing, radius[row])
            _choose(pose[row], obstacles, person[row, : num_people[row]], wanted[row], restless[row], action[row])

    return kept(avoid_all)


_avoid_all = _make_kernel(fingerprint(__file__, _search.__file__, state_file.__file__))
