"""The compiled motion of robot and people. One file: numba's cache notices changes in the file of `run` only.

People follow the social force of Helbing & Molnár 1995 (Phys. Rev. E 51, 4282; its constants), with three
additions: they aim past what stands in their way, they slow down before they would touch anything, and nobody
is seen through a wall or from further than SIGHT_M.
"""

import math

import numpy as np
from numba import njit

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

SUBSTEPS = 5
DT = PERIOD_S / SUBSTEPS
SIGHT_M = 4.0
ARRIVED_M = 0.4
STUCK_PERIODS = 24
"""After so many more periods without than with progress, a person gives the goal up for the next one."""
RELAXATION_S, SPEED_RATIO = 0.5, 1.3
PEOPLE_STRENGTH, PEOPLE_RANGE_M, FORESIGHT_S = 2.1, 0.3, 2.0
BORDER_STRENGTH, BORDER_RANGE_M = 3.0, 0.2
BEHIND, FIELD_OF_VIEW = 0.5, math.cos(math.radians(100))
"""What happens outside 100 degrees to either side counts half."""
RESTLESS, MAX_ACCELERATION, BRAKING_S = 0.3, 8.0, 0.5
BERTH_M, PAST_M = 0.15, 0.5
LOOK_M, FAN, FAN_STEP = 2.5, 8, math.radians(12.5)
STRIDE_M = 1.4
_TOUCH = 1e-9


@njit(cache=True, nogil=True)
def run(walls, num_walls, position, radius, num_objects, goals, speed, num_people, actions, slip, push,
        pose, velocity, person, goal, phase, stuck, hit):  # fmt: skip
    """Fill rows 1.. of the trail (axes: time, world, ...), whose row 0 is the start.

    Worlds and noise may have length 1 for all rows. One routine for one step and for many: what one replays is
    bit for bit what the other did.
    """
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


@njit(cache=True, nogil=True)
def _period(walls, position, radius, goals, speed, action, slip, push,
            pose, velocity, person, goal, phase, stuck):  # fmt: skip
    """Advance one world by one control period, in place; returns what the robot hit."""
    v = min(max(action[0], 0.0), MAX_SPEED) * max(0.0, 1 + SLIP * slip[0])
    w = min(max(action[1], -MAX_TURN), MAX_TURN) * max(0.0, 1 + SLIP * slip[1])
    crowd, hit, forward, robot = len(person), 0, 0.0, np.empty(4)
    robot[0], robot[1] = pose[0], pose[1]
    before, aim, seen = np.empty(crowd), np.empty((crowd, 2)), np.empty((crowd, crowd + 1), np.bool_)
    for i in range(crowd):
        before[i] = _distance_to_goal(person[i], goals[i, goal[i]])
        for k in range(crowd + 1):
            seen[i, k] = k != i and _sees(walls, person[i], robot if k == crowd else person[k])
        aim[i] = _aim(walls, position, radius, robot, person, person[i], goals[i, goal[i]], seen[i])
    for _ in range(SUBSTEPS):
        moved, touched = _drive(walls, position, radius, person, pose, v, w)
        forward += moved
        hit |= touched
        robot[0], robot[1] = pose[0], pose[1]
        robot[2], robot[3] = moved / DT * math.cos(pose[2]), moved / DT * math.sin(pose[2])
        _walk(walls, position, radius, robot, person, goals, goal, speed, push, phase, aim, seen)
    for i in range(crowd):
        _reconsider(i, before[i], person[i], goals[i], goal, speed[i], stuck)
    velocity[0], velocity[1] = forward / PERIOD_S, w
    return hit


@njit(cache=True, nogil=True)
def _distance_to_goal(person, goal):
    return math.hypot(goal[0] - person[0], goal[1] - person[1])


@njit(cache=True, nogil=True)
def _reconsider(i, before, person, goals, goal, speed, stuck):
    """Turn person i to the next goal on arrival, or when there has been no progress for long."""
    left = _distance_to_goal(person, goals[goal[i]])
    stuck[i] = max(0, stuck[i] + (1 if before - left < 0.1 * speed * PERIOD_S else -1))
    if left < ARRIVED_M or stuck[i] >= STUCK_PERIODS:
        goal[i], stuck[i] = (goal[i] + 1) % len(goals), 0


@njit(cache=True, nogil=True)
def _nearest(wall, x, y):
    """Return the offset (dx, dy) from a point to the nearest point of a wall, and its length."""
    ux, uy = wall[2] - wall[0], wall[3] - wall[1]
    share = ((x - wall[0]) * ux + (y - wall[1]) * uy) / max(ux * ux + uy * uy, 1e-12)
    share = min(max(share, 0.0), 1.0)
    dx, dy = wall[0] + share * ux - x, wall[1] + share * uy - y
    return dx, dy, math.sqrt(dx * dx + dy * dy)


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _push_out(walls, position, radius, person, x, y):
    """Return the robot's place moved out of each thing in turn, what it was in, and how deep at most."""
    hit, deepest = 0, 0.0
    for wall in walls:
        dx, dy, distance = _nearest(wall, x, y)
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


@njit(cache=True, nogil=True)
def _apart(x, y, dx, dy, distance, reach):
    """Return (x, y) moved away from (x + dx, y + dy) to distance `reach`, and by how much."""
    depth = reach - distance
    if depth <= _TOUCH or distance < _TOUCH:
        return x, y, max(depth, 0.0)
    return x - depth * dx / distance, y - depth * dy / distance, depth


@njit(cache=True, nogil=True)
def _walk(walls, position, radius, robot, person, goals, goal, speed, push, phase, aim, seen):
    """Move everybody for one substep, in place; all decide on the same instant."""
    now = person.copy()
    for i in range(len(person)):
        pace = min(speed[i], _distance_to_goal(now[i], goals[i, goal[i]]) / ARRIVED_M)
        ax, ay = _force(i, walls, position, radius, robot, now, aim[i], pace, seen[i])
        size = math.sqrt(ax * ax + ay * ay)
        limit = min(1.0, MAX_ACCELERATION / max(size, 1e-12))
        vx = now[i, 2] + (ax * limit + RESTLESS * speed[i] * push[i, 0]) * DT
        vy = now[i, 3] + (ay * limit + RESTLESS * speed[i] * push[i, 1]) * DT
        limit = min(1.0, SPEED_RATIO * speed[i] / max(math.sqrt(vx * vx + vy * vy), 1e-12))
        vx, vy = _brake(i, walls, position, radius, robot, now, vx * limit, vy * limit)
        person[i, 0], person[i, 1] = now[i, 0] + vx * DT, now[i, 1] + vy * DT
        person[i, 2], person[i, 3] = vx, vy
        phase[i] += math.sqrt(vx * vx + vy * vy) * DT * 2 * math.pi / STRIDE_M


@njit(cache=True, nogil=True)
def _force(i, walls, position, radius, robot, person, aim, pace, seen):
    """Return the acceleration that person i's aim and surroundings ask for."""
    me, ex, ey = person[i], aim[0], aim[1]
    ax, ay = (pace * ex - me[2]) / RELAXATION_S, (pace * ey - me[3]) / RELAXATION_S
    nx, ny, near = 0.0, 0.0, SIGHT_M
    for wall in walls:
        dx, dy, distance = _nearest(wall, me[0], me[1])
        if distance < near:
            nx, ny, near = dx, dy, distance
    bx, by = _border(nx, ny, near, 0.0)
    for k in range(len(position)):
        dx, dy = position[k, 0] - me[0], position[k, 1] - me[1]
        ox, oy = _border(dx, dy, math.sqrt(dx * dx + dy * dy), radius[k])
        bx, by = bx + ox, by + oy
    ax, ay = ax + bx, ay + by
    for k in range(len(person) + 1):
        if seen[k]:
            px, py = _repulsion(me, robot if k == len(person) else person[k], ex, ey)
            ax, ay = ax + px, ay + py
    return ax, ay


@njit(cache=True, nogil=True)
def _border(dx, dy, distance, radius):
    """Return the acceleration away from a border at `distance - radius` in direction (dx, dy)."""
    if distance - radius >= SIGHT_M / 2 or distance < _TOUCH:
        return 0.0, 0.0
    size = BORDER_STRENGTH / BORDER_RANGE_M * math.exp(-(distance - radius) / BORDER_RANGE_M)
    return -size * dx / distance, -size * dy / distance


@njit(cache=True, nogil=True)
def _repulsion(me, other, ex, ey):
    """Return the acceleration away from a moving body: a potential that falls with the ellipse through `me`
    around where it is and where it will be."""
    dx, dy = me[0] - other[0], me[1] - other[1]
    fx, fy = dx - other[2] * FORESIGHT_S, dy - other[3] * FORESIGHT_S
    now, then = max(math.sqrt(dx * dx + dy * dy), 1e-6), max(math.sqrt(fx * fx + fy * fy), 1e-6)
    path = (other[2] * other[2] + other[3] * other[3]) * FORESIGHT_S**2
    axis = max(math.sqrt(max((now + then) ** 2 - path, 0.0)) / 2, 0.1)
    size = PEOPLE_STRENGTH / PEOPLE_RANGE_M * math.exp(-axis / PEOPLE_RANGE_M) * (now + then) / (4 * axis)
    if -(ex * dx + ey * dy) < FIELD_OF_VIEW * now:
        size *= BEHIND
    return size * (dx / now + fx / then), size * (dy / now + fy / then)


@njit(cache=True, nogil=True)
def _crossing(wall, x, y, dx, dy):
    """Return at which share of the way (dx, dy) from (x, y) it meets a wall; 2 if it does not."""
    ux, uy = wall[2] - wall[0], wall[3] - wall[1]
    mx, my = wall[0] - x, wall[1] - y
    cross = dx * uy - dy * ux
    if cross == 0 or not 0 <= (mx * dy - my * dx) / cross <= 1:
        return 2.0
    share = (mx * uy - my * ux) / cross
    return share if 0 <= share <= 1 else 2.0


@njit(cache=True, nogil=True)
def _sees(walls, me, other):
    """Whether another body is near enough and no wall stands between."""
    dx, dy = other[0] - me[0], other[1] - me[1]
    if dx * dx + dy * dy >= SIGHT_M * SIGHT_M:
        return False
    for wall in walls:
        if _crossing(wall, me[0], me[1], dx, dy) <= 1:
            return False
    return True


@njit(cache=True, nogil=True)
def _aim(walls, position, radius, robot, person, me, goal, seen):
    """Return the unit vector in which to walk: of a fan of headings, the one whose free way comes nearest to the
    goal (Moussaïd et al. 2011, PNAS 108, 6884, eq. 1)."""
    gx, gy = _waypoint(walls, me, goal)
    left = math.hypot(gx - me[0], gy - me[1])
    ahead, heading = min(left, LOOK_M), math.atan2(gy - me[1], gx - me[0])
    best, bx, by = math.inf, 0.0, 0.0
    for k in range(2 * FAN + 1):
        turn = FAN_STEP * ((k + 1) // 2) * (1 if k % 2 == 0 else -1)  # right before left
        ex, ey = math.cos(heading + turn), math.sin(heading + turn)
        free = _free_way(walls, position, radius, robot, person, me, ex, ey, ahead, seen)
        cost = ahead * ahead + free * free - 2 * ahead * free * math.cos(turn)
        if cost < best - _TOUCH:
            best, bx, by = cost, ex, ey
        if k == 0 and free >= ahead:
            break
    return bx, by


@njit(cache=True, nogil=True)
def _waypoint(walls, me, goal):
    """Return the goal, or a place past the end of the first wall in the way, whichever end is the shorter way."""
    first, x, y = 2.0, goal[0], goal[1]
    for wall in walls:
        share = _crossing(wall, me[0], me[1], goal[0] - me[0], goal[1] - me[1])
        if share < first:
            first, shortest = share, math.inf
            length = max(math.hypot(wall[2] - wall[0], wall[3] - wall[1]), _TOUCH)
            ux, uy = (wall[2] - wall[0]) / length, (wall[3] - wall[1]) / length
            for along in (-PAST_M, length + PAST_M):
                ex, ey = wall[0] + along * ux, wall[1] + along * uy
                way = math.hypot(ex - me[0], ey - me[1]) + math.hypot(goal[0] - ex, goal[1] - ey)
                if way < shortest:
                    shortest, x, y = way, ex, ey
    return x, y


@njit(cache=True, nogil=True)
def _free_way(walls, position, radius, robot, person, me, ex, ey, ahead, seen):
    """Return how far a person gets in direction (ex, ey) before something comes too near; at most `ahead`."""
    free = ahead
    for k in range(len(position) + len(person) + 1):
        j = k - len(position)
        if j >= 0 and not seen[j]:
            continue
        other = position[k] if j < 0 else (person[j] if j < len(person) else robot)
        dx, dy = other[0] - me[0], other[1] - me[1]
        along, across = dx * ex + dy * ey, ex * dy - ey * dx
        berth = PERSON_RADIUS_M + BERTH_M + (radius[k] if j < 0 else PERSON_RADIUS_M)
        berth = min(berth, 0.99 * math.sqrt(dx * dx + dy * dy))
        if along > 0 and abs(across) < berth:
            free = min(free, along - math.sqrt(berth * berth - across * across))
    for wall in walls:
        ux, uy = wall[2] - wall[0], wall[3] - wall[1]
        length = max(math.sqrt(ux * ux + uy * uy), _TOUCH)
        ux, uy = ux / length, uy / length
        off = ux * (wall[1] - me[1]) - uy * (wall[0] - me[0])  # signed distance to the wall's line, to its left
        closing = (ux * ey - uy * ex) * (1 if off > 0 else -1)
        if closing > 0:
            way = max(0.0, abs(off) - min(PERSON_RADIUS_M + BERTH_M, 0.99 * abs(off))) / closing
            foot = (me[0] + way * ex - wall[0]) * ux + (me[1] + way * ey - wall[1]) * uy
            if way < free and -BERTH_M < foot < length + BERTH_M:
                free = way
    return free


@njit(cache=True, nogil=True)
def _brake(i, walls, position, radius, robot, person, vx, vy):
    """Return the velocity without what would close a gap faster than in BRAKING_S; none if that is impossible.

    Distance to a convex body is convex along a straight way, so that nobody who keeps to this touches anything.
    """
    me, kept = person[i], False
    for _ in range(3):
        kept = True
        for k in range(len(walls) + len(position) + len(person) + 1):
            thing = k - len(walls)
            j = thing - len(position)
            if j == i:
                continue
            reach = PERSON_RADIUS_M
            if thing < 0:
                dx, dy, distance = _nearest(walls[k], me[0], me[1])
            else:
                other = position[thing] if j < 0 else (person[j] if j < len(person) else robot)
                dx, dy = other[0] - me[0], other[1] - me[1]
                distance = math.sqrt(dx * dx + dy * dy)
                reach += radius[thing] if j < 0 else (PERSON_RADIUS_M if j < len(person) else ROBOT_RADIUS_M)
            distance = max(distance, _TOUCH)
            excess = (vx * dx + vy * dy) / distance - (distance - reach) / BRAKING_S
            if excess > _TOUCH:
                kept = False
                vx, vy = vx - excess * dx / distance, vy - excess * dy / distance
        if kept:
            break
    return (vx, vy) if kept else (0.0, 0.0)
