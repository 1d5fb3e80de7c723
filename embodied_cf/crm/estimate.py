"""What an estimator returns: a value that is never shown without what speaks against it."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Real

from embodied_cf.crm.diagnostics import Diagnostics

Leaning = Literal["unbiased", "consistent", "too low", "too high", "unknown"]
BatchType = TypeVar("BatchType", contravariant=True)


@dataclass(frozen=True)
class Estimate:
    """An estimated value of the target policy. Its text gives the value alone only if diagnostics are clean."""

    estimator: str
    value: float
    terms: Real[np.ndarray, " n"]
    """Each decision's or episode's share; their mean is `value` (linearised where self-normalised)."""
    diagnostics: Diagnostics
    leaning: Leaning
    """What the formula does to the expected value if the propensities are right."""

    @property
    def standard_error(self) -> float:
        """std(terms) / sqrt(n): approximate, and too small where few decisions carry all weight."""
        return float(self.terms.std(ddof=1) / np.sqrt(len(self.terms))) if len(self.terms) > 1 else float("inf")

    def __str__(self) -> str:
        told = f"{self.estimator}: {self.value:.6g} ± {self.standard_error:.2g} (standard error, approximate)"
        return told if self.diagnostics.clean else f"{told}. Not to be trusted: {'; '.join(self.diagnostics.problems)}"


@runtime_checkable
class Estimator(Protocol[BatchType]):
    """A frozen dataclass that estimates from a batch of its kind."""

    def __call__(self, batch: BatchType) -> Estimate:
        """Return the estimate of the target policy's value."""


def leaning_of_shrunk(reward: np.ndarray) -> Leaning:
    """Return which way shrinking w*r towards 0 errs, by the sign of the rewards."""
    if (reward >= 0).all():
        return "too low"
    return "too high" if (reward <= 0).all() else "unknown"
