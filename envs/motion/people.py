"""How people walk: compiled kernels of the social force of Helbing & Molnár 1995 (Phys. Rev. E 51, 4282).

Beyond the paper, people head past what is in the way (`heading`), slow down before they would touch anything, and
turn to the next goal when they get nowhere. The force of borders is weaker than the paper's, since they brake.
"""

import math

from embodied_cf.envs.compiled import compiled
from embodied_cf.envs.motion.heading import SIGHT_M, distance_to, nearest
from embodied_cf.envs.state import PERIOD_S, PERSON_RADIUS_M, ROBOT_RADIUS_M

SUBSTEPS = 5
DT = PERIOD_S / SUBSTEPS
ARRIVED_M = 0.4
STUCK_PERIODS = 24
"""After so many more periods without than with progress, a person gives the goal up for the next one."""
RELAXATION_S, SPEED_RATIO = 0.5, 1.3
PEOPLE_STRENGTH, PEOPLE_RANGE_M, FORESIGHT_S = 2.1, 0.3, 2.0
BORDER_STRENGTH, BORDER_RANGE_M = 3.0, 0.2
BEHIND, FIELD_OF_VIEW = 0.5, math.cos(math.radians(100))
"""What happens outside 100 degrees to either side counts half."""
RESTLESS = 0.3
"""Standard deviation of the exogenous acceleration, for each m/s of preferred speed, m/s²."""
MAX_ACCELERATION, BRAKING_S = 8.0, 0.5
STRIDE_M = 1.4
_TOUCH = 1e-9


@compiled
def reconsider(i, before, person, goals, goal, speed, stuck):
    """Turn person i to the next goal on arrival, or when there has been no progress for long."""
    left = distance_to(person, goals[goal[i]])
    stuck[i] = max(0, stuck[i] + (1 if before - left < 0.1 * speed * PERIOD_S else -1))
    if left < ARRIVED_M or stuck[i] >= STUCK_PERIODS:
        goal[i], stuck[i] = (goal[i] + 1) % len(goals), 0


@compiled
def walk(close, near, position, radius, robot, person, goals, goal, speed, push, phase, aim, seen):
    """Move everybody for one substep, in place; all decide on the same instant."""
    now = person.copy()
    for i in range(len(person)):
        pace = min(speed[i], distance_to(now[i], goals[i, goal[i]]) / ARRIVED_M)
        walls = close[i, : near[i]]
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


@compiled
def _force(i, walls, position, radius, robot, person, aim, pace, seen):
    """Return the acceleration that person i's aim and surroundings ask for."""
    me, ex, ey = person[i], aim[0], aim[1]
    ax, ay = (pace * ex - me[2]) / RELAXATION_S, (pace * ey - me[3]) / RELAXATION_S
    nx, ny, near = 0.0, 0.0, SIGHT_M
    for wall in walls:
        dx, dy, distance = nearest(wall, me[0], me[1])
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


@compiled
def _border(dx, dy, distance, radius):
    """Return the acceleration away from a border at `distance - radius` in direction (dx, dy)."""
    if distance - radius >= SIGHT_M / 2 or distance < _TOUCH:
        return 0.0, 0.0
    size = BORDER_STRENGTH / BORDER_RANGE_M * math.exp(-(distance - radius) / BORDER_RANGE_M)
    return -size * dx / distance, -size * dy / distance


@compiled
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


@compiled
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
                dx, dy, distance = nearest(walls[k], me[0], me[1])
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
