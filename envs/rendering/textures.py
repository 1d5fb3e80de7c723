"""Procedural textures: how walls, floors, ceilings and the sky are patterned, whatever their colour.

A texel holds two weights out of 255: of the surface's own colour and of the style's second colour (mortar, glass,
cloud). Both together are at most 255, so that no sum overflows. A tile covers TILE_M metres and repeats; styles in
STRETCHED are drawn once over the height of the wall, a door also once over its width. Each texture carries its
smaller versions (mip levels) behind it, so that what is far off does not flicker.
"""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float64, Int32, UInt16

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.scene import CEILING_STYLES, FLOOR_STYLES, WALL_STYLES

TILE, TILE_M = 128, 2.0
LEVELS = 8
STRETCHED = ("plaster", "panel", "fence", "door", "window")
Pattern = tuple[Float64[np.ndarray, "t t"], Float64[np.ndarray, "t t"]]

_SECOND: dict[str, tuple[int, int, int]] = {
    "plaster": (235, 230, 220), "brick": (190, 185, 175), "panel": (245, 243, 238), "concrete": (150, 150, 148),
    "tiles": (225, 225, 222), "hedge": (160, 190, 90), "fence": (60, 48, 36), "door": (225, 200, 90),
    "window": (150, 195, 225), "wood": (60, 38, 20), "carpet": (200, 200, 200), "grass": (150, 170, 70),
    "gravel": (215, 210, 200), "paving": (90, 88, 82), "sky": (255, 255, 255), "plain": (255, 255, 255),
    "panels": (120, 120, 120),
}  # fmt: skip


@lru_cache(maxsize=1)
def textures() -> UInt16[np.ndarray, "styles texels"]:
    """Return own + 256 * second weight: walls, floors, ceilings by style, each with its levels one behind another."""
    wall, floor, ceiling = (
        [_mipmapped(_pattern(group, style)) for style in styles]
        for group, styles in (("wall", WALL_STYLES), ("floor", FLOOR_STYLES), ("ceiling", CEILING_STYLES))
    )
    return np.stack(wall + floor + ceiling)


@lru_cache(maxsize=1)
def second_colours() -> Int32[np.ndarray, "styles 3"]:
    """Return each style's second colour, in the order of `textures`."""
    return np.array([_SECOND[style] for style in (*WALL_STYLES, *FLOOR_STYLES, *CEILING_STYLES)], np.int32)


def level_offsets() -> Int32[np.ndarray, " levels"]:
    """Return where each level begins behind the start of its texture."""
    sizes = [(TILE >> level) ** 2 for level in range(LEVELS)]
    return np.cumsum([0, *sizes[:-1]]).astype(np.int32)


def _mipmapped(pattern: Pattern) -> UInt16[np.ndarray, " texels"]:
    image = np.stack(pattern, axis=-1)
    levels = [cv2.resize(image, (TILE >> k, TILE >> k), interpolation=cv2.INTER_AREA) for k in range(LEVELS)]
    flat = np.concatenate([level.reshape(-1, 2) for level in levels])
    own = np.clip(np.round(flat[:, 0] * 255), 0, 255)
    second = np.clip(np.round(flat[:, 1] * 255), 0, 255 - own)
    return (own + 256 * second).astype(np.uint16)


def _pattern(group: str, style: str) -> Pattern:
    rng = generator(0, "texture", group, style)
    draw = {"tiles": _tiles if group == "wall" else _floor_tiles, "concrete": _concrete}.get(style)
    return (draw or _DRAW[style])(rng)


def _noise(rng: np.random.Generator, *cells: int) -> Float64[np.ndarray, "t t"]:
    """Smooth noise that repeats with the tile, the mean over grids of so many cells, about 0 with deviation 1."""
    total = np.zeros((TILE, TILE))
    for count in cells:
        grid = np.tile(rng.standard_normal((count, count)), (3, 3))
        wide = cv2.resize(grid, (3 * TILE, 3 * TILE), interpolation=cv2.INTER_CUBIC)
        total += wide[TILE : 2 * TILE, TILE : 2 * TILE]
    return total / total.std()


def _grid() -> tuple[Float64[np.ndarray, "t t"], Float64[np.ndarray, "t t"]]:
    """Return x and y in [0, 1) over the tile; y grows downwards on walls."""
    axis = (np.arange(TILE) + 0.5) / TILE
    return np.tile(axis, (TILE, 1)), np.tile(axis[:, None], (1, TILE))


def _two(own: Float64[np.ndarray, "t t"], second: Float64[np.ndarray, "t t"]) -> Pattern:
    """Blend: `second` in [0, 1] covers `own`."""
    second = np.clip(second, 0, 1)
    return np.clip(own, 0, 1) * (1 - second), second


def _plaster(rng: np.random.Generator) -> Pattern:
    _, y = _grid()
    own = 0.93 + 0.025 * _noise(rng, 16, 64)
    return _two(np.where(y > 0.955, 0.42, own), np.where((y > 0.945) & (y <= 0.955), 0.5, 0.0))


def _brick(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    rows, columns = 16, 8
    row = np.floor(y * rows).astype(int)
    shifted = x * columns + 0.5 * (row % 2)
    mortar = (y * rows % 1 < 0.13) | (shifted % 1 < 0.07)
    tone = rng.uniform(0.72, 1.0, (rows, columns))[row, np.floor(shifted).astype(int) % columns]
    return _two(tone + 0.03 * _noise(rng, 64), np.where(mortar, 0.85, 0.0))


def _panel(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    lower = y > 0.62
    groove = np.minimum(x * 4 % 1, 1 - x * 4 % 1) < 0.03
    own = np.where(lower, 0.66 - 0.16 * groove, 0.95 + 0.01 * _noise(rng, 32))
    rail = (y > 0.6) & (y <= 0.625)
    own = np.where(rail | (y > 0.96), 0.45, own)
    return _two(own, np.where(lower | rail, 0.0, 0.25))


def _concrete(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    joint = (x * 2 % 1 < 0.012) | (y * 2 % 1 < 0.012)
    return _two(0.86 + 0.05 * _noise(rng, 4, 8, 32) - 0.3 * joint, np.full_like(x, 0.12))


def _tiles(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    line = (x * 8 % 1 < 0.07) | (y * 8 % 1 < 0.07)
    tone = rng.uniform(0.86, 1.0, (8, 8)).repeat(TILE // 8, 0).repeat(TILE // 8, 1)
    return _two(tone, np.where(line, 0.8, 0.0))


def _floor_tiles(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    line = (x * 4 % 1 < 0.03) | (y * 4 % 1 < 0.03)
    chequer = (np.floor(x * 4) + np.floor(y * 4)) % 2
    return _two(0.95 - 0.22 * chequer + 0.015 * _noise(rng, 32), np.where(line, 0.55, 0.0))


def _hedge(rng: np.random.Generator) -> Pattern:
    leaves = _noise(rng, 32, 64, 128)
    return _two(0.68 + 0.17 * leaves, np.clip(0.12 * (leaves - 0.8), 0, 0.3))


def _fence(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    count = 10
    across = x * count % 1
    tone = rng.uniform(0.78, 1.0, count)[np.floor(x * count).astype(int)]
    gap = (across < 0.16) & ~((y > 0.18) & (y < 0.3)) & ~((y > 0.72) & (y < 0.84))
    return _two(tone + 0.03 * _noise(rng, 8, 64), np.where(gap, 0.9, 0.0))


def _door(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    frame = (x < 0.07) | (x > 0.93) | (y < 0.05)
    inside = (np.abs(np.abs(x - 0.5) - 0.2) < 0.12) & ((np.abs(y - 0.3) < 0.16) | (np.abs(y - 0.74) < 0.16))
    edge = (np.abs(np.abs(x - 0.5) - 0.2) < 0.14) & ((np.abs(y - 0.3) < 0.18) | (np.abs(y - 0.74) < 0.18)) & ~inside
    handle = (np.abs(x - 0.84) < 0.035) & (np.abs(y - 0.53) < 0.03)
    own = np.where(frame, 0.55, np.where(edge, 0.6, np.where(inside, 0.84, 0.97)))
    return _two(own + 0.01 * _noise(rng, 32), np.where(handle, 1.0, 0.0))


def _window(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    pane = (np.abs(x - 0.5) < 0.3) & (np.abs(y - 0.38) < 0.24)
    frame = (np.abs(x - 0.5) < 0.34) & (np.abs(y - 0.38) < 0.28) & ~pane
    cross = pane & ((np.abs(x - 0.5) < 0.02) | (np.abs(y - 0.38) < 0.015))
    own = np.where(frame | cross, 0.45, 0.93 + 0.02 * _noise(rng, 16, 64))
    glass = 0.82 + 0.12 * ((x + y) * 3 % 1 < 0.3)
    return _two(np.where(y > 0.955, 0.45, own), np.where(pane & ~cross, glass, 0.0))


def _wood(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    rows = 12
    row = np.floor(y * rows).astype(int)
    ends = np.abs((x * 2 + rng.uniform(0, 1, rows)[row]) % 1) < 0.012
    seam = (y * rows % 1 < 0.07) | ends
    tone = rng.uniform(0.78, 1.0, rows)[row]
    grain = cv2.resize(rng.standard_normal((TILE, 8)), (TILE, TILE), interpolation=cv2.INTER_LINEAR)
    return _two(tone + 0.03 * grain, np.where(seam, 0.6, 0.0))


def _carpet(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    dots = ((x * 8 % 1 - 0.5) ** 2 + (y * 8 % 1 - 0.5) ** 2) < 0.03
    return _two(0.86 + 0.06 * _noise(rng, 64, 128), np.where(dots, 0.25, 0.0))


def _grass(rng: np.random.Generator) -> Pattern:
    blades = _noise(rng, 8, 64, 128)
    return _two(0.78 + 0.11 * blades, np.clip(0.12 + 0.1 * _noise(rng, 4, 32), 0, 0.4))


def _gravel(rng: np.random.Generator) -> Pattern:
    stones = _noise(rng, 64, 128)
    return _two(0.8 + 0.13 * stones, np.clip(0.2 * (stones - 0.6), 0, 0.5))


def _paving(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    row = np.floor(y * 4).astype(int)
    shifted = x * 3 + 0.5 * (row % 2)
    joint = (y * 4 % 1 < 0.05) | (shifted % 1 < 0.04)
    tone = rng.uniform(0.82, 1.0, (4, 3))[row, np.floor(shifted).astype(int) % 3]
    return _two(tone + 0.03 * _noise(rng, 16, 64), np.where(joint, 0.75, 0.0))


def _sky(rng: np.random.Generator) -> Pattern:
    clouds = _noise(rng, 4, 4, 8, 16)
    return _two(np.ones((TILE, TILE)), np.clip(0.45 * (clouds - 0.2), 0, 0.85))


def _plain(rng: np.random.Generator) -> Pattern:
    return _two(0.95 + 0.015 * _noise(rng, 32), np.zeros((TILE, TILE)))


def _panels(rng: np.random.Generator) -> Pattern:
    x, y = _grid()
    line = (x * 4 % 1 < 0.035) | (y * 4 % 1 < 0.035)
    return _two(0.94 + 0.02 * _noise(rng, 64), np.where(line, 0.5, 0.0))


_DRAW = {
    "plaster": _plaster, "brick": _brick, "panel": _panel, "hedge": _hedge, "fence": _fence, "door": _door,
    "window": _window, "wood": _wood, "carpet": _carpet, "grass": _grass, "gravel": _gravel, "paving": _paving,
    "sky": _sky, "plain": _plain, "panels": _panels,
}  # fmt: skip
