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
    line: np.ndarray
    """Ends of each wall in the camera frame."""
    lit: np.ndarray
    """Two lit colours and the length of each wall."""


@compiled
def _scratch(height, width, walls):
    rows = Rows(np.empty(height, np.int64), np.empty(height, np.int64))
    meets = (width, walls + 1)
    hits = Hits(
        np.empty(width), np.empty(width, np.int64), np.empty(width, np.int64), np.empty(meets),
        np.empty(meets, np.int64), np.empty(meets, np.int64), np.empty(meets, np.int64), np.empty((walls, 4)),
        np.empty((walls, 7)),
    )  # fmt: skip
    return rows, hits


@compiled
def _draw_background(image, rows, hits, world, pose, light, lens, texture):
    gather_walls(hits, world, pose, light, lens, texture)
    place_walls(hits, rows, world, lens)
    draw_planes(image, rows, world, pose, light, lens, texture)
    draw_walls(image, hits, world, lens, texture)


@compiled
def _draw_item(image, parts, item, x, y, yaw, size, stride, swing, palette, pose, light, lens, closed, segment, outdoor):
    """Draw all parts of one thing at (x, y) in the world; `size` scales (width, height), `stride` its swing."""
    heading = math.cos(pose[2]), math.sin(pose[2])
    cos, sin = math.cos(yaw - pose[2]), math.sin(yaw - pose[2])
    forward = (x - pose[0]) * heading[0] + (y - pose[1]) * heading[1]
    left = (y - pose[1]) * heading[0] - (x - pose[0]) * heading[1]
    first, last = columns_of(forward, left, parts.reach[item] * size[0] + 0.3 * abs(stride), image.depth.shape[1], lens.focal)
    nearest = forward - parts.reach[item] * size[0]
    hidden = True
    for column in range(first, last):
        if nearest * closed[column] < 1.0:
            hidden = False
            break
    if hidden:
        return
    left_light = keep(max(forward, 0.0), outdoor)
    for row in range(parts.first[item], parts.first[item + 1]):
        low, high, a, b, shade, dx, dy, turn, rough = parts.value[row]
        dx = dx * size[0] + swing[row] * stride
        dy = dy * size[0]
        px, py = forward + dx * cos - dy * sin, left + dx * sin + dy * cos
        low, high, a, b = low * size[1], high * size[1], a * size[0], b * size[0]
        shade *= 1.0 if outdoor else left_light
        role = parts.role[row]
        colour = palette[role, 0] * shade, palette[role, 1] * shade, palette[role, 2] * shade
        if parts.shape[row] == 0:
            tc, ts = math.cos(turn), math.sin(turn)
            draw_box(image, px, py, cos * tc - sin * ts, sin * tc + cos * ts, low, high, a, b, light, lens, closed, colour, segment)
        elif parts.shape[row] == 1:
            draw_round(image, px, py, low, high, a, b, light, lens, closed, colour, segment)
        else:
            draw_ball(image, px, py, low, high, a, rough, heading, light, lens, closed, colour, segment)


def _make_kernel(stamp: int) -> Callable[..., None]:
    def draw_worlds(
        first, last, worlds, pose, person, phase, rgb, depth, segment, lens, texture, objects, body, swing, wardrobe, colours
    ):
        """Draw worlds first to last - 1."""
        height, width = depth.shape[1:]
        rows, hits = _scratch(height, width, worlds.walls.shape[1])
        palette = colours.fixed.copy()
        still = np.zeros(len(objects.shape)) * (stamp * 0.0)
        light = np.empty(5)
        for b in range(first, last):
            image = Image(rgb[b], depth[b], segment[b])
            world = World(
                worlds.walls[b], worlds.wall_height[b], worlds.wall_style[b], worlds.wall_rgb[b], worlds.num_walls[b],
                worlds.floor_style[b], worlds.floor_rgb[b], worlds.ceiling_style[b], worlds.ceiling_rgb[b],
                worlds.ceiling_height[b],
            )  # fmt: skip
            outdoor = worlds.ceiling_style[b] == 0
            azimuth, elevation = worlds.light[b, 2] - pose[b, 2], worlds.light[b, 3]
            light[0], light[1] = worlds.light[b, 0], worlds.light[b, 1]
            light[2], light[3] = math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation)
            light[4] = math.sin(elevation)
            _draw_background(image, rows, hits, world, pose[b], light, lens, texture)
            cos, sin = math.cos(pose[b, 2]), math.sin(pose[b, 2])
            for item in range(worlds.num_objects[b] + worlds.num_people[b]):
                if item < worlds.num_objects[b]:
                    x, y, radius = worlds.position[b, item, 0], worlds.position[b, item, 1], worlds.radius[b, item]
                else:
                    x, y, radius = person[b, item - worlds.num_objects[b], 0], person[b, item - worlds.num_objects[b], 1], 0.28
                x, y = x - pose[b, 0], y - pose[b, 1]
                darken_floor(image, x * cos + y * sin, y * cos - x * sin, 1.35 * radius, 0.6, lens, hits.closed)
            for item in range(worlds.num_objects[b]):
                for k in range(3):
                    palette[0, k] = colours.named[worlds.colour[b, item], k]
                scale = worlds.scale[b, item]
                _draw_item(
                    image, objects, worlds.kind[b, item], worlds.position[b, item, 0], worlds.position[b, item, 1],
                    worlds.yaw[b, item], (scale, scale), 0.0, still, palette, pose[b], light, lens, hits.closed,
                    FIRST_OBJECT + item, outdoor,
                )  # fmt: skip
            for item in range(worlds.num_people[b]):
                x, y, vx, vy = person[b, item]
                speed = math.sqrt(vx * vx + vy * vy)
                look = worlds.person_look[b, item] % len(wardrobe.bag)
                yaw = math.atan2(vy, vx) if speed > 1e-3 else 2.4 * look
                _draw_item(
                    image, body, 0, x, y, yaw, (wardrobe.build[look, 1], wardrobe.build[look, 0]),
                    math.sin(phase[b, item]) * min(1.0, speed / 0.6), swing, wardrobe.rgb[look], pose[b], light,
                    lens, hits.closed, FIRST_PERSON + item, outdoor,
                )  # fmt: skip

    return kept(draw_worlds)


draw_worlds = _make_kernel(fingerprint(__file__, raycast_background.__file__, raycast_bodies.__file__))
