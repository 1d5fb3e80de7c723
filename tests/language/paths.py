"""Places with named things, and paths through them, for tests of predicates."""

import itertools
import math

import numpy as np

from embodied_cf.language.predicate import judge
from embodied_cf.language.surroundings import Surroundings

STEP = 0.2


def place(*things, walls=(), start=(0.0, 0.0, 0.0)):
    """things: (kind, colour, x, y, radius); walls: (x0, y0, x1, y1)."""
    return Surroundings(
        tuple(thing[0] for thing in things),
        tuple(thing[1] for thing in things),
        np.array([thing[2:4] for thing in things], np.float64).reshape(-1, 2),
        np.array([thing[4] for thing in things], np.float64),
        np.array(walls, np.float64).reshape(-1, 4),
        np.array(start, np.float64),
    )


def drive(*points, stop=0, face=None):
    """Poses every STEP along straight lines, heading along them; then `stop` steps on the spot, facing `face`."""
    poses = []
    for a, b in itertools.pairwise(points):
        yaw = math.atan2(b[1] - a[1], b[0] - a[0])
        count = max(round(math.dist(a, b) / STEP), 1)
        poses += [(a[0] + (b[0] - a[0]) * k / count, a[1] + (b[1] - a[1]) * k / count, yaw) for k in range(count)]
    end = (*points[-1], poses[-1][2])
    return np.array([*poses, end, *[(*points[-1], end[2] if face is None else face)] * stop], np.float64)


def circle(center, radius, start, sweep, steps=30):
    """Poses on an arc around a center, degrees, counterclockwise if the sweep is positive."""
    angle = np.radians(start + sweep * np.arange(steps + 1) / steps)
    x, y = center[0] + radius * np.cos(angle), center[1] + radius * np.sin(angle)
    return np.column_stack([x, y, angle + math.copysign(math.pi / 2, sweep)])


def arc(turn, length=2.0, radius=None, steps=20):
    """Poses from (0, 0, 0) that turn by so many degrees over the length of a bend, and then go straight on."""
    yaw = math.radians(turn) * np.arange(1, steps + 1) / steps
    yaw = np.concatenate([yaw, np.full(40, yaw[-1])])
    step = length / steps
    x, y = np.cumsum(step * np.cos(yaw)), np.cumsum(step * np.sin(yaw))
    return np.vstack([np.zeros(3), np.column_stack([x, y, yaw])])


def mirrored(poses):
    return poses * [1.0, -1.0, -1.0]


def mirrored_place(around):
    return Surroundings(
        around.kind,
        around.colour,
        around.position * [1.0, -1.0],
        around.radius,
        around.walls * [1.0, -1.0, 1.0, -1.0],
        around.start * [1.0, -1.0, -1.0],
    )


def succeeds(instruction, around, poses):
    return judge(instruction, around, poses).success
