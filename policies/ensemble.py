"""Temporal ensembling (arXiv 2304.13705, section IV-A): past chunks have a say in what is done now. Numpy only.

A chunk is told in the frame in which the robot stood when it was asked; odometry carries it over to where it stands
now. For bodies whose chunks are places on the floor (`nav`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64

from embodied_cf.errors import UsageError
from embodied_cf.language.predicate_geometry import in_frame, out_of_frame


@dataclass(frozen=True)
class _Past:
    """Chunks of B robots."""

    age: int
    """Control periods since they were asked for."""
    place: Float64[np.ndarray, "b k 2"]
    """x, y m in the odometry frame, one row a control period."""

    @property
    def left(self) -> int:
        """Rows that speak of moments to come."""
        return self.place.shape[1] - self.age

    def as_if(self, newest: "_Past", rows: Int64[np.ndarray, " r"]) -> "_Past":
        """Return what it would be if some robots had said the same as just now."""
        place = self.place.copy()
        place[rows, self.age :] = newest.place[rows, : self.left]
        return _Past(self.age, place)


@dataclass(frozen=True)
class TemporalEnsemble:
    """What the last chunks of B robots say; begin an episode with a new one.

    ensemble = TemporalEnsemble()
    while driving:
        asked = policy.act(observation, instruction, rng)
        ensemble = ensemble.asked(asked.chunk, pose)    # pose: x, y m, yaw rad by odometry, (b, 3)
        chunk = ensemble.chunk(pose)                    # carry out its first row
        ensemble = ensemble.after(1)                    # control period
    """

    coefficient: float = 0.01
    """Of the places for one moment the oldest weighs 1, the next exp(-coefficient), ...: above 0 what was said first
    counts for more, below 0 what was said last. The paper has 0.01."""
    past: tuple[_Past, ...] = ()

    def __post_init__(self) -> None:
        if not np.isfinite(self.coefficient):
            raise UsageError(f"the ensemble's coefficient is {self.coefficient}", remedy="0.01 is usual.")

    def asked(self, chunk: Float[np.ndarray, "b k 2"], pose: Float64[np.ndarray, "b 3"]) -> "TemporalEnsemble":
        """Add chunks that were asked for just now, at these poses."""
        place = out_of_frame(pose, np.asarray(chunk, np.float64))
        return TemporalEnsemble(self.coefficient, (*self.past, _Past(0, place)))

    def told_anew(self, rows: Int64[np.ndarray, " r"]) -> "TemporalEnsemble":
        """Let the newest chunks of some robots stand alone: what they said before was about something else."""
        *older, newest = self.past
        return TemporalEnsemble(self.coefficient, (*(one.as_if(newest, rows) for one in older), newest))

    def after(self, periods: int) -> "TemporalEnsemble":
        """Let time pass; what speaks of the past only is forgotten."""
        older = (_Past(one.age + periods, one.place) for one in self.past)
        return TemporalEnsemble(self.coefficient, tuple(one for one in older if one.left > 0))

    def chunk(self, pose: Float64[np.ndarray, "b 3"]) -> Float64[np.ndarray, "b k 2"]:
        """Return the averaged chunk, in the frames of these poses; as long as the newest one reaches.

        Raises UsageError where nothing was asked for.
        """
        if not self.past:
            raise UsageError("nothing was asked for in this episode", remedy="Call `asked` before `chunk`.")
        reach = max(one.left for one in self.past)
        total, weight = np.zeros((len(pose), reach, 2)), np.zeros(reach)
        for at, one in enumerate(self.past):
            # of all that speak of a moment it is the rank-th oldest
            rank = np.sum([np.arange(one.left) < older.left for older in self.past[:at]], axis=0)
            share = np.broadcast_to(np.exp(-self.coefficient * rank), one.left)
            total[:, : one.left] += share[:, None] * one.place[:, one.age :]
            weight[: one.left] += share
        return in_frame(pose, total / weight[:, None])
