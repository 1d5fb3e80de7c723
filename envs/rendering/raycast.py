"""Backgrounds of many pictures: walls, floors, ceilings and skies, one world after another (from `render`)."""
# mypy: allow-untyped-defs, allow-untyped-calls

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from embodied_cf.envs import compiled as compiling
from embodied_cf.envs.compiled import compiled, fingerprint, kept
from embodied_cf.envs.rendering import raycast_planes, raycast_shading, raycast_walls
from embodied_cf.envs.rendering.raycast_planes import draw_planes
from embodied_cf.envs.rendering.raycast_walls import draw_walls, gather_walls, place_walls


class Lens(NamedTuple):
    """Focal length in pixels and height above the floor, m."""

    focal: float
    height: float


class Texture(NamedTuple):
    """All textures, and how to read them."""

    texel: np.ndarray
    second: np.ndarray
    offset: np.ndarray
    stretched: np.ndarray
    size: int
    """Texels of one style with its levels."""
    scale: float
    """Texels per metre."""
    floor: int
    """First floor style, and first ceiling style, in `texel`."""
    ceiling: int
    door: int


class World(NamedTuple):
    """One row of `Worlds` and `State`, as the kernels read it."""

    walls: np.ndarray
    wall_height: np.ndarray
    wall_style: np.ndarray
    wall_rgb: np.ndarray
    num_walls: int
    floor_style: int
    floor_rgb: np.ndarray
    ceiling_style: int
    ceiling_rgb: np.ndarray
    ceiling_height: float


class Image(NamedTuple):
    """One picture."""

    rgb: np.ndarray
    depth: np.ndarray
    segment: np.ndarray


class Rows(NamedTuple):
    """Columns of each picture row that may show floor or ceiling: first to last - 1 (scratch)."""

    first: np.ndarray
    last: np.ndarray


class Hits(NamedTuple):
    """Which walls each column meets (scratch, but for `closed`)."""

    closed: np.ndarray
    """Inverse depth of the wall that closes the view."""
    closing: np.ndarray
    """That wall, or -1."""
    met: np.ndarray
    """How many walls it meets."""
    near: np.ndarray
    """Inverse depths of the walls met, falling."""
    wall: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    about: np.ndarray
    """What `_describe_wall` notes."""


def scratch(height: int, width: int, walls: int) -> tuple[Rows, Hits]:
    """Return memory for `draw_backgrounds` to work in; made here, since numba compiles much for each allocation."""
    column, meets = np.empty(width, np.int64), (width, walls + 1)
    wall, top, bottom = (np.empty(meets, np.int64) for _ in range(3))
    rows = Rows(np.empty(height, np.int64), np.empty(height, np.int64))
    near, about = np.empty(meets), np.empty((walls, 13))
    return rows, Hits(np.empty(width), column, column.copy(), near, wall, top, bottom, about)


@compiled
def _draw_background(image, rows, hits, world, pose, light, lens, texture):
    gather_walls(hits, world, pose, light, lens, texture)
    place_walls(hits, rows, lens)
    draw_planes(image, rows, world, pose, light, lens, texture)
    draw_walls(image, hits, world, lens, texture)


@compiled
def _set_light(light, scene, yaw):
    """Turn a scene's light into the camera frame: ambient, strength, direction to the light."""
    azimuth, elevation = scene[2] - yaw, scene[3]
    light[0], light[1] = scene[0], scene[1]
    light[2], light[3] = math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation)
    light[4] = math.sin(elevation)


def _make_kernel(stamp: int) -> Callable[..., None]:
    def draw_backgrounds(begin, end, worlds, pose, rgb, depth, segment, closed, lights, memory, lens, texture):
        """Draw worlds begin to end - 1 without things; set `closed` and `lights` for `draw_things`.

        `stamp` is here for numba's cache to see it.
        """
        rows, spare = memory
        for b in range(begin, end + 0 * stamp):
            image = Image(rgb[b], depth[b], segment[b])
            world = World(
                worlds.walls[b], worlds.wall_height[b], worlds.wall_style[b], worlds.wall_rgb[b], worlds.num_walls[b],
                worlds.floor_style[b], worlds.floor_rgb[b], worlds.ceiling_style[b], worlds.ceiling_rgb[b],
                worlds.ceiling_height[b],
            )  # fmt: skip
            hits = Hits(
                closed[b], spare.closing, spare.met, spare.near, spare.wall, spare.top, spare.bottom, spare.about
            )
            _set_light(lights[b], worlds.light[b], pose[b, 2])
            _draw_background(image, rows, hits, world, pose[b], lights[b], lens, texture)

    return kept(draw_backgrounds)


draw_backgrounds = _make_kernel(
    fingerprint(__file__, compiling.__file__, raycast_shading.__file__, raycast_planes.__file__, raycast_walls.__file__)
)
