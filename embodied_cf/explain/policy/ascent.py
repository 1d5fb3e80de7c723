"""The multiplier of the dual search: how it follows the gap between return and target."""

import math

from torch import Tensor

_SLOW = 0.95
"""Memory of running means over batches."""
_PULL, _CREEP = 2.0, 0.05
"""Dual ascent: proportional and integral gain, in units of one over the variance of returns."""
_PATIENCE, _SHRINKS = 40, 0.8
"""Gradient steps after which the gap should have shrunk to this share."""


class Ascent:
    """The multiplier of J = R*. A policy free to follow has dJ/dlambda = variance of returns: that sets the pace.

    Where returns vary with what no action changes, such as the start, that is too slow: as long as the gap does not
    shrink, the pace doubles (as penalties grow in the method of multipliers; Bertsekas 1982), and it halves where the
    target is passed.
    """

    def __init__(self, target: float) -> None:
        self.target, self.multiplier, self.pace = target, 0.0, 1.0
        self.mean = self.variance = self.gap = math.nan
        self._watched, self._before = 0, math.nan

    def see(self, returns: Tensor, steps: int) -> None:
        """Take in the returns of one batch, on which so many gradient steps are taken."""
        mean, variance = float(returns.mean()), float(returns.var())
        if math.isnan(self.mean):
            self.mean, self.variance = mean, variance
            self.gap = max(abs(self.target - mean), 1e-12)
        slow = _SLOW**steps
        self.mean = slow * self.mean + (1 - slow) * mean
        self.variance = slow * self.variance + (1 - slow) * variance
        self.multiplier += self.pace * _CREEP * steps * (self.target - mean) / self._spread
        self._watch(steps)

    def _watch(self, steps: int) -> None:
        gap = self.target - self.mean
        self._watched += steps
        if math.isnan(self._before):
            self._before = gap
        elif gap * self._before < 0:
            self.pace, self._watched, self._before = max(1.0, self.pace / 2), 0, gap
        elif self._watched >= _PATIENCE:
            self.pace *= 2 if abs(gap) > _SHRINKS * abs(self._before) else 1
            self._watched, self._before = 0, gap

    @property
    def pulled(self) -> float:
        """The multiplier, and a pull towards the target that ends where it is met."""
        return self.multiplier + self.pace * _PULL * (self.target - self.mean) / self._spread

    @property
    def _spread(self) -> float:
        # A policy that is all but deterministic has no variance to follow; the gap is then the only scale.
        return max(self.variance, (self.target - self.mean) ** 2 / 100, 1e-12)
