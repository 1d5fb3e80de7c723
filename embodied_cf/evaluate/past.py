"""What robots have seen, and where, since they were told: as much of it as a policy wants to know."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from embodied_cf.datasets.motion import odometry
from embodied_cf.errors import UsageError
from embodied_cf.language.predicate_tracker import STOP_M, STOP_STEPS
from embodied_cf.policies.contract import Policy

Look = UInt8[np.ndarray, "b h w 3"]


def check_execute(policy: Policy, execute: int) -> None:
    """Raise UsageError if more of a chunk is to be carried out than the policy tells."""
    rows = policy.embodiment.chunk_length
    if execute > rows:
        raise UsageError(f"--execute {execute} is beyond the {rows} control periods of the policy's chunks")


@dataclass
class Past:
    """Of B robots that are asked every `execute` control periods, and told when it begins; some are told anew later.

    Not every period is looked at: only those that the policy will be shown.
    """

    ages: tuple[int, ...]
    """Control periods before the present of the frames that it wants, oldest first."""
    every: int
    """Of each so many periods one is shown, the present one among them."""
    _looks: deque[Look] = field(default_factory=deque)
    _since: Float64[np.ndarray, " b"] | None = None
    """Control periods since each was told anew; inf for those that were not, None if nobody was."""

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
        self._since = None if self._since is None else self._since + 1

    def tell(self, rows: Int64[np.ndarray, " r"]) -> None:
        """Some are told anew: for them the past begins now."""
        since = np.full(len(self._looks[-1]), np.inf) if self._since is None else self._since.copy()
        since[rows] = 0
        self._since = since

    def told_before(self, since: Int64[np.ndarray, " b"]) -> None:
        """They had been told so many control periods before the present one."""
        self._since = since.astype(np.float64)

    def rested(self, poses: Sequence[Float64[np.ndarray, "b 3"]]) -> Bool[np.ndarray, " b"]:
        """Return which robots have stood, since they were told, for as long as a stop takes; of their poses since the
        beginning."""
        recent = np.stack(poses[-STOP_STEPS - 1 :])[..., :2]
        still = (np.hypot(*np.moveaxis(recent - recent[-1], -1, 0)) <= STOP_M).all(axis=0)
        told_long_ago = len(poses) > STOP_STEPS if self._since is None else self._since >= STOP_STEPS
        return still & told_long_ago

    @property
    def frames(self) -> UInt8[np.ndarray, "b t h w 3"]:
        """The frames that the policy wants; the first since it was told is repeated before it."""
        return self._ago(self._looks, self.ages)

    def odometry(self, poses: Sequence[Float64[np.ndarray, "b 3"]]) -> Float32[np.ndarray, "b t1 3"]:
        """Return where robots were told and where those frames were taken (`policies.contract.Observation`), of their
        poses since the beginning."""
        last = len(poses) - 1
        return odometry(np.concatenate([self._ago(poses, (last,)), self._ago(poses, self.ages)], axis=1))

    def _ago(self, periods: Sequence[np.ndarray], ages: tuple[int, ...]) -> np.ndarray:
        """Return (b, t, ...) of what is held for each period: that of so many periods ago, or when it was told."""
        last = len(periods) - 1
        if self._since is None:
            return np.stack([periods[max(last - age, 0)] for age in ages], axis=1)
        limit = np.minimum(self._since, last)[:, None]
        ago = np.minimum(ages, limit).astype(np.int64).tolist()
        return np.stack([np.stack([periods[last - age][row] for age in some]) for row, some in enumerate(ago)])
