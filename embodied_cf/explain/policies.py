"""What can be explained: a torch module that maps observations to a distribution over actions.

`forward(observation (b, *o)) -> torch.distributions` with batch shape (b,): a Categorical, or an Independent Normal
over a vector of actions; of the project's own policies, a ChunkLaw. Environments get Normal actions clipped to their
bounds; log-probabilities are of the unclipped.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import gymnasium
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal, kl_divergence

from embodied_cf.envs.rollouts import Actor, PolicyMaker
from embodied_cf.explain.chunk_law import ChunkLaw
from embodied_cf.explain.errors import PolicyError

Activation = Literal["tanh", "relu", "elu", "silu"]
Actions = Literal["categorical", "gaussian"]
Explainable: TypeAlias = Categorical | Independent | ChunkLaw
_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU}


class MlpPolicy(nn.Module):
    """A multilayer perceptron over flat observations.

    `sizes` are those of all layers: observation, hidden ones, number of actions (categorical) or of action dimensions
    (gaussian, with a standard deviation that does not depend on the observation).
    """

    def __init__(self, sizes: Sequence[int], actions: Actions, activation: Activation = "tanh") -> None:
        super().__init__()
        self.sizes, self.actions, self.activation = tuple(sizes), actions, activation
        layers: list[nn.Module] = []
        for into, out in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            layers += [nn.Linear(into, out), _ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers[:-1])
        if actions == "gaussian":
            self.log_std = nn.Parameter(torch.zeros(self.sizes[-1]))

    def forward(self, observation: Float[Tensor, "b *o"]) -> Explainable:
        """Return the distribution over actions."""
        head = self.layers(observation.flatten(1))
        if self.actions == "categorical":
            return Categorical(logits=head, validate_args=False)
        spread = self.log_std.exp().expand_as(head)
        return Independent(Normal(head, spread, validate_args=False), 1, validate_args=False)


def distribution(policy: nn.Module, observation: Tensor) -> Explainable:
    """Return a policy's distribution; raises PolicyError if it gives something without log-probabilities."""
    given = policy(observation)
    normal = isinstance(given, Independent) and isinstance(given.base_dist, Normal)
    if normal or isinstance(given, Categorical | ChunkLaw):
        return given
    raise PolicyError(
        f"the policy returns {type(given).__name__}, not a distribution over actions",
        where=type(policy).__name__,
        remedy="Only policies with log-probabilities can be explained: return a Categorical or an Independent Normal.",
    )


def sample(given: Explainable, rng: np.random.Generator) -> Tensor:
    """Draw actions with the noise of `rng`; torch's global generator stays untouched."""
    if isinstance(given, Categorical):
        noise = torch.from_numpy(rng.gumbel(size=tuple(given.logits.shape)))
        return torch.argmax(given.logits + noise, dim=-1)
    if isinstance(given, ChunkLaw):
        return given.draw(rng)
    noise = torch.from_numpy(rng.normal(size=tuple(given.mean.shape)))
    return (given.mean + given.stddev * noise).to(given.mean.dtype)


def acting(policy: nn.Module, greedy: bool = False) -> PolicyMaker:
    """Return a maker of actors that draw an action at each array that they see, by the episode's generator.

    greedy: they do the likeliest instead.
    """

    def make(env: gymnasium.Env, rng: np.random.Generator) -> Actor:
        def act(observation: Any) -> np.ndarray:
            with torch.no_grad():
                given = distribution(policy, torch.as_tensor(np.asarray(observation, np.float32))[None])
                return (given.mode if greedy else sample(given, rng))[0].numpy()

        return act

    return make


def log_likelihood(given: Explainable, action: Tensor) -> Float[Tensor, " b"]:
    """Return log-probabilities (densities, if continuous) of actions as drawn."""
    told: Tensor = given.log_prob(action)
    return told


def divergence(p: Distribution, q: Distribution) -> Float[Tensor, " b"]:
    """Return KL(p, q) in nats for each observation, in closed form."""
    return kl_divergence(p, q)


def variation(p: Explainable, q: Explainable, rng: np.random.Generator, draws: int = 64) -> Float[Tensor, " b"]:
    """Return the total variation distance for each observation; if not Categorical, estimated from draws of p."""
    if isinstance(p, Categorical) and isinstance(q, Categorical):
        return (p.probs - q.probs).abs().sum(dim=-1) / 2
    total = torch.zeros(p.batch_shape)
    for _ in range(draws):
        at = sample(p, rng)
        total += torch.clamp(1 - torch.exp(log_likelihood(q, at) - log_likelihood(p, at)), min=0)
    return total / draws
