"""Bijective mechanisms Y = f(X, U), learned: invert for the noise, push it through with another X.

Identifiable where X is not confounded with U (Nasr-Esfahany et al. 2023, arXiv 2302.02228). Dimension d of y has the
conditional distribution function F_d(y_d | x, y_<d), a mixture of logistics whose weights, places and widths a small
network gives: monotone in y_d by construction, with an exact likelihood. Noise is u_d = F_d in (0, 1), and the
counterfactual is y'_d = F_d^-1(u_d | x', y'_<d): in one dimension F^-1_{x'}(F_x(y)).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embodied_cf.counterfactual.precision import double
from embodied_cf.errors import UsageError

_Weights = Mapping[str, Array | np.ndarray]
_HALVINGS = 80
_REACH = 40.0
"""Widths beyond the outermost place between which an inverse is sought: the logistic tail there is below 1e-17."""
_EDGE = 1e-15
"""Noise is kept this far from 0 and 1, where float64 has no inverse."""


@dataclass(frozen=True)
class FlowOptions:
    """Size and training of a flow."""

    components: int = 8
    """Logistics per dimension."""
    hidden: int = 32
    """Units in each of two hidden layers."""
    steps: int = 2000
    """Full-batch Adam steps."""
    rate: float = 5e-3
    """Learning rate at the start; it falls to zero along a half cosine."""


@dataclass(frozen=True)
class Flow:
    """A fitted mechanism; made by `fit`."""

    weights: tuple[_Weights, ...]
    """One network per dimension of y."""
    x_scale: tuple[Float[np.ndarray, " dx"], Float[np.ndarray, " dx"]]
    """Mean and deviation that inputs are measured in."""
    y_scale: tuple[Float[np.ndarray, " dy"], Float[np.ndarray, " dy"]]
    loss: float
    """Mean negative log-likelihood at the end, in nats, of y as given."""

    @double
    def noise(self, x: Float[np.ndarray, "b dx"], y: Float[np.ndarray, "b dy"]) -> Float[np.ndarray, "b dy"]:
        """Abduct: return the u in (0, 1) that made y under x."""
        given, seen = _scaled(x, self.x_scale), _scaled(y, self.y_scale)
        columns = [_noise(w, given, seen[:, :d], seen[:, d]) for d, w in enumerate(self.weights)]
        return np.stack(columns, axis=1)

    @double
    def outcome(self, x: Float[np.ndarray, "b dx"], noise: Float[np.ndarray, "b dy"]) -> Float[np.ndarray, "b dy"]:
        """Predict: return the y that noise makes under x."""
        given, made = _scaled(x, self.x_scale), jnp.zeros((len(x), 0))
        for d, w in enumerate(self.weights):
            made = jnp.concatenate([made, _invert(w, given, made, jnp.asarray(noise[:, d]))[:, None]], axis=1)
        return np.array(made * self.y_scale[1] + self.y_scale[0])

    def counterfactual(
        self, x: Float[np.ndarray, "b dx"], y: Float[np.ndarray, "b dy"], other: Float[np.ndarray, "b dx"]
    ) -> Float[np.ndarray, "b dy"]:
        """Return what y would have been under `other` instead of x."""
        return self.outcome(other, self.noise(x, y))


@double
def fit(
    x: Float[np.ndarray, "b dx"],
    y: Float[np.ndarray, "b dy"],
    rng: np.random.Generator,
    options: FlowOptions | None = None,
) -> Flow:
    """Fit a flow of y given x by maximum likelihood; `rng` draws the first weights.

    Raises UsageError if there are no rows, not as many of x as of y, or if numbers are not finite.
    """
    if np.ndim(x) != 2 or np.ndim(y) != 2 or len(x) != len(y) or not len(y):
        raise UsageError(f"x has shape {np.shape(x)} and y {np.shape(y)}, not (b, dx) and (b, dy)")
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise UsageError("x or y has entries that are not finite")
    options = options or FlowOptions()
    x_scale, y_scale = _scale(x), _scale(y)
    given, seen = _scaled(x, x_scale), _scaled(y, y_scale)
    fitted, losses = [], []
    for d in range(y.shape[1]):
        start = _first(given.shape[1] + d, options, rng)
        weights, loss = _train(start, given, seen[:, :d], seen[:, d], options.steps, options.rate)
        fitted.append({name: np.array(value) for name, value in weights.items()})
        losses.append(float(loss))
    return Flow(tuple(fitted), x_scale, y_scale, sum(losses) + float(np.log(y_scale[1]).sum()))


def _scale(values: Float[np.ndarray, "b d"]) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def _scaled(values: Float[np.ndarray, "b d"], scale: tuple[np.ndarray, np.ndarray]) -> Array:
    return (jnp.asarray(values) - scale[0]) / scale[1]


def _first(inputs: int, options: FlowOptions, rng: np.random.Generator) -> _Weights:
    """Draw weights; the places start spread over the data and the rest near nothing."""
    sizes = (inputs, options.hidden, options.hidden, 3 * options.components)
    weights = {}
    for layer, (into, out) in enumerate(pairwise(sizes)):
        weights[f"w{layer}"] = jnp.asarray(rng.normal(size=(into, out)) / np.sqrt(max(into, 1)))
        weights[f"b{layer}"] = jnp.zeros(out)
    places = jnp.linspace(-2.0, 2.0, options.components)
    weights["w2"] = weights["w2"] * 0.1
    weights["b2"] = jnp.concatenate([jnp.zeros_like(places), places, jnp.full_like(places, -1.0)])
    return weights


def _mixture(weights: _Weights, given: Array, before: Array) -> tuple[Array, Array, Array]:
    """Return log weights, places and log widths, each (b, components)."""
    hidden = jnp.concatenate([given, before], axis=1)
    for layer in range(2):
        hidden = jnp.tanh(hidden @ weights[f"w{layer}"] + weights[f"b{layer}"])
    share, place, width = jnp.split(hidden @ weights["w2"] + weights["b2"], 3, axis=1)
    return jax.nn.log_softmax(share), place, width


def _density(weights: _Weights, given: Array, before: Array, at: Array) -> Array:
    share, place, width = _mixture(weights, given, before)
    z = (at[:, None] - place) * jnp.exp(-width)
    return jax.nn.logsumexp(share - z - width - 2 * jax.nn.softplus(-z), axis=1)


@jax.jit
def _noise(weights: _Weights, given: Array, before: Array, at: Array) -> Array:
    share, place, width = _mixture(weights, given, before)
    below = (jnp.exp(share) * jax.nn.sigmoid((at[:, None] - place) * jnp.exp(-width))).sum(axis=1)
    return jnp.clip(below, _EDGE, 1 - _EDGE)


@jax.jit
def _invert(weights: _Weights, given: Array, before: Array, noise: Array) -> Array:
    _, place, width = _mixture(weights, given, before)
    reach = _REACH * jnp.exp(width)

    def halve(_: int | Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = (ends[0] + ends[1]) / 2
        less = _noise(weights, given, before, middle) < noise
        return jnp.where(less, middle, ends[0]), jnp.where(less, ends[1], middle)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, ((place - reach).min(axis=1), (place + reach).max(axis=1)))
    return (low + high) / 2


@partial(jax.jit, static_argnames="steps")
def _train(
    weights: _Weights, given: Array, before: Array, at: Array, steps: int, rate: float | Array
) -> tuple[_Weights, Array]:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) on the whole batch."""

    def loss(w: _Weights) -> Array:
        return -_density(w, given, before, at).mean()

    def step(state: tuple[_Weights, _Weights, _Weights], t: Array) -> tuple[tuple[_Weights, _Weights, _Weights], None]:
        w, mean, square = state
        slope = jax.grad(loss)(w)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
        square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g**2, square, slope)
        now = rate * (1 + jnp.cos(jnp.pi * t / steps)) / 2 * jnp.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1))
        w = jax.tree.map(lambda v, m, s: v - now * m / (jnp.sqrt(s) + 1e-8), w, mean, square)
        return (w, mean, square), None

    nothing = jax.tree.map(jnp.zeros_like, weights)
    (trained, _, _), _ = jax.lax.scan(step, (weights, nothing, nothing), jnp.arange(steps, dtype=float))
    return trained, loss(trained)
