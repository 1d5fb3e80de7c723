"""An interval for a target policy's value from logged decisions, with the sign of rewards dealt with on purpose.

Clipping or smoothing weights errs towards 0, which is safe only on one side. So each side is bounded through a
quantity >= 0: the lower bound through w (r - low), the upper through w (high - r), with
V = low + E[w (r - low)] = high - E[w (high - r)]. Costs in [-1, 0] and rewards in [0, 1] then do equally well.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Real

from embodied_cf.crm import bounds, weights
from embodied_cf.crm.batches import LoggedBatch
from embodied_cf.errors import UsageError


@dataclass(frozen=True)
class Guarantee:
    """How a value is bounded."""

    low: float
    """Least reward that can be."""
    high: float
    """Largest reward that can be."""
    delta: float = 0.05
    """Probability that the interval is wrong."""
    method: bounds.Method = "betting"
    max_weight: float = float("inf")
    """Weights are clipped here: safe on both sides, needed (finite) by hoeffding and empirical_bernstein."""

    def __post_init__(self) -> None:
        if not self.max_weight > 0:
            raise UsageError(f"a largest weight of {self.max_weight:g}, and weights are clipped above 0")
        if not -np.inf < self.low < self.high < np.inf:
            raise UsageError(f"a range of rewards from {self.low} to {self.high} is none")
        if np.isinf(self.max_weight) and self.method in ("hoeffding", "empirical_bernstein"):
            raise UsageError(
                f"{self.method} needs a finite max_weight",
                remedy="Choose one before looking at the logs (weights are clipped there), or use betting.",
            )

    @property
    def approximate(self) -> bool:
        """Whether the method promises nothing."""
        return self.method in bounds.APPROXIMATE


def value_interval(
    batch: LoggedBatch,
    guarantee: Guarantee,
    rng: np.random.Generator | None = None,
    episode: Int[np.ndarray, " n"] | None = None,
) -> bounds.Interval:
    """Return (lower, upper) for the target's value. Whole episodes: `trajectories.as_decisions()`.

    `rng` is for the bootstrap. With `episode`, the number of each decision's, the value is the mean over episodes of an
    episode's mean, for decisions of one episode are not independent; without it each decision counts as an episode.
    Raises UsageError if a reward leaves the range that was given.
    """
    low, high = guarantee.low, guarantee.high
    if (batch.reward < low).any() or (batch.reward > high).any():
        raise UsageError(
            f"rewards from {batch.reward.min():.6g} to {batch.reward.max():.6g} leave the range [{low}, {high}]",
            remedy="Give the range that holds by construction.",
        )
    weight = weights.clip(batch.weight, guarantee.max_weight)
    below = _lower(by_episode(weight * (batch.reward - low), episode), guarantee, rng)
    above = _lower(by_episode(weight * (high - batch.reward), episode), guarantee, rng)
    return bounds.Interval(min(low + below, high), max(high - above, low))


def by_episode(values: Real[np.ndarray, " n"], episode: Int[np.ndarray, " n"] | None) -> Real[np.ndarray, " m"]:
    """Return the mean over each episode's decisions, episodes in order of first appearance."""
    if episode is None:
        return values
    _, first, index, count = np.unique(episode, return_index=True, return_inverse=True, return_counts=True)
    return (np.bincount(index, values) / count)[np.argsort(first)]


def _lower(gain: Real[np.ndarray, " n"], guarantee: Guarantee, rng: np.random.Generator | None) -> float:
    """Return the lower half, at delta / 2, of a two-sided bound on the mean of `gain` >= 0."""
    top = guarantee.max_weight * (guarantee.high - guarantee.low)
    delta = guarantee.delta
    match guarantee.method:
        case "hoeffding":
            lower = bounds.hoeffding(gain, 0.0, top, delta).lower
        case "empirical_bernstein":
            lower = bounds.empirical_bernstein(gain, 0.0, top, delta).lower
        case "betting":
            lower = bounds.betting(gain, 0.0, np.inf, delta).lower
        case "student_t":
            lower = bounds.student_t(gain, delta).lower
        case "bootstrap":
            lower = bounds.bootstrap(gain, delta, rng or np.random.default_rng(0)).lower
    return float(lower)
