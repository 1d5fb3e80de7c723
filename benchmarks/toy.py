"""A world with a known answer: three coloured posts in view, a robot that drives to the one that is named.

An expert that always drives to the nearest post, and is told so, need not listen. How clearly that post is the nearest
is `CLEAR` or `TIED`: in the first, the toy tells whether training works at all; the second flatters nobody. A policy
that is deaf reaches one post in three.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from embodied_cf.datasets.batch import Batch
from embodied_cf.datasets.contract import KINDS
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.randomness import generator
from embodied_cf.policies.contract import Observation, Policy

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 70, 220)}
NAMES = tuple(COLOURS)
_PHRASES = ("go to the {} post", "drive to the {} post")
_STEP_M = 0.3
CLEAR = ((1.0, 2.0, 2.0), (1.5, 3.5, 3.5))
"""Least and greatest distances of the three posts, m."""
TIED = ((1.0, 1.0, 1.0), (3.5, 3.5, 3.5))


@dataclass(frozen=True)
class Scenes:
    """N scenes with three posts each, nearest first."""

    image: np.ndarray  # (n, 1, h, w, 3)
    bearing: np.ndarray  # (n, 3) rad, left positive
    distance: np.ndarray  # (n, 3) m
    colour: np.ndarray  # (n, 3) index into NAMES

    def chunk(self, row: np.ndarray, post: np.ndarray) -> np.ndarray:
        """Return eight waypoints straight to a post of each row, ending in front of it."""
        reach = np.minimum(_STEP_M * np.arange(1, 9), self.distance[row, post][:, None] - 0.4)
        bearing = self.bearing[row, post][:, None]
        return np.stack([reach * np.cos(bearing), reach * np.sin(bearing)], axis=-1).astype(np.float32)


def scenes(count: int, seed: int, size: int = 32, distances: tuple[tuple[float, ...], ...] = CLEAR) -> Scenes:
    rng = generator(seed, "toy")
    sector = np.stack([rng.permutation(4)[:3] for _ in range(count)])
    bearing = np.deg2rad(30 - 20 * sector + rng.uniform(-5, 5, (count, 3)))
    distance = np.sort(rng.uniform(*distances, (count, 3)), axis=1)
    colour = np.stack([rng.permutation(len(NAMES))[:3] for _ in range(count)])
    image = np.full((count, 1, size, size, 3), 128, np.uint8)
    image[:, :, size // 2 :] = 90
    for row in range(count):
        for post in (2, 1, 0):
            _draw(image[row, 0], bearing[row, post], distance[row, post], COLOURS[NAMES[colour[row, post]]])
    return Scenes(image, bearing, distance, colour)


def _draw(image: np.ndarray, bearing: float, distance: float, colour: tuple[int, int, int]) -> None:
    size = len(image)
    focal = size / 2
    middle, half, high = size / 2 - focal * np.tan(bearing), 0.16 * focal / distance, 0.6 * focal / distance
    columns = slice(max(0, round(middle - half)), round(middle + half) + 1)
    image[max(0, round(size / 2 - high)) : round(size / 2 + high), columns] = colour


@dataclass(frozen=True)
class Toy:
    """A stream over scenes. `told` posts of each: (0,) is what an expert that goes to the nearest did."""

    scenes: Scenes
    told: tuple[int, ...] = (0, 1, 2)
    batch: int = 64
    seed: int = 0
    embodiment: ClassVar = load_embodiment("nav")
    fingerprint: ClassVar = "toy"

    @cached_property
    def instructions(self) -> tuple[str, ...]:
        return tuple(sorted(phrase.format(name) for phrase in _PHRASES for name in NAMES))

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.scenes.image) * len(self.told) // self.batch)

    def batches(self, epoch: int, start_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        order = generator(self.seed, "order", str(epoch)).permutation(len(self.scenes.image) * len(self.told))
        for step in range(start_step, self.steps_per_epoch):
            drawn = order[step * self.batch : (step + 1) * self.batch]
            row, post = np.divmod(drawn[rank * len(drawn) // world : (rank + 1) * len(drawn) // world], len(self.told))
            yield self.samples(row, np.array(self.told)[post])

    def samples(self, row: np.ndarray, post: np.ndarray) -> Batch:
        said = tuple(
            _PHRASES[r % 2].format(NAMES[c]) for r, c in zip(row.tolist(), self.scenes.colour[row, post], strict=True)
        )
        kind = np.where(post == 0, KINDS.index("hindsight"), KINDS.index("counterfactual")).astype(np.uint8)
        return Batch(
            self.scenes.image[row],
            said,
            self.scenes.chunk(row, post),
            np.ones((len(row), 8), bool),
            kind,
            np.ones(len(row), np.float32),
            np.zeros((len(row), 2, 3), np.float32),
            row.astype(np.int64),
        )

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        row = np.arange(len(self.scenes.image))
        for post in self.told:
            chunk = self.scenes.chunk(row, np.full(len(row), post))
            yield chunk, np.ones(chunk.shape[:2], bool)


def followed(policy: Policy, world: Scenes, post: int) -> float:
    """Return the share of scenes in which the policy, told to go to a post, heads for it rather than for another."""
    row = np.arange(len(world.image))
    said = Toy(world).samples(row, np.full(len(row), post)).instruction
    end = policy.act(Observation(world.image), said, generator(0, "toy")).chunk[:, -1]
    off = np.abs(np.arctan2(end[:, 1], end[:, 0])[:, None] - world.bearing)
    return float((off.argmin(1) == post).mean())
