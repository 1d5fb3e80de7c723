"""Exact counterfactuals: the same worlds, people and chance under other actions, and what that changes for people."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from embodied_cf.envs.motion.dynamics import at, checked, trail
from embodied_cf.envs.scene import Worlds
from embodied_cf.envs.state import Noise, State


@dataclass(frozen=True)
class Rollout:
    """B runs of T steps."""

    columns: Mapping[str, np.ndarray]
    """The columns of `State`, each (t + 1, b, ...)."""

    @property
    def pose(self) -> Float64[np.ndarray, "b t 3"]:
        """Robot's x, y m, yaw rad: T + 1 poses, the first is where the run began."""
        return self.columns["pose"].swapaxes(0, 1)

    @property
    def person(self) -> Float64[np.ndarray, "b t p 4"]:
        """People's x, y m, vx, vy m/s at T + 1 instants."""
        return self.columns["person"].swapaxes(0, 1)

    @property
    def hit(self) -> UInt8[np.ndarray, "b t"]:
        """What the robot hit in each of the T steps: bits HIT_WALL, HIT_OBJECT, HIT_PERSON."""
        return self.columns["hit"][1:].swapaxes(0, 1)

    def state(self, step: int) -> State:
        """Return everything after `step` steps; 0 is the start."""
        return at(self.columns, step)


def branch(worlds: Worlds, state: State, actions: np.ndarray, noise: Noise) -> Rollout:
    """Run each row of actions (b, t, 2) from `state` on, with the noise of these steps.

    Worlds, state and noise of length 1 serve all rows. The actions that were taken give, bit for bit, what
    happened: `branch(worlds, run.state(k), actions[:, k:], noise.since(k))`. Raises UsageError as `step` does.
    """
    return Rollout(trail(worlds, state, actions, noise))


def people_perturbation(worlds: Worlds, state: State, actions: np.ndarray, noise: Noise) -> Float64[np.ndarray, "b p"]:
    """Return how far, squared and averaged over the steps (m²), the robot's actions push each person off the way
    that the person would have walked had the robot stood still.

    The counterfactual perturbation of SACSoN (arXiv 2306.01874), whose "still" robot is stopped at its pose, not
    absent; here it is exact. 0 where the actions are 0, and for whoever is not influenced.
    """
    actions = checked(actions)
    moving = branch(worlds, state, actions, noise).person[:, 1:, :, :2]
    still = branch(worlds, state, np.zeros_like(actions), noise).person[:, 1:, :, :2]
    return np.square(moving - still).sum(axis=-1).mean(axis=1)
