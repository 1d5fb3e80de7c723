"""What must be looked at before any value: do the logs speak of the target policy at all?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Real

from embodied_cf.crm.batches import Batch, LoggedBatch, MultiLoggedBatch, TrajectoryBatch

MIN_EFFECTIVE = 30.0
"""Effective sample size below which an average of that many would not be shown either."""
MAX_SHARE = 0.1
"""Share of all weight that one decision may carry."""
MAX_DEVIATION = 4.0
"""Standard errors that the mean weight may lie from 1."""


@dataclass(frozen=True)
class Diagnostics:
    """Of the weights w = pi / p of n decisions, or of n whole episodes."""

    n: int
    effective_sample_size: float
    """(sum w)^2 / sum w^2."""
    max_weight: float
    max_share: float
    """Largest weight over the sum of weights."""
    mean_weight: float
    """1 in expectation, if propensities are right and the logger could take every action of the target."""
    mean_weight_error: float
    """Standard error of the mean weight."""
    overlap: float
    """mean sqrt(w), estimates the Bhattacharyya coefficient of logger and target: 1 equal, 0 disjoint."""
    horizon: int = 1
    """Longest episode: weights multiply over it."""
    guaranteed: bool = True

    @property
    def problems(self) -> tuple[str, ...]:
        """What speaks against trusting a value, in plain words; empty if nothing does."""
        told = {
            f"the logs amount to only {self.effective_sample_size:.1f} decisions of the target policy (of {self.n})":
                self.effective_sample_size < MIN_EFFECTIVE,
            f"one record carries {100 * self.max_share:.0f} % of all weight": self.max_share > MAX_SHARE,
            f"the mean weight is {self.mean_weight:.3g} ± {self.mean_weight_error:.2g} instead of 1: wrong "
            "propensities, or actions that the logger never takes":
                abs(self.mean_weight - 1) > MAX_DEVIATION * self.mean_weight_error + 1e-9,
            "propensities were estimated, not recorded: no guarantee": not self.guaranteed,
        }  # fmt: skip
        return tuple(text for text, holds in told.items() if holds)

    @property
    def clean(self) -> bool:
        """Whether nothing speaks against trusting a value."""
        return not self.problems


def diagnose(batch: Batch) -> Diagnostics:
    """Return the diagnostics of a batch of any kind; of trajectories those of whole episodes."""
    if isinstance(batch, TrajectoryBatch):
        horizon = int(batch.happened.sum(axis=1).max())
        return of_weights(batch.ratio.prod(axis=1), horizon=horizon, guaranteed=batch.guaranteed)
    if isinstance(batch, LoggedBatch):
        return of_weights(batch.weight, guaranteed=batch.guaranteed)
    if isinstance(batch, MultiLoggedBatch):
        return diagnose(batch.balanced())
    return diagnose(batch.marginal())


def of_weights(weight: Real[np.ndarray, " n"], *, horizon: int = 1, guaranteed: bool = True) -> Diagnostics:
    """Return the diagnostics of weights."""
    total, n = float(weight.sum()), len(weight)
    return Diagnostics(
        n=n,
        effective_sample_size=effective_sample_size(weight),
        max_weight=float(weight.max()),
        max_share=float(weight.max()) / total if total > 0 else 1.0,
        mean_weight=total / n,
        mean_weight_error=float(weight.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0,
        overlap=float(np.sqrt(weight).mean()),
        horizon=horizon,
        guaranteed=guaranteed,
    )


def effective_sample_size(weight: Real[np.ndarray, " n"]) -> float:
    """(sum w)^2 / sum w^2 (Kish); 0 if all weights are 0."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0
