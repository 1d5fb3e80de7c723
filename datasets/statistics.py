"""What numbers and texts are like over a whole dataset, from one pass in constant memory.

Each `...Tally` is fed episode by episode and gives a frozen summary at the end. Quantiles, histograms and
medians come from seeded reservoirs: exact up to their capacity, an unbiased sample of it beyond.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from embodied_cf.datasets.randomness import generator

CAPACITY = 8192
"""Rows that a reservoir keeps."""
WIDEST = 64
"""Dimensions that are told apart; the numbers of wider features, such as embeddings, are pooled."""
BINS = 24
MOST_TEXTS = 100_000
"""Distinct texts that are remembered one by one."""


class Reservoir:
    """A uniform sample of the rows seen so far, at most `CAPACITY` of them (algorithm R)."""

    def __init__(self, width: int, purpose: str) -> None:
        self._rng = generator(0, "reservoir", purpose)
        self._rows = np.zeros((CAPACITY, width))
        self._seen = 0

    def add(self, rows: Float[np.ndarray, "n d"]) -> None:
        """Offer rows to the sample."""
        number = np.arange(self._seen, self._seen + len(rows))
        slot = np.where(number < CAPACITY, number, self._rng.integers(0, number + 1))
        kept = slot < CAPACITY
        self._rows[slot[kept]] = rows[kept]
        self._seen += len(rows)

    @property
    def rows(self) -> Float[np.ndarray, "k d"]:
        """The sample."""
        return self._rows[: min(self._seen, CAPACITY)]


@dataclass(frozen=True)
class NumberSummary:
    """One numeric per-step feature. Tuples hold one entry per dimension, or a single one if `pooled`."""

    key: str
    steps: int
    pooled: bool
    not_finite: int
    """Values that are NaN or infinite; they are left out of everything below, which is NaN if nothing is left."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Over the population (divided by n)."""
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    q01: tuple[float, ...]
    q99: tuple[float, ...]
    zeros: tuple[float, ...]
    """Share of exact zeros."""
    histogram: tuple[tuple[int, ...], ...]
    """Counts in `BINS` equal bins from minimum to maximum, of the sampled rows."""

    @property
    def constant(self) -> tuple[int, ...]:
        """Dimensions that hold one and the same value in every step."""
        return tuple(i for i, (low, high) in enumerate(zip(self.minimum, self.maximum, strict=True)) if low == high)


class NumberTally:
    """Statistics of one numeric feature."""

    def __init__(self, key: str, width: int) -> None:
        self._key, self._pooled = key, width > WIDEST
        dimensions = 1 if self._pooled else width
        self._steps = self._not_finite = 0
        self._count, self._mean, self._squares, self._zeros = (np.zeros(dimensions) for _ in range(4))
        self._low, self._high = np.full(dimensions, np.inf), np.full(dimensions, -np.inf)
        self._sample = Reservoir(dimensions, key)

    def add(self, values: Float[np.ndarray, "t d"]) -> None:
        """Take in the steps of one episode."""
        self._steps += len(values)
        rows = values.reshape(-1, 1) if self._pooled else values
        finite = np.isfinite(rows)
        self._not_finite += int((~finite).sum())
        self._merge(np.where(finite, rows, 0.0), finite)
        self._zeros += (rows == 0).sum(axis=0)
        self._low = np.minimum(self._low, np.where(finite, rows, np.inf).min(axis=0, initial=np.inf))
        self._high = np.maximum(self._high, np.where(finite, rows, -np.inf).max(axis=0, initial=-np.inf))
        self._sample.add(np.where(finite, rows, np.nan))

    def _merge(self, rows: Float[np.ndarray, "n d"], finite: Bool[np.ndarray, "n d"]) -> None:
        """Join mean and sum of squares with a batch's (Chan, Golub and LeVeque 1979)."""
        count = finite.sum(axis=0)
        mean = rows.sum(axis=0) / np.maximum(count, 1)
        squares = np.where(finite, (rows - mean) ** 2, 0.0).sum(axis=0)
        total, delta = self._count + count, mean - self._mean
        share = count / np.maximum(total, 1)
        self._squares += squares + delta**2 * self._count * share
        self._mean += delta * share
        self._count = total

    def summary(self) -> NumberSummary:
        """Return the statistics so far."""
        known = self._count > 0
        count = np.maximum(self._count, 1)
        columns = [column[np.isfinite(column)] for column in self._sample.rows.T]
        low, high = (np.where(known, bound, np.nan) for bound in (self._low, self._high))
        return NumberSummary(
            self._key, self._steps, self._pooled, self._not_finite,
            mean=_numbers(np.where(known, self._mean, np.nan)),
            std=_numbers(np.where(known, np.sqrt(self._squares / count), np.nan)),
            minimum=_numbers(low), maximum=_numbers(high),
            q01=tuple(_quantile(column, 0.01) for column in columns),
            q99=tuple(_quantile(column, 0.99) for column in columns),
            zeros=_numbers(self._zeros / count),
            histogram=tuple(_bins(*column) for column in zip(columns, low, high, strict=True)),
        )  # fmt: skip


@dataclass(frozen=True)
class LengthSummary:
    """How many steps the episodes have. Bins are [edges[i], edges[i + 1]), the last one closed."""

    minimum: int
    maximum: int
    mean: float
    median: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]


def summarise_lengths(lengths: Counter[int]) -> LengthSummary | None:
    """Return the distribution of episode lengths (length to episodes), None if there is no episode."""
    if not lengths:
        return None
    sizes = np.repeat(list(lengths), list(lengths.values()))
    low, high = int(sizes.min()), int(sizes.max())
    # whole steps per bin, so that no bin is emptier than its neighbour only by rounding
    width = max(1, -(-(high - low + 1) // BINS))
    edges = np.arange(low, high + width + 1, width)
    counts, _ = np.histogram(sizes, edges)
    return LengthSummary(low, high, float(sizes.mean()), float(np.median(sizes)),
                         tuple(edges.astype(float).tolist()), tuple(counts.tolist()))  # fmt: skip


@dataclass(frozen=True)
class LanguageSummary:
    """One language feature. A feature with several texts per step is padded with "", which then says nothing."""

    key: str
    steps: int
    empty_steps: int
    """Steps at which every text is ""."""
    distinct: int
    """Different non-empty texts; a lower bound beyond `MOST_TEXTS`."""
    frequent: tuple[tuple[str, int], ...]
    """The texts of most episodes, with the number of episodes that hold them."""
    per_episode: tuple[tuple[int, int], ...]
    """(different texts in one episode, number of such episodes)."""


class LanguageTally:
    """Counts the texts of one language feature."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._steps = self._empty = 0
        self._episodes: Counter[str] = Counter()
        self._per_episode: Counter[int] = Counter()

    def add(self, texts: Sequence[Sequence[str]]) -> None:
        """Take in one episode: the texts of each step."""
        self._steps += len(texts)
        self._empty += sum(not any(slots) for slots in texts)
        distinct = {text for slots in texts for text in slots if text}
        self._per_episode[len(distinct)] += 1
        room = len(self._episodes) < MOST_TEXTS
        self._episodes.update(sorted(text for text in distinct if room or text in self._episodes))

    def summary(self, frequent: int = 20) -> LanguageSummary:
        """Return the counts so far."""
        ranked = sorted(self._episodes.items(), key=lambda item: (-item[1], item[0]))
        return LanguageSummary(self._key, self._steps, self._empty, len(self._episodes), tuple(ranked[:frequent]),
                               tuple(sorted(self._per_episode.items())))  # fmt: skip


def _numbers(values: Float[np.ndarray, " d"]) -> tuple[float, ...]:
    return tuple(values.tolist())


def _quantile(values: Float[np.ndarray, " n"], share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")


def _bins(values: Float[np.ndarray, " n"], low: float, high: float) -> tuple[int, ...]:
    if not len(values):
        return (0,) * BINS
    try:
        # halves, since the whole range may be more than a number holds
        counts, _ = np.histogram(values / 2, BINS, (low / 2, high / 2))
    except ValueError:
        # numbers so large, or so close together, that nothing lies between: nanoseconds since 1970, always the same
        return tuple(len(values) * (at == BINS // 2) for at in range(BINS))
    return tuple(counts.tolist())
