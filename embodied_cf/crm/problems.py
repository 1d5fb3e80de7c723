"""Synthetic decision problems of the literature on sequential CRM: nothing to install, loss known for any policy.

Pricing and advertising follow Zenati et al. 2023 (arXiv 2302.12120) and the settings of their published code:
losses <= 0, a fixed logger of the environment's own, and policies N(theta_0 + x theta, scale^2).
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from embodied_cf.crm.fit import Decisions
from embodied_cf.crm.policies import LinearGaussian, LinearLognormal, log_normal

Vector = Float[np.ndarray, " n"]


class World(NamedTuple):
    """n situations: what a policy sees of them, and what it does not."""

    context: Float[np.ndarray, "n d"]
    hidden: Vector


_PRICES, _BIDS = LinearGaussian(10, 0.5), LinearGaussian(2, 0.3)
_BIDDER = LinearLognormal(0, float(np.sqrt(np.log(1.25))))
_BID = np.array([np.log(2) - np.log(1.25) / 2])
"""Mean 2, standard deviation 1."""


@runtime_checkable
class Problem(Protocol):
    """A world that draws situations, has a logger of its own, and answers actions with losses."""

    @property
    def policy(self) -> LinearGaussian:
        """The class of policies to learn in."""

    @property
    def largest_loss(self) -> float:
        """The largest loss that can be."""

    def draw(self, rng: np.random.Generator, n: int) -> World:
        """Draw situations."""

    def act(self, rng: np.random.Generator, world: World) -> Vector:
        """Return the first logger's actions."""

    def log_density(self, world: World, action: Vector) -> Vector:
        """Return the first logger's log density of actions."""

    def loss(self, rng: np.random.Generator, world: World, action: Vector) -> Vector:
        """Return the losses of actions."""

    def start(self, rng: np.random.Generator) -> Float[np.ndarray, " p"]:
        """Draw parameters to start learning from."""


@dataclass(frozen=True)
class Pricing:
    """Price a: loss min(0, -(a (2 m^2 - 0.6 m a) + N(0, 1))).

    x ~ U[1, 2]^10, m is the mean of its first 3; the logger is N(m, 1), the best price m / 0.6.
    """

    policy: LinearGaussian = _PRICES
    largest_loss: float = 0.0

    def draw(self, rng: np.random.Generator, n: int) -> World:
        """Draw situations."""
        context = rng.uniform(1, 2, size=(n, 10))
        return World(context, context[:, :3].mean(axis=1))

    def act(self, rng: np.random.Generator, world: World) -> Vector:
        """Price by N(m, 1)."""
        return rng.normal(world.hidden, 1.0)

    def log_density(self, world: World, action: Vector) -> Vector:
        """Of N(m, 1)."""
        return np.asarray(log_normal(action - world.hidden))

    def loss(self, rng: np.random.Generator, world: World, action: Vector) -> Vector:
        """Return losses, noise included."""
        m = world.hidden
        return np.minimum(-(action * (2 * m**2 - 0.6 * m * action) + rng.normal(size=len(m))), 0.0)

    def start(self, rng: np.random.Generator) -> Float[np.ndarray, " p"]:
        """Intercept 1, weights N(0, 0.01^2)."""
        return np.concatenate([[1.0], rng.normal(scale=0.01, size=10)])


@dataclass(frozen=True)
class Advertising:
    """Bid a on a potential y: loss -max(a / y if a < y else 1 + (y - a) / 2, -0.1).

    Contexts are two moons with noise 0.05; y = |N(3, 0.5)| on one and |N(1, 0.5)| on the other. The logger is
    lognormal with mean 2 and standard deviation 1 and sees nothing.
    """

    policy: LinearGaussian = _BIDS
    largest_loss: float = 0.1

    def draw(self, rng: np.random.Generator, n: int) -> World:
        """Draw situations."""
        moon, angle = rng.integers(2, size=n), rng.uniform(0, np.pi, size=n)
        x = np.where(moon == 0, np.cos(angle), 1 - np.cos(angle))
        y = np.where(moon == 0, np.sin(angle), 0.5 - np.sin(angle))
        context = np.stack([x, y], axis=1) + rng.normal(scale=0.05, size=(n, 2))
        return World(context, np.abs(rng.normal(np.where(moon == 0, 3.0, 1.0), 0.5)))

    def act(self, rng: np.random.Generator, world: World) -> Vector:
        """Bid without looking."""
        return _BIDDER.sample(_BID, world.context[:, :0], rng)

    def log_density(self, world: World, action: Vector) -> Vector:
        """Of the lognormal logger; -inf for bids <= 0."""
        density = _BIDDER.log_prob(_BID, world.context[:, :0], np.maximum(action, 1e-300))
        return np.where(action > 0, np.asarray(density), -np.inf)

    def loss(self, rng: np.random.Generator, world: World, action: Vector) -> Vector:
        """Return losses; they have no noise beyond the potential's."""
        y = world.hidden
        return -np.maximum(np.where(action < y, action / y, 1 + 0.5 * (y - action)), -0.1)

    def start(self, rng: np.random.Generator) -> Float[np.ndarray, " p"]:
        """Intercept 1, weights N(0, 1)."""
        return np.concatenate([[1.0], rng.normal(size=2)])


def deploy(
    problem: Problem, theta: Float[np.ndarray, " p"] | None, rng: np.random.Generator, n: int
) -> tuple[World, Decisions]:
    """Draw n decisions of a policy, or of the problem's own logger (None), propensities recorded."""
    world = problem.draw(rng, n)
    action = problem.act(rng, world) if theta is None else problem.policy.sample(theta, world.context, rng)
    log_density = log_density_of(problem, theta, world, action)
    return world, Decisions(world.context, action, log_density, problem.loss(rng, world, action))


def log_density_of(problem: Problem, theta: Float[np.ndarray, " p"] | None, world: World, action: Vector) -> Vector:
    """Return the log density of actions under a policy, or under the problem's own logger (None)."""
    if theta is None:
        return problem.log_density(world, action)
    return np.asarray(problem.policy.log_prob(theta, world.context, action))


def true_loss(
    problem: Problem, theta: Float[np.ndarray, " p"], rng: np.random.Generator, contexts: int = 10_000, draws: int = 10
) -> float:
    """Return the policy's mean loss over `contexts` situations and `draws` actions in each."""
    world = problem.draw(rng, contexts)
    total = 0.0
    for _ in range(draws):
        action = problem.policy.sample(theta, world.context, rng)
        total += float(problem.loss(rng, world, action).mean())
    return total / draws
