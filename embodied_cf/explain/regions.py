"""Which regions of the frame an action depends on: blank one, or show there what is somewhere else."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from embodied_cf.explain.asking import Asker, apart

GRID = 8
"""Regions across and down."""
Cell = tuple[int, int]


@dataclass(frozen=True)
class Regions:
    """Effects of single regions, and the smallest set of them that changes the action."""

    moved: Float64[np.ndarray, "g g"]
    """m: effect of blanking each region, by row and column."""
    swapped: Float64[np.ndarray, "g g"]
    """m: effect of showing there what the distractor frame shows."""
    smallest: tuple[Cell, ...]
    """Regions that change the action when blanked together, none of them needless; empty if even all do not."""


def probe_regions(
    asker: Asker,
    seen: UInt8[np.ndarray, "t h w 3"],
    distractor: UInt8[np.ndarray, "t h w 3"],
    told: str,
    chunk: Float64[np.ndarray, "k 2"],
    threshold: float,
) -> Regions:
    """Blank and swap each region of all frames alike; `chunk` is what the policy does with `seen`."""
    cells = [(row, column) for row in range(GRID) for column in range(GRID)]
    blank = np.broadcast_to(seen.reshape(-1, 3).mean(axis=0).astype(np.uint8), seen.shape)
    moved, swapped = (
        _effects(asker, seen, [{cell} for cell in cells], fill, told, chunk) for fill in (blank, distractor)
    )
    smallest = _smallest(asker, seen, blank, told, chunk, threshold, [cells[at] for at in np.argsort(-moved)])
    return Regions(moved.reshape(GRID, GRID), swapped.reshape(GRID, GRID), smallest)


def _effects(
    asker: Asker,
    seen: UInt8[np.ndarray, "t h w 3"],
    groups: list[set[Cell]],
    fill: UInt8[np.ndarray, "t h w 3"],
    told: str,
    chunk: Float64[np.ndarray, "k 2"],
) -> Float64[np.ndarray, " n"]:
    images = np.stack([filled(seen, group, fill) for group in groups])
    return apart(asker.chunks(images, [told] * len(groups)), chunk[None])


def filled(
    seen: UInt8[np.ndarray, "t h w 3"], cells: set[Cell], fill: UInt8[np.ndarray, "t h w 3"]
) -> UInt8[np.ndarray, "t h w 3"]:
    """Return frames with regions taken from other frames."""
    image, (height, width) = seen.copy(), seen.shape[1:3]
    for row, column in cells:
        rows = slice(height * row // GRID, height * (row + 1) // GRID)
        columns = slice(width * column // GRID, width * (column + 1) // GRID)
        image[:, rows, columns] = fill[:, rows, columns]
    return image


def _smallest(
    asker: Asker,
    seen: UInt8[np.ndarray, "t h w 3"],
    fill: UInt8[np.ndarray, "t h w 3"],
    told: str,
    chunk: Float64[np.ndarray, "k 2"],
    threshold: float,
    order: list[Cell],
) -> tuple[Cell, ...]:
    """Add regions in order of their effect until the action changes, then take back whatever is not needed."""
    growing = [set(order[: count + 1]) for count in range(len(order))]
    effects = _effects(asker, seen, growing, fill, told, chunk)
    enough = np.flatnonzero(effects > threshold)
    if not len(enough):
        return ()
    kept = order[: int(enough[0]) + 1]
    for cell in reversed(kept[:-1]):
        fewer = set(kept) - {cell}
        if _effects(asker, seen, [fewer], fill, told, chunk)[0] > threshold:
            kept = [it for it in kept if it != cell]
    return tuple(kept)
