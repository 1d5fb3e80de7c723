"""Walls, floor, ceiling and sky of one picture, column by column (called from `raycast`).

Camera frame: x forward, y left. A column looks along (1, s), so that x is the depth along the optical axis. A wall's
inverse depth is linear in s. In each column the walls are met from near to far; since all stand on the floor and the
camera is level, each shows only above the highest one before it.
"""

import math

from embodied_cf.envs.compiled import compiled

NEAR_M = 0.02
"""What is nearer than this to the camera's plane is not drawn."""
SKY, FLOOR, CEILING, WALL, DOOR = 0, 1, 2, 3, 4
_DOOR_BIAS = 1.004
"""A door in the plane of a wall is drawn before the wall: nearer by this factor when the order is made."""
_CLOUD_HEIGHT_M, _CLOUD_TEXELS_PER_M = 60.0, 0.9
_FAR = 1e5
_ORIGIN = float(1 << 24)
"""Added to texel coordinates (a multiple of the tile), so that they are never negative."""


@compiled
def keep(depth, outdoor):
    """Return the share of light that distance leaves: outdoors the rest is haze, indoors it is lost."""
    return 1.0 / (1.0 + 0.011 * depth) if outdoor else 0.75 + 0.25 / (1.0 + 0.25 * depth)


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
def prepare_rows(rows, world, pose, light, camera, texture):
    """Fill what each picture row shows of floor, ceiling or sky."""
    height = rows.depth.shape[0]
    outdoor = world.ceiling_style == 0
    for row in range(height):
        slope = (row + 0.5 - 0.5 * height) / camera.focal
        rows.slope[row] = slope
        if slope > 0:
            depth, style, scale = camera.height / slope, texture.floor + world.floor_style, texture.scale
            rows.segment[row], rows.depth[row], up = FLOOR, depth, 1.0
        elif outdoor:
            depth, style, scale = _CLOUD_HEIGHT_M / max(-slope, 1e-9), texture.ceiling, _CLOUD_TEXELS_PER_M
            rows.segment[row], rows.depth[row], up = SKY, math.inf, 0.0
        else:
            depth = (world.ceiling_height - camera.height) / max(-slope, 1e-9)
            style, scale = texture.ceiling + world.ceiling_style, texture.scale
            rows.segment[row], rows.depth[row], up = CEILING, depth if slope < 0 else math.inf, 0.4
        depth = min(depth, _FAR)
        level = _level(scale * depth / camera.focal * math.sqrt(max(1.0, 0.25 / max(abs(slope), 1e-3))))
        rows.level[row] = level
        rows.start[row] = style * texture.size + texture.offset[level]
        rows.texel[row, 0] = depth * scale
        rows.texel[row, 1] = pose[0] * scale + _ORIGIN
        rows.texel[row, 2] = pose[1] * scale + _ORIGIN
        _row_colours(rows, row, slope, depth, style, up, world, light, texture, outdoor)


@compiled
def _row_colours(rows, row, slope, depth, style, up, world, light, texture, outdoor):
    left = keep(depth, outdoor)
    rise = min(1.0, 1.7 * max(-slope, 0.0) / math.sqrt(1.0 + slope * slope))
    for k in range(3):
        haze = horizon_colour(world.ceiling_rgb[k]) if outdoor else 0.0
        if up == 0.0:
            base = haze + (world.ceiling_rgb[k] - haze) * rise
            second = base + (texture.second[style, k] - base) * min(1.0, 3.0 * rise)
        else:
            bright = light[0] + light[1] * (0.5 + 0.5 * light[4]) if up == 1.0 else light[0] + 0.6 * light[1]
            own = world.floor_rgb[k] if up == 1.0 else world.ceiling_rgb[k]
            base = own * bright * left + haze * (1.0 - left)
            second = texture.second[style, k] * bright * left + haze * (1.0 - left)
        rows.colour[row, k] = int(min(255.0, base))
        rows.colour[row, 3 + k] = int(min(255.0, second))


@compiled
def gather_walls(hits, world, pose, camera):
    """Find for each column the walls that it may meet: those that close the view, then lower ones before them."""
    width = hits.closed.shape[0]
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    for column in range(width):
        hits.closed[column], hits.closing[column], hits.count[column] = 1.0 / _FAR, -1, 0
    for wanted in (True, False):
        for wall in range(world.num_walls):
            closes = world.ceiling_style != 0 and world.wall_height[wall] >= world.ceiling_height - 1e-6
            if closes != wanted:
                continue
            x0, y0, x1, y1 = world.walls[wall]
            ax, ay = (x0 - pose[0]) * cos + (y0 - pose[1]) * sin, (y0 - pose[1]) * cos - (x0 - pose[0]) * sin
            bx, by = (x1 - pose[0]) * cos + (y1 - pose[1]) * sin, (y1 - pose[1]) * cos - (x1 - pose[0]) * sin
            _mark_wall(hits, wall, ax, ay, bx, by, closes, world.wall_style[wall], camera)


@compiled
def _mark_wall(hits, wall, ax, ay, bx, by, closes, style, camera):
    width = hits.closed.shape[0]
    line = ax * by - ay * bx
    if (ax < NEAR_M and bx < NEAR_M) or abs(line) < 1e-9:
        return
    hits.line[wall, 0], hits.line[wall, 1], hits.line[wall, 2], hits.line[wall, 3] = ax, ay, bx, by
    if ax < NEAR_M:
        ay, ax = ay + (by - ay) * (NEAR_M - ax) / (bx - ax), NEAR_M
    if bx < NEAR_M:
        by, bx = by + (ay - by) * (NEAR_M - bx) / (ax - bx), NEAR_M
    first, last = 0.5 * width - camera.focal * ay / ax, 0.5 * width - camera.focal * by / bx
    if first > last:
        first, last = last, first
    bias = _DOOR_BIAS if style == 7 else 1.0
    across, along = (hits.line[wall, 3] - hits.line[wall, 1]) / line, (hits.line[wall, 2] - hits.line[wall, 0]) / line
    for column in range(max(0, math.ceil(first - 0.5)), min(width, math.ceil(last - 0.5))):
        side = -(column + 0.5 - 0.5 * width) / camera.focal
        inverse = (across - along * side) * bias
        if inverse <= hits.closed[column]:
            continue
        if closes:
            hits.closed[column], hits.closing[column] = inverse, wall
        else:
            place = hits.count[column]
            hits.count[column] += 1
            while place > 0 and hits.near[column, place - 1] < inverse:
                hits.near[column, place] = hits.near[column, place - 1]
                hits.wall[column, place] = hits.wall[column, place - 1]
                place -= 1
            hits.near[column, place], hits.wall[column, place] = inverse, wall


@compiled
def draw_column(image, column, rows, hits, world, direction, light, camera, texture):
    """Draw one column of background; `direction` is where it looks in the world, per metre of depth."""
    width = hits.closed.shape[0]
    side = -(column + 0.5 - 0.5 * width) / camera.focal
    limit = rows.depth.shape[0]
    for place in range(hits.count[column] + 1):
        closing = place == hits.count[column]
        wall = hits.closing[column] if closing else hits.wall[column, place]
        if wall < 0 or limit <= 0:
            break
        limit = _draw_wall(image, column, side, wall, limit, rows, hits, world, direction, light, camera, texture)
    _draw_plane(image, column, 0, limit, rows, direction, texture)


@compiled
def _draw_wall(image, column, side, wall, limit, rows, hits, world, direction, light, camera, texture):
    """Draw one wall and the floor before it, below row `limit`; return the row above which nothing is drawn yet."""
    ax, ay, bx, by = hits.line[wall]
    line = ax * by - ay * bx
    inverse = ((by - ay) - (bx - ax) * side) / line
    depth = 1.0 / inverse
    tall = min(world.wall_height[wall], world.ceiling_height) if world.ceiling_style != 0 else world.wall_height[wall]
    middle = 0.5 * rows.depth.shape[0]
    top = max(0, math.ceil(middle - camera.focal * (tall - camera.height) * inverse - 0.5))
    bottom = min(limit, math.ceil(middle + camera.focal * camera.height * inverse - 0.5))
    if bottom < limit:
        _draw_plane(image, column, max(bottom, 0), limit, rows, direction, texture)
    if top < bottom:
        along = (depth - ax) * (bx - ax) + (depth * side - ay) * (by - ay)
        length = math.sqrt((bx - ax) ** 2 + (by - ay) ** 2)
        _fill_wall(
            image, column, top, bottom, depth, along / length, length, tall, wall, ax, ay, bx, by,
            rows, world, light, camera, texture,
        )  # fmt: skip
    return min(top, bottom)


@compiled
def _fill_wall(
    image, column, top, bottom, depth, along, length, tall, wall, ax, ay, bx, by, rows, world, light, camera, texture
):
    style = world.wall_style[wall]
    level = _level(texture.scale * depth / camera.focal)
    tile, mask = 1 << (7 - level), (128 >> level) - 1
    across_scale = 1.0 / length * 127.99 if style == texture.door else texture.scale
    up_scale = 127.99 / tall if texture.stretched[style] else texture.scale
    u = (int(along * across_scale + _ORIGIN) >> level) & mask
    start = style * texture.size + texture.offset[level] + u
    facing = (by - ay) / length, -(bx - ax) / length
    if facing[0] * ax + facing[1] * ay > 0:
        facing = -facing[0], -facing[1]
    bright = light[0] + light[1] * (0.5 + 0.5 * (facing[0] * light[2] + facing[1] * light[3]))
    outdoor = world.ceiling_style == 0
    left = keep(depth, outdoor)
    haze0 = horizon_colour(world.ceiling_rgb[0]) * (1.0 - left) if outdoor else 0.0
    haze1 = horizon_colour(world.ceiling_rgb[1]) * (1.0 - left) if outdoor else 0.0
    haze2 = horizon_colour(world.ceiling_rgb[2]) * (1.0 - left) if outdoor else 0.0
    bright *= left
    r0, r1 = (
        int(min(255.0, world.wall_rgb[wall, 0] * bright + haze0)),
        int(min(255.0, texture.second[style, 0] * bright + haze0)),
    )
    g0, g1 = (
        int(min(255.0, world.wall_rgb[wall, 1] * bright + haze1)),
        int(min(255.0, texture.second[style, 1] * bright + haze1)),
    )
    b0, b1 = (
        int(min(255.0, world.wall_rgb[wall, 2] * bright + haze2)),
        int(min(255.0, texture.second[style, 2] * bright + haze2)),
    )
    segment = DOOR if style == texture.door else WALL
    for row in range(top, bottom):
        down = (tall - camera.height + rows.slope[row] * depth) * up_scale
        texel = start + ((int(down + _ORIGIN) >> level) & mask) * tile
        own, other = int(texture.texel[texel, 0]), int(texture.texel[texel, 1])
        image.rgb[row, column, 0] = (r0 * own + r1 * other) >> 8
        image.rgb[row, column, 1] = (g0 * own + g1 * other) >> 8
        image.rgb[row, column, 2] = (b0 * own + b1 * other) >> 8
        image.depth[row, column] = depth
        image.segment[row, column] = segment


@compiled
def _draw_plane(image, column, top, bottom, rows, direction, texture):
    for row in range(top, bottom):
        level = rows.level[row]
        mask = (128 >> level) - 1
        u = int(rows.texel[row, 1] + rows.texel[row, 0] * direction[0]) >> level
        v = int(rows.texel[row, 2] + rows.texel[row, 0] * direction[1]) >> level
        texel = rows.start[row] + ((v & mask) << (7 - level)) + (u & mask)
        own, other = int(texture.texel[texel, 0]), int(texture.texel[texel, 1])
        image.rgb[row, column, 0] = (rows.colour[row, 0] * own + rows.colour[row, 3] * other) >> 8
        image.rgb[row, column, 1] = (rows.colour[row, 1] * own + rows.colour[row, 4] * other) >> 8
        image.rgb[row, column, 2] = (rows.colour[row, 2] * own + rows.colour[row, 5] * other) >> 8
        image.depth[row, column] = rows.depth[row]
        image.segment[row, column] = rows.segment[row]
