"""Where people head: the compiled kernels that see, and choose a direction past what is in the way."""

import math

from embodied_cf.envs.compiled import compiled
from embodied_cf.envs.state import PERSON_RADIUS_M

SIGHT_M = 4.0
"""Nobody sees others further off, or through a wall."""
BERTH_M, PAST_M = 0.15, 0.5
"""Free space that people plan to keep beside themselves, and how far past a wall's end they aim."""
LOOK_M, FAN, FAN_STEP = 2.5, 8, math.radians(12.5)
"""How far ahead they look, and the headings that they consider: so many to either side."""
NEAR_M = LOOK_M + 0.5
"""Walls further off matter only as a screen and on the way to the goal."""
_TINY = 1e-9


@compiled
def nearest(wall, x, y):
    """Return the offset (dx, dy) from a point to the nearest point of a wall, and its length."""
    ux, uy = wall[2] - wall[0], wall[3] - wall[1]
    share = ((x - wall[0]) * ux + (y - wall[1]) * uy) / max(ux * ux + uy * uy, 1e-12)
    share = min(max(share, 0.0), 1.0)
    dx, dy = wall[0] + share * ux - x, wall[1] + share * uy - y
    return dx, dy, math.sqrt(dx * dx + dy * dy)


@compiled
def keep_near(walls, x, y, reach, kept):
    """Copy the walls within `reach` of (x, y) into `kept`; returns how many there are."""
    count = 0
    for wall in walls:
        if nearest(wall, x, y)[2] <= reach:
            kept[count] = wall
            count += 1
    return count


@compiled
def crossing(wall, x, y, dx, dy):
    """Return at which share of the way (dx, dy) from (x, y) it meets a wall; 2 if it does not."""
    ux, uy = wall[2] - wall[0], wall[3] - wall[1]
    mx, my = wall[0] - x, wall[1] - y
    cross = dx * uy - dy * ux
    if cross == 0 or not 0 <= (mx * dy - my * dx) / cross <= 1:
        return 2.0
    share = (mx * uy - my * ux) / cross
    return share if 0 <= share <= 1 else 2.0


@compiled
def sees(walls, me, other):
    """Whether another body is near enough and no wall stands between."""
    dx, dy = other[0] - me[0], other[1] - me[1]
    if dx * dx + dy * dy >= SIGHT_M * SIGHT_M:
        return False
    hidden = False
    for wall in walls:
        hidden |= crossing(wall, me[0], me[1], dx, dy) <= 1
    return not hidden


@compiled
def distance_to(person, goal):
    """Return the distance from a person to a place."""
    return math.hypot(goal[0] - person[0], goal[1] - person[1])


@compiled
def aim_of(walls, close, position, radius, robot, person, me, goal, seen):
    """Return the unit vector in which to walk: of a fan of headings, the one whose free way comes nearest to the
    goal (Moussaïd et al. 2011, PNAS 108, 6884, eq. 1)."""
    gx, gy = _waypoint(walls, me, goal)
    left = math.hypot(gx - me[0], gy - me[1])
    ahead, heading = min(left, LOOK_M), math.atan2(gy - me[1], gx - me[0])
    best, bx, by = math.inf, 0.0, 0.0
    for k in range(2 * FAN + 1):
        turn = FAN_STEP * ((k + 1) // 2) * (1 if k % 2 == 0 else -1)  # right before left
        ex, ey = math.cos(heading + turn), math.sin(heading + turn)
        free = _free_way(close, position, radius, robot, person, me, ex, ey, ahead, seen)
        cost = ahead * ahead + free * free - 2 * ahead * free * math.cos(turn)
        if cost < best - _TINY:
            best, bx, by = cost, ex, ey
        if k == 0 and free >= ahead:
            break
    return bx, by


@compiled
def _waypoint(walls, me, goal):
    """Return the goal, or a place past the end of the first wall in the way, whichever end is the shorter way."""
    first, x, y = 2.0, goal[0], goal[1]
    for wall in walls:
        share = crossing(wall, me[0], me[1], goal[0] - me[0], goal[1] - me[1])
        if share < first:
            first, shortest = share, math.inf
            length = max(math.hypot(wall[2] - wall[0], wall[3] - wall[1]), _TINY)
            ux, uy = (wall[2] - wall[0]) / length, (wall[3] - wall[1]) / length
            for along in (-PAST_M, length + PAST_M):
                ex, ey = wall[0] + along * ux, wall[1] + along * uy
                way = math.hypot(ex - me[0], ey - me[1]) + math.hypot(goal[0] - ex, goal[1] - ey)
                if way < shortest:
                    shortest, x, y = way, ex, ey
    return x, y


@compiled
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
        length = max(math.sqrt(ux * ux + uy * uy), _TINY)
        ux, uy = ux / length, uy / length
        off = ux * (wall[1] - me[1]) - uy * (wall[0] - me[0])  # signed distance to the wall's line, to its left
        closing = (ux * ey - uy * ex) * (1 if off > 0 else -1)
        if closing > 0:
            way = max(0.0, abs(off) - min(PERSON_RADIUS_M + BERTH_M, 0.99 * abs(off))) / closing
            foot = (me[0] + way * ex - wall[0]) * ux + (me[1] + way * ey - wall[1]) * uy
            if way < free and -BERTH_M < foot < length + BERTH_M:
                free = way
    return free
