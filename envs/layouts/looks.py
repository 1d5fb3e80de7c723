"""How the worlds look: floors, ceilings or sky, and light, drawn from what suits each world."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from embodied_cf.envs.scene import CEILING_STYLES, FLOOR_STYLES

Rgb = tuple[int, int, int]
WALL_TINTS: dict[str, tuple[Rgb, ...]] = {
    "plaster": ((214, 205, 190), (196, 204, 208), (208, 196, 200), (190, 202, 184), (222, 216, 200)),
    "brick": ((150, 86, 68), (168, 118, 92), (140, 104, 96)),
    "panel": ((158, 128, 96), (186, 180, 170), (128, 122, 118)),
    "concrete": ((150, 150, 148), (134, 138, 142), (166, 160, 150)),
    "tiles": ((190, 206, 206), (206, 206, 196)),
    "hedge": ((58, 96, 48), (72, 104, 58), (50, 84, 54)),
    "fence": ((132, 104, 76), (150, 140, 126)),
    "window": ((168, 188, 200), (150, 176, 196)),
}
_FLOOR_TINTS: dict[str, tuple[Rgb, ...]] = {
    "wood": ((150, 112, 76), (128, 92, 62), (172, 138, 100)),
    "carpet": ((112, 116, 132), (126, 108, 104), (98, 116, 106)),
    "tiles": ((178, 174, 168), (156, 162, 166)),
    "concrete": ((142, 140, 136), (122, 124, 126)),
    "grass": ((92, 122, 66), (104, 128, 72)),
    "gravel": ((150, 142, 128), (136, 134, 130)),
    "paving": ((158, 150, 140), (146, 148, 152)),
}
_FLOORS = {"rooms": ("wood", "carpet", "tiles"), "corridors": ("carpet", "tiles", "concrete"),
           "courtyard": ("grass", "gravel", "paving")}  # fmt: skip
_CEILINGS = {"rooms": ("plain", "plain", "panels"), "corridors": ("panels", "panels", "plain"), "courtyard": ("sky",)}
_SKIES: tuple[Rgb, ...] = ((96, 148, 214), (120, 160, 206), (150, 168, 188), (86, 132, 198))
_WHITES: tuple[Rgb, ...] = ((226, 226, 222), (212, 214, 216), (232, 226, 212))


@dataclass(frozen=True)
class Look:
    """Everything visible that is no wall, object or person; fields as in `Scene`."""

    floor_style: int
    floor_rgb: UInt8[np.ndarray, " 3"]
    ceiling_style: int
    ceiling_rgb: UInt8[np.ndarray, " 3"]
    ceiling_height: float
    light: Float64[np.ndarray, " 4"]


def draw_look(world: str, height: float, rng: np.random.Generator) -> Look:
    """Return a look that suits a world whose ceiling, if it has one, is `height` m high."""
    floor, ceiling = pick(_FLOORS[world], rng), pick(_CEILINGS[world], rng)
    outdoors = ceiling == "sky"
    ambient = rng.uniform(0.45, 0.6) if outdoors else rng.uniform(0.5, 0.75)
    elevation = rng.uniform(0.5, 1.1) if outdoors else rng.uniform(0.9, 1.4)
    light = np.array([ambient, rng.uniform(0.85, 1.15) - ambient, rng.uniform(-np.pi, np.pi), elevation])
    return Look(
        FLOOR_STYLES.index(floor),
        jitter(pick(_FLOOR_TINTS[floor], rng), rng),
        CEILING_STYLES.index(ceiling),
        jitter(pick(_SKIES if outdoors else _WHITES, rng), rng, 6),
        height,
        light,
    )


def wall_tint(style: str, rng: np.random.Generator) -> Rgb:
    """Return a colour that walls of a style come in."""
    red, green, blue = jitter(pick(WALL_TINTS[style], rng), rng).tolist()
    return red, green, blue


def pick(choices, rng: np.random.Generator):  # type: ignore[no-untyped-def]
    """Return one of several choices."""
    return choices[int(rng.integers(len(choices)))]


def jitter(rgb: Rgb, rng: np.random.Generator, width: float = 12.0) -> UInt8[np.ndarray, " 3"]:
    """Return a colour a little lighter or darker, and a little off its hue."""
    shifted = np.array(rgb) + rng.normal(0.0, width) + rng.normal(0.0, width / 3, 3)
    return np.clip(shifted, 0, 255).astype(np.uint8)
