"""Confidence bounds for the mean of bounded values: (lower, upper), wrong with probability at most delta in all.

The range [low, high] must be *given*, by what the values are; a sample's own maximum is not a range and makes
bounds that break on costs. Costs need no care here: [-1, 0] is a range like another. The last axis of `values`
holds the sample; leading axes are samples apart.

| bound | holds for |
|---|---|
| hoeffding | values with one conditional mean given the past, n fixed beforehand |
| empirical_bernstein | the same |
| log_smoothing | the same; lower bound only, values need no upper end |
| betting | the same at every n at once: look as often as you like; `high` may be infinite |
| student_t, bootstrap | **approximate**: no guarantee at any n |

Values have one conditional mean if they are independent and alike, and also if they are importance-weighted rewards
of one target policy from a logger that adapts to what it has seen.
"""

from typing import Literal, NamedTuple, cast

import numpy as np
from jaxtyping import Float, Real

from embodied_cf.errors import UsageError

Values = Real[np.ndarray, "*batch n"]
Bound = float | Float[np.ndarray, "*batch"]
Method = Literal["hoeffding", "empirical_bernstein", "betting", "student_t", "bootstrap"]
APPROXIMATE: frozenset[Method] = frozenset({"student_t", "bootstrap"})
_FRACTIONS = 2.0 ** -np.arange(1, 12, 2)
"""Shares of the capital that the bettors of the mixture stake; small ones suit heavy-tailed weights."""
_HALVINGS = 30


class Interval(NamedTuple):
    """Lower and upper bound; a float each, or arrays over leading axes."""

    lower: Bound
    upper: Bound


def hoeffding(values: Values, low: float, high: float, delta: float) -> Interval:
    """mean ± (high - low) sqrt(log(2 / delta) / (2 n)) (Hoeffding 1963; Azuma 1967 for adaptive loggers).

    On [0, 1] at delta 0.05 the half-width is 0.136 for n = 100.
    """
    _check(values, low, high, delta)
    n = values.shape[-1]
    half = (high - low) * np.sqrt(np.log(2 / delta) / (2 * n))
    return _clipped(values.mean(axis=-1), half, low, high)


def empirical_bernstein(values: Values, low: float, high: float, delta: float) -> Interval:
    """Predictable plug-in empirical Bernstein interval (Waudby-Smith & Ramdas 2024, arXiv 2010.09686, theorem 2).

    Unlike that of Maurer & Pontil it is proven for adaptive loggers too; it depends on the order of the values.
    """
    _check(values, low, high, delta)
    x, n = (values - low) / (high - low), values.shape[-1]
    mean, variance = _running_moments(x)
    bet = np.minimum(np.sqrt(2 * np.log(2 / delta) / (n * variance)), 0.5)
    spent = (x - mean) ** 2 * (-np.log1p(-bet) - bet)
    total = bet.sum(axis=-1)
    half = (np.log(2 / delta) + spent.sum(axis=-1)) / total
    centre = (bet * x).sum(axis=-1) / total
    return _clipped(low + (high - low) * centre, (high - low) * half, low, high)


def betting(
    values: Values, low: float | Real[np.ndarray, " n"], high: float | Real[np.ndarray, " n"], delta: float
) -> Interval:
    """Betting confidence sequence (Waudby-Smith & Ramdas 2024, 2010.09686; for logs: 2210.10768), n at the moment.

    A bettor against "the mean is m" who stakes a fixed share of her capital on each value cannot grow rich if m is
    right (Ville 1939); m is excluded once a mixture of such bettors has multiplied its capital by 2 / delta. Valid
    for adaptive loggers and however often and whenever one looks: bounds of growing prefixes hold all at once.
    `low` and `high` may differ from value to value if fixed before it is seen. With high = inf only the lower
    bound speaks: weights then need no known maximum.
    """
    _check(values, low, high, delta)
    floor, top = np.min(low), np.max(high)
    lower = np.clip(_bet(values, low, delta / 2), floor, top)
    if not np.isfinite(top):
        return Interval(lower, np.full(lower.shape, np.inf)[()])
    return Interval(lower, np.clip(-_bet(-values, -np.asarray(high), delta / 2), floor, top))


def log_smoothing(values: Values, low: float, lam: float, delta: float) -> Interval:
    """low + mean(log(1 + lam x)) / lam - log(1 / delta) / (lam n), x = value - low (Sakhi et al. 2024, 2405.14335).

    The upper end is infinite. lam must not be chosen on the same values.
    """
    _check(values, low, np.inf, delta)
    smoothed = np.log1p(lam * (values - low)).mean(axis=-1) / lam
    lower = low + smoothed - np.log(1 / delta) / (lam * values.shape[-1])
    return Interval(np.maximum(lower, low), np.full(np.shape(lower), np.inf)[()])


def student_t(values: Values, delta: float) -> Interval:
    """Approximate: mean ± t_{n-1, 1 - delta / 2} std / sqrt(n). Fails on skewed values such as weighted costs."""
    from scipy import stats

    n = values.shape[-1]
    if n < 2:
        raise UsageError("student_t needs at least two values: one has no standard deviation")
    half = stats.t.ppf(1 - delta / 2, n - 1) * values.std(axis=-1, ddof=1) / np.sqrt(n)
    return _clipped(values.mean(axis=-1), half, -np.inf, np.inf)


def bootstrap(
    values: Real[np.ndarray, " n"], delta: float, rng: np.random.Generator, replicates: int = 1000
) -> Interval:
    """Approximate: quantiles delta / 2 and 1 - delta / 2 of resampled means."""
    means = np.array([values[rng.integers(len(values), size=len(values))].mean() for _ in range(replicates)])
    lower, upper = np.quantile(means, [delta / 2, 1 - delta / 2])
    return Interval(float(lower), float(upper))


def _bet(values: Values, low: float | np.ndarray, alpha: float) -> Bound:
    """Return the largest mean that bettors exclude from below, by bisection: capital falls as m rises."""
    floor = np.min(low)
    rejected = np.full((*values.shape[:-1], 1), float(floor))
    possible = np.maximum(values.max(axis=-1, keepdims=True), floor) + 0.0
    for _ in range(_HALVINGS):
        middle = (rejected + possible) / 2
        rich = _log_capital(values, low, middle).max(axis=-1, keepdims=True) >= np.log(1 / alpha)
        rejected, possible = np.where(rich, middle, rejected), np.where(rich, possible, middle)
    return rejected[..., 0]


def _log_capital(values: Values, low: float | np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return log of the mixture's capital after each value, (*batch, n), against "the mean is at most `mean`"."""
    stake = (values - mean) / np.maximum(mean - low, 1e-300)
    each = np.log1p(_FRACTIONS[:, None] * stake[..., None, :]).cumsum(axis=-1)  # (*batch, bettors, n)
    return np.logaddexp.reduce(each, axis=-2) - np.log(len(_FRACTIONS))


def _running_moments(x: Values) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of what came before each value, pulled to 1/2 and 1/4; x in [0, 1]."""
    count = np.arange(1, x.shape[-1] + 1)
    mean = (0.5 + x.cumsum(axis=-1)) / (count + 1)
    variance = (0.25 + ((x - mean) ** 2).cumsum(axis=-1)) / (count + 1)
    return _before(mean, 0.5), _before(variance, 0.25)


def _before(series: np.ndarray, first: float) -> np.ndarray:
    return np.concatenate([np.full((*series.shape[:-1], 1), first), series[..., :-1]], axis=-1)


def _clipped(centre: Bound, half: Bound, low: float, high: float) -> Interval:
    lower, upper = np.clip(centre - half, low, high), np.clip(centre + half, low, high)
    return Interval(cast(Bound, lower), cast(Bound, upper))


def _check(values: Values, low: float | np.ndarray, high: float | np.ndarray, delta: float) -> None:
    if not 0 < delta < 1:
        raise UsageError(f"delta is a probability between 0 and 1, not {delta}")
    if values.shape[-1] == 0 or not np.isfinite(values).all():
        raise UsageError("a bound needs values, all finite")
    if (values < low).any() or (values > high).any():
        raise UsageError(
            f"values from {values.min():.6g} to {values.max():.6g} leave the range that was given",
            remedy="Give the range that holds by construction; costs have one below 0.",
        )
