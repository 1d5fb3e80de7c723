"""Steering of a frozen vision-language-action model: small logged decisions around a policy that stays as it is.

The model proposes K candidate chunks; steering chooses one, and sets *knobs*: guidance weight, speed, clearance.
All of it is one logged action with one propensity, the product of its parts.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from embodied_cf.crm.policies import Array, Theta, chosen, draw, log_normal, log_softmax, namespace


class Proposal(NamedTuple):
    """What is seen at a decision."""

    candidates: Float[Array, "n k f"]
    """Features of each candidate chunk, such as length, turn, clearance, agreement with the instruction."""
    situation: Float[Array, "n d"]
    """Features of the situation."""


class Steer(NamedTuple):
    """What is decided."""

    choice: Int[Array, " n"]
    """Which candidate."""
    knobs: Float[Array, "n m"]
    """Values of the knobs, strictly within their bounds."""


@dataclass(frozen=True)
class Knobs:
    """Bounded continuous settings: low + (high - low) sigmoid(u), u ~ N(b + x W, scale^2), each independent.

    The density is that of the knob itself, the squashing's derivative included.
    """

    features: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    scale: float = 0.5
    """Standard deviation before squashing."""

    @property
    def size(self) -> int:
        """Intercepts and weights."""
        return (self.features + 1) * len(self.low)

    def mean(self, theta: Theta, situation: Float[Array, "n d"]) -> Float[Array, "n m"]:
        """Mean of u."""
        table = theta.reshape(self.features + 1, len(self.low))
        return situation @ table[1:] + table[0]

    def log_prob(self, theta: Theta, situation: Float[Array, "n d"], knobs: Float[Array, "n m"]) -> Float[Array, " n"]:
        """Log density of all knobs together."""
        width = np.subtract(self.high, self.low)
        share = (knobs - np.asarray(self.low)) / width
        log = namespace(knobs).log
        u = log(share) - log(1 - share)
        density = log_normal((u - self.mean(theta, situation)) / self.scale) - np.log(self.scale)
        return (density - log(share) - log(1 - share) - np.log(width)).sum(axis=1)

    def sample(
        self, theta: Theta, situation: Float[Array, "n d"], rng: np.random.Generator
    ) -> Float[np.ndarray, "n m"]:
        """Draw all knobs."""
        u = rng.normal(np.asarray(self.mean(theta, situation)), self.scale)
        return np.asarray(self.low) + np.subtract(self.high, self.low) / (1 + np.exp(-u))


@dataclass(frozen=True)
class Choice:
    """P(candidate) proportional to exp(features of the candidate . theta)."""

    features: int

    @property
    def size(self) -> int:
        """One weight per feature of a candidate; an intercept would be the same for all."""
        return self.features

    def log_probs(self, theta: Theta, candidates: Float[Array, "n k f"]) -> Float[Array, "n k"]:
        """Log probability of each candidate."""
        return log_softmax(candidates @ theta)

    def log_prob(self, theta: Theta, candidates: Float[Array, "n k f"], choice: Int[Array, " n"]) -> Float[Array, " n"]:
        """Log probability of the chosen candidates."""
        return chosen(self.log_probs(theta, candidates), choice)

    def sample(
        self, theta: Theta, candidates: Float[Array, "n k f"], rng: np.random.Generator
    ) -> Int[np.ndarray, " n"]:
        """Choose."""
        return draw(np.exp(np.asarray(self.log_probs(theta, candidates))), rng)


@dataclass(frozen=True)
class Steering:
    """Choice among candidates and knobs, independent given what is seen."""

    choice: Choice
    knobs: Knobs

    @property
    def size(self) -> int:
        """Parameters of the choice, then those of the knobs."""
        return self.choice.size + self.knobs.size

    def log_prob(self, theta: Theta, context: Proposal, action: Steer) -> Float[Array, " n"]:
        """Log density of the joint action."""
        first, second = self._split(theta)
        chose = self.choice.log_prob(first, context.candidates, action.choice)
        return chose + self.knobs.log_prob(second, context.situation, action.knobs)

    def sample(self, theta: Theta, context: Proposal, rng: np.random.Generator) -> Steer:
        """Decide."""
        first, second = self._split(theta)
        choice = self.choice.sample(first, context.candidates, rng)
        return Steer(choice, self.knobs.sample(second, context.situation, rng))

    def _split(self, theta: Theta) -> tuple[jax.Array | np.ndarray, jax.Array | np.ndarray]:
        return theta[: self.choice.size], theta[self.choice.size :]


@dataclass(frozen=True)
class Menu:
    """Choice from a fixed list of k settings, such as way by speed; settings that share attributes share parameters.

    P = (1 - explore) softmax(attributes @ (b + x W)) + explore / k. So every setting keeps being tried, and no
    weight against this policy as the logger exceeds k / explore.
    """

    features: int
    attributes: tuple[tuple[float, ...], ...]
    """Of each of the k settings, m numbers."""
    explore: float = 0.1

    @property
    def size(self) -> int:
        """An intercept and weights for each attribute."""
        return (self.features + 1) * len(self.attributes[0])

    def log_probs(self, theta: Theta, context: Float[Array, "n d"]) -> Float[Array, "n k"]:
        """Log probability of each setting."""
        table = theta.reshape(self.features + 1, len(self.attributes[0]))
        greedy = log_softmax((context @ table[1:] + table[0]) @ np.array(self.attributes).T)
        floor = np.log(self.explore / len(self.attributes))
        return namespace(greedy).logaddexp(greedy + np.log(1 - self.explore), floor)

    def log_prob(self, theta: Theta, context: Float[Array, "n d"], action: Int[Array, " n"]) -> Float[Array, " n"]:
        """Log probability of each chosen setting."""
        return chosen(self.log_probs(theta, context), action)

    def sample(
        self, theta: Theta, context: Float[np.ndarray, "n d"], rng: np.random.Generator
    ) -> Int[np.ndarray, " n"]:
        """Choose."""
        return draw(np.exp(np.asarray(self.log_probs(theta, context))), rng)
