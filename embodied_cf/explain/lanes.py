"""A gymnasium vector environment whose finished lanes rest until the next reset, instead of playing on unseen."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space


class RestingEnvs(VectorEnv):
    """One episode per lane: cheaper than a SyncVectorEnv where episodes differ in length."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012 (gymnasium's own name)

    def __init__(self, make: Callable[[], gym.Env], lanes: int) -> None:
        self.envs = [make() for _ in range(lanes)]
        self.num_envs = lanes
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, lanes)
        self.action_space = batch_space(self.single_action_space, lanes)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset every lane; lane i gets seed + i."""
        seeds = [None if seed is None else seed + lane for lane in range(self.num_envs)]
        first = [env.reset(seed=at, options=options)[0] for env, at in zip(self.envs, seeds, strict=True)]
        self._seen, self._over = np.array(first), np.zeros((2, self.num_envs), dtype=bool)
        return self._seen.copy(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step the lanes that still play; the others repeat their last observation and are paid nothing."""
        reward = np.zeros(self.num_envs)
        for lane in np.flatnonzero(~self._over.any(axis=0)):
            seen, reward[lane], *over, _ = self.envs[lane].step(actions[lane])
            self._seen[lane], self._over[:, lane] = seen, over
        return self._seen.copy(), reward, self._over[0].copy(), self._over[1].copy(), {}

    def close_extras(self, **kwargs: Any) -> None:
        """Close every lane."""
        for env in self.envs:
            env.close()
