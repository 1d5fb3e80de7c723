"""Double precision inside this room only, and distributions checked at its door."""

import functools
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeAlias, TypeVar

import jax
import numpy as np
from jaxtyping import Float, Real

from embodied_cf.errors import UsageError

Probabilities: TypeAlias = Real[np.ndarray | jax.Array, "..."] | Sequence[float]
"""What a distribution may be given as; the last axis sums to one."""

_P = ParamSpec("_P")
_R = TypeVar("_R")
_ONE = "Give probabilities that sum to one."
_SUM = 1e-6
"""How far a sum may be off one: float32 probabilities pass, and are normalised anew."""


def double(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a function with JAX in float64."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return run


def distribution(values: Probabilities, name: str) -> Float[np.ndarray, "*batch n"]:
    """Return probabilities as float64 that sum to one.

    Raises UsageError if there is no axis to sum over, if one is negative or not finite, or if a sum is further than
    1e-6 off one.
    """
    array = _numbers(values, name)
    if not array.ndim:
        raise UsageError(f"`{name}` is a single number, no distribution", remedy=_ONE)
    total = array.sum(axis=-1, keepdims=True)
    if not (np.all(array >= 0) and np.all(np.abs(total - 1) <= _SUM)):
        wrong = "has negative or undefined entries" if not np.all(array >= 0) else f"sums to {_worst(total):.6g}"
        raise UsageError(f"`{name}` is no distribution: it {wrong}", remedy=_ONE)
    return array / total


def pair(p: Probabilities, q: Probabilities) -> tuple[Float[np.ndarray, "*batch n"], Float[np.ndarray, "*batch n"]]:
    """Return two distributions over the same outcomes, their batch axes broadcast."""
    first, second = distribution(p, "p"), distribution(q, "q")
    if first.shape[-1] != second.shape[-1]:
        raise UsageError(f"p has {first.shape[-1]} outcomes, q has {second.shape[-1]}")
    try:
        first, second = np.broadcast_arrays(first, second)
    except ValueError as error:
        raise UsageError(f"p has batch axes {first.shape[:-1]}, q has {second.shape[:-1]}") from error
    return first, second


def number(value: float, name: str) -> float:
    """Return a finite number. Raises UsageError for anything else."""
    array = np.asarray(value)
    if array.ndim or array.dtype.kind not in "fiu" or not np.isfinite(array):
        raise UsageError(f"`{name}` is {value!r}, no finite number")
    return float(array)


def _numbers(values: Probabilities, name: str) -> Float[np.ndarray, "..."]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"`{name}` is no array of numbers ({error})", remedy=_ONE) from error


def _worst(total: Float[np.ndarray, "*batch 1"]) -> float:
    return float(total.ravel()[np.argmax(np.abs(total - 1))])
