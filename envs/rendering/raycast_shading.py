"""What pictures share: what a pixel can show, how light and distance change a colour, which texels are read.

Colours are three 16-bit lanes of one number, so that one product weighs all three.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np

from embodied_cf.envs.compiled import compiled

NEAR_M = 0.02
"""What is nearer than this to the camera's plane is not drawn."""
FAR_M = 1e5
SKY, FLOOR, CEILING, WALL, DOOR = 0, 1, 2, 3, 4
EXPOSURE = 1.2
FINE = 65536.0
"""Texel coordinates are counted in fractions of this."""
U1, U7, U8, U16, U24, U32, U40, U128, U255 = (np.uint64(k) for k in (1, 7, 8, 16, 24, 32, 40, 128, 255))


@compiled
def packed(red, green, blue):
    """Return a colour's three lanes, each clipped to 255."""
    return (
        np.uint64(np.int64(min(255.0, red)))
        | np.uint64(np.int64(min(255.0, green))) << U16
        | np.uint64(np.int64(min(255.0, blue))) << U32
    )


@compiled
def keep(depth, outdoor):
    """Return the share of light that distance leaves: outdoors the rest is haze, indoors it is lost."""
    return 1.0 / (1.0 + 0.011 * depth) if outdoor else 0.75 + 0.25 / (1.0 + 0.25 * depth)


@compiled
def bright(light, x, y, z):
    """Return how lit a face with normal (x, y, z) is: Lambert's cosine, softened so that no side is flat."""
    return EXPOSURE * (light[0] + light[1] * (0.5 + 0.5 * (x * light[2] + y * light[3] + z * light[4])))


@compiled
def horizon_colour(zenith):
    """Return the haze's colour under a sky of colour `zenith`."""
    return 150.0 + 0.36 * zenith


@compiled
def mip_level(footprint):
    """Return the mip level whose texels are about as large as a pixel that covers `footprint` texels."""
    level = 0
    while footprint > 1.4 and level < 7:
        footprint *= 0.5
        level += 1
    return level
