"""Boxes, round bodies and balls in one picture, each pixel tested against the depth drawn so far.

Camera frame: x forward, y left; a pixel looks along (1, s, -v) from (0, 0, camera height). `closed` holds for each
column the inverse depth of the wall that closes the view. Colours are lit here; they come as (red, green, blue).
"""
# mypy: allow-untyped-defs, allow-untyped-calls

import math

import numpy as np

from embodied_cf.envs.compiled import compiled
from embodied_cf.envs.rendering.raycast_shading import FLOOR, NEAR_M, bright


@compiled
def columns_of(x, y, radius, width, focal):
    """Return first and last + 1 column in which a circle around (x, y) can be seen; none if first >= last."""
    if x + radius < NEAR_M:
        return 0, 0
    if x <= radius * 1.0001 + NEAR_M:
        return 0, width
    root = radius * math.sqrt(max(0.0, x * x + y * y - radius * radius))
    scale = focal / (x * x - radius * radius)
    first = math.ceil(0.5 * width - (x * y + root) * scale - 0.5)
    last = math.floor(0.5 * width - (x * y - root) * scale - 0.5) + 1
    return max(0, first), min(width, last)


@compiled
def _row(middle, scaled_drop, inverse):
    """Return the first row whose centre is below a point: focal length * drop under the camera, inverse depth."""
    return math.ceil(middle + scaled_drop * inverse)


@compiled
def _put(image, row, column, depth, lit, colour, segment):
    image.rgb[row, column, 0] = np.uint8(min(255.0, colour[0] * lit))
    image.rgb[row, column, 1] = np.uint8(min(255.0, colour[1] * lit))
    image.rgb[row, column, 2] = np.uint8(min(255.0, colour[2] * lit))
    image.depth[row, column] = depth
    image.segment[row, column] = segment


@compiled
def _prism(image, column, enter, leave, low, high, lit, light, camera, colour, segment):
    """Draw an upright body that the column's plane enters and leaves at these depths: its side, then lid or bottom."""
    height = image.depth.shape[0]
    middle = 0.5 * height - 0.5
    above, below = camera.focal * (camera.height - high), camera.focal * (camera.height - low)
    start = max(enter, NEAR_M)
    near, far = 1.0 / start, 1.0 / leave
    top, bottom = max(0, _row(middle, above, near)), min(height, _row(middle, below, near))
    column = np.uint64(column)
    if enter > NEAR_M and top < bottom:
        depth = np.float32(enter)
        red, green = np.uint8(min(255.0, colour[0] * lit)), np.uint8(min(255.0, colour[1] * lit))
        blue = np.uint8(min(255.0, colour[2] * lit))
        for row in range(np.uint64(top), np.uint64(bottom)):
            if depth < image.depth[row, column]:
                image.rgb[row, column, 0] = red
                image.rgb[row, column, 1] = green
                image.rgb[row, column, 2] = blue
                image.depth[row, column] = depth
                image.segment[row, column] = segment
    if above > 0:
        drop, up, first, last = above, 1.0, max(0, _row(middle, above, far)), min(height, top)
    elif below < 0:
        drop, up, first, last = below, -1.0, max(0, bottom), min(height, _row(middle, below, far))
    else:
        return
    lid = bright(light, 0.0, 0.0, up)
    for row in range(first, last):
        depth = np.float32(drop / (row - middle))
        if depth < image.depth[np.uint64(row), column]:
            _put(image, np.uint64(row), column, depth, lid, colour, segment)


@compiled
def draw_box(image, x, y, cos, sin, low, high, a, b, light, camera, closed, colour, segment):
    """Draw a box with half sizes a, b, turned by the angle of (cos, sin) in the camera frame."""
    width = image.depth.shape[1]
    first, last = columns_of(x, y, math.sqrt(a * a + b * b), width, camera.focal)
    from_x, from_y = x * cos + y * sin, y * cos - x * sin
    for column in range(first, last):
        side = (0.5 * width - 0.5 - column) / camera.focal
        dx, dy = cos + side * sin, side * cos - sin
        inverse_x, inverse_y = 1.0 / (dx if abs(dx) > 1e-12 else 1e-12), 1.0 / (dy if abs(dy) > 1e-12 else 1e-12)
        centre_x, half_x = from_x * inverse_x, abs(a * inverse_x)
        centre_y, half_y = from_y * inverse_y, abs(b * inverse_y)
        near_x, near_y = centre_x - half_x, centre_y - half_y
        enter, leave = max(near_x, near_y), min(centre_x + half_x, centre_y + half_y)
        if enter < leave and leave > NEAR_M and enter * closed[column] < 1.0:
            across, along = (-1.0 if dx > 0 else 1.0, 0.0) if near_x > near_y else (0.0, -1.0 if dy > 0 else 1.0)
            lit = bright(light, across * cos - along * sin, across * sin + along * cos, 0.0)
            _prism(image, column, enter, leave, low, high, lit, light, camera, colour, segment)


@compiled
def draw_round(image, x, y, low, high, a, b, light, camera, closed, colour, segment):
    """Draw a cone's section, or a cylinder: radius a at `low`, b at `high`."""
    width, radius = image.depth.shape[1], max(a, b)
    first, last = columns_of(x, y, radius, width, camera.focal)
    for column in range(first, last):
        side = (0.5 * width - 0.5 - column) / camera.focal
        square, half = 1.0 / (1.0 + side * side), x + y * side
        root = half * half * square - (x * x + y * y - radius * radius)
        if root <= 0.0:
            continue
        middle, root = half * square, math.sqrt(root * square)
        enter, leave = middle - root, middle + root
        if leave <= NEAR_M or enter * closed[column] >= 1.0:
            continue
        if a == b:
            lit = bright(light, (enter - x) / radius, (enter * side - y) / radius, 0.0)
            _prism(image, column, enter, leave, low, high, lit, light, camera, colour, segment)
        else:
            _cone(image, column, side, enter, leave, x, y, low, high, a, b, light, camera, colour, segment)


@compiled
def _cone(image, column, side, enter, leave, x, y, low, high, a, b, light, camera, colour, segment):
    height, near, far = image.depth.shape[0], 1.0 / max(enter, NEAR_M), 1.0 / leave
    middle, above, below = 0.5 * height - 0.5, camera.height - high, camera.height - low
    top = max(0, _row(middle, camera.focal * above, far if above > 0 else near))
    bottom = min(height, _row(middle, camera.focal * below, near if below > 0 else far))
    grow = (b - a) / (high - low)
    at_camera = a + grow * below
    flat = 1.0 / math.sqrt(1.0 + grow * grow)
    rest, half = x * x + y * y - at_camera * at_camera, x + side * y
    for row in range(top, bottom):
        drop = (row - middle) / camera.focal
        slope = grow * drop
        square, part = 1.0 + side * side - slope * slope, half - at_camera * slope
        root = part * part - square * rest
        depth = (part - math.sqrt(root)) / square if root > 0.0 else -1.0
        z = camera.height - depth * drop
        on_side = depth > NEAR_M and z >= low and z <= high
        if not on_side:
            edge, level = (b, above) if drop > 0 else (a, below)
            depth = level / drop if level * drop > 0.0 else -1.0
            if (depth - x) ** 2 + (depth * side - y) ** 2 > edge * edge:
                continue
        if depth > NEAR_M and np.float32(depth) < image.depth[np.uint64(row), np.uint64(column)]:
            up = -grow * flat if on_side else math.copysign(1.0, drop)
            level = flat / (at_camera - slope * depth) if on_side else 0.0
            lit = bright(light, (depth - x) * level, (depth * side - y) * level, up)
            _put(image, np.uint64(row), np.uint64(column), np.float32(depth), lit, colour, segment)


@compiled
def draw_ball(image, x, y, low, high, radius, rough, heading, light, camera, closed, colour, segment):
    """Draw a ball, flattened or stretched to its height; `rough` mottles it as leaves do, fixed in the world."""
    height, width = image.depth.shape
    first, last = columns_of(x, y, radius, width, camera.focal)
    stretch, turn = 2.0 * radius / (high - low), 1.0 / radius
    lift = (0.5 * (low + high) - camera.height) * stretch
    flat_rest = x * x + y * y - radius * radius
    rest, above, below = flat_rest + lift * lift, camera.height - high, camera.height - low
    middle = 0.5 * height - 0.5
    for column in range(first, last):
        side = (0.5 * width - 0.5 - column) / camera.focal
        square, half = 1.0 + side * side, x + y * side
        root = half * half - square * flat_rest
        if root <= 0.0:
            continue
        root = math.sqrt(root)
        enter, leave = max((half - root) / square, NEAR_M), (half + root) / square
        if leave <= NEAR_M or enter * closed[column] >= 1.0:
            continue
        near, far = camera.focal / enter, camera.focal / leave
        top = max(0, _row(middle, above, far if above > 0 else near))
        bottom = min(height, _row(middle, below, near if below > 0 else far))
        for row in range(top, bottom):
            fall = (row - middle) / camera.focal * stretch
            full, part = square + fall * fall, half - fall * lift
            inside = part * part - full * rest
            if inside <= 0.0:
                continue
            depth = (part - math.sqrt(inside)) / full
            if depth > NEAR_M and np.float32(depth) < image.depth[np.uint64(row), np.uint64(column)]:
                ahead, left, up = (depth - x) * turn, (depth * side - y) * turn, (-depth * fall - lift) * turn
                lit = bright(light, ahead, left, up)
                if rough > 0.0:
                    lit *= 1.0 - rough * _mottle(ahead, left, up, heading)
                _put(image, np.uint64(row), np.uint64(column), np.float32(depth), lit, colour, segment)


@compiled
def _mottle(ahead, left, up, heading):
    """Return a number in [0, 0.5) that depends on which leaf of the crown the normal points at."""
    x, y = heading[0] * ahead - heading[1] * left, heading[1] * ahead + heading[0] * left
    leaf = int((x + 2.0) * 5.0) * 73 + int((y + 2.0) * 5.0) * 151 + int((up + 2.0) * 6.0) * 283
    return ((leaf * leaf * 31 + leaf * 17) & 63) / 128.0


@compiled
def darken_floor(image, x, y, radius, strength, camera, closed):
    """Draw the soft shadow under something that stands at (x, y): strongest at its foot, none at `radius`."""
    height, width = image.depth.shape
    first, last = columns_of(x, y, radius, width, camera.focal)
    middle, rest = 0.5 * height - 0.5, x * x + y * y - radius * radius
    scaled, share = camera.focal * camera.height, 256.0 * strength / (radius * radius)
    for column in range(first, last):
        side = (0.5 * width - 0.5 - column) / camera.focal
        square, half = 1.0 + side * side, x + y * side
        root = half * half - square * rest
        if root <= 0.0:
            continue
        root = math.sqrt(root)
        enter, leave = max((half - root) / square, NEAR_M), (half + root) / square
        if leave <= NEAR_M or enter * closed[column] >= 1.0:
            continue
        top, bottom = max(0, _row(middle, scaled, 1.0 / leave)), min(height, _row(middle, scaled, 1.0 / enter))
        for row in range(np.uint64(max(0, top)), np.uint64(max(0, bottom))):
            pixel = np.uint64(column)
            if image.segment[row, pixel] == FLOOR:
                depth = np.float64(image.depth[row, pixel])
                # radius squared less distance squared, from the circle's equation along this column
                inside = 2.0 * depth * half - square * depth * depth - rest
                left = 256 - int(share * max(0.0, inside))
                for k in range(3):
                    image.rgb[row, pixel, k] = (image.rgb[row, pixel, k] * left) >> 8
