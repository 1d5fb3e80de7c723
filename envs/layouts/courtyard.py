"""A courtyard under the open sky: hedges, fences and walls around a building."""

import numpy as np

from embodied_cf.envs import geometry
from embodied_cf.envs.layouts.floorplan import FloorPlan, Walls, hang_doors, joined
from embodied_cf.envs.layouts.looks import pick, wall_tint

_BORDERS = {"hedge": (1.3, 2.0), "fence": (1.1, 1.7), "brick": (1.6, 2.8), "concrete": (1.4, 2.6)}
"""Style to range of heights, m."""
_BUILDINGS = ("brick", "concrete", "plaster")


def draw_courtyard(rng: np.random.Generator) -> FloorPlan:
    """Return a polygon of 5-7 sides, 12-16 m across, with a building (one or two doors) and a free hedge or two."""
    outline = _outline(rng)
    borders = [_border(side[None], rng) for side in geometry.sides(outline)]
    house = geometry.rectangle(rng.uniform(-1.6, 1.6, 2), (rng.uniform(2.6, 4.2), rng.uniform(2.2, 3.4)),
                               rng.uniform(-np.pi, np.pi))  # fmt: skip
    style = pick(_BUILDINGS, rng)
    faces = Walls.of(geometry.sides(house), 3.0, style, wall_tint(style, rng))
    faces = hang_doors(faces, rng, int(rng.integers(1, 3)))
    hedges = [_free_hedge(house, rng) for _ in range(int(rng.integers(0, 3)))]
    return FloorPlan(joined(*borders, faces, *hedges), (outline,), holes=(house,))


def _outline(rng: np.random.Generator) -> np.ndarray:
    corners = int(rng.integers(5, 8))
    angle = (np.arange(corners) + rng.uniform(-0.25, 0.25, corners)) * 2 * np.pi / corners + rng.uniform(-np.pi, np.pi)
    radius = rng.uniform(6.2, 8.2, corners)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _border(segment: np.ndarray, rng: np.random.Generator) -> Walls:
    style = pick(tuple(_BORDERS), rng)
    return Walls.of(segment, float(rng.uniform(*_BORDERS[style])), style, wall_tint(style, rng))


def _free_hedge(house: np.ndarray, rng: np.random.Generator) -> Walls:
    """Return a hedge that leaves a way between itself and the building."""
    heading = rng.uniform(-np.pi, np.pi)
    reach = np.hypot(*(house - house.mean(axis=0)).T).max() + 1.6
    middle = house.mean(axis=0) + reach * np.array([np.cos(heading), np.sin(heading)])
    along = np.array([-np.sin(heading), np.cos(heading)]) * rng.uniform(0.7, 1.3)
    return Walls.of(np.array([[*(middle - along), *(middle + along)]]), 1.0, "hedge", wall_tint("hedge", rng))
