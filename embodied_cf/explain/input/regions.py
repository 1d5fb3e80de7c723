"""Which regions of the frame an action depends on: blank one, or show there what is somewhere else."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from embodied_cf.datasets.randomness import generator
from embodied_cf.errors import UsageError
from embodied_cf.explain.episode.alternatives import drawing
from embodied_cf.explain.input.asking import Asker, apart
from embodied_cf.policies.contract import Observation

GRID = 8
"""Regions across and down."""
_DRAWS = 16
"""Chunks by which a divergence is estimated."""
Cell = tuple[int, int]


@dataclass(frozen=True)
class Regions:
    """Effects of single regions, and the smallest set of them that changes the action."""

    moved: Float64[np.ndarray, "g g"]
    """m: effect of blanking each region, by row and column: the greater of two, see `blanked`."""
    swapped: Float64[np.ndarray, "g g"]
    """m: effect of showing there what the distractor frame shows."""
    traced: Float64[np.ndarray, "g g"] | None
    """nats: divergence of the law of the action, seen as it is, from the law with a region blanked; None for a policy
    that tells no log-probabilities."""
    smallest: tuple[Cell, ...]
    """Regions that change the action when blanked together, none of them needless; empty if even all do not."""


@dataclass(frozen=True)
class Shown:
    """What a policy is shown and told."""

    image: UInt8[np.ndarray, "t h w 3"]
    odometry: Float32[np.ndarray, "t1 3"]
    told: str

    def instead(self, images: UInt8[np.ndarray, "n t h w 3"]) -> tuple[Observation, tuple[str, ...]]:
        """Return other images and the same words, seen on the same way."""
        count = len(images)
        return Observation(images, np.repeat(self.odometry[None], count, axis=0)), (self.told,) * count


def probe_regions(
    asker: Asker,
    shown: Shown,
    distractor: UInt8[np.ndarray, "t h w 3"],
    chunk: Float64[np.ndarray, "k 2"],
    threshold: float,
) -> Regions:
    """Blank and swap each region of all frames alike; `chunk` is what the policy does with what it is shown."""
    cells = [(row, column) for row in range(GRID) for column in range(GRID)]
    single: list[set[Cell]] = [{cell} for cell in cells]
    blanks = blanked(shown.image)
    effects = [_effects(asker, shown, single, fill, chunk) for fill in blanks]
    moved, swapped = np.maximum(*effects), _effects(asker, shown, single, distractor, chunk)
    blank = filled(blanks[0], {cells[at] for at in np.flatnonzero(effects[1] > effects[0])}, blanks[1])
    smallest = _smallest(asker, shown, blank, chunk, threshold, [cells[at] for at in np.argsort(-moved)])
    traced = _divergences(asker, shown, single, blank)
    return Regions(moved.reshape(GRID, GRID), swapped.reshape(GRID, GRID), traced, smallest)


def blanked(seen: UInt8[np.ndarray, "t h w 3"]) -> tuple[UInt8[np.ndarray, "t h w 3"], UInt8[np.ndarray, "t h w 3"]]:
    """Return frames without content: all in their mean colour, and each region in the colour least like its own.

    The mean looks most like the data, but a region that has about that colour is not missed under it. The other has,
    of each channel, 0 or 255, whichever is further from the region's mean.
    """
    middle = seen.reshape(-1, 3).mean(axis=0).astype(np.uint8)
    unlike = np.empty_like(seen)
    for row in range(GRID):
        for column in range(GRID):
            region = _region(seen, (row, column))
            unlike[region] = np.where(seen[region].reshape(-1, 3).mean(axis=0) < 128, 255, 0)
    return np.broadcast_to(middle, seen.shape).copy(), unlike


@runtime_checkable
class Telling(Protocol):
    """A policy that tells how likely it is to draw a chunk."""

    def log_probability(
        self, observation: Observation, instruction: tuple[str, ...], chunk: Float32[np.ndarray, "b k a"]
    ) -> Float32[np.ndarray, " b"]:
        """Return the log-probability of each chunk. Raises UsageError if its law is not known."""
        ...


def _divergences(
    asker: Asker,
    shown: Shown,
    groups: list[set[Cell]],
    fill: UInt8[np.ndarray, "t h w 3"],
) -> Float64[np.ndarray, "g g"] | None:
    """Estimate KL(law as seen, law with a region blanked) for each region by draws as seen, as KL-tracing
    (arXiv 2507.09082) does for the next frame."""
    policy = asker.policy
    if not isinstance(policy, Telling):
        return None
    rng = generator(asker.seed, "explain", "trace")
    drawn = drawing(policy).act(*shown.instead(np.stack([shown.image] * _DRAWS)), rng).chunk

    def law(image: UInt8[np.ndarray, "t h w 3"]) -> Float64[np.ndarray, " d"]:
        asker.asked += _DRAWS
        return policy.log_probability(*shown.instead(np.stack([image] * _DRAWS)), drawn).astype(np.float64)

    try:
        clean = law(shown.image)
    except UsageError:
        return None
    return np.array([(clean - law(filled(shown.image, group, fill))).mean() for group in groups]).reshape(GRID, GRID)


def _effects(
    asker: Asker,
    shown: Shown,
    groups: list[set[Cell]],
    fill: UInt8[np.ndarray, "t h w 3"],
    chunk: Float64[np.ndarray, "k 2"],
) -> Float64[np.ndarray, " n"]:
    images = np.stack([filled(shown.image, group, fill) for group in groups])
    return apart(asker.chunks(*shown.instead(images)), chunk[None])


def filled(
    seen: UInt8[np.ndarray, "t h w 3"], cells: set[Cell], fill: UInt8[np.ndarray, "t h w 3"]
) -> UInt8[np.ndarray, "t h w 3"]:
    """Return frames with regions taken from other frames."""
    image = seen.copy()
    for cell in cells:
        image[_region(seen, cell)] = fill[_region(seen, cell)]
    return image


def _region(seen: UInt8[np.ndarray, "t h w 3"], cell: Cell) -> tuple[slice, slice, slice]:
    (row, column), (height, width) = cell, seen.shape[1:3]
    rows = slice(height * row // GRID, height * (row + 1) // GRID)
    return slice(None), rows, slice(width * column // GRID, width * (column + 1) // GRID)


def _smallest(
    asker: Asker,
    shown: Shown,
    fill: UInt8[np.ndarray, "t h w 3"],
    chunk: Float64[np.ndarray, "k 2"],
    threshold: float,
    order: list[Cell],
) -> tuple[Cell, ...]:
    """Add regions in order of their effect until the action changes, then take back whatever is not needed."""
    growing = [set(order[: count + 1]) for count in range(len(order))]
    effects = _effects(asker, shown, growing, fill, chunk)
    enough = np.flatnonzero(effects > threshold)
    if not len(enough):
        return ()
    kept = order[: int(enough[0]) + 1]
    for cell in reversed(kept[:-1]):
        fewer = set(kept) - {cell}
        if _effects(asker, shown, [fewer], fill, chunk)[0] > threshold:
            kept = [it for it in kept if it != cell]
    return tuple(kept)
