"""How far each robot of a batch has come with its instruction: all that a predicate remembers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.language.columns import Columns
from embodied_cf.language.predicate_geometry import length, wrap
from embodied_cf.language.predicate_program import MAX_MATCHES, Programs

STOP_M, STOP_STEPS = 0.02, 4
"""A stop: the last STOP_STEPS positions lie within STOP_M of the present one. Turning on the spot is a stop."""
WAIT_STEPS = 12
"""Standing so many steps where a stop is of no use counts as giving up; less is waiting, for a person to pass, say."""


@dataclass(frozen=True)
class Tracker(Columns):
    """B robots. What is counted per clause begins anew with each clause of a chain."""

    done: Bool[np.ndarray, " b"]
    """Judged: nothing changes any more."""
    success: Bool[np.ndarray, " b"]
    progress: Float64[np.ndarray, " b"]
    """The best so far, in [0, 1]: below 1 until success, then exactly 1."""
    clause: Int64[np.ndarray, " b"]
    """Index of the present clause."""
    origin: Float64[np.ndarray, "b 3"]
    """Pose where the present clause began."""
    pose: Float64[np.ndarray, "b 3"]
    before: Float64[np.ndarray, "b 3"]
    """Pose one step earlier."""
    recent: Float64[np.ndarray, "b s 2"]
    """The STOP_STEPS positions before the present one, oldest first; inf where the clause is younger."""
    standing: Int64[np.ndarray, " b"]
    """Steps for which the robot has been stopped, beyond the first STOP_STEPS."""
    moved: Float64[np.ndarray, " b"]
    """Path since the start, m."""
    travel: Float64[np.ndarray, " b"]
    """Path of the clause, m."""
    turned: Float64[np.ndarray, " b"]
    """Heading change of the clause, rad, not wrapped."""
    along: Float64[np.ndarray, " b"]
    """Path along the wall as asked, m."""
    astray: Float64[np.ndarray, " b"]
    """Path off it after it had begun, m."""
    swept: Float64[np.ndarray, "b m"]
    """Angle swept around each thing, rad, positive as asked."""
    crossed: Bool[np.ndarray, "b m"]
    """Which gaps have been crossed."""

    def __len__(self) -> int:
        return len(self.done)


def begin(programs: Programs, pose: Float64[np.ndarray, "b 3"]) -> Tracker:
    """Return the tracker of robots that stand at `pose` (x, y m, yaw rad) and have done nothing yet."""
    count = len(programs)
    zeros, none, never = np.zeros(count), np.zeros(count, np.int64), np.zeros(count, bool)
    recent = np.full((count, STOP_STEPS, 2), np.inf)
    matches = np.zeros((count, MAX_MATCHES))
    return Tracker(
        never, never, zeros, none, pose, pose, pose, recent, none, zeros, zeros, zeros, zeros, zeros, matches,
        matches > 0,
    )  # fmt: skip


def moved_to(tracker: Tracker, pose: Float64[np.ndarray, "b 3"]) -> dict[str, np.ndarray]:
    """Return the columns that a step to `pose` changes, whatever the instruction."""
    step = length(pose[:, :2] - tracker.pose[:, :2])
    return {
        "pose": pose,
        "before": tracker.pose,
        "recent": np.concatenate([tracker.recent[:, 1:], tracker.pose[:, None, :2]], axis=1),
        "moved": tracker.moved + step,
        "travel": tracker.travel + step,
        "turned": tracker.turned + wrap(pose[:, 2] - tracker.pose[:, 2]),
    }
