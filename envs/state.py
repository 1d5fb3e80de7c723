"""Where everything is and what chance brings: explicit arrays, so that the same chance can be replayed.

One step lasts PERIOD_S. The robot is a differential drive that takes (v m/s, w rad/s) for a step. Chance is drawn
once for an episode (`draw_noise`) and passed in step by step: two runs with the same `Noise` differ only by what
they do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int32, UInt8

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.scene import MAX_PEOPLE, Scene
from embodied_cf.language.columns import Columns

PERIOD_S = 0.25
"""Control period."""
ROBOT_RADIUS_M, PERSON_RADIUS_M = 0.25, 0.25
MAX_SPEED, MAX_TURN = 1.0, 1.5
"""Limits of what the drive carries out: m/s forwards (it does not reverse) and rad/s to either side."""
SLIP = 0.05
"""Standard deviation of speed and turn rate, as a share of what was asked."""
HIT_WALL, HIT_OBJECT, HIT_PERSON = 1, 2, 4


@dataclass(frozen=True)
class State(Columns):
    """B worlds at one instant."""

    pose: Float64[np.ndarray, "b 3"]
    """Robot x, y m, yaw rad (not wrapped)."""
    velocity: Float64[np.ndarray, "b 2"]
    """What the robot did in the last step: v m/s, w rad/s, after slip and collision."""
    person: Float64[np.ndarray, "b p 4"]
    """People: x, y m, vx, vy m/s; unused rows zero."""
    person_goal: Int32[np.ndarray, "b p"]
    """Index of the goal that each is walking to."""
    person_phase: Float64[np.ndarray, "b p"]
    """Phase of the gait, rad: grows with the distance walked."""
    person_stuck: Int32[np.ndarray, "b p"]
    """Control periods that each spent without getting nearer to the goal, less those with progress; not below 0."""
    hit: UInt8[np.ndarray, " b"]
    """Bits HIT_WALL, HIT_OBJECT, HIT_PERSON of the last step."""

    def __len__(self) -> int:
        return len(self.pose)


def initial_state(scenes: Sequence[Scene]) -> State:
    """Return the scenes' starts: everybody stands where the scene puts them, gait phases by their look."""
    count = len(scenes)
    person = np.zeros((count, MAX_PEOPLE, 4))
    phase = np.zeros((count, MAX_PEOPLE))
    for row, scene in enumerate(scenes):
        person[row, : len(scene.person), :2] = scene.person
        phase[row, : len(scene.person)] = scene.person_look % 7
    return State(
        np.stack([scene.start for scene in scenes]),
        np.zeros((count, 2)),
        person,
        np.zeros((count, MAX_PEOPLE), np.int32),
        phase,
        np.zeros((count, MAX_PEOPLE), np.int32),
        np.zeros(count, np.uint8),
    )


@dataclass(frozen=True)
class Noise:
    """All that is left to chance in B episodes of T steps: independent standard normal numbers."""

    slip: Float64[np.ndarray, "b t 2"]
    """Of speed and turn rate."""
    person: Float64[np.ndarray, "b t p 2"]
    """Of people's acceleration."""

    def at(self, step: int | Int[np.ndarray, " b"]) -> "Noise":
        """Return the noise of one step of each episode, T = 1."""
        rows, index = np.arange(len(self.slip)), np.broadcast_to(step, len(self.slip))
        return Noise(self.slip[rows, index][:, None], self.person[rows, index][:, None])

    def since(self, step: int) -> "Noise":
        """Return the noise from a step on: what is left to chance for whoever branches off there."""
        return Noise(self.slip[:, step:], self.person[:, step:])


def draw_noise(seeds: Sequence[int], steps: int) -> Noise:
    """Draw the chance of one episode for each seed; a longer draw begins with a shorter one."""
    draws = [generator(seed, "world noise").standard_normal((steps, 2 + 2 * MAX_PEOPLE)) for seed in seeds]
    table = np.stack(draws)
    return Noise(table[..., :2], table[..., 2:].reshape(len(seeds), steps, MAX_PEOPLE, 2))
