"""What objects look like: each kind is a few simple bodies.

An object's frame: x to its front, y to its left, heights above the floor, metres at scale 1. Footprints stay within
RADIUS_M of the kind; a tree's crown alone reaches further, above the robot.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

BOX, ROUND, BALL = 0, 1, 2
MAIN, WOOD, METAL, DARK, PALE, LEAF, TRUNK = range(7)
"""Colour roles. MAIN is the object's own colour."""
FIXED_RGB = ((0, 0, 0), (150, 105, 62), (120, 124, 130), (52, 52, 58), (236, 234, 228), (58, 128, 52), (104, 74, 48))


class Part(NamedTuple):
    """One body. A box has half sizes a along x and b along y; a round one radius a below, b above; a ball radius a."""

    shape: int
    low: float
    high: float
    a: float
    b: float = 0.0
    role: int = MAIN
    shade: float = 1.0
    """Factor on the colour."""
    x: float = 0.0
    y: float = 0.0
    rough: float = 0.0
    """How strongly leaves mottle it, in [0, 1]."""
    swing: float = 0.0
    """How far forward it moves at the height of a step, m."""


def _box(low: float, high: float, a: float, b: float, role: int = MAIN, shade: float = 1.0, **rest: float) -> Part:
    return Part(BOX, low, high, a, b, role, shade, **rest)


def _round(low: float, high: float, a: float, b: float, role: int = MAIN, shade: float = 1.0, **rest: float) -> Part:
    return Part(ROUND, low, high, a, b, role, shade, **rest)


def _ball(low: float, high: float, a: float, role: int = MAIN, shade: float = 1.0, **rest: float) -> Part:
    return Part(BALL, low, high, a, a, role, shade, **rest)


_BLOSSOMS = ((0.2, 0.0, 0.68), (0.13, 0.12, 1.0), (-0.14, -0.07, 1.08), (-0.2, 0.06, 0.72), (0.0, 0.24, 0.88))
PARTS: dict[str, tuple[Part, ...]] = {
    "chair": (
        _box(0.40, 0.49, 0.24, 0.24),
        _box(0.49, 0.53, 0.20, 0.20, MAIN, 1.12, x=0.02),
        _box(0.49, 0.98, 0.03, 0.24, x=-0.21),
        _box(0.62, 0.90, 0.01, 0.16, MAIN, 1.12, x=-0.175),
        *(_box(0.0, 0.40, 0.032, 0.032, MAIN, 0.6, x=x, y=y) for x in (-0.2, 0.2) for y in (-0.2, 0.2)),
    ),
    "table": (
        _box(0.46, 0.54, 0.46, 0.29),
        _box(0.38, 0.46, 0.40, 0.23, MAIN, 0.7),
        *(_box(0.0, 0.46, 0.04, 0.04, MAIN, 0.8, x=x, y=y) for x in (-0.4, 0.4) for y in (-0.22, 0.22)),
    ),
    "box": (
        _box(0.0, 0.56, 0.30, 0.28),
        _box(0.0, 0.565, 0.305, 0.045, MAIN, 0.62),
        _box(0.18, 0.42, 0.01, 0.07, PALE, 1.0, x=0.30, y=0.15),
    ),
    "cone": (
        _box(0.0, 0.06, 0.22, 0.22, MAIN, 0.55),
        _round(0.06, 0.80, 0.19, 0.03),
        _round(0.32, 0.50, 0.137, 0.098, PALE),
    ),
    "barrel": (
        _round(0.0, 0.39, 0.26, 0.32),
        _round(0.39, 0.78, 0.32, 0.26),
        _round(0.08, 0.15, 0.295, 0.295, DARK),
        _round(0.63, 0.70, 0.295, 0.295, DARK),
        _box(0.27, 0.51, 0.02, 0.10, PALE, x=0.30),
    ),
    "plant": (
        _round(0.0, 0.46, 0.21, 0.30),
        _round(0.46, 0.55, 0.33, 0.33, MAIN, 0.85),
        _ball(0.46, 0.88, 0.24, LEAF, rough=0.8),
        _ball(0.58, 1.06, 0.13, LEAF, 0.85, x=0.15, y=0.1, rough=0.8),
        _ball(0.58, 1.14, 0.12, LEAF, 1.1, x=-0.13, y=-0.06, rough=0.8),
        _ball(0.56, 0.96, 0.11, LEAF, 1.0, x=-0.02, y=0.2, rough=0.8),
        *(_ball(z, z + 0.13, 0.065, x=x, y=y) for x, y, z in _BLOSSOMS),
    ),
    "tree": (
        _round(0.0, 1.15, 0.11, 0.08, TRUNK),
        _ball(0.85, 1.75, 0.58, rough=0.7),
        _ball(1.25, 2.15, 0.45, x=0.14, y=0.1, rough=0.7),
        _ball(1.2, 1.8, 0.36, MAIN, 0.9, x=-0.26, y=-0.22, rough=0.7),
    ),
    "bin": (
        _box(0.08, 0.86, 0.20, 0.19),
        _box(0.86, 0.96, 0.215, 0.205, DARK),
        _box(0.88, 0.94, 0.03, 0.14, DARK, x=-0.235),
        _box(0.36, 0.64, 0.01, 0.11, PALE, x=0.20),
        *(_round(0.0, 0.16, 0.06, 0.06, DARK, x=-0.18, y=y) for y in (-0.16, 0.16)),
        *(_box(0.0, 0.08, 0.03, 0.03, DARK, x=0.16, y=y) for y in (-0.15, 0.15)),
    ),
    "ball": (
        _ball(0.0, 0.62, 0.31),
        *(_ball(0.145, 0.475, 0.165, PALE, x=x) for x in (0.155, -0.155)),
        *(_ball(0.145, 0.475, 0.165, MAIN, 0.5, y=y) for y in (0.155, -0.155)),
    ),
    "lamp": (
        _round(0.0, 0.07, 0.20, 0.18, MAIN, 0.75, x=-0.08),
        _round(0.07, 1.50, 0.03, 0.03, METAL, x=-0.2),
        _box(1.46, 1.51, 0.14, 0.025, METAL, x=-0.08),
        _round(1.02, 1.44, 0.28, 0.16, x=0.01),
        _ball(0.96, 1.08, 0.06, PALE, 1.2, x=0.01),
    ),
}  # fmt: skip


class Table(NamedTuple):
    """Parts in arrays: those of item k are rows first[k] to first[k + 1] - 1."""

    first: Int32[np.ndarray, " k1"]
    shape: Int32[np.ndarray, " n"]
    role: Int32[np.ndarray, " n"]
    value: Float64[np.ndarray, "n 9"]
    """low, high, a, b, shade, x, y, rough, swing."""
    reach: Float64[np.ndarray, " k"]
    """Radius of a circle around each item that holds all its parts."""


def table(items: tuple[tuple[Part, ...], ...]) -> Table:
    """Return parts in arrays."""
    rows = [part for parts in items for part in parts]
    value = [(p.low, p.high, p.a, p.b, p.shade, p.x, p.y, p.rough, p.swing) for p in rows]
    return Table(
        np.cumsum([0, *(len(parts) for parts in items)]).astype(np.int32),
        np.array([part.shape for part in rows], np.int32),
        np.array([part.role for part in rows], np.int32),
        np.array(value, np.float64),
        np.array([max(_reach(part) for part in parts) for parts in items]),
    )


def _reach(part: Part) -> float:
    own = np.hypot(part.a, part.b) if part.shape == BOX else max(part.a, part.b)
    return float(np.hypot(part.x, part.y) + own)
