"""Walls, floor, ceiling and sky of one picture (called from `raycast`).

Camera frame: x forward, y left. Column c looks along (1, s), so that x is the depth along the optical axis. A wall's
inverse depth is linear in s. In each column the walls are met from near to far; since all stand on the floor and the
camera is level, each shows only above the highest one before it. Floor, ceiling and sky are drawn first, row by row
(depth and texel step are constant along a row), then the walls, column by column.

Colours are three 16-bit lanes of one number, so that one product weighs all three.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

import math

import numpy as np

from embodied_cf.envs.compiled import compiled

NEAR_M = 0.02
"""What is nearer than this to the camera's plane is not drawn."""
SKY, FLOOR, CEILING, WALL, DOOR = 0, 1, 2, 3, 4
_DOOR_BIAS = 1.004
"""A door in the plane of a wall is drawn before the wall: nearer by this factor when the order is made."""
_CLOUD_HEIGHT_M, _CLOUD_TEXELS_PER_M = 60.0, 0.9
_FAR = 1e5
_EXPOSURE = 1.2
_FINE = 65536.0
"""Texel coordinates are counted in fractions of this."""
_U1, _U7, _U8, _U16, _U24, _U32, _U40, _U128, _U255 = (np.uint64(k) for k in (1, 7, 8, 16, 24, 32, 40, 128, 255))


@compiled
def packed(red, green, blue):
    """Return a colour's three lanes, each clipped to 255."""
    return (
        np.uint64(np.int64(min(255.0, red)))
        | np.uint64(np.int64(min(255.0, green))) << _U16
        | np.uint64(np.int64(min(255.0, blue))) << _U32
    )


@compiled
def keep(depth, outdoor):
    """Return the share of light that distance leaves: outdoors the rest is haze, indoors it is lost."""
    return 1.0 / (1.0 + 0.011 * depth) if outdoor else 0.75 + 0.25 / (1.0 + 0.25 * depth)


@compiled
def bright(light, x, y, z):
    """Return how lit a face with normal (x, y, z) is: Lambert's cosine, softened so that no side is flat."""
    return _EXPOSURE * (light[0] + light[1] * (0.5 + 0.5 * (x * light[2] + y * light[3] + z * light[4])))


@compiled
def horizon_colour(zenith):
    """Return the haze's colour under a sky of colour `zenith`."""
    return 150.0 + 0.36 * zenith


@compiled
def _level(footprint):
    """Return the mip level whose texels are about as large as a pixel that covers `footprint` texels."""
    level = 0
    while footprint > 1.4 and level < 7:
        footprint *= 0.5
        level += 1
    return level


@compiled
def gather_walls(hits, world, pose, light, camera, texture):
    """Find for each column the walls that it may meet: those that close the view, then lower ones before them."""
    width = hits.closed.shape[0]
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    roofed = world.ceiling_style != 0
    for column in range(width):
        hits.closed[column], hits.closing[column], hits.count[column] = 1.0 / _FAR, -1, 0
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
        place = hits.count[column]
        hits.count[column] += 1
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
        for place in range(hits.count[column] + 1):
            if place == hits.count[column]:
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
        hits.count[column] = count
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
def draw_planes(image, rows, world, pose, light, camera, texture):
    """Draw floor, ceiling and sky, row by row."""
    height, width = image.depth.shape
    outdoor = world.ceiling_style == 0
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    floor_light, ceiling_light = bright(light, 0.0, 0.0, 1.0), _EXPOSURE * (light[0] + 0.6 * light[1])
    for row in range(height):
        first, last = rows.first[row], rows.last[row]
        if first >= last:
            continue
        slope = (row + 0.5 - 0.5 * height) / camera.focal
        if slope > 0:
            segment, style, far = FLOOR, texture.floor + world.floor_style, camera.height / slope
        elif outdoor:
            segment, style, far = SKY, texture.ceiling, _CLOUD_HEIGHT_M / max(-slope, 1e-9)
        else:
            segment, style = CEILING, texture.ceiling + world.ceiling_style
            far = (world.ceiling_height - camera.height) / max(-slope, 1e-9)
        depth, scale = min(far, _FAR), _CLOUD_TEXELS_PER_M if segment == SKY else texture.scale
        second = texture.second[style]
        if segment == SKY:
            base, other = _sky_colours(world.ceiling_rgb, second, slope)
        elif segment == FLOOR:
            base, other = _plane_colours(world.floor_rgb, second, floor_light, depth, world.ceiling_rgb, outdoor)
        else:
            base, other = _plane_colours(world.ceiling_rgb, second, ceiling_light, depth, world.ceiling_rgb, outdoor)
        level = _level(scale * depth / camera.focal * math.sqrt(max(1.0, 0.25 / max(abs(slope), 1e-3))))
        side, step = -(first + 0.5 - 0.5 * width) / camera.focal, scale * depth / camera.focal * _FINE
        u = (pose[0] + depth * (cos - side * sin)) * scale * _FINE
        v = (pose[1] + depth * (sin + side * cos)) * scale * _FINE
        _fill_row(
            image.rgb, texture.texel, np.uint64(style * texture.size + texture.offset[level]), np.uint64(level),
            np.uint64(np.int64(u)), np.uint64(np.int64(v)), np.uint64(np.int64(step * sin)),
            np.uint64(np.int64(-step * cos)), base, other, np.uint64(row), np.uint64(first), np.uint64(last),
        )  # fmt: skip
        shown = np.float32(math.inf if segment == SKY or slope == 0 else far)
        _fill_ids(image.depth, image.segment, shown, np.uint8(segment), np.uint64(row), np.uint64(first), np.uint64(last))


@compiled
def _plane_colours(own, second, lum, depth, zenith, outdoor):
    """Return own and second colour of a row of floor or ceiling."""
    left = keep(depth, outdoor)
    haze, lum = 1.0 - left if outdoor else 0.0, lum * left
    red, green, blue = haze * horizon_colour(zenith[0]), haze * horizon_colour(zenith[1]), haze * horizon_colour(zenith[2])
    return (
        packed(own[0] * lum + red, own[1] * lum + green, own[2] * lum + blue),
        packed(second[0] * lum + red, second[1] * lum + green, second[2] * lum + blue),
    )


@compiled
def _sky_colours(zenith, cloud, slope):
    """Return the colours of sky and clouds in a row that looks up by -slope: both fade into haze at the horizon."""
    rise = min(1.0, -1.7 * slope / math.sqrt(1.0 + slope * slope))
    dense = min(1.0, 3.0 * rise)
    haze_red, haze_green, haze_blue = horizon_colour(zenith[0]), horizon_colour(zenith[1]), horizon_colour(zenith[2])
    red = haze_red + (zenith[0] - haze_red) * rise
    green = haze_green + (zenith[1] - haze_green) * rise
    blue = haze_blue + (zenith[2] - haze_blue) * rise
    return packed(red, green, blue), packed(
        red + (cloud[0] - red) * dense, green + (cloud[1] - green) * dense, blue + (cloud[2] - blue) * dense
    )


@compiled
def _fill_ids(depth, segments, shown, segment, row, first, last):
    for column in range(first, last):
        depth[row, column] = shown
    for column in range(first, last):
        segments[row, column] = segment


@compiled
def _fill_row(rgb, texel, start, level, u, v, du, dv, base, second, row, first, last):
    shift, mask, stride = _U16 + level, (_U128 >> level) - _U1, _U7 - level
    for column in range(first, last):
        tone = np.uint64(texel[start + (((v >> shift) & mask) << stride) + ((u >> shift) & mask)])
        mixed = base * (tone & _U255) + second * (tone >> _U8)
        rgb[row, column, 0] = np.uint8(mixed >> _U8)
        rgb[row, column, 1] = np.uint8(mixed >> _U24)
        rgb[row, column, 2] = np.uint8(mixed >> _U40)
        u += du
        v += dv


@compiled
def draw_walls(image, hits, world, camera, texture):
    """Draw the walls, column by column."""
    width = image.depth.shape[1]
    for column in range(width):
        side = -(column + 0.5 - 0.5 * width) / camera.focal
        for place in range(hits.count[column]):
            _draw_wall(image, column, place, side, hits, world, camera, texture)


@compiled
def _draw_wall(image, column, place, side, hits, world, camera, texture):
    height, about = image.depth.shape[0], hits.about
    wall, depth = hits.wall[column, place], 1.0 / hits.near[column, place]
    style, outdoor = world.wall_style[wall], world.ceiling_style == 0
    left = keep(depth, outdoor)
    haze, zenith = 1.0 - left if outdoor else 0.0, world.ceiling_rgb
    red, green, blue = haze * horizon_colour(zenith[0]), haze * horizon_colour(zenith[1]), haze * horizon_colour(zenith[2])
    base = packed(about[wall, 0] * left + red, about[wall, 1] * left + green, about[wall, 2] * left + blue)
    second = packed(about[wall, 3] * left + red, about[wall, 4] * left + green, about[wall, 5] * left + blue)
    along = depth * (about[wall, 6] + side * about[wall, 7]) - about[wall, 8]
    level = _level(texture.scale * depth / camera.focal)
    u = (np.int64(along * about[wall, 10] + 0x10000) >> level) & ((128 >> level) - 1)
    start = style * texture.size + texture.offset[level] + u
    top, bottom, step = hits.top[column, place], hits.bottom[column, place], depth / camera.focal * about[wall, 11]
    down = (about[wall, 9] - camera.height) * about[wall, 11] + (top + 0.5 - 0.5 * height) * step
    _fill_wall(
        image, np.uint64(column), np.uint64(top), np.uint64(bottom), np.float32(depth),
        np.uint8(DOOR if style == texture.door else WALL), texture.texel, np.uint64(start), np.uint64(level),
        np.uint64(np.int64(down * _FINE)), np.uint64(np.int64(step * _FINE)), base, second,
    )  # fmt: skip


@compiled
def _fill_wall(image, column, top, bottom, depth, segment, texel, start, level, v, dv, base, second):
    shift, mask, stride = _U16 + level, (_U128 >> level) - _U1, _U7 - level
    rgb, depths, segments = image.rgb, image.depth, image.segment
    for row in range(top, bottom):
        tone = np.uint64(texel[start + (((v >> shift) & mask) << stride)])
        mixed = base * (tone & _U255) + second * (tone >> _U8)
        rgb[row, column, 0] = np.uint8(mixed >> _U8)
        rgb[row, column, 1] = np.uint8(mixed >> _U24)
        rgb[row, column, 2] = np.uint8(mixed >> _U40)
        depths[row, column] = depth
        segments[row, column] = segment
        v += dv
