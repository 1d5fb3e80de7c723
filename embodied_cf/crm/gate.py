"""A gate for redeployment in stages: a growing share of traffic, a look whenever one likes, one error probability.

Each decision goes to the candidate with the stage's share s, at random, else to the baseline. Then
x = (1[candidate] / s - 1[baseline] / (1 - s)) (reward - middle) has the gain over the baseline as its mean, whatever
the stage, and a betting confidence sequence on it holds over all looks and stages (Karampatziakis, Mineiro & Ramdas
2021, arXiv 2102.09540; Waudby-Smith et al. 2024, arXiv 2210.10768).
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from embodied_cf.crm import bounds
from embodied_cf.errors import UsageError

Verdict = Literal["promote", "roll back", "next stage", "go on"]


@dataclass(frozen=True)
class Gate:
    """The plan, fixed before the first decision."""

    low: float
    """Least reward that can be."""
    high: float
    """Largest reward that can be."""
    delta: float = 0.05
    """Probability that any verdict "promote" or "roll back" is ever wrong."""
    stages: tuple[float, ...] = (0.05, 0.2, 0.5)
    """Share of traffic of the candidate in each stage, < 1: the baseline must go on to be compared with."""
    patience: int = 500
    """Decisions of a stage after which, without a verdict against it, the next one begins."""

    def __post_init__(self) -> None:
        if not self.low < self.high or not all(0 < share < 1 for share in self.stages) or not self.stages:
            raise UsageError("a gate needs a range of rewards and stages with shares between 0 and 1")


@dataclass(frozen=True)
class Traffic:
    """What has been seen so far, in order. Grow it by `seen`."""

    gate: Gate
    share: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0))
    candidate: Bool[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, bool))
    reward: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0))

    def seen(self, share: float, candidate: Bool[np.ndarray, " k"], reward: Float[np.ndarray, " k"]) -> "Traffic":
        """Return the traffic with k more decisions of one stage."""
        return Traffic(
            self.gate,
            np.concatenate([self.share, np.full(len(reward), share)]),
            np.concatenate([self.candidate, candidate]),
            np.concatenate([self.reward, reward]),
        )

    def gain(self) -> bounds.Interval:
        """Return the confidence interval for the gain over the baseline, valid at every look."""
        gate = self.gate
        if not len(self.reward):
            return bounds.Interval(gate.low - gate.high, gate.high - gate.low)
        value = np.where(self.candidate, 1 / self.share, -1 / (1 - self.share)) * (self.reward - self._middle)
        widest = (gate.high - gate.low) / 2 / np.minimum(self.share, 1 - self.share)
        lower, upper = bounds.betting(value, -widest, widest, gate.delta)
        most = gate.high - gate.low
        return bounds.Interval(max(float(lower), -most), min(float(upper), most))

    def verdict(self) -> Verdict:
        """Return what to do now.

        | interval for the gain | stage | verdict |
        |---|---|---|
        | above 0 | any | promote |
        | below 0 | any | roll back |
        | holds 0 | patience spent, not the last | next stage |
        | holds 0 | otherwise | go on |
        """
        lower, upper = self.gain()
        if lower > 0:
            return "promote"
        if upper < 0:
            return "roll back"
        spent = len(self.share) and (self.share == self.share[-1]).sum() >= self.gate.patience
        last = not len(self.share) or self.share[-1] == self.gate.stages[-1]
        return "next stage" if spent and not last else "go on"

    @property
    def _middle(self) -> float:
        return (self.gate.low + self.gate.high) / 2
