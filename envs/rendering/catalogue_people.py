"""What people look like: one body whose limbs swing with the gait, and clothes, skin and hair to choose from."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

from embodied_cf.envs.rendering.catalogue import BALL, BOX, ROUND, Part

SHIRT, TROUSERS, SKIN, HAIR, SHOES, BAG = range(6)
"""Colour roles."""


def _leg(y: float, side: float) -> tuple[Part, ...]:
    return (
        Part(ROUND, 0.44, 0.86, 0.075, 0.095, TROUSERS, y=y, swing=0.10 * side),
        Part(ROUND, 0.06, 0.46, 0.06, 0.075, TROUSERS, 0.95, y=y, swing=0.24 * side),
        Part(BOX, 0.0, 0.09, 0.13, 0.05, SHOES, x=0.04, y=y, swing=0.30 * side),
    )


def _arm(y: float, side: float) -> tuple[Part, ...]:
    return (
        Part(ROUND, 1.10, 1.42, 0.05, 0.06, SHIRT, 0.9, y=y, swing=0.05 * side),
        Part(ROUND, 0.88, 1.12, 0.042, 0.05, SHIRT, 0.9, y=y, swing=0.16 * side),
        Part(BALL, 0.78, 0.90, 0.05, 0.05, SKIN, y=y, swing=0.22 * side),
    )


BODY: tuple[Part, ...] = (
    *_leg(0.10, 1.0),
    *_leg(-0.10, -1.0),
    Part(BOX, 0.82, 1.00, 0.115, 0.17, TROUSERS),
    Part(BOX, 0.94, 1.44, 0.12, 0.19, SHIRT),
    *_arm(0.245, -1.0),
    *_arm(-0.245, 1.0),
    Part(ROUND, 1.42, 1.54, 0.055, 0.05, SKIN),
    Part(BALL, 1.50, 1.76, 0.105, 0.105, SKIN),
    Part(BALL, 1.56, 1.80, 0.112, 0.112, HAIR, x=-0.03),
    Part(BOX, 0.98, 1.38, 0.06, 0.14, BAG, x=-0.17),
)
"""The bag comes last: not everybody carries one."""

_SHIRTS = (
    (178, 58, 72),
    (62, 112, 168),
    (228, 196, 92),
    (92, 142, 96),
    (232, 228, 220),
    (96, 78, 128),
    (58, 62, 74),
    (226, 132, 92),
)
_TROUSERS = ((48, 58, 92), (70, 66, 60), (128, 112, 88), (40, 42, 48), (96, 110, 132))
_SKINS = ((236, 196, 168), (198, 148, 112), (142, 98, 70), (98, 66, 48))
_HAIRS = ((46, 34, 28), (96, 62, 36), (190, 152, 92), (28, 26, 28), (150, 148, 146))
_SHOES = ((40, 38, 38), (222, 220, 214), (92, 56, 36))
LOOKS = 1 << 10
"""Looks that differ; larger numbers repeat."""


class Wardrobe(NamedTuple):
    """LOOKS looks in arrays."""

    rgb: Float64[np.ndarray, "l 6 3"]
    """Colour of each role."""
    build: Float64[np.ndarray, "l 2"]
    """Factors on height and on width."""
    bag: Int32[np.ndarray, " l"]
    """1 for who carries one on the back."""


@lru_cache(maxsize=1)
def wardrobe() -> Wardrobe:
    """Return the looks: neighbouring numbers differ in shirt, skin and hair."""
    look = np.arange(LOOKS)
    picks = ((_SHIRTS, look), (_TROUSERS, look // 3), (_SKINS, look * 3 + look // 8), (_HAIRS, look * 2 + look // 5),
             (_SHOES, look // 2), (_SHIRTS, look * 5 + 3))  # fmt: skip
    rgb = np.stack([np.array(colours, np.float64)[index % len(colours)] for colours, index in picks], axis=1)
    build = np.stack([0.92 + 0.045 * (look * 3 % 5), 0.92 + 0.06 * (look * 2 % 4)], axis=1)
    return Wardrobe(rgb, build, (look % 3 == 2).astype(np.int32))
