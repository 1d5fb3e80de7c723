"""One control period of robot and people, compiled; `run` goes through many worlds and steps."""

import math
from collections.abc import Callable

import numpy as np

from embodied_cf.envs import state
from embodied_cf.envs.compiled import compiled, fingerprint, kept
from embodied_cf.envs.motion import heading, people
from embodied_cf.envs.motion.heading import NEAR_M, aim_of, distance_to, keep_near, nearest, sees
from embodied_cf.envs.motion.people import DT, SUBSTEPS, reconsider, walk
from embodied_cf.envs.state import (
    HIT_OBJECT,
    HIT_PERSON,
    HIT_WALL,
    MAX_SPEED,
    MAX_TURN,
    PERIOD_S,
    PERSON_RADIUS_M,
    ROBOT_RADIUS_M,
    SLIP,
)

_TOUCH = 1e-9


@compiled
def _drive(walls, position, radius, person, pose, v, w):
    """Move the robot for one substep, in place; returns the distance forwards and what it hit.

    It slides along whatever it meets, and stays where it is if no free place is found: a wedge, say.
    """
    x0, y0, heading = pose[0], pose[1], pose[2] + w * DT / 2
    pose[2] += w * DT
    if v == 0:
        return 0.0, 0
    x, y, hit, touched = x0 + v * DT * math.cos(heading), y0 + v * DT * math.sin(heading), 0, 1
    for _ in range(6):
        x, y, touched, _ = _push_out(walls, position, radius, person, x, y)
        hit |= touched
        if not touched:
            break
    if touched:
        inside = _push_out(walls, position, radius, person, x, y)[3]
        if inside > _TOUCH and inside > _push_out(walls, position, radius, person, x0, y0)[3]:
            x, y = x0, y0
    pose[0], pose[1] = x, y
    return (x - x0) * math.cos(heading) + (y - y0) * math.sin(heading), hit


@compiled
def _push_out(walls, position, radius, person, x, y):
    """Return the robot's place moved out of each thing in turn, what it was in, and how deep at most."""
    hit, deepest = 0, 0.0
    for wall in walls:
        dx, dy, distance = nearest(wall, x, y)
        x, y, depth = _apart(x, y, dx, dy, distance, ROBOT_RADIUS_M)
        if depth > _TOUCH:
            hit, deepest = hit | HIT_WALL, max(deepest, depth)
    for k in range(len(position) + len(person)):
        solid = k < len(position)
        centre = position[k] if solid else person[k - len(position)]
        dx, dy = centre[0] - x, centre[1] - y
        reach = ROBOT_RADIUS_M + (radius[k] if solid else PERSON_RADIUS_M)
        x, y, depth = _apart(x, y, dx, dy, math.sqrt(dx * dx + dy * dy), reach)
        if depth > _TOUCH:
            hit, deepest = hit | (HIT_OBJECT if solid else HIT_PERSON), max(deepest, depth)
    return x, y, hit, deepest


@compiled
def _apart(x, y, dx, dy, distance, reach):
    """Return (x, y) moved away from (x + dx, y + dy) to distance `reach`, and by how much."""
    depth = reach - distance
    if depth <= _TOUCH or distance < _TOUCH:
        return x, y, max(depth, 0.0)
    return x - depth * dx / distance, y - depth * dy / distance, depth


@compiled
def _period(walls, position, radius, goals, speed, action, slip, push,
            pose, velocity, person, goal, phase, stuck):  # fmt: skip
    """Advance one world by one control period, in place; returns what the robot hit."""
    v = min(max(action[0], 0.0), MAX_SPEED) * max(0.0, 1 + SLIP * slip[0])
    w = min(max(action[1], -MAX_TURN), MAX_TURN) * max(0.0, 1 + SLIP * slip[1])
    crowd, hit, forward, robot = len(person), 0, 0.0, np.empty(4)
    robot[0], robot[1] = pose[0], pose[1]
    close, near = np.empty((crowd, len(walls), 4)), np.empty(crowd, np.int64)
    before, aim, seen = np.empty(crowd), np.empty((crowd, 2)), np.empty((crowd, crowd + 1), np.bool_)
    for i in range(crowd):
        before[i] = distance_to(person[i], goals[i, goal[i]])
        for k in range(crowd + 1):
            seen[i, k] = k != i and sees(walls, person[i], robot if k == crowd else person[k])
        near[i] = keep_near(walls, person[i, 0], person[i, 1], NEAR_M, close[i])
        aim[i] = aim_of(
            walls, close[i, : near[i]], position, radius, robot, person, person[i], goals[i, goal[i]], seen[i]
        )
    beside = np.empty((len(walls), 4))
    beside = beside[: keep_near(walls, pose[0], pose[1], ROBOT_RADIUS_M + 2 * MAX_SPEED * PERIOD_S, beside)]
    for _ in range(SUBSTEPS):
        moved, touched = _drive(beside, position, radius, person, pose, v, w)
        forward += moved
        hit |= touched
        robot[0], robot[1] = pose[0], pose[1]
        robot[2], robot[3] = moved / DT * math.cos(pose[2]), moved / DT * math.sin(pose[2])
        walk(close, near, position, radius, robot, person, goals, goal, speed, push, phase, aim, seen)
    for i in range(crowd):
        reconsider(i, before[i], person[i], goals[i], goal, speed[i], stuck)
    velocity[0], velocity[1] = forward / PERIOD_S, w
    return hit


def _make_kernel(version: int) -> Callable[..., None]:
    def run(walls, num_walls, position, radius, num_objects, goals, speed, num_people, actions, slip, push,
            pose, velocity, person, goal, phase, stuck, hit):  # fmt: skip
        """Fill rows 1.. of the trail (axes: time, world, ...), whose row 0 is the start.

        Worlds and noise may have length 1 for all rows. One routine for one step and for many: what one replays is
        bit for bit what the other did.
        """
        _ = version  # a change in any of the files compiles anew
        for row in range(pose.shape[1]):
            world, draw = row % len(walls), row % len(slip)
            wall, crowd = walls[world, : num_walls[world]], num_people[world]
            thing, size = position[world, : num_objects[world]], radius[world, : num_objects[world]]
            for t in range(actions.shape[1]):
                for trail in (pose, velocity):
                    trail[t + 1, row] = trail[t, row]
                person[t + 1, row] = person[t, row]
                goal[t + 1, row], stuck[t + 1, row] = goal[t, row], stuck[t, row]
                phase[t + 1, row] = phase[t, row]
                hit[t + 1, row] = _period(
                    wall, thing, size, goals[world], speed[world], actions[row, t], slip[draw, t], push[draw, t],
                    pose[t + 1, row], velocity[t + 1, row], person[t + 1, row, :crowd], goal[t + 1, row],
                    phase[t + 1, row], stuck[t + 1, row])  # fmt: skip

    return kept(run)


run = _make_kernel(fingerprint(__file__, people.__file__, heading.__file__, state.__file__))
