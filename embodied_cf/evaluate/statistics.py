"""What a number of episodes shows: shares, paired gains and their 95 % intervals.

Wilson 1927 for a share; Newcombe 1998 (Statistics in Medicine 17, 2635-2650, method 10) for the difference of two
shares of the same episodes; McNemar's exact test for whether there is any; a bootstrap for several training seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Real
from scipy.special import stdtrit

Z = 1.96
DRAWS = 4000
"""Of a bootstrap."""

Outcomes = Bool[np.ndarray, " n"]
"""Success of n episodes."""
Table = Real[np.ndarray, "s _"]
"""A number for each of s training seeds and n episodes: the same for all seeds, or each seed's own."""


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Episodes."""

    def plain(self, name: str = "value") -> dict[str, object]:
        """Return it as JSON has it."""
        return {name: self.value, "ci95": [self.low, self.high], "n": self.n}


def wilson(successes: int, total: int, z: float = Z) -> tuple[float, float]:
    """Return the interval of a share, (0, 1) for no episodes. 8 of 10 are within (0.490, 0.943)."""
    if not total:
        return 0.0, 1.0
    share = successes / total
    middle, half = share + z * z / (2 * total), z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    return max(0.0, (middle - half) / (1 + z * z / total)), min(1.0, (middle + half) / (1 + z * z / total))


def rate(success: Outcomes) -> Estimate:
    """Return the share of successes; n >= 1."""
    return Estimate(float(success.mean()), *wilson(int(success.sum()), len(success)), len(success))


def paired_gain(ours: Outcomes, theirs: Outcomes) -> Estimate:
    """Return our share of successes less theirs, on the same episodes in the same order; n >= 1."""
    n, one, other = len(ours), float(ours.mean()), float(theirs.mean())
    (low, high), (low2, high2) = wilson(int(ours.sum()), n), wilson(int(theirs.sum()), n)
    together = _agreement(ours, theirs)
    below = _joint(one - low, high2 - other, together)
    above = _joint(high - one, other - low2, together)
    gain = one - other
    return Estimate(gain, max(-1.0, gain - below), min(1.0, gain + above), n)


def _joint(first: float, second: float, agreement: float) -> float:
    return math.sqrt(max(0.0, first * first - 2 * agreement * first * second + second * second))


def _agreement(ours: Outcomes, theirs: Outcomes) -> float:
    """Return the correlation phi of two outcomes, if positive corrected for continuity; 0 where one never varies."""
    both, neither = int((ours & theirs).sum()), int((~ours & ~theirs).sum())
    only, other = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    size = (both + only) * (other + neither) * (both + other) * (only + neither)
    if not size:
        return 0.0
    excess = both * neither - only * other
    return (max(excess - len(ours) / 2, 0.0) if excess > 0 else excess) / math.sqrt(size)


def mcnemar(ours: Outcomes, theirs: Outcomes) -> float:
    """Return the exact two-sided p of "neither succeeds more often", from the episodes where they differ."""
    only, other = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    tail = sum(math.comb(only + other, k) for k in range(min(only, other) + 1))
    return min(1.0, 2 * tail / 2 ** (only + other))


def all_of(success: Bool[np.ndarray, "n t"], k: int) -> float:
    """Return how often k tries of a task all succeed, from t >= k tries of n tasks each (unbiased; 2406.12045)."""
    won = success.sum(axis=1).tolist()
    return float(np.mean([math.comb(count, k) / math.comb(success.shape[1], k) for count in won]))


def normalised(table: Table, floor: float, ceiling: float) -> Table:
    """Return numbers such that `floor` becomes 0 and `ceiling` 1: what makes cells of unlike difficulty comparable."""
    return (table - floor) / (ceiling - floor)


def over_seeds(cells: Sequence[Table], rng: np.random.Generator, draws: int = DRAWS) -> Estimate:
    """Return the mean over cells, each counting the same, with an interval for other seeds and other episodes.

    Give success for a rate, differences of success of the same episodes for a gain, `normalised` ones for an
    aggregate. Seeds are drawn with replacement, the same for all cells; episodes within each cell, the same for all
    seeds. Where each seed has episodes of its own, these add to both parts: the interval is on the wide side.
    A bootstrap of S seeds is too narrow: their part is widened by t / z * sqrt(S / (S - 1)), t the quantile
    of Student's law with S - 1 degrees of freedom (after Hesterberg 2015). One seed says nothing about others: its
    interval is for other episodes only.
    """
    (mean,), (spread,) = _drawn([cells], rng, draws)
    low, high = np.quantile(mean + spread, (0.025, 0.975))
    return Estimate(mean, float(low), float(high), sum(cell.shape[1] for cell in cells))


def closed(
    ours: Sequence[Table], below: Sequence[Table], above: Sequence[Table], rng: np.random.Generator, draws: int = DRAWS
) -> Estimate | None:
    """Return the share of the distance from one arm to another that a third closes: (ours - below) / (above - below).

    Means over cells, and intervals, as in `over_seeds`; the same episodes and as many seeds for all three. None where
    `above` does not exceed `below`; draws in which it does not count as 0.
    """
    gained = [mine - low for mine, low in zip(ours, below, strict=True)]
    distance = [high - low for high, low in zip(above, below, strict=True)]
    (top, bottom), spread = _drawn([gained, distance], rng, draws)
    if bottom <= 0:
        return None
    low, high = _share_limits(top + spread[0], bottom + spread[1])
    return Estimate(top / bottom, low, high, sum(cell.shape[1] for cell in ours))


def followed(
    told: Sequence[Table],
    shuffled: Sequence[Table],
    chance: Sequence[Table],
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Estimate | None:
    """Return the language-following score (see `following`) of several training seeds.

    Means over cells, and intervals, as in `over_seeds`; None where success does not exceed chance for sure.
    """
    lost = [plain - other for plain, other in zip(told, shuffled, strict=True)]
    gained = [plain - other for plain, other in zip(told, chance, strict=True)]
    (top, bottom), spread = _drawn([lost, gained], rng, draws)
    if np.quantile(bottom + spread[1], 0.025) <= 0:
        return None
    low, high = _share_limits(top + spread[0], bottom + spread[1])
    return Estimate(top / bottom, low, high, sum(cell.shape[1] for cell in told))


def counted(table: Table, which: Bool[np.ndarray, "s n"]) -> Float64[np.ndarray, "s n"]:
    """Return numbers for `over_seeds` where only some episodes count, for each seed others; each has one at least.

    The mean of each row is that of the episodes that count; the others stand there as this mean. What deviates from it
    is divided by the share of those that count, so that a bootstrap of all gives the spread of this mean: that of a
    ratio of two means, linearised.
    """
    share = which.mean(axis=1, keepdims=True)
    mean = (table * which).mean(axis=1, keepdims=True) / share
    return mean + which * (table - mean) / share


def _drawn(
    sets: Sequence[Sequence[Table]], rng: np.random.Generator, draws: int
) -> tuple[list[float], Float64[np.ndarray, "m k"]]:
    """Return the means of m sets of cells, and how far k draws, the same for all sets, deviate from them."""
    by_seed = np.stack([np.stack([cell.mean(axis=1) for cell in cells]).mean(axis=0) for cells in sets])
    seeds, means = by_seed.shape[1], by_seed.mean(axis=1)
    spread = np.zeros((len(sets), draws))
    if seeds > 1:
        wider = float(stdtrit(seeds - 1, 0.975)) / Z * math.sqrt(seeds / (seeds - 1))
        rows = rng.integers(seeds, size=(draws, seeds))
        spread += wider * (by_seed[:, rows].mean(axis=2) - means[:, None])
    for together in zip(*sets, strict=True):
        values = np.stack([cell.mean(axis=0) for cell in together], axis=1)  # (n, m)
        spread += (_resampled(values, rng, draws) - values.mean(axis=0)[:, None]) / len(sets[0])
    return means.tolist(), spread


def _resampled(values: Real[np.ndarray, "n m"], rng: np.random.Generator, draws: int) -> Float64[np.ndarray, "m k"]:
    """Return means of rows drawn with replacement."""
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=draws)
    return (counts @ values.astype(np.float64)).T / len(values)


def following(
    told: Outcomes, shuffled: Outcomes, chance: Outcomes, rng: np.random.Generator, draws: int = DRAWS
) -> Estimate | None:
    """Return the language-following score: (success - success shuffled) / (success - chance), on the same episodes.

    `told` is success under the instruction, `shuffled` under one that names another target of the scene, `chance`
    that of a perfect driver who is told this other one; all judged by the first. 1: what goes beyond chance is all
    due to the instruction. A deaf policy drives the same way whatever it is told, so that its two successes are
    equal and its score is 0, however good it is. None where success does not exceed chance for sure, where there
    is nothing to explain. The interval is that of a bootstrap over episodes; draws that do not exceed chance count
    as 0. A single point means that no episode said otherwise: of 3 / n of all episodes that may still be untrue.
    """
    gained = told.astype(np.float64) - chance
    lost = told.astype(np.float64) - shuffled
    top, bottom = _resampled(np.stack([lost, gained], axis=1), rng, draws)
    if np.quantile(bottom, 0.025) <= 0:
        return None
    return Estimate(float(lost.mean() / gained.mean()), *_share_limits(top, bottom), len(told))


def _share_limits(top: Float64[np.ndarray, " k"], bottom: Float64[np.ndarray, " k"]) -> tuple[float, float]:
    """Return the interval of a share by draws of both its parts; where the whole is not positive it counts as 0."""
    shares = np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), 0.0)
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(low), float(high)
