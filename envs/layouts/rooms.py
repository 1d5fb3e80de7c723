"""Rooms: a flat or an office suite seen from inside, cut up by partitions with openings."""

import numpy as np

from embodied_cf.envs import geometry
from embodied_cf.envs.layouts.floorplan import FloorPlan, Walls, hang_doors, joined, opened
from embodied_cf.envs.layouts.looks import pick, wall_tint

_OUTER, _INNER = ("plaster", "brick", "panel", "window"), ("plaster", "panel", "tiles")
HEIGHT_M = 2.6


def draw_rooms(rng: np.random.Generator) -> FloorPlan:
    """Return a rectangle of 8-11.5 by 7-10 m with cut corners, up to two partitions and one or two doors."""
    length, width = rng.uniform(8.0, 11.5), rng.uniform(7.0, 10.0)
    outline = _cut_corners(geometry.rectangle(np.zeros(2), (length, width), 0.0), rng)
    outer = _papered(geometry.sides(outline), rng)
    outer = hang_doors(outer, rng, int(rng.integers(1, 3)))
    parts, clear = [outer], np.zeros((0, 2))
    if rng.random() < 0.75:
        partition, clear = _partition(length, width, rng)
        parts.append(partition)
    if rng.random() < 0.5:
        parts.append(_stub(length, width, rng))
    return FloorPlan(joined(*parts), (outline,), clear=clear).turned(rng.uniform(-np.pi, np.pi))


def _cut_corners(corners: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace up to two corners by slanting walls."""
    cut = set(rng.permutation(4)[: rng.integers(0, 3)].tolist())
    outline: list[np.ndarray] = []
    for index, corner in enumerate(corners):
        if index not in cut:
            outline.append(corner)
            continue
        for neighbour in (corners[index - 1], corners[(index + 1) % 4]):
            along = neighbour - corner
            outline.append(corner + along / np.hypot(*along) * rng.uniform(1.2, 2.4))
    return np.array(outline)


def _papered(segments: np.ndarray, rng: np.random.Generator) -> Walls:
    """Give most walls one style and some another, as rooms have."""
    style, other = pick(_OUTER, rng), pick(_OUTER, rng)
    tint, accent = wall_tint(style, rng), wall_tint(other, rng)
    odd = rng.random(len(segments)) < 0.3
    return joined(
        Walls.of(segments[~odd], HEIGHT_M, style, tint),
        Walls.of(segments[odd], HEIGHT_M, other, accent),
    )


def _partition(length: float, width: float, rng: np.random.Generator) -> tuple[Walls, np.ndarray]:
    """Return a slanting wall across the room with an opening, and the middle of that opening."""
    at, slant = rng.uniform(-0.18, 0.18) * length, rng.uniform(-0.12, 0.12) * width
    begin, end = np.array([at - slant, -width / 2]), np.array([at + slant, width / 2])
    style = pick(_INNER, rng)
    wall = Walls.of(np.array([[*begin, *end]]), HEIGHT_M, style, wall_tint(style, rng))
    gap = rng.uniform(1.6, 2.2)
    start = rng.uniform(0.8, np.hypot(*(end - begin)) - gap - 0.8)
    middle = begin + (end - begin) / np.hypot(*(end - begin)) * (start + gap / 2)
    return opened(wall, 0, start, gap), middle[None]


def _stub(length: float, width: float, rng: np.random.Generator) -> Walls:
    """Return a short wall that stands out from the far end of the room."""
    side, style = pick((-1, 1), rng), pick(_INNER, rng)
    foot = np.array([side * length / 2, rng.uniform(-0.2, 0.2) * width])
    tip = foot + np.array([-side * rng.uniform(1.4, 2.4), rng.uniform(-0.5, 0.5)])
    return Walls.of(np.array([[*foot, *tip]]), HEIGHT_M, style, wall_tint(style, rng))
