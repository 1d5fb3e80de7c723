"""Estimators of single decisions: weighting, and weighting with a reward model.

Notation: w = pi/p, r reward (larger is better), q reward model at the logged action, m the model's value under
the target, sum_a pi(a|x) q(x, a). All need the support condition p > 0 wherever pi > 0.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Real

from embodied_cf.crm import weights
from embodied_cf.crm.batches import LoggedBatch
from embodied_cf.crm.diagnostics import diagnose
from embodied_cf.crm.estimate import Estimate, Estimator, Leaning, leaning_of_shrunk
from embodied_cf.errors import UsageError

_LEAST, _LARGEST = 1e-300, 1e300
"""Of dials by which something is divided or multiplied."""


def check_dial(name: str, value: float, low: float, high: float) -> None:
    """Raise UsageError for a dial of an estimator outside [low, high]: the formula would give no estimate."""
    if not low <= value <= high:
        raise UsageError(f"{name} is {value:g}, and must be between {low:g} and {high:g}")


def estimate(
    estimator: Estimator[LoggedBatch], batch: LoggedBatch, terms: Real[np.ndarray, " n"], leaning: Leaning
) -> Estimate:
    """Return the mean of `terms` with the batch's diagnostics."""
    return Estimate(type(estimator).__name__, float(terms.mean()), terms, diagnose(batch), leaning)


@dataclass(frozen=True)
class IPS:
    """mean(w r). Unbiased if propensities are right (Horvitz & Thompson 1952)."""

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate."""
        return estimate(self, batch, batch.weight * batch.reward, "unbiased")


@dataclass(frozen=True)
class ClippedIPS:
    """mean(min(w, M) r). Too low for rewards >= 0, too high for rewards <= 0 (Ionides 2008)."""

    max_weight: float

    def __post_init__(self) -> None:
        check_dial("max_weight", self.max_weight, 0.0, np.inf)

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate."""
        terms = weights.clip(batch.weight, self.max_weight) * batch.reward
        return estimate(self, batch, terms, leaning_of_shrunk(batch.reward))


@dataclass(frozen=True)
class SNIPS:
    """sum(w r) / sum(w). Consistent, within the range of the rewards (Swaminathan & Joachims 2015, NeurIPS)."""

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate; its terms are linearised, v + w (r - v) / mean w."""
        return estimate(self, batch, self_normalised(batch.weight, batch.reward), "consistent")


@dataclass(frozen=True)
class ImplicitExploration:
    """mean(r pi / (p + alpha pi)). Too low for rewards >= 0, too high for rewards <= 0 (Kocák et al. 2014)."""

    alpha: float

    def __post_init__(self) -> None:
        check_dial("alpha", self.alpha, 0.0, _LARGEST)

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate."""
        terms = weights.explore(batch.weight, self.alpha) * batch.reward
        return estimate(self, batch, terms, leaning_of_shrunk(batch.reward))


@dataclass(frozen=True)
class LogSmoothing:
    """mean(log(1 + lam w r)) / lam for rewards >= 0 only: too low (Sakhi et al. 2024, arXiv 2405.14335).

    In costs c = -r in [-1, 0]: -mean(log(1 - lam w c)) / lam. Rewards < 0 are refused: there the logarithm
    would err upwards. Shift them to rewards >= 0 first and shift the value back.
    """

    lam: float

    def __post_init__(self) -> None:
        check_dial("lam", self.lam, _LEAST, _LARGEST)

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate. Raises UsageError for rewards below 0."""
        if (batch.reward < 0).any():
            raise UsageError(
                "logarithmic smoothing needs rewards >= 0",
                remedy="Subtract the lowest possible reward before, and add it to the value.",
            )
        return estimate(self, batch, weights.smooth(batch.weight * batch.reward, self.lam), "too low")


@dataclass(frozen=True)
class SubGaussianIPS:
    """mean(r w / (1 - lam + lam w)), lam in [0, 1] (Metelli, Russo & Restelli 2021, NeurIPS)."""

    lam: float

    def __post_init__(self) -> None:
        check_dial("lam", self.lam, 0.0, 1.0)

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate."""
        terms = weights.sub_gaussian(batch.weight, self.lam) * batch.reward
        return estimate(self, batch, terms, "unknown")


@dataclass(frozen=True)
class DM:
    """mean(m), the direct method: as right as its reward model."""

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate."""
        return estimate(self, batch, batch.model()[1].astype(np.float64), "unknown")


@dataclass(frozen=True)
class DR:
    """mean(m + min(w, M) (r - q)). Unbiased for M = inf if p is right or q is (Dudík et al. 2014, arXiv 1503.02834)."""

    max_weight: float = float("inf")

    def __post_init__(self) -> None:
        check_dial("max_weight", self.max_weight, 0.0, np.inf)

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate."""
        terms = _corrected(batch, weights.clip(batch.weight, self.max_weight))
        return estimate(self, batch, terms, "unbiased" if np.isinf(self.max_weight) else "unknown")


@dataclass(frozen=True)
class SNDR:
    """mean(m) + sum(w (r - q)) / sum(w). Consistent (Thomas & Brunskill 2016, arXiv 1604.00923)."""

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate; its terms are linearised."""
        logged, target = batch.model()
        residual = self_normalised(batch.weight, batch.reward - logged)
        return estimate(self, batch, target + residual, "consistent")


@dataclass(frozen=True)
class SwitchDR:
    """mean(m + w 1[w <= tau] (r - q)): the model alone where weights are large (Wang et al. 2017, arXiv 1612.01205)."""

    tau: float

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate."""
        weight = batch.weight
        return estimate(self, batch, _corrected(batch, weight * (weight <= self.tau)), "unknown")


@dataclass(frozen=True)
class DRos:
    """mean(m + lam w / (w^2 + lam) (r - q)), optimistic shrinkage (Su et al. 2020, arXiv 1907.09623)."""

    lam: float

    def __post_init__(self) -> None:
        check_dial("lam", self.lam, 0.0, _LARGEST)

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate."""
        return estimate(self, batch, _corrected(batch, weights.shrink(batch.weight, self.lam)), "unknown")


@dataclass(frozen=True)
class SubGaussianDR:
    """mean(m + w / (1 - lam + lam w) (r - q)), lam in [0, 1] (Metelli, Russo & Restelli 2021, NeurIPS)."""

    lam: float

    def __post_init__(self) -> None:
        check_dial("lam", self.lam, 0.0, 1.0)

    def __call__(self, batch: LoggedBatch) -> Estimate:
        """Return the estimate."""
        return estimate(self, batch, _corrected(batch, weights.sub_gaussian(batch.weight, self.lam)), "unknown")


def self_normalised(
    weight: Real[np.ndarray, " n"], gain: Real[np.ndarray, " n"], offset: float = 0.0
) -> Real[np.ndarray, " n"]:
    """Return terms whose mean is offset + sum(w g) / sum(w), and whose spread is that of its linearisation.

    Raises UsageError if all weights are 0: the logs then hold no action that the target takes.
    """
    mean = weight.mean()
    if mean == 0:
        raise UsageError("all weights are 0: the logs hold no action of the target policy")
    value = float((weight * gain).mean() / mean)
    return offset + value + weight * (gain - value) / mean


def _corrected(batch: LoggedBatch, weight: Real[np.ndarray, " n"]) -> Real[np.ndarray, " n"]:
    logged, target = batch.model()
    return target + weight * (batch.reward - logged)
