"""What robots have seen, and where, since they were told: as much of it as a policy wants to know."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from embodied_cf.datasets.motion import odometry
from embodied_cf.policies.contract import Policy

Look = UInt8[np.ndarray, "b h w 3"]


@dataclass
class Past:
    """Of B robots that are told at the same time and asked every `execute` control periods.

    Not every period is looked at: only those that the policy will be shown.
    """

    ages: tuple[int, ...]
    """Control periods before the present of the frames that it wants, oldest first."""
    every: int
    """Of each so many periods one is shown, the present one among them."""
    _looks: deque[Look] = field(default_factory=deque)

    @staticmethod
    def of(policy: Policy, execute: int) -> "Past":
        """Return what nobody has seen yet."""
        stride = getattr(policy, "stride", 1)
        ages = tuple(stride * age for age in range(policy.history - 1, -1, -1))
        return Past(ages, math.gcd(execute, stride), deque(maxlen=ages[0] + 1))

    def is_shown(self, left: int) -> bool:
        """Whether what is seen so many periods before the policy is asked again will be shown to it."""
        return left <= self.ages[0] and left % self.every == 0

    def begin(self, look: Look) -> None:
        """Take in the first period, or one of those before the first that is asked about."""
        self._looks.append(look)

    def add(self, left: int, rows: Int64[np.ndarray, " r"], look: Callable[[Int64[np.ndarray, " r"]], Look]) -> None:
        """Take in a period, so many before the policy is asked again, in which the robots `rows` still drive: what
        `look` says they see, if it will be shown. The others see what they last saw."""
        seen = self._looks[-1]
        if self.is_shown(left) and len(rows):
            seen = seen.copy()
            seen[rows] = look(rows)
        self._looks.append(seen)

    @property
    def frames(self) -> UInt8[np.ndarray, "b t h w 3"]:
        """The frames that the policy wants; the first is repeated before it."""
        last = len(self._looks) - 1
        return np.stack([self._looks[max(last - age, 0)] for age in self.ages], axis=1)

    def odometry(self, poses: Sequence[Float64[np.ndarray, "b 3"]]) -> Float32[np.ndarray, "b t1 3"]:
        """Return where robots were told and where those frames were taken (`policies.contract.Observation`), of their
        poses since then."""
        last = len(poses) - 1
        return odometry(np.stack([poses[0], *(poses[max(last - age, 0)] for age in self.ages)], axis=1))
