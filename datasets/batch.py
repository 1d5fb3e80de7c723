"""What a learner is given: observations, what was said, and the action chunk that does it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float16, Float32, Int64, UInt8

from embodied_cf.datasets.contract import KINDS


@dataclass(frozen=True)
class Batch:
    """B samples. Time, frame and units of `action` are those of `contract.Labels`: never normalised here."""

    image: UInt8[np.ndarray, "b t h w 3"] | Float16[np.ndarray, "b t m"]
    """Frames of the primary camera, RGB, oldest first; the last is the present one. Frames from before the robot was
    told are not shown: the first since then is repeated. Of a stream with a reader, what it said of each."""
    instruction: tuple[str, ...]
    action: Float32[np.ndarray, "b k a"]
    """Chunks of K rows; a hindsight row's chunk is the real future of this very step."""
    mask: Bool[np.ndarray, "b k"]
    """Which rows are supervised: a prefix."""
    kind: UInt8[np.ndarray, " b"]
    """Index into `contract.KINDS`."""
    score: Float32[np.ndarray, " b"]
    """Of the label, in [0, 1]."""
    odometry: Float32[np.ndarray, "b t1 3"]
    """Where a robot that drives was when it was told, and then at each frame, in its frame of the present (the last
    row is 0): x m forward, y m left, yaw rad. Zeros for an arm."""
    observation: Int64[np.ndarray, " b"]
    """Which step of which episode: equal for samples of the same observation, whatever was said."""

    def __len__(self) -> int:
        return len(self.instruction)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds."""
        return tuple(KINDS[kind] for kind in self.kind.tolist())
