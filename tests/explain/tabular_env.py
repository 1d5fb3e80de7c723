"""The tabular reference world as a gymnasium vector environment, and policies with a logit per step, state, action."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import nn
from torch.distributions import Categorical

HORIZON, STATES, ACTIONS = 8, 5, 3


def reference_world():
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(0.5 * np.ones(STATES), size=(STATES, ACTIONS))
    reward = rng.uniform(0, 1, size=(STATES, ACTIONS))
    return transition, reward, rng.normal(size=(HORIZON, STATES, ACTIONS)), np.full(STATES, 0.2)


TRANSITION, REWARD, LOGITS, INITIAL = reference_world()


class TabularEnvs(VectorEnv):
    """Observation: one-hot over (step, state)."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, lanes):
        self.num_envs = lanes
        self.single_observation_space = gym.spaces.Box(0, 1, (HORIZON * STATES,), np.float32)
        self.single_action_space = gym.spaces.Discrete(ACTIONS)
        self.cumulated = TRANSITION.cumsum(axis=-1)

    def reset(self, *, seed=None, options=None):
        self.rng, self.t = np.random.default_rng(seed), 0
        self.state = self.rng.integers(STATES, size=self.num_envs)
        return self._seen(), {}

    def step(self, actions):
        reward = REWARD[self.state, actions]
        draw = self.rng.uniform(size=(self.num_envs, 1))
        self.state = np.minimum((draw > self.cumulated[self.state, actions]).sum(axis=1), STATES - 1)
        self.t += 1
        over = np.full(self.num_envs, self.t == HORIZON)
        return self._seen(), reward, over, np.zeros_like(over), {}

    def _seen(self):
        return np.eye(HORIZON * STATES, dtype=np.float32)[np.minimum(self.t, HORIZON - 1) * STATES + self.state]


class Table(nn.Module):
    def __init__(self, logits=LOGITS):
        super().__init__()
        self.logits = nn.Parameter(torch.from_numpy(logits).float().reshape(-1, ACTIONS))

    def forward(self, observation):
        return Categorical(logits=observation @ self.logits, validate_args=False)

    def probabilities(self):
        table = torch.softmax(self.logits.detach().double(), dim=-1).numpy()
        return table.reshape(HORIZON, STATES, ACTIONS)
