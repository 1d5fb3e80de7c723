"""Corridors: an office passage with bends, side rooms and doors."""

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs import geometry
from embodied_cf.envs.layouts.floorplan import FloorPlan, Walls, hang_doors, joined, opened
from embodied_cf.envs.layouts.looks import pick, wall_tint

_STYLES = ("plaster", "panel", "tiles", "concrete", "window")
HEIGHT_M = 2.4
_SIDE_ROOMS, _TRIES = 3, 12


def draw_corridors(rng: np.random.Generator) -> FloorPlan:
    """Return a passage of 2.4-3.2 m width in two or three straight pieces, with up to three side rooms and doors."""
    width = rng.uniform(2.4, 3.2)
    line = _centre_line(rng)
    left, right = _offset(line, width / 2), _offset(line, -width / 2)
    strips = tuple(np.array([right[i], right[i + 1], left[i + 1], left[i]]) for i in range(len(line) - 1))
    styles = [pick(_STYLES, rng) for _ in range(2)]
    tints = [wall_tint(style, rng) for style in styles]
    walls = joined(
        Walls.of(_chain(right), HEIGHT_M, styles[0], tints[0]),
        Walls.of(_chain(left[::-1]), HEIGHT_M, styles[1], tints[1]),
        Walls.of(np.array([[*left[0], *right[0]], [*right[-1], *left[-1]]]), HEIGHT_M, styles[0], tints[0]),
    )
    walls, rooms, clear = _side_rooms(walls, strips, rng)
    walls = hang_doors(walls, rng, int(rng.integers(2, 4)))
    return FloorPlan(walls, (*strips, *rooms), clear=clear).turned(rng.uniform(-np.pi, np.pi))


def _centre_line(rng: np.random.Generator) -> Float64[np.ndarray, "k 2"]:
    pieces = int(rng.integers(2, 4))
    bends = rng.uniform(0.35, 1.25, pieces - 1) * pick((-1, 1), rng)
    heading = np.concatenate([[0.0], np.cumsum(bends * np.where(rng.random(pieces - 1) < 0.75, 1, -1))])
    lengths = rng.uniform(5.5, 8.0, pieces)
    steps = lengths[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    line = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return line - line.mean(axis=0)


def _offset(line: Float64[np.ndarray, "k 2"], distance: float) -> Float64[np.ndarray, "k 2"]:
    """Return the polyline moved to its left by `distance`, corners mitred."""
    along = np.diff(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.hypot(*along.T)[:, None]
    before, after = np.concatenate([normal[:1], normal]), np.concatenate([normal, normal[-1:]])
    mitre = before + after
    return line + distance * mitre * (2 / (mitre**2).sum(axis=1))[:, None]


def _chain(line: Float64[np.ndarray, "k 2"]) -> Float64[np.ndarray, "w 4"]:
    return np.concatenate([line[:-1], line[1:]], axis=1)


def _side_rooms(
    walls: Walls, strips: tuple[np.ndarray, ...], rng: np.random.Generator
) -> tuple[Walls, list[np.ndarray], np.ndarray]:
    """Return the walls with side rooms let in, those rooms' floors, and the middles of their openings."""
    rooms: list[np.ndarray] = []
    clear: list[np.ndarray] = []
    passage = walls.segment
    for _ in range(_TRIES):
        if len(rooms) == _SIDE_ROOMS:
            break
        host = passage[rng.integers(len(passage))]
        # a wall that was cut before has other ends now, so that no two rooms share a wall
        rows = np.flatnonzero((walls.segment == host).all(axis=1))
        length = float(np.hypot(*(host[2:] - host[:2])))
        if not len(rows) or length < 4.2:
            continue
        floor, start = _room_behind(host, length, rng)
        if _overlaps(floor, [*strips, *rooms]):
            continue
        gap = rng.uniform(1.5, 2.1)
        style = pick(_STYLES, rng)
        offset = start + (3.2 - gap) / 2
        walls = opened(walls, int(rows[0]), offset, gap)
        walls = joined(walls, Walls.of(geometry.sides(floor)[1:], HEIGHT_M, style, wall_tint(style, rng)))
        unit = (host[2:] - host[:2]) / length
        rooms.append(floor)
        clear.append(host[:2] + unit * (offset + gap / 2))
    return walls, rooms, np.array(clear).reshape(-1, 2)


def _room_behind(
    host: Float64[np.ndarray, " 4"], length: float, rng: np.random.Generator
) -> tuple[Float64[np.ndarray, "4 2"], float]:
    """Return the floor of a room 3.2 m wide behind a wall (its right side), first edge on the wall, and its start."""
    unit = (host[2:] - host[:2]) / length
    outward = np.array([unit[1], -unit[0]])
    start = float(rng.uniform(0.3, length - 3.2 - 0.3))
    near, depth = host[:2] + unit * start, rng.uniform(2.6, 3.6)
    far = near + unit * 3.2
    return np.array([near, far, far + outward * depth, near + outward * depth]), start


def _overlaps(floor: np.ndarray, others: list[np.ndarray]) -> bool:
    """Return whether a floor, grown a little, reaches into others; told by a grid of its points."""
    middle = floor.mean(axis=0)
    part = np.linspace(0.02, 1.0, 9)
    u, v = (axis.ravel()[:, None] for axis in np.meshgrid(np.linspace(0.0, 1.0, 9), part))
    points = floor[0] + u * (floor[1] - floor[0]) + v * (floor[3] - floor[0])
    grown = middle + (points - middle) * 1.12
    # what lies before the wall that it is let into is the corridor itself
    behind = ((grown - floor[0]) @ (floor[3] - floor[0])) > 0.15 * np.hypot(*(floor[3] - floor[0]))
    return any(geometry.inside(grown[behind], other).any() for other in others)
