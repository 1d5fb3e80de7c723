"""How importance weights are tamed: one formula each, for numpy and JAX arrays alike.

Sign: clipping, implicit exploration and logarithmic smoothing shrink w*r towards 0. That makes an average too
low (pessimistic) for rewards >= 0 and too high (optimistic) for rewards <= 0; with mixed signs it can be either.
"""

from typing import Any, TypeVar

# Dials are Any, for they may be traced numbers of a JAX lane.
Array = TypeVar("Array", bound=Any)


def clip(weight: Array, max_weight: Any) -> Array:
    """min(w, M) (Ionides 2008)."""
    return weight.clip(max=max_weight)


def explore(weight: Array, alpha: Any) -> Array:
    """Implicit exploration pi / (p + alpha pi) = w / (1 + alpha w) <= 1 / alpha (Kocák et al. 2014)."""
    return weight / (1 + alpha * weight)


def sub_gaussian(weight: Array, lam: Any) -> Array:
    """w / (1 - lam + lam w) <= 1 / lam (Metelli et al. 2021)."""
    return weight / (1 - lam + lam * weight + (weight == 0))  # 0, and not 0 / 0, of 0 at lam = 1


def shrink(weight: Array, lam: Any) -> Array:
    """lam w / (w^2 + lam), optimistic shrinkage (Su et al. 2020, arXiv 1907.09623)."""
    return lam * weight / (weight**2 + lam + (weight == 0))  # 0, and not 0 / 0, of 0 at lam = 0


def smooth(gain: Array, lam: Any) -> Array:
    """log(1 + lam g) / lam for g = w r >= 0: logarithmic smoothing (Sakhi et al. 2024, arXiv 2405.14335)."""
    return gain.__array_namespace__().log1p(lam * gain) / lam
