"""Stochastic policies over logged decisions, each a frozen dataclass on one flat parameter vector.

Formulas work on numpy and JAX arrays alike: fitting differentiates `log_prob`, deploying calls `sample` with a
numpy generator. `log_prob` is of the action as logged, so it can stand beside a recorded propensity.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Float, Int, Real

Array = jax.Array | np.ndarray
Theta = Float[Array, " p"]
Context = Float[Array, "n d"]


@runtime_checkable
class Policy(Protocol):
    """What a learner needs of a policy. Contexts and actions are arrays, or tuples of arrays, of n rows."""

    @property
    def size(self) -> int:
        """Number of parameters p."""

    def log_prob(self, theta: Theta, context: Any, action: Any) -> Float[Array, " n"]:
        """Log of the probability or density of each action."""

    def sample(self, theta: Theta, context: Any, rng: np.random.Generator) -> Any:
        """Draw one action per context."""


@dataclass(frozen=True)
class LinearGaussian:
    """a ~ N(theta_0 + x theta_1.., scale^2) with a fixed scale."""

    features: int
    scale: float

    @property
    def size(self) -> int:
        """Intercept and one weight per feature."""
        return self.features + 1

    def mean(self, theta: Theta, context: Context) -> Float[Array, " n"]:
        """Mean action."""
        return theta[0] + context @ theta[1:]

    def log_prob(self, theta: Theta, context: Context, action: Float[Array, " n"]) -> Float[Array, " n"]:
        """Log density."""
        return log_normal((action - self.mean(theta, context)) / self.scale) - np.log(self.scale)

    def sample(self, theta: Theta, context: Context, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
        """Draw one action per context."""
        return np.asarray(rng.normal(np.asarray(self.mean(theta, context)), self.scale))


@dataclass(frozen=True)
class LinearLognormal:
    """log a ~ N(theta_0 + x theta_1.., scale^2), for actions > 0 such as prices, speeds, guidance weights."""

    features: int
    scale: float

    @property
    def size(self) -> int:
        """Intercept and one weight per feature."""
        return self.features + 1

    def log_prob(self, theta: Theta, context: Context, action: Float[Array, " n"]) -> Float[Array, " n"]:
        """Log density."""
        log_action = namespace(action).log(action)
        return LinearGaussian(self.features, self.scale).log_prob(theta, context, log_action) - log_action

    def sample(self, theta: Theta, context: Context, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
        """Draw one action per context."""
        return np.exp(LinearGaussian(self.features, self.scale).sample(theta, context, rng))


@dataclass(frozen=True)
class Softmax:
    """P(a|x) proportional to exp(logit_a(x)): linear logits, or those of one tanh layer of `hidden` units."""

    features: int
    actions: int
    hidden: int = 0

    @property
    def size(self) -> int:
        """Weights and biases of the layers."""
        return sum((inputs + 1) * outputs for inputs, outputs in self._layers())

    def logits(self, theta: Theta, context: Context) -> Float[Array, "n k"]:
        """Unnormalised log probabilities."""
        at, values = 0, context
        for layer, (inputs, outputs) in enumerate(self._layers()):
            values = namespace(theta).tanh(values) if layer else values
            table = theta[at : at + (inputs + 1) * outputs].reshape(inputs + 1, outputs)
            values = values @ table[1:] + table[0]
            at += (inputs + 1) * outputs
        return values

    def log_probs(self, theta: Theta, context: Context) -> Float[Array, "n k"]:
        """Log probabilities of all actions."""
        return log_softmax(self.logits(theta, context))

    def log_prob(self, theta: Theta, context: Context, action: Int[Array, " n"]) -> Float[Array, " n"]:
        """Log probability of each action."""
        return chosen(self.log_probs(theta, context), action)

    def sample(self, theta: Theta, context: Context, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
        """Draw one action per context."""
        return draw(np.exp(np.asarray(self.log_probs(theta, context))), rng)

    def _layers(self) -> list[tuple[int, int]]:
        if not self.hidden:
            return [(self.features, self.actions)]
        return [(self.features, self.hidden), (self.hidden, self.actions)]


@dataclass(frozen=True)
class BernoulliProduct:
    """Independent labels, P(a_j = 1|x) = sigmoid(theta_0j + x theta_j): the multi-label benchmark's policy."""

    features: int
    labels: int

    @property
    def size(self) -> int:
        """Intercepts and weights."""
        return (self.features + 1) * self.labels

    def logits(self, theta: Theta, context: Context) -> Float[Array, "n k"]:
        """Log odds of each label."""
        table = theta.reshape(self.features + 1, self.labels)
        return context @ table[1:] + table[0]

    def log_prob(self, theta: Theta, context: Context, action: Real[Array, "n k"]) -> Float[Array, " n"]:
        """Log probability of each row of labels in {0, 1}."""
        xp = namespace(theta)
        return -xp.logaddexp(0.0, (1 - 2 * action) * self.logits(theta, context)).sum(axis=1)

    def sample(self, theta: Theta, context: Context, rng: np.random.Generator) -> Float[np.ndarray, "n k"]:
        """Draw one row of labels per context."""
        odds = np.asarray(self.logits(theta, context))
        return (rng.logistic(size=odds.shape) < odds).astype(np.float64)


def namespace(array: Array) -> Any:
    """Return the array's own functions: numpy's or jax.numpy's."""
    return array.__array_namespace__()


def log_normal(z: Array) -> Array:
    """Log density of the standard normal distribution."""
    return -(z**2) / 2 - 0.5 * np.log(2 * np.pi)


def log_softmax(logits: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Log of the softmax over the last axis."""
    return logits - (
        np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        if isinstance(logits, np.ndarray)
        else logsumexp(logits, axis=-1, keepdims=True)
    )


def chosen(table: Float[Array, "n k"], index: Int[Array, " n"]) -> Float[Array, " n"]:
    """Return the entry of each row that `index` names."""
    return namespace(table).take_along_axis(table, index[:, None], axis=1)[:, 0]


def draw(probabilities: Float[np.ndarray, "n k"], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Draw one column per row."""
    below = probabilities.cumsum(axis=1) < rng.random((len(probabilities), 1))
    return np.minimum(below.sum(axis=1), probabilities.shape[1] - 1)
