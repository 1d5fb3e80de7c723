"""The walls of one picture, column by column (called from `raycast`).

Camera frame: x forward, y left. Column c looks along (1, s), so that x is the depth along the optical axis. A wall's
inverse depth is linear in s. In each column the walls are met from near to far; since all stand on the floor and the
camera is level, each shows only above the highest one before it.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

import math

import numpy as np

from embodied_cf.envs.compiled import compiled
from embodied_cf.envs.rendering.raycast_shading import (
    DOOR,
    FAR_M,
    FINE,
    NEAR_M,
    U1,
    U7,
    U8,
    U16,
    U24,
    U40,
    U128,
    U255,
    WALL,
    bright,
    horizon_colour,
    keep,
    mip_level,
    packed,
)

_DOOR_BIAS = 1.004
"""A door in the plane of a wall is drawn before the wall: nearer by this factor when the order is made."""


@compiled
def gather_walls(hits, world, pose, light, camera, texture):
    """Find for each column the walls that it may meet: those that close the view, then lower ones before them."""
    width = hits.closed.shape[0]
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    roofed = world.ceiling_style != 0
    for column in range(width):
        hits.closed[column], hits.closing[column], hits.met[column] = 1.0 / FAR_M, -1, 0
    for turn in range(2):
        for wall in range(world.num_walls):
            closes = roofed and world.wall_height[wall] >= world.ceiling_height - 1e-6
            if closes == (turn == 1):
                continue
            x0, y0 = world.walls[wall, 0] - pose[0], world.walls[wall, 1] - pose[1]
            x1, y1 = world.walls[wall, 2] - pose[0], world.walls[wall, 3] - pose[1]
            ax, ay, bx, by = x0 * cos + y0 * sin, y0 * cos - x0 * sin, x1 * cos + y1 * sin, y1 * cos - x1 * sin
            door = world.wall_style[wall] == texture.door
            if _mark_wall(hits, wall, ax, ay, bx, by, closes, _DOOR_BIAS if door else 1.0, camera):
                _describe_wall(hits.about, wall, ax, ay, bx, by, world, light, texture)


@compiled
def _mark_wall(hits, wall, ax, ay, bx, by, closes, bias, camera):
    """Enter a wall in the columns that it spans; return whether there is any."""
    turn = ax * by - ay * bx
    if (ax < NEAR_M and bx < NEAR_M) or abs(turn) < 1e-9:
        return False
    width = hits.closed.shape[0]
    slope = (bx - ax) / (turn * camera.focal) * bias
    offset = (by - ay) / turn * bias + slope * (0.5 - 0.5 * width)
    if ax < NEAR_M:
        ay, ax = ay + (by - ay) * (NEAR_M - ax) / (bx - ax), NEAR_M
    if bx < NEAR_M:
        by, bx = by + (ay - by) * (NEAR_M - bx) / (ax - bx), NEAR_M
    first, last = 0.5 * width - camera.focal * ay / ax, 0.5 * width - camera.focal * by / bx
    start = max(0, math.ceil(min(first, last) - 0.5))
    stop = min(width, math.ceil(max(first, last) - 0.5))
    for column in range(start, stop):
        inverse = offset + slope * column
        if inverse <= hits.closed[column]:
            continue
        if closes:
            hits.closed[column], hits.closing[column] = inverse, wall
            continue
        place = hits.met[column]
        hits.met[column] += 1
        while place > 0 and hits.near[column, place - 1] < inverse:
            hits.near[column, place] = hits.near[column, place - 1]
            hits.wall[column, place] = hits.wall[column, place - 1]
            place -= 1
        hits.near[column, place], hits.wall[column, place] = inverse, wall
    return start < stop


@compiled
def _describe_wall(about, wall, ax, ay, bx, by, world, light, texture):
    """Note of a wall that is seen: two lit colours; where it starts and its direction; height; texels per metre."""
    length = math.sqrt((bx - ax) ** 2 + (by - ay) ** 2)
    along_x, along_y = (bx - ax) / length, (by - ay) / length
    sign = -1.0 if along_y * ax - along_x * ay > 0 else 1.0
    lum = bright(light, sign * along_y, -sign * along_x, 0.0)
    style = world.wall_style[wall]
    for k in range(3):
        about[wall, k] = world.wall_rgb[wall, k] * lum
        about[wall, 3 + k] = texture.second[style, k] * lum
    tall = world.wall_height[wall]
    tall = min(tall, world.ceiling_height) if world.ceiling_style != 0 else tall
    about[wall, 6], about[wall, 7], about[wall, 8] = along_x, along_y, ax * along_x + ay * along_y
    about[wall, 9] = tall
    about[wall, 10] = 127.99 / length if style == texture.door else texture.scale
    about[wall, 11] = 127.99 / tall if texture.stretched[style] else texture.scale
    about[wall, 12] = 1.0 / _DOOR_BIAS if style == texture.door else 1.0


@compiled
def place_walls(hits, rows, camera):
    """Set which rows each wall fills in each column, and which columns of each row may show floor or ceiling."""
    width, height = hits.closed.shape[0], rows.first.shape[0]
    for row in range(height):
        rows.first[row], rows.last[row] = width, 0
    middle = 0.5 * height - 0.5
    for column in range(width):
        limit, count = height, 0
        for place in range(hits.met[column] + 1):
            if place == hits.met[column]:
                wall, inverse = hits.closing[column], hits.closed[column]
            else:
                wall, inverse = hits.wall[column, place], hits.near[column, place]
            if wall < 0 or limit <= 0:
                break
            inverse *= hits.about[wall, 12]
            top = max(0, math.ceil(middle - camera.focal * (hits.about[wall, 9] - camera.height) * inverse))
            bottom = max(0, math.ceil(middle + camera.focal * camera.height * inverse))
            if bottom < limit:
                _show(rows, column, bottom, limit)
            if top < min(bottom, limit):
                hits.wall[column, count], hits.near[column, count] = wall, inverse
                hits.top[column, count], hits.bottom[column, count] = top, min(bottom, limit)
                count += 1
            limit = min(limit, top, bottom)
        hits.met[column] = count
        if limit > 0:
            _show(rows, column, np.int64(0), limit)
    _spread(rows)


@compiled
def _show(rows, column, top, bottom):
    """Note that floor or ceiling shows in rows top to bottom - 1 of a column: at the rows nearest to the horizon."""
    middle = rows.first.shape[0] // 2
    if top < middle:
        row = min(bottom, middle) - 1
        rows.first[row], rows.last[row] = min(rows.first[row], column), column + 1
    if bottom > middle:
        row = max(top, middle)
        rows.first[row], rows.last[row] = min(rows.first[row], column), column + 1


@compiled
def _spread(rows):
    """Let what shows in a row show in all rows further from the horizon too."""
    height = rows.first.shape[0]
    middle = height // 2
    for row in range(middle + 1, height):
        rows.first[row] = min(rows.first[row], rows.first[row - 1])
        rows.last[row] = max(rows.last[row], rows.last[row - 1])
    for row in range(middle - 2, -1, -1):
        rows.first[row] = min(rows.first[row], rows.first[row + 1])
        rows.last[row] = max(rows.last[row], rows.last[row + 1])


@compiled
def draw_walls(image, hits, world, camera, texture):
    """Draw the walls, column by column."""
    width = image.depth.shape[1]
    for column in range(width):
        side = -(column + 0.5 - 0.5 * width) / camera.focal
        for place in range(hits.met[column]):
            _draw_wall(image, column, place, side, hits, world, camera, texture)


@compiled
def _draw_wall(image, column, place, side, hits, world, camera, texture):
    height, about = image.depth.shape[0], hits.about
    wall, depth = hits.wall[column, place], 1.0 / hits.near[column, place]
    style, outdoor = world.wall_style[wall], world.ceiling_style == 0
    left = keep(depth, outdoor)
    haze, zenith = 1.0 - left if outdoor else 0.0, world.ceiling_rgb
    red, green, blue = (
        haze * horizon_colour(zenith[0]),
        haze * horizon_colour(zenith[1]),
        haze * horizon_colour(zenith[2]),
    )
    base = packed(about[wall, 0] * left + red, about[wall, 1] * left + green, about[wall, 2] * left + blue)
    second = packed(about[wall, 3] * left + red, about[wall, 4] * left + green, about[wall, 5] * left + blue)
    along = depth * (about[wall, 6] + side * about[wall, 7]) - about[wall, 8]
    level = mip_level(texture.scale * depth / camera.focal)
    u = (np.int64(along * about[wall, 10] + 0x10000) >> level) & ((128 >> level) - 1)
    start = style * texture.size + texture.offset[level] + u
    top, bottom, step = hits.top[column, place], hits.bottom[column, place], depth / camera.focal * about[wall, 11]
    down = (about[wall, 9] - camera.height) * about[wall, 11] + (top + 0.5 - 0.5 * height) * step
    _fill_wall(
        image, np.uint64(column), np.uint64(top), np.uint64(bottom), np.float32(depth),
        np.uint8(DOOR if style == texture.door else WALL), texture.texel, np.uint64(start), np.uint64(level),
        np.uint64(np.int64(down * FINE)), np.uint64(np.int64(step * FINE)), base, second,
    )  # fmt: skip


@compiled
def _fill_wall(image, column, top, bottom, depth, segment, texel, start, level, v, dv, base, second):
    shift, mask, stride = U16 + level, (U128 >> level) - U1, U7 - level
    rgb, depths, segments = image.rgb, image.depth, image.segment
    for row in range(top, bottom):
        tone = np.uint64(texel[start + (((v >> shift) & mask) << stride)])
        mixed = base * (tone & U255) + second * (tone >> U8)
        rgb[row, column, 0] = np.uint8(mixed >> U8)
        rgb[row, column, 1] = np.uint8(mixed >> U24)
        rgb[row, column, 2] = np.uint8(mixed >> U40)
        depths[row, column] = depth
        segments[row, column] = segment
        v += dv
