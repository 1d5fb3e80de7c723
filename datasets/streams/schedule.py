"""Which pool and observation each slot of an epoch draws.

Everything is a function of (seed, epoch): an epoch can be entered in the middle, and ranks agree without talking.
Shares are exact per epoch, up to rounding. A pool's observations come in a new random order each time all of them have
been drawn, epochs included, so that a small share visits everything in the end.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from embodied_cf.datasets.randomness import generator


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

    @cached_property
    def quotas(self) -> tuple[tuple[int, ...], ...]:
        """Draws per epoch, for each source those of its pools."""
        groups = quota(np.array([sum(source) for source in self.shares]), self.steps * self.batch_size // self.together)
        return tuple(
            tuple(quota(np.array(source), count * self.together).tolist())
            for source, count in zip(self.shares, groups.tolist(), strict=True)
        )

    def slots(self, epoch: int) -> Slots:
        """Return the slots of an epoch."""
        return _slots(self, epoch)


@lru_cache(maxsize=2)  # training and validation
def _slots(schedule: Schedule, epoch: int) -> Slots:
    rng = generator(schedule.seed, "slots", str(epoch))
    pool = _pools(schedule, rng)
    entry = np.zeros(len(pool), np.int32)
    quotas = [count for source in schedule.quotas for count in source]
    for number, (count, size) in enumerate(zip(quotas, schedule.sizes, strict=True)):
        entry[pool == number] = _visited(schedule.seed, number, epoch * count, count, size)
    shape = (schedule.steps, schedule.batch_size)
    return Slots(pool.reshape(shape), entry.reshape(shape), rng.random(shape, np.float32))


def _pools(schedule: Schedule, rng: np.random.Generator) -> Int32[np.ndarray, " slots"]:
    """Return the pool of every slot: sources are dealt out to groups, then pools of the source to slots."""
    totals = [sum(source) // schedule.together for source in schedule.quotas]
    source = np.repeat(rng.permutation(np.repeat(np.arange(len(totals)), totals)), schedule.together)
    pool, first = np.zeros(len(source), np.int32), 0
    for index, counts in enumerate(schedule.quotas):
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


def quota(shares: Float64[np.ndarray, " n"], total: int) -> Int64[np.ndarray, " n"]:
    """Divide `total` by shares into whole numbers that add up to it (largest remainder).

    >>> quota(np.array([1.0, 2.0]), 4)
    array([1, 3])
    """
    ideal = shares / shares.sum() * total
    whole = np.floor(ideal).astype(np.int64)
    rest = np.argsort(whole - ideal, kind="stable")[: total - int(whole.sum())]
    whole[rest] += 1
    return whole
