"""Boxes, round bodies and balls in one picture, each pixel tested against the depth drawn so far (from `raycast`).

Camera frame: x forward, y left; a pixel looks along (1, s, -v) from (0, 0, camera height).
"""

import math

from embodied_cf.envs.compiled import compiled
from embodied_cf.envs.raycast_background import FLOOR, NEAR_M, bright


@compiled
def columns_of(x, y, radius, width, focal):
    """Return first and last + 1 column in which a circle around (x, y) can be seen; equal if in none."""
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
def _row(height, focal, drop, depth):
    """Return the first row whose centre is below a point `drop` under the camera at `depth`."""
    return math.ceil(0.5 * height + focal * drop / depth - 0.5)


@compiled
def _put(image, row, column, depth, red, green, blue, segment):
    if depth < image.depth[row, column]:
        image.rgb[row, column, 0] = int(min(255.0, red))
        image.rgb[row, column, 1] = int(min(255.0, green))
        image.rgb[row, column, 2] = int(min(255.0, blue))
        image.depth[row, column] = depth
        image.segment[row, column] = segment


@compiled
def _fill(image, column, top, bottom, depth, lit, colour, segment):
    """Fill an upright span."""
    for row in range(max(0, top), min(image.depth.shape[0], bottom)):
        _put(image, row, column, depth, colour[0] * lit, colour[1] * lit, colour[2] * lit, segment)


@compiled
def _lid(image, column, top, bottom, drop, camera, lit, colour, segment):
    """Fill a level span that lies `drop` under the camera (above it if negative)."""
    height = image.depth.shape[0]
    for row in range(max(0, top), min(height, bottom)):
        depth = drop * camera.focal / (row + 0.5 - 0.5 * height)
        _put(image, row, column, depth, colour[0] * lit, colour[1] * lit, colour[2] * lit, segment)


@compiled
def _prism(image, column, enter, leave, low, high, lit, light, camera, colour, segment):
    """Draw an upright body that the column's plane enters and leaves at these depths."""
    height = image.depth.shape[0]
    above, below = camera.height - high, camera.height - low
    if enter > NEAR_M:
        top, bottom = _row(height, camera.focal, above, enter), _row(height, camera.focal, below, enter)
        _fill(image, column, top, bottom, enter, lit, colour, segment)
    start = max(enter, NEAR_M)
    if above > 0:
        first, last = _row(height, camera.focal, above, leave), _row(height, camera.focal, above, start)
        _lid(image, column, first, last, above, camera, bright(light, 0.0, 0.0, 1.0), colour, segment)
    if below < 0:
        first, last = _row(height, camera.focal, below, start), _row(height, camera.focal, below, leave)
        _lid(image, column, first, last, below, camera, bright(light, 0.0, 0.0, -1.0), colour, segment)


@compiled
def draw_box(image, x, y, cos, sin, low, high, a, b, light, camera, closed, colour, segment):
    """Draw a box with half sizes a, b, turned by the angle of (cos, sin) in the camera frame."""
    width = image.depth.shape[1]
    first, last = columns_of(x, y, math.sqrt(a * a + b * b), width, camera.focal)
    from_x, from_y = -(x * cos + y * sin), x * sin - y * cos
    front, back = bright(light, cos, sin, 0.0), bright(light, -cos, -sin, 0.0)
    left, right = bright(light, -sin, cos, 0.0), bright(light, sin, -cos, 0.0)
    for column in range(first, last):
        side = -(column + 0.5 - 0.5 * width) / camera.focal
        dx, dy = cos + side * sin, side * cos - sin
        dx, dy = dx if abs(dx) > 1e-12 else 1e-12, dy if abs(dy) > 1e-12 else 1e-12
        near_x, far_x = (-math.copysign(a, dx) - from_x) / dx, (math.copysign(a, dx) - from_x) / dx
        near_y, far_y = (-math.copysign(b, dy) - from_y) / dy, (math.copysign(b, dy) - from_y) / dy
        enter, leave = max(near_x, near_y), min(far_x, far_y)
        if enter < leave and leave > NEAR_M and enter * closed[column] < 1.0:
            if near_x > near_y:
                lit = front if dx < 0 else back
            else:
                lit = left if dy < 0 else right
            _prism(image, column, enter, leave, low, high, lit, light, camera, colour, segment)


@compiled
def draw_round(image, x, y, low, high, a, b, light, camera, closed, colour, segment):
    """Draw a cone's section, or a cylinder: radius a at `low`, b at `high`."""
    width, radius = image.depth.shape[1], max(a, b)
    first, last = columns_of(x, y, radius, width, camera.focal)
    for column in range(first, last):
        side = -(column + 0.5 - 0.5 * width) / camera.focal
        square, half, rest = 1.0 + side * side, x + y * side, x * x + y * y - radius * radius
        root = half * half - square * rest
        if root <= 0.0:
            continue
        root = math.sqrt(root)
        enter, leave = (half - root) / square, (half + root) / square
        if leave <= NEAR_M or enter * closed[column] >= 1.0:
            continue
        if a == b:
            lit = bright(light, (enter - x) / radius, (enter * side - y) / radius, 0.0)
            _prism(image, column, enter, leave, low, high, lit, light, camera, colour, segment)
        else:
            _cone(image, column, side, enter, leave, x, y, low, high, a, b, light, camera, colour, segment)


@compiled
def _cone(image, column, side, enter, leave, x, y, low, high, a, b, light, camera, colour, segment):
    height, start = image.depth.shape[0], max(enter, NEAR_M)
    above, below = camera.height - high, camera.height - low
    top = _row(height, camera.focal, above, leave if above > 0 else start)
    bottom = _row(height, camera.focal, below, start if below > 0 else leave)
    grow = (b - a) / (high - low)
    at_camera = a + grow * (camera.height - low)
    up = -grow / math.sqrt(1.0 + grow * grow)
    flat = math.sqrt(1.0 - up * up)
    for row in range(max(0, top), min(height, bottom)):
        drop = (row + 0.5 - 0.5 * height) / camera.focal
        slope = grow * drop
        square, half = 1.0 + side * side - slope * slope, x + side * y - at_camera * slope
        root = half * half - square * (x * x + y * y - at_camera * at_camera)
        depth = (half - math.sqrt(root)) / square if root > 0.0 else -1.0
        z = camera.height - depth * drop
        if depth > NEAR_M and z >= low and z <= high:
            radius = at_camera - slope * depth
            lit = bright(light, (depth - x) / radius * flat, (depth * side - y) / radius * flat, up)
            _put(image, row, column, depth, colour[0] * lit, colour[1] * lit, colour[2] * lit, segment)
            continue
        edge = b if above > 0 and drop > 0 else a
        depth = above / drop if above > 0 and drop > 0 else (below / drop if below < 0 and drop < 0 else -1.0)
        if depth > NEAR_M and (depth - x) ** 2 + (depth * side - y) ** 2 <= edge * edge:
            lit = bright(light, 0.0, 0.0, 1.0 if drop > 0 else -1.0)
            _put(image, row, column, depth, colour[0] * lit, colour[1] * lit, colour[2] * lit, segment)


@compiled
def draw_ball(image, x, y, low, high, radius, rough, heading, light, camera, closed, colour, segment):
    """Draw a ball, flattened or stretched to its height; `rough` mottles it as leaves do, fixed in the world."""
    height, width = image.depth.shape
    first, last = columns_of(x, y, radius, width, camera.focal)
    stretch = 2.0 * radius / (high - low)
    lift = (0.5 * (low + high) - camera.height) * stretch
    rest = x * x + y * y + lift * lift - radius * radius
    for column in range(first, last):
        side = -(column + 0.5 - 0.5 * width) / camera.focal
        square, half = 1.0 + side * side, x + y * side
        root = half * half - square * (x * x + y * y - radius * radius)
        if root <= 0.0:
            continue
        root = math.sqrt(root)
        enter, leave = max((half - root) / square, NEAR_M), (half + root) / square
        if leave <= NEAR_M or enter * closed[column] >= 1.0:
            continue
        above, below = camera.height - high, camera.height - low
        top = _row(height, camera.focal, above, leave if above > 0 else enter)
        bottom = _row(height, camera.focal, below, enter if below > 0 else leave)
        for row in range(max(0, top), min(height, bottom)):
            fall = (row + 0.5 - 0.5 * height) / camera.focal * stretch
            full, part = square + fall * fall, half - fall * lift
            inside = part * part - full * rest
            if inside <= 0.0:
                continue
            depth = (part - math.sqrt(inside)) / full
            if depth > NEAR_M and depth < image.depth[row, column]:
                east, north, up = (depth - x) / radius, (depth * side - y) / radius, (-depth * fall - lift) / radius
                lit = bright(light, east, north, up)
                if rough > 0.0:
                    lit *= 1.0 - rough * _mottle(east, north, up, heading)
                _put(image, row, column, depth, colour[0] * lit, colour[1] * lit, colour[2] * lit, segment)


@compiled
def _mottle(east, north, up, heading):
    """Return a number in [0, 0.5) that depends on which leaf of the crown the normal points at."""
    x, y = heading[0] * east - heading[1] * north, heading[1] * east + heading[0] * north
    leaf = int((x + 2.0) * 5.0) * 73 + int((y + 2.0) * 5.0) * 151 + int((up + 2.0) * 6.0) * 283
    return (leaf * leaf * 31 + leaf * 17) % 64 / 128.0


@compiled
def darken_floor(image, x, y, radius, strength, camera, closed):
    """Draw the soft shadow under something that stands at (x, y): strongest at its foot, none at `radius`."""
    height, width = image.depth.shape
    first, last = columns_of(x, y, radius, width, camera.focal)
    for column in range(first, last):
        side = -(column + 0.5 - 0.5 * width) / camera.focal
        square, half = 1.0 + side * side, x + y * side
        root = half * half - square * (x * x + y * y - radius * radius)
        if root <= 0.0:
            continue
        root = math.sqrt(root)
        enter, leave = max((half - root) / square, NEAR_M), (half + root) / square
        if leave <= NEAR_M or enter * closed[column] >= 1.0:
            continue
        top, bottom = _row(height, camera.focal, camera.height, leave), _row(height, camera.focal, camera.height, enter)
        for row in range(max(0, top), min(height, bottom)):
            if image.segment[row, column] != FLOOR:
                continue
            depth = image.depth[row, column]
            share = ((depth - x) ** 2 + (depth * side - y) ** 2) / (radius * radius)
            left = 256 - int(256.0 * strength * max(0.0, 1.0 - share))
            for k in range(3):
                image.rgb[row, column, k] = (image.rgb[row, column, k] * left) >> 8
