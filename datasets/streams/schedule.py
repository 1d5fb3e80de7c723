"""Which pool each slot of an epoch draws from, and how often that pool was drawn from before.

Everything is a function of (seed, epoch, step): an epoch can be entered in the middle, and ranks agree without
talking. Shares are exact per epoch, up to rounding. A pool's observations come in a new random order each time all of
them have been drawn, epochs included, so that a small share visits everything in the end.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float64, Int64

from embodied_cf.datasets.randomness import generator


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
    def quotas(self) -> Int64[np.ndarray, " p"]:
        """Draws per pool and epoch."""
        groups = quota(np.array([sum(source) for source in self.shares]), self.steps * self.batch_size // self.together)
        parts = [
            quota(np.array(source), int(count) * self.together)
            for source, count in zip(self.shares, groups, strict=True)
        ]
        return np.concatenate(parts)

    def pools(self, epoch: int) -> Int64[np.ndarray, "steps b"]:
        """Return the pool of every slot of an epoch."""
        return _pools(self, epoch)

    def order(self, pool: int, lap: int) -> Int64[np.ndarray, " m"]:
        """Return the order of a pool's observations on its lap-th time round."""
        return _order(self.seed, pool, lap, self.sizes[pool])

    def entries(self, epoch: int, step: int) -> tuple[Int64[np.ndarray, " b"], Int64[np.ndarray, " b"]]:
        """Return pool and observation (index in the pool) of every slot of a batch."""
        pools = self.pools(epoch)[step]
        entry = np.zeros_like(pools)
        for pool in np.unique(pools).tolist():
            slots = np.flatnonzero(pools == pool)
            drawn = epoch * int(self.quotas[pool]) + int(_drawn(self, epoch)[step, pool]) + np.arange(len(slots))
            lap, at = np.divmod(drawn, self.sizes[pool])
            for number in np.unique(lap).tolist():
                entry[slots[lap == number]] = self.order(pool, number)[at[lap == number]]
        return pools, entry


@lru_cache(maxsize=2)
def _pools(schedule: Schedule, epoch: int) -> Int64[np.ndarray, "steps b"]:
    first = np.cumsum([0, *(len(source) for source in schedule.shares)])
    quotas = schedule.quotas
    parts = [quotas[first[source] : first[source + 1]] for source in range(len(schedule.shares))]
    rng = generator(schedule.seed, "slots", str(epoch))
    groups = rng.permutation(np.repeat(np.arange(len(parts)), [int(part.sum()) // schedule.together for part in parts]))
    source = np.repeat(groups, schedule.together)
    pools = np.zeros(len(source), np.int64)
    for index, part in enumerate(parts):
        pools[source == index] = rng.permutation(np.repeat(np.arange(first[index], first[index + 1]), part))
    return pools.reshape(schedule.steps, schedule.batch_size)


@lru_cache(maxsize=2)
def _drawn(schedule: Schedule, epoch: int) -> Int64[np.ndarray, "steps p"]:
    """Return how many draws of each pool come before each step of the epoch."""
    count = len(schedule.sizes)
    pools = _pools(schedule, epoch) + count * np.arange(schedule.steps)[:, None]
    per_step = np.bincount(pools.ravel(), minlength=count * schedule.steps).reshape(schedule.steps, count)
    return np.cumsum(per_step, axis=0) - per_step


@lru_cache(maxsize=16)
def _order(seed: int, pool: int, lap: int, size: int) -> Int64[np.ndarray, " m"]:
    return generator(seed, "order", str(pool), str(lap)).permutation(size)


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
