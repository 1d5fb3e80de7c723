"""What a learner minimises: counterfactual risk of losses (smaller is better), from weights w = pi / p.

Every objective is a frozen dataclass that is also a JAX pytree: its numbers may be arrays over lanes, so that one
fit runs a whole grid of them. Weights shrink towards 0 in all of them, which is pessimistic only for losses <= 0;
`fit` therefore subtracts the largest possible loss.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Float

from embodied_cf.crm import weights

Number = Any
"""A float, or a JAX array of one number per lane."""
Vector = Float[jax.Array, " n"]


@runtime_checkable
class Objective(Protocol):
    """A scalar of losses and weights."""

    def __call__(self, loss: Vector, weight: Vector) -> Float[jax.Array, ""]:
        """Return the value to minimise."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class VariancePenalised:
    """mean(l z) + lam std(l (z - 1)) with z = w / (1 + alpha w), alpha = 1 / n by default.

    The objective of sequential CRM (Zenati et al. 2023, arXiv 2302.12120). The control variate -1 makes staying
    with the logger free. `scaling="sqrt_n"` divides the penalty by sqrt(n), as theory and POEM have it; "none"
    is the published code's. `alpha = 0, control_variate=False, ddof=1` with mixture propensities is its form for
    several loggers.
    """

    lam: Number = 0.0
    alpha: Number | None = None
    """Implicit exploration; None for 1 / n."""
    shift: Number | None = None
    """Taken from every loss first, as in `LagrangeShift`: with losses near 0, large weights are not worth chasing."""
    scaling: Literal["none", "sqrt_n"] = field(default="none", metadata={"static": True})
    control_variate: bool = field(default=True, metadata={"static": True})
    ddof: int = field(default=0, metadata={"static": True})

    def __call__(self, loss: Vector, weight: Vector) -> Float[jax.Array, ""]:
        """Return the value to minimise."""
        n = loss.shape[0]
        loss = loss if self.shift is None else loss - self.shift
        z = weights.explore(weight, 1 / n if self.alpha is None else self.alpha)
        spread = _std(loss * (z - 1 if self.control_variate else z), self.ddof)
        return (loss * z).mean() + self.lam * spread / (n**0.5 if self.scaling == "sqrt_n" else 1.0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Poem:
    """mean(l min(w, M)) + lam sqrt(var / n) (Swaminathan & Joachims 2015, ICML)."""

    lam: Number = 0.0
    max_weight: Number = 100.0

    def __call__(self, loss: Vector, weight: Vector) -> Float[jax.Array, ""]:
        """Return the value to minimise."""
        terms = loss * jnp.minimum(weight, self.max_weight)
        return terms.mean() + self.lam * _std(terms, 1) / loss.shape[0] ** 0.5


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LagrangeShift:
    """mean((l - shift) w): its minima over a grid of shifts hold that of the self-normalised risk.

    BanditNet (Joachims, Swaminathan & de Rijke 2018, ICLR): no full-batch denominator is needed; among the fits of
    the grid the one with the least self-normalised risk is taken (`selection.best_shift`).
    """

    shift: Number = 0.0

    def __call__(self, loss: Vector, weight: Vector) -> Float[jax.Array, ""]:
        """Return the value to minimise."""
        return ((loss - self.shift) * weight).mean()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogSmoothed:
    """-mean(log(1 - lam w l)) / lam for losses <= 0 (Sakhi et al. 2024, arXiv 2405.14335; 2025, 2506.10664)."""

    lam: Number = 0.1

    def __call__(self, loss: Vector, weight: Vector) -> Float[jax.Array, ""]:
        """Return the value to minimise."""
        return -weights.smooth(-weight * loss, self.lam).mean()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Likelihood:
    """-mean(log w): with log propensities of 0, w = pi and this is behaviour cloning."""

    def __call__(self, loss: Vector, weight: Vector) -> Float[jax.Array, ""]:
        """Return the value to minimise."""
        return -jnp.log(weight + 1e-30).mean()


def _std(terms: Vector, ddof: int) -> Float[jax.Array, ""]:
    """Standard deviation, with gradient 0 instead of nan where all terms are equal."""
    variance = terms.var(ddof=ddof)
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)
