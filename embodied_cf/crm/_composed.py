"""Estimators that turn another kind of batch into decisions and hand them to an estimator of decisions."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Real

from embodied_cf.crm._decisions import IPS
from embodied_cf.crm.batches import ContinuousBatch, EmbeddedBatch, LoggedBatch, MultiLoggedBatch
from embodied_cf.crm.estimate import Estimate, Estimator, Leaning
from embodied_cf.errors import UsageError

_ROUNDING = 1e-20
"""Share of mean squares below which a variance is none."""
Shape = Literal["gaussian", "epanechnikov", "triangular", "cosine"]


@dataclass(frozen=True)
class MIPS:
    """`inner` on embedding weights sum_a pi p(e|a) / sum_a p p(e|a): IPS and SNIPS give MIPS and SN-MIPS.

    Unbiased if the action acts on the reward through the embedding only (Saito & Joachims 2022, arXiv
    2202.06317). The weight is of the joint embedding, never a product of marginals over actions (as obp's
    self-normalised form has it).
    """

    inner: Estimator[LoggedBatch] = field(default_factory=IPS)

    def __call__(self, batch: EmbeddedBatch) -> Estimate:
        """Return the estimate."""
        return _named(self, self.inner(batch.marginal()))


@dataclass(frozen=True)
class Kernel:
    """`inner` on weights K((target - a) / h) / (h p): deterministic targets, continuous actions.

    Biased by O(h^2) (Kallus & Zhou 2018, arXiv 1802.06037); IPS, SNIPS and DR give their kernelised forms.
    """

    bandwidth: float
    """h, in units of the action."""
    shape: Shape = "gaussian"
    inner: Estimator[LoggedBatch] = field(default_factory=IPS)

    def __call__(self, batch: ContinuousBatch) -> Estimate:
        """Return the estimate."""
        density = kernel((batch.target_action - batch.action) / self.bandwidth, self.shape) / self.bandwidth
        smoothed = LoggedBatch(batch.reward, batch.propensity, density, batch.q_logged, batch.q_target)
        return replace(_named(self, self.inner(smoothed)), leaning="unknown")


@dataclass(frozen=True)
class Balanced:
    """`inner` on weights pi / sum_k (n_k / n) p_k. Unbiased, never worse than naive (Agarwal et al. 2017)."""

    inner: Estimator[LoggedBatch] = field(default_factory=IPS)

    def __call__(self, batch: MultiLoggedBatch) -> Estimate:
        """Return the estimate."""
        return _named(self, self.inner(batch.balanced()))


@dataclass(frozen=True)
class Weighted:
    """sum_k (n_k / var_k) v_k / sum_k (n_k / var_k): each logger's own estimate by its precision (ibid.).

    v_k and var_k are the mean and variance of the *whole* terms of `inner`, the model's part included (obp
    weighs the correction only). Estimated variances make it slightly biased. Raises UsageError where the terms of
    some loggers do not vary, as those of a single decision or of rewards of 0: they would take all the weight.
    """

    inner: Estimator[LoggedBatch] = field(default_factory=IPS)

    def __call__(self, batch: MultiLoggedBatch) -> Estimate:
        """Return the estimate."""
        parts = [self.inner(stratum) for stratum in batch.strata()]
        spread = np.array([float(part.terms.var()) for part in parts])
        size = max(float((part.terms**2).mean()) for part in parts)
        if (constant := spread <= _ROUNDING * size).any() and not constant.all():
            raise UsageError(
                f"the terms of {constant.sum()} of {len(parts)} loggers do not vary, so their precision is not known",
                remedy="Use Balanced.",
            )
        precision = np.array([len(part.terms) for part in parts]) / np.maximum(spread, 1e-300)
        share = precision / precision.sum()
        value, n = float(share @ [part.value for part in parts]), len(batch.reward)
        scaled = [s * n / len(part.terms) * (part.terms - part.value) for s, part in zip(share, parts, strict=True)]
        leaning: Leaning = "consistent" if parts[0].leaning == "unbiased" else parts[0].leaning
        whole = _named(self, self.inner(batch.naive()))
        return replace(whole, value=value, terms=value + np.concatenate(scaled), leaning=leaning)


def kernel(u: Real[np.ndarray, " n"], shape: Shape) -> Real[np.ndarray, " n"]:
    """Return a density at u: Gaussian, or one that vanishes outside [-1, 1]."""
    inside = np.abs(u) <= 1
    match shape:
        case "gaussian":
            return np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
        case "epanechnikov":
            return 0.75 * (1 - u**2) * inside
        case "triangular":
            return (1 - np.abs(u)) * inside
        case "cosine":
            return np.pi / 4 * np.cos(np.pi / 2 * u) * inside


def _named(outer: object, inner: Estimate) -> Estimate:
    return replace(inner, estimator=f"{type(outer).__name__}({inner.estimator})")
