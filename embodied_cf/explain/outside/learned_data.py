"""Episodes of an environment that does not repeat itself, as numbers that a model of it can be learnt from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float64, Int64

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.rollouts import PolicyMaker
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.outside.choices import Listed, choices_of
from embodied_cf.explain.outside.success import LONGEST, Rule, endless, rule_of, succeeded

GOES_ON, SUCCEEDS, FAILS = 0, 1, 2
"""What a step does to its episode."""


@dataclass(frozen=True)
class Lived:
    """One episode of T actions."""

    observation: Float64[np.ndarray, "t1 o"]
    """T + 1 rows, flat."""
    action: Int64[np.ndarray, " t"]
    ends: int
    """SUCCEEDS or FAILS with its last step; GOES_ON if the time was up."""
    rule: Rule
    """By which that was judged."""

    @property
    def success(self) -> bool:
        """Whether it succeeded."""
        return self.ends == SUCCEEDS


@dataclass(frozen=True)
class Transitions:
    """N steps."""

    before: Float64[np.ndarray, "n o"]
    action: Int64[np.ndarray, " n"]
    after: Float64[np.ndarray, "n o"]
    ends: Int64[np.ndarray, " n"]
    """GOES_ON, SUCCEEDS or FAILS."""

    @classmethod
    def of(cls, episodes: Sequence[Lived]) -> "Transitions":
        """Return the steps of episodes, one after the other."""
        ends = [np.append(np.full(len(it.action) - 1, GOES_ON), it.ends) for it in episodes]
        return cls(
            np.concatenate([it.observation[:-1] for it in episodes]),
            np.concatenate([it.action for it in episodes]),
            np.concatenate([it.observation[1:] for it in episodes]),
            np.concatenate(ends).astype(np.int64),
        )


@dataclass(frozen=True)
class Source:
    """Where episodes come from. `policy` draws from the generator that it is made with, and from nothing else."""

    make_env: Callable[[], gymnasium.Env]
    policy: PolicyMaker
    max_steps: int = LONGEST
    succeeds_at: float | None = None
    """Return from which on an episode succeeds; None leaves that to the environment, see `rule_of`."""

    def choices(self) -> Listed:
        """Return the actions that there are. Raises ReplayError for spaces that the model has no numbers for."""
        env = self.make_env()
        seen, choices = env.observation_space, _listed(env)
        env.close()
        if not isinstance(seen, Box):
            raise ReplayError(f"observations are {seen}, and not numbers of which a model can be learnt",
                              remedy="Wrap the environment so that it shows its state as a Box.")  # fmt: skip
        return choices

    def live(self, seed: int, explore: float = 0.0) -> Lived:
        """Live one episode; a share of its actions is drawn at random, so that others than the policy's are seen."""
        env, rng = self.make_env(), generator(seed, "explain", "explore")
        observation, _ = env.reset(seed=seed)
        act = self.policy(env, generator(seed, "explain", "learned"))
        seen, returned, over = [_flat(observation)], 0.0, False
        actions: list[int] = []
        choices = _listed(env)
        while not over:
            if len(actions) == self.max_steps:
                raise endless(self.max_steps)
            wanted = choices.read(act(observation))
            actions.append(int(rng.integers(len(choices.names))) if rng.random() < explore else wanted)
            observation, reward, terminated, truncated, info = env.step(actions[-1])
            seen.append(_flat(observation))
            over = terminated or truncated
            returned += float(reward)
        rule = rule_of(env, info, self.succeeds_at)
        env.close()
        success = succeeded(rule, returned, float(reward), terminated, info)
        ends = SUCCEEDS if success else FAILS if terminated else GOES_ON
        return Lived(np.array(seen), np.array(actions, np.int64), ends, rule)


def repeats(source: Source, seed: int, lived: Lived) -> bool:
    """Return whether the same seed gives the same episode once more."""
    again = source.live(seed)
    return np.array_equal(again.observation, lived.observation) and np.array_equal(again.action, lived.action)


def _listed(env: gymnasium.Env) -> Listed:
    choices = choices_of(env)
    if isinstance(choices, Listed):
        return choices
    raise ReplayError(f"actions are {choices.space}, and a model is learnt of a few that can be counted",
                      remedy="Leave out --learn if the environment repeats itself.")  # fmt: skip


def _flat(observation: object) -> Float64[np.ndarray, " o"]:
    return np.asarray(observation, np.float64).ravel()
