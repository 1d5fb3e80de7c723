"""The batched raycaster: draws B worlds into arrays, one after another, without Python (called from `render`)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from embodied_cf.envs import raycast_background, raycast_bodies
from embodied_cf.envs.compiled import compiled, fingerprint, kept
from embodied_cf.envs.raycast_background import draw_planes, draw_walls, gather_walls, keep, place_walls
from embodied_cf.envs.raycast_bodies import columns_of, darken_floor, draw_ball, draw_box, draw_round

FIRST_OBJECT, FIRST_PERSON = 10, 40


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
    """Which walls each column meets (scratch)."""

    closed: np.ndarray
    """Inverse depth of the wall that closes the view."""
    closing: np.ndarray
    count: np.ndarray
    near: np.ndarray
    """Inverse depths, falling."""
    wall: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    about: np.ndarray
    """What `_describe_wall` notes."""


@compiled
def _scratch(height, width, walls):
    rows = Rows(np.empty(height, np.int64), np.empty(height, np.int64))
    meets = (width, walls + 1)
    hits = Hits(
        np.empty(width), np.empty(width, np.int64), np.empty(width, np.int64), np.empty(meets),
        np.empty(meets, np.int64), np.empty(meets, np.int64), np.empty(meets, np.int64), np.empty((walls, 13)),
    )  # fmt: skip
    return rows, hits


@compiled
def _draw_background(image, rows, hits, world, pose, light, lens, texture):
    gather_walls(hits, world, pose, light, lens, texture)
    place_walls(hits, rows, lens)
    draw_planes(image, rows, world, pose, light, lens, texture)
    draw_walls(image, hits, world, lens, texture)


@compiled
def _draw_item(image, parts, first, last, reach, where, size, stride, palette, light, lens, closed, segment, outdoor):
    """Draw parts first to last - 1 of a thing that stands at `where` (forward, left, cos and sin of its heading,
    cos and sin of the camera's): `size` scales its width and height, `stride` its swing."""
    forward, left, cos, sin, heading_cos, heading_sin = where
    if _is_hidden(forward, left, reach * size[0] + 0.3 * abs(stride), closed, lens):
        return
    left_light = 1.0 if outdoor else keep(max(forward, 0.0), outdoor)
    for row in range(first, last):
        value, role = parts.value, parts.role[row]
        dx, dy = value[row, 5] * size[0] + value[row, 9] * stride, value[row, 6] * size[0]
        x, y = forward + dx * cos - dy * sin, left + dx * sin + dy * cos
        low, high = value[row, 0] * size[1], value[row, 1] * size[1]
        a, b, shade = value[row, 2] * size[0], value[row, 3] * size[0], value[row, 4] * left_light
        colour = palette[role, 0] * shade, palette[role, 1] * shade, palette[role, 2] * shade
        if parts.shape[row] == 0:
            draw_box(image, x, y, cos, sin, low, high, a, b, light, lens, closed, colour, segment)
        elif parts.shape[row] == 1:
            draw_round(image, x, y, low, high, a, b, light, lens, closed, colour, segment)
        else:
            heading = heading_cos, heading_sin
            draw_ball(image, x, y, low, high, a, value[row, 8], heading, light, lens, closed, colour, segment)


@compiled
def _is_hidden(forward, left, reach, closed, lens):
    """Return whether a circle is out of sight or behind walls that close the view."""
    first, last = columns_of(forward, left, reach, closed.shape[0], lens.focal)
    for column in range(first, last):
        if (forward - reach) * closed[column] < 1.0:
            return False
    return True


@compiled
def _set_light(light, scene, yaw):
    """Turn a scene's light into the camera frame: ambient, strength, direction to the light."""
    azimuth, elevation = scene[2] - yaw, scene[3]
    light[0], light[1] = scene[0], scene[1]
    light[2], light[3] = math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation)
    light[4] = math.sin(elevation)


@compiled
def _draw_things(image, b, worlds, pose, person, phase, light, lens, closed, parts, wardrobe, colours, palette):
    """Draw shadows, objects and people of world b."""
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    objects, people, outdoor = worlds.num_objects[b], worlds.num_people[b], worlds.ceiling_style[b] == 0
    for item in range(2 * (objects + people)):
        shadow = item < objects + people
        item = item if shadow else item - objects - people
        if item < objects:
            x, y, yaw, kind = worlds.position[b, item, 0], worlds.position[b, item, 1], worlds.yaw[b, item], worlds.kind[b, item]
            radius, wide, tall, stride = worlds.radius[b, item], worlds.scale[b, item], worlds.scale[b, item], 0.0
            palette[: len(colours.fixed)] = colours.fixed
            palette[0] = colours.named[worlds.colour[b, item]]
            first, last, reach, segment = parts.first[kind], parts.first[kind + 1], parts.reach[kind], FIRST_OBJECT + item
        else:
            row = item - objects
            x, y, vx, vy = person[row]
            speed, look = math.sqrt(vx * vx + vy * vy), worlds.person_look[b, row] % len(wardrobe.bag)
            yaw = math.atan2(vy, vx) if speed > 1e-3 else 2.4 * look
            radius, wide, tall = 0.28, wardrobe.build[look, 1], wardrobe.build[look, 0]
            stride = math.sin(phase[row]) * min(1.0, speed / 0.6)
            palette[: wardrobe.rgb.shape[1]] = wardrobe.rgb[look]
            kind = len(parts.reach) - 1
            first, last, reach, segment = parts.first[kind], parts.first[kind + 1], parts.reach[kind], FIRST_PERSON + row
            last -= 1 - wardrobe.bag[look]
        x, y = x - pose[0], y - pose[1]
        forward, left = x * cos + y * sin, y * cos - x * sin
        if shadow:
            darken_floor(image, forward, left, 1.35 * radius, 0.6, lens, closed)
        else:
            where = forward, left, math.cos(yaw - pose[2]), math.sin(yaw - pose[2]), cos, sin
            _draw_item(image, parts, first, last, reach, where, (wide, tall), stride, palette, light, lens, closed, segment, outdoor)


def _make_kernel(stamp: int) -> Callable[..., None]:
    def draw_worlds(
        begin, end, worlds, pose, person, phase, rgb, depth, segment, lens, texture, parts, wardrobe, colours
    ):
        """Draw worlds begin to end - 1. `stamp` is here for numba's cache to see it."""
        rows, hits = _scratch(depth.shape[1], depth.shape[2], worlds.walls.shape[1])
        palette, light = np.zeros((16, 3)), np.full(5, stamp * 0.0)
        for b in range(begin, end):
            image = Image(rgb[b], depth[b], segment[b])
            world = World(
                worlds.walls[b], worlds.wall_height[b], worlds.wall_style[b], worlds.wall_rgb[b], worlds.num_walls[b],
                worlds.floor_style[b], worlds.floor_rgb[b], worlds.ceiling_style[b], worlds.ceiling_rgb[b],
                worlds.ceiling_height[b],
            )  # fmt: skip
            _set_light(light, worlds.light[b], pose[b, 2])
            _draw_background(image, rows, hits, world, pose[b], light, lens, texture)
            _draw_things(
                image, b, worlds, pose[b], person[b], phase[b], light, lens, hits.closed, parts, wardrobe, colours,
                palette,
            )  # fmt: skip

    return kept(draw_worlds)


draw_worlds = _make_kernel(fingerprint(__file__, raycast_background.__file__, raycast_bodies.__file__))
