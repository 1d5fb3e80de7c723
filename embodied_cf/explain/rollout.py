"""Whole episodes of a policy in a gymnasium vector environment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import VectorEnv
from jaxtyping import Float, Int
from torch import Tensor, nn

from embodied_cf.errors import UsageError
from embodied_cf.explain.chunk_law import ChunkLaw
from embodied_cf.explain.errors import PolicyError
from embodied_cf.explain.lanes import RestingEnvs
from embodied_cf.explain.policies import Explainable, distribution, sample

MakeEnvs = Callable[[int], VectorEnv]
"""Makes a vector environment of so many lanes."""


@dataclass(frozen=True)
class Episodes:
    """Steps of whole episodes, those of one episode in order."""

    observation: Float[Tensor, "n *o"]
    action: Tensor
    """(n,) or (n, a), as drawn: not clipped."""
    reward: Float[Tensor, " n"]
    step: Int[Tensor, " n"]
    episode: Int[Tensor, " n"]
    count: int
    context: Float[Tensor, "n c"]
    """What tells the states apart for people and for baselines: what the environment says in `info["context"]`, or else
    the flat observation."""

    def per_episode(self, values: Float[Tensor, " n"]) -> Float[Tensor, " e"]:
        """Return the sum of a value over each episode."""
        return torch.zeros(self.count, dtype=values.dtype).index_add_(0, self.episode, values)

    def to_go(self, values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Return at each step the sum of a value from there to the episode's end."""
        table = torch.zeros(int(self.step.max()) + 1, self.count, dtype=values.dtype)
        table[self.step, self.episode] = values
        return table.flip(0).cumsum(0).flip(0)[self.step, self.episode]

    @property
    def returns(self) -> Float[Tensor, " e"]:
        """Undiscounted returns."""
        return self.per_episode(self.reward)


def make_envs(env: str) -> MakeEnvs:
    """Return a maker of vector environments of a gymnasium id.

    Raises UsageError if there is no such id; the maker does if what the environment needs is not installed.
    """
    with _named(env):
        vectorised = gym.spec(env).vector_entry_point is not None

    def make(lanes: int) -> VectorEnv:
        with _named(env):
            return gym.make_vec(env, num_envs=lanes) if vectorised else RestingEnvs(lambda: gym.make(env), lanes)

    return make


@contextmanager
def _named(env: str) -> Iterator[None]:
    try:
        yield
    except (gym.error.Error, ImportError) as error:
        raise UsageError(
            f"gymnasium has no environment `{env}` ({error})", remedy="Check the id and its extra."
        ) from error


def check_fits(policy: nn.Module, envs: VectorEnv) -> None:
    """Raise PolicyError if a policy cannot read an environment's observations or act in it."""
    space, actions = envs.single_observation_space, envs.single_action_space
    where = type(policy).__name__
    if not isinstance(space, Box):
        raise PolicyError(f"observations are {space}, not arrays", where=where, remedy="Wrap the environment.")
    observation = torch.zeros((1, *space.shape))
    try:
        with torch.no_grad():
            given = distribution(policy, observation)
    except (RuntimeError, TypeError, ValueError, LookupError) as error:  # whatever a forward makes of another shape
        raise PolicyError(
            f"the policy cannot read observations of shape {space.shape} ({error})", where=where
        ) from error
    if not _can_act(given, actions):
        raise PolicyError(f"the policy's {given} does not fit actions {actions}", where=where)


def _can_act(given: Explainable, actions: gym.Space) -> bool:
    if isinstance(actions, Discrete):
        return isinstance(given, torch.distributions.Categorical) and given.logits.shape[-1] == int(actions.n)
    return isinstance(actions, Box) and tuple(given.event_shape) == actions.shape and bool(actions.shape)


def play(policy: nn.Module, envs: VectorEnv, rng: np.random.Generator, *, greedy: bool = False) -> Episodes:
    """Play one episode in each lane, all from fresh seeds of `rng`; a lane that has finished is not looked at."""
    observation, info = envs.reset(seed=int(rng.integers(2**31 - envs.num_envs)))
    alive = np.ones(envs.num_envs, dtype=bool)
    seen, told, done, paid, lanes = [], [], [], [], []
    while alive.any():
        state = torch.as_tensor(np.asarray(observation, dtype=np.float32))
        with torch.no_grad():
            given = _told(distribution(policy, state), policy)
            action = given.mode if greedy else sample(given, rng)
        (lane,) = np.nonzero(alive)
        seen.append(state[lane])
        told.append(torch.from_numpy(info["context"]).float()[lane] if "context" in info else seen[-1].flatten(1))
        observation, reward, terminated, truncated, info = envs.step(_for_env(action, envs))
        done.append(action[lane])
        paid.append(torch.as_tensor(np.asarray(reward, dtype=np.float64)[lane]))
        lanes.append(torch.from_numpy(lane))
        alive &= ~(terminated | truncated)
    step = torch.cat([torch.full_like(lane, at) for at, lane in enumerate(lanes)])
    return Episodes(
        torch.cat(seen), torch.cat(done), torch.cat(paid), step, torch.cat(lanes), envs.num_envs, torch.cat(told)
    )


def _told(given: Explainable, policy: nn.Module) -> Explainable:
    """Return a distribution. Raises PolicyError for one of nan, from which actions would be drawn all the same."""
    if isinstance(given, ChunkLaw):
        return given  # of this project's own runs
    law = given.logits if isinstance(given, torch.distributions.Categorical) else given.mean
    if torch.isnan(law).any():
        raise PolicyError(
            "the policy's distribution over actions is made of nan",
            where=type(policy).__name__,
            remedy="Look whether what it observes is no number either, or too large.",
        )
    return given


def _for_env(action: Tensor, envs: VectorEnv) -> np.ndarray:
    array, space = action.numpy(), envs.single_action_space
    if isinstance(space, Box):
        return np.clip(array, space.low, space.high).astype(space.dtype)
    return array + space.start if isinstance(space, Discrete) else array
