"""The Gumbel-max mechanism: its exact counterfactual law, and its noise in hindsight.

An outcome is argmax_k(log p_k + g_k) with independent standard Gumbel noise g. Had the probabilities been q, the same
noise would have given argmax_k(log q_k + g_k). Oberst & Sontag 2019 (arXiv 1905.05824) sample that; here it is exact.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embodied_cf.counterfactual.precision import Probabilities, distribution, double, pair
from embodied_cf.errors import UsageError


@double
def counterfactual_law(p: Probabilities, q: Probabilities) -> Float[np.ndarray, "*batch n n"]:
    """Return the law of the counterfactual outcome (under `q`, columns) given the factual one (under `p`, rows).

    p = (.5, .3, .2), q = (.2, .5, .3): row 0 is (.4, .387097, .212903), row 1 is (0, 1, 0). The row of an outcome with
    p_i = 0 is the limit of vanishing p_i. Leading axes are batch axes. Raises UsageError if p or q is no distribution
    or their shapes do not go together.
    """
    first, second = pair(p, q)
    return np.array(_law(jnp.asarray(first), jnp.asarray(second)))


@double
def joint_law(p: Probabilities, q: Probabilities) -> Float[np.ndarray, "*batch n n"]:
    """Return P(factual outcome i, counterfactual outcome j); its marginals are p and q."""
    first, second = pair(p, q)
    return np.array(first[..., :, None] * _law(jnp.asarray(first), jnp.asarray(second)))


def hindsight_noise(
    p: Float[np.ndarray, "*batch n"], observed: Int[np.ndarray, "*batch"], rng: np.random.Generator
) -> Float[np.ndarray, "*batch n"]:
    """Draw Gumbel noise given that it made the observed outcomes: argmax(log p + noise) == observed.

    Top-down: the maximum is Gumbel(0) whatever the outcome; the others are Gumbel below it; an impossible outcome's
    noise is not constrained. Raises UsageError if an observed outcome has probability zero, is none of those of p, or
    if there is not one for each distribution.
    """
    p, observed = distribution(p, "p"), np.asarray(observed)
    if observed.shape != p.shape[:-1]:
        raise UsageError(f"p has batch axes {p.shape[:-1]}, the observed outcomes have {observed.shape}")
    if observed.dtype.kind not in "iu" or not np.all((observed >= 0) & (observed < p.shape[-1])):
        raise UsageError(f"an observed outcome is not one of 0 to {p.shape[-1] - 1}")
    at = observed[..., None]
    if not np.all(np.take_along_axis(p, at, axis=-1) > 0):
        raise UsageError("an observed outcome has probability zero", remedy="The model cannot have produced it.")
    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    top = rng.gumbel(size=at.shape)
    perturbed = -np.logaddexp(-(rng.gumbel(size=p.shape) + log_p), -top)  # Gumbel(log p) truncated at `top`
    np.put_along_axis(perturbed, at, top, axis=-1)
    free = rng.gumbel(size=p.shape)
    return np.where(p > 0, perturbed - np.where(p > 0, log_p, 0.0), free)


def replay(q: Float[np.ndarray, "*batch n"], noise: Float[np.ndarray, "*batch n"]) -> Int[np.ndarray, "*batch"]:
    """Return the outcomes under `q` with the given noise: prediction after abduction and action.

    Raises UsageError if q is no distribution or the noise is not of its shape.
    """
    q = distribution(q, "q")
    if np.shape(noise) != q.shape:
        raise UsageError(f"q has shape {q.shape}, the noise {np.shape(noise)}")
    with np.errstate(divide="ignore"):
        return np.argmax(np.log(q) + noise, axis=-1)


@jax.jit
def _law(p: Float[Array, "*batch n"], q: Float[Array, "*batch n"]) -> Float[Array, "*batch n n"]:
    return jnp.vectorize(_law_of_one, signature="(n),(n)->(n,n)")(p, q)


def _law_of_one(p: Float[Array, " n"], q: Float[Array, " n"]) -> Float[Array, "n n"]:
    """Integrate over the relative height t of the two maxima.

    P(i,j) = p_i q_j ∫ dt / S(t)² over t_j < t < t_i, with S(t) = sum_k max(p_k (1-t), q_k t) and t_k = p_k/(p_k+q_k):
    the usual integral over u = t/(1-t), which has no finite end where q_i = 0. S is linear between neighbouring t_k, so
    that a piece is (t' - t) / (S(t) S(t')), without cancellation.
    """
    total = p + q
    height = jnp.where(total > 0, p / jnp.where(total > 0, total, 1.0), 1.0)
    order = jnp.argsort(height)
    t = height[order]
    envelope = jnp.maximum(p * (1 - t[:, None]), q * t[:, None]).sum(axis=1)
    pieces = jnp.diff(t) / (envelope[:-1] * envelope[1:])
    below = jnp.zeros_like(t).at[order].set(jnp.concatenate([jnp.zeros(1), jnp.cumsum(pieces)]))
    moved = q * jnp.maximum(below[:, None] - below, 0.0)
    own = jnp.zeros_like(t).at[order].set(envelope)
    stayed = jnp.where(total > 0, q / jnp.where(total > 0, total * own, 1.0), 0.0)
    return moved * (1 - jnp.eye(len(p))) + jnp.diag(stayed)
