"""Which pool and observation each slot of an epoch draws.

Everything is a function of (seed, epoch): an epoch can be entered in the middle, and ranks agree without talking.
Shares are exact, up to one draw per epoch that evens out over epochs. A pool's observations come in a new random order
each time all of them have been drawn, epochs included, so that a small share visits everything in the end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from embodied_cf.datasets.randomness import generator

_GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it, and of other irrationals, fill [0, 1) evenly."""


@dataclass(frozen=True)
class Slots:
    """The slots of an epoch, or of one of its batches."""

    pool: Int32[np.ndarray, "*steps b"]
    entry: Int32[np.ndarray, "*steps b"]
    """Index of an observation in the pool."""
    chance: Float32[np.ndarray, "*steps b"]
    """Uniform in [0, 1): which of the observation's labels."""

    def at(self, step: int) -> "Slots":
        """Return those of one batch."""
        return Slots(self.pool[step], self.entry[step], self.chance[step])


@dataclass(frozen=True)
class Schedule:
    """An epoch of `steps` batches of `batch_size` slots; `together` consecutive slots share a source."""

    steps: int
    batch_size: int
    together: int
    seed: int
    shares: tuple[tuple[float, ...], ...]
    """For each source the shares of its pools; pools are numbered through. They need not add up to 1."""
    sizes: tuple[int, ...]
    """Observations per pool."""

    def quotas(self, epoch: int) -> list[Int64[np.ndarray, "epochs _"]]:
        """Return, for each source, how often its pools are drawn from in epochs 0, ..., `epoch`."""
        turn = np.arange(epoch + 1)
        groups = np.full(epoch + 1, self.steps * self.batch_size // self.together)
        totals = divide(np.array([sum(source) for source in self.shares]), groups, (0.5 + turn * _GOLDEN) % 1)
        at = (0.5 + turn * math.sqrt(2)) % 1
        return [divide(np.array(source), totals[:, i] * self.together, at) for i, source in enumerate(self.shares)]

    def slots(self, epoch: int) -> Slots:
        """Return the slots of an epoch."""
        return _slots(self, epoch)


@lru_cache(maxsize=2)  # training and validation
def _slots(schedule: Schedule, epoch: int) -> Slots:
    rng = generator(schedule.seed, "slots", str(epoch))
    quotas = schedule.quotas(epoch)
    pool = _pools([part[epoch] for part in quotas], schedule.together, rng)
    entry = np.zeros(len(pool), np.int32)
    for number, (counts, size) in enumerate(zip(np.concatenate(quotas, axis=1).T, schedule.sizes, strict=True)):
        before, count = int(counts[:epoch].sum()), int(counts[epoch])
        entry[pool == number] = _visited(schedule.seed, number, before, count, size)
    shape = (schedule.steps, schedule.batch_size)
    return Slots(pool.reshape(shape), entry.reshape(shape), rng.random(shape, np.float32))


def _pools(
    quotas: Sequence[Int64[np.ndarray, "_"]], together: int, rng: np.random.Generator
) -> Int32[np.ndarray, " slots"]:
    """Return the pool of every slot: sources are dealt out to groups, then pools of the source to slots."""
    totals = [int(counts.sum()) // together for counts in quotas]
    source = np.repeat(rng.permutation(np.repeat(np.arange(len(totals)), totals)), together)
    pool, first = np.zeros(len(source), np.int32), 0
    for index, counts in enumerate(quotas):
        numbers = np.arange(first, first + len(counts), dtype=np.int32)
        pool[source == index] = rng.permutation(np.repeat(numbers, counts))
        first += len(counts)
    return pool


def _visited(seed: int, pool: int, start: int, count: int, size: int) -> Int32[np.ndarray, " count"]:
    """Return draws start, start + 1, ... of a pool: lap after lap, each in an order of its own."""
    laps = range(start // size, (start + count - 1) // size + 1)
    orders = [
        generator(seed, "order", str(pool), str(lap)).permutation(np.arange(size, dtype=np.int32)) for lap in laps
    ]
    past = start - laps.start * size
    return np.concatenate([*orders, np.zeros(0, np.int32)])[past : past + count]


def divide(
    shares: Float64[np.ndarray, " n"], totals: Int64[np.ndarray, " e"], at: Float64[np.ndarray, " e"]
) -> Int64[np.ndarray, "e n"]:
    """Divide totals by shares into whole numbers that add up to them (systematic sampling).

    None is further than one from its exact share, and with `at` spread evenly over [0, 1) the mean is exact: a share of
    a tenth of a draw is drawn every tenth time.

    >>> divide(np.array([1.0, 3.0]), np.array([8, 2]), np.array([0.5, 0.5]))
    array([[2, 6],
           [1, 1]])
    """
    ends = np.cumsum(shares) / shares.sum()
    ends[-1] = 1.0
    edges = np.floor(totals[:, None] * ends + at[:, None]).astype(np.int64)
    return np.diff(edges, prepend=0, axis=1)
