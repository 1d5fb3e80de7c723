"""Floor, ceiling and sky of one picture, row by row: depth and texel step are constant along a row (from `raycast`)."""
# mypy: allow-untyped-defs, allow-untyped-calls

import math

import numpy as np

from embodied_cf.envs.compiled import compiled
from embodied_cf.envs.rendering.raycast_shading import (
    CEILING,
    EXPOSURE,
    FAR_M,
    FINE,
    FLOOR,
    SKY,
    U1,
    U7,
    U8,
    U16,
    U24,
    U40,
    U128,
    U255,
    bright,
    horizon_colour,
    keep,
    mip_level,
    packed,
)

_CLOUD_HEIGHT_M, _CLOUD_TEXELS_PER_M = 60.0, 0.9


@compiled
def draw_planes(image, rows, world, pose, light, camera, texture):
    """Draw floor, ceiling and sky, row by row."""
    height, width = image.depth.shape
    outdoor = world.ceiling_style == 0
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    floor_light, ceiling_light = bright(light, 0.0, 0.0, 1.0), EXPOSURE * (light[0] + 0.6 * light[1])
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
        depth, scale = min(far, FAR_M), _CLOUD_TEXELS_PER_M if segment == SKY else texture.scale
        second = texture.second[style]
        if segment == SKY:
            base, other = _sky_colours(world.ceiling_rgb, second, slope)
        elif segment == FLOOR:
            base, other = _plane_colours(world.floor_rgb, second, floor_light, depth, world.ceiling_rgb, outdoor)
        else:
            base, other = _plane_colours(world.ceiling_rgb, second, ceiling_light, depth, world.ceiling_rgb, outdoor)
        level = mip_level(scale * depth / camera.focal * math.sqrt(max(1.0, 0.25 / max(abs(slope), 1e-3))))
        side, step = -(first + 0.5 - 0.5 * width) / camera.focal, scale * depth / camera.focal * FINE
        u = (pose[0] + depth * (cos - side * sin)) * scale * FINE
        v = (pose[1] + depth * (sin + side * cos)) * scale * FINE
        _fill_row(
            image.rgb, texture.texel, np.uint64(style * texture.size + texture.offset[level]), np.uint64(level),
            np.uint64(np.int64(u)), np.uint64(np.int64(v)), np.uint64(np.int64(step * sin)),
            np.uint64(np.int64(-step * cos)), base, other, np.uint64(row), np.uint64(first), np.uint64(last),
        )  # fmt: skip
        shown = np.float32(math.inf if segment == SKY or slope == 0 else far)
        _fill_ids(
            image.depth, image.segment, shown, np.uint8(segment), np.uint64(row), np.uint64(first), np.uint64(last)
        )


@compiled
def _plane_colours(own, second, lum, depth, zenith, outdoor):
    """Return own and second colour of a row of floor or ceiling."""
    left = keep(depth, outdoor)
    haze, lum = 1.0 - left if outdoor else 0.0, lum * left
    red, green, blue = (
        haze * horizon_colour(zenith[0]),
        haze * horizon_colour(zenith[1]),
        haze * horizon_colour(zenith[2]),
    )
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
    shift, mask, stride = U16 + level, (U128 >> level) - U1, U7 - level
    for column in range(first, last):
        tone = np.uint64(texel[start + (((v >> shift) & mask) << stride) + ((u >> shift) & mask)])
        mixed = base * (tone & U255) + second * (tone >> U8)
        rgb[row, column, 0] = np.uint8(mixed >> U8)
        rgb[row, column, 1] = np.uint8(mixed >> U24)
        rgb[row, column, 2] = np.uint8(mixed >> U40)
        u += du
        v += dv
