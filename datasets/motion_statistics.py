"""How far a robot goes from step to step, over a whole dataset."""

import heapq
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from embodied_cf.datasets.statistics import Reservoir

_LONGEST_STEPS = 256


@dataclass(frozen=True)
class Stride:
    """How far the robot went from `step` to the next one, in the unit of its track."""

    length: float
    episode_id: str
    step: int


@dataclass(frozen=True)
class MotionSummary:
    """How the robot moves. `median` is over the steps in which it moves at all, 0 if it never does."""

    episodes: int
    still: tuple[str, ...]
    """Some episodes in which it never moves."""
    still_episodes: int
    median: float
    longest: tuple[Stride, ...]
    """Longest first, a few hundred at most."""


class MotionTally:
    """Collects step lengths along the robot's track."""

    def __init__(self) -> None:
        self._episodes = self._still_episodes = 0
        self._still: list[str] = []
        self._sample = Reservoir(1, "motion")
        self._longest: list[tuple[float, str, int]] = []

    def add(self, positions: Float[np.ndarray, "t d"], episode_id: str) -> None:
        """Take in the positions of one episode."""
        lengths = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        self._episodes += 1
        if not lengths.any():
            self._still_episodes += 1
            self._still = [*self._still, episode_id][:3]
        self._sample.add(lengths[:, None])
        strides = ((length, episode_id, step) for step, length in enumerate(lengths.tolist()))
        self._longest = heapq.nlargest(_LONGEST_STEPS, [*self._longest, *strides])

    def summary(self) -> MotionSummary:
        """Return the motion so far."""
        lengths = self._sample.rows[:, 0]
        # jumps are what is looked for, so they must not decide what moving is, nor must a sensor's noise
        top = np.quantile(lengths, 0.9) if len(lengths) else 0.0
        moving = lengths[lengths > 0.1 * top]
        longest = tuple(Stride(*stride) for stride in self._longest)
        return MotionSummary(self._episodes, tuple(self._still), self._still_episodes,
                             float(np.median(moving)) if len(moving) else 0.0, longest)  # fmt: skip
