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
"""A number for each of s training seeds and n episodes, which are the same for all seeds."""


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
    seeds. A bootstrap of S seeds is too narrow: their part is widened by t / z * sqrt(S / (S - 1)), t the quantile
    of Student's law with S - 1 degrees of freedom (after Hesterberg 2015). One seed says nothing about others: its
    interval is for other episodes only.
    """
    by_seed = np.stack([cell.mean(axis=1) for cell in cells]).mean(axis=0)
    seeds, mean = len(by_seed), float(by_seed.mean())
    spread = np.zeros(draws)
    if seeds > 1:
        wider = float(stdtrit(seeds - 1, 0.975)) / Z * math.sqrt(seeds / (seeds - 1))
        spread += wider * (by_seed[rng.integers(seeds, size=(draws, seeds))].mean(axis=1) - mean)
    for cell in cells:
        spread += (_resampled(cell.mean(axis=0), rng, draws) - cell.mean()) / len(cells)
    low, high = np.quantile(mean + spread, (0.025, 0.975))
    return Estimate(mean, float(low), float(high), sum(cell.shape[1] for cell in cells))


def _resampled(values: Real[np.ndarray, " n"], rng: np.random.Generator, draws: int) -> Float64[np.ndarray, " k"]:
    """Return means of values drawn with replacement."""
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=draws)
    return counts @ values.astype(np.float64) / len(values)


def following(
    told: Outcomes, shuffled: Outcomes, chance: Outcomes, rng: np.random.Generator, draws: int = DRAWS
) -> Estimate | None:
    """Return the language-following score: (success - success shuffled) / (success - chance), on the same episodes.

    `told` is success under the instruction, `shuffled` under one that names another target of the scene, `chance`
    that of a perfect driver who is told this other one; all judged by the first. 1: what goes beyond chance is all
    due to the instruction. A deaf policy drives the same way whatever it is told, so that its two successes are
    equal and its score is 0, however good it is. None where success does not exceed chance, where there is nothing
    to explain. The interval is that of a bootstrap over episodes; draws that do not exceed chance count as 0.
    """
    gained = told.astype(np.float64) - chance
    if gained.mean() <= 0:
        return None
    lost = told.astype(np.float64) - shuffled
    counts = rng.multinomial(len(told), np.full(len(told), 1 / len(told)), size=draws)
    top, bottom = counts @ lost, counts @ gained
    scores = np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), 0.0)
    low, high = np.quantile(scores, (0.025, 0.975))
    return Estimate(float(lost.mean() / gained.mean()), float(low), float(high), len(told))
