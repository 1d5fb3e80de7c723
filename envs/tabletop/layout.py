"""What stands on a table, as data.

Base frame of the arm, which is also the world: x forward, y left, z up, in metres; the table's top is z = 0.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32, UInt8

from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import COLOURS
from embodied_cf.language.tabletop import TABLE_KINDS

NEAR, FAR, HALF_WIDTH = 0.26, 0.58, 0.24
"""Things stand at x in [NEAR, FAR] and |y| <= HALF_WIDTH."""
MIN_THINGS, MAX_THINGS = 3, 6
CUBE_HALF, BALL_RADIUS, CAN_RADIUS, CAN_HALF = 0.02, 0.022, 0.02, 0.03
BRICK_HALF = (0.034, 0.017, 0.018)
BOWL_RADIUS, BOWL_HEIGHT, PLATE_RADIUS, PLATE_HEIGHT = 0.062, 0.03, 0.06, 0.008
RADIUS_M: dict[str, float] = {
    "cube": CUBE_HALF * math.sqrt(2), "ball": BALL_RADIUS, "can": CAN_RADIUS,
    "brick": math.hypot(*BRICK_HALF[:2]), "bowl": BOWL_RADIUS, "plate": PLATE_RADIUS,
}  # fmt: skip
"""Of the circle around each footprint."""
HEIGHT_M: dict[str, float] = {
    "cube": 2 * CUBE_HALF, "ball": 2 * BALL_RADIUS, "can": 2 * CAN_HALF, "brick": 2 * BRICK_HALF[2],
    "bowl": BOWL_HEIGHT, "plate": PLATE_HEIGHT,
}  # fmt: skip
_GAP_M = 0.06
"""Room for an open gripper between any two things."""


@dataclass(frozen=True)
class Layout:
    """One table. N things."""

    kind: Int32[np.ndarray, " n"]
    """Index into TABLE_KINDS."""
    colour: Int32[np.ndarray, " n"]
    """Index into COLOURS."""
    position: Float64[np.ndarray, "n 2"]
    yaw: Float64[np.ndarray, " n"]
    table_rgb: UInt8[np.ndarray, " 3"]
    light: float
    """Brightness, about 1."""
    start: Float64[np.ndarray, " 3"]
    """Where the fingertips begin."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.kind) <= MAX_THINGS:
            raise UsageError(f"{len(self.kind)} things on a table where 1 to {MAX_THINGS} fit")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Name of each thing's kind."""
        return tuple(TABLE_KINDS[kind] for kind in self.kind.tolist())

    @property
    def colours(self) -> tuple[str, ...]:
        """Name of each thing's colour."""
        return tuple(COLOURS[colour] for colour in self.colour.tolist())

    @property
    def radius(self) -> Float64[np.ndarray, " n"]:
        """Radius of each footprint, m."""
        return np.array([RADIUS_M[kind] for kind in self.kinds])


def draw_layout(pairs: Int32[np.ndarray, "p 2"], rng: np.random.Generator) -> Layout:
    """Draw a table whose things are of the given (kind, colour) pairs, no pair twice; 3 to 6 things."""
    count = int(rng.integers(MIN_THINGS, MAX_THINGS + 1))
    chosen = rng.permutation(pairs)[:count]
    radius = np.array([RADIUS_M[TABLE_KINDS[kind]] for kind in chosen[:, 0].tolist()])
    return Layout(
        kind=chosen[:, 0],
        colour=chosen[:, 1],
        position=_places(radius, rng),
        yaw=rng.uniform(-math.pi / 2, math.pi / 2, count),
        table_rgb=(np.array([150, 120, 90]) + rng.integers(-35, 36, 3)).astype(np.uint8),
        light=float(rng.uniform(0.75, 1.1)),
        start=rng.uniform([0.3, -0.12, 0.16], [0.46, 0.12, 0.22]),
    )


def _places(radius: Float64[np.ndarray, " n"], rng: np.random.Generator) -> Float64[np.ndarray, "n 2"]:
    """Return places with a gripper's room between them: drawn one by one, all anew when one finds no room."""
    low, high = (NEAR, -HALF_WIDTH), (FAR, HALF_WIDTH)
    while True:
        places = np.zeros((0, 2))
        for mine in radius.tolist():
            tries = rng.uniform(low, high, (24, 2))
            gaps = np.linalg.norm(tries[:, None] - places, axis=2) - radius[: len(places)] - mine
            free = tries[gaps.min(axis=1, initial=np.inf) > _GAP_M]
            if not len(free):
                break
            places = np.concatenate([places, free[:1]])
        if len(places) == len(radius):
            return places
