"""The drives among which a way is chosen: two arcs each, at the data's speed or half of it, within its turns."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from embodied_cf.language.scale import MotionScale

SHARPEST = 1.3
"""Typical turns by which a drive bends over one chunk, at most."""
_BENDS = 7
"""Bends that are tried for each half of a chunk."""
_SLOW = 0.5
"""Share of the data's speed at which a robot turns that has something close before it."""


@dataclass(frozen=True)
class Fan:
    """C drives of H steps, in the robot's frame at their start."""

    place: Float[np.ndarray, "c k 2"]
    """Points after 0..H steps, so that k = H + 1, m."""
    yaw: Float[np.ndarray, "c k"]
    """Headings there, rad."""

    @staticmethod
    def of(scale: MotionScale, steps: int) -> "Fan":
        """Return every pair of bends for the first and the second half of a chunk of `steps` points, at the data's
        own speed, and then the same at half of it."""
        whole, slow = (Fan._at(scale, steps, share) for share in (1.0, _SLOW))
        return Fan(np.concatenate([whole.place, slow.place]), np.concatenate([whole.yaw, slow.yaw]))

    @property
    def fast(self) -> "Fan":
        """The drives at the data's own speed, which come first."""
        count = len(self.yaw) // 2
        return Fan(self.place[:count], self.yaw[:count])

    @staticmethod
    def _at(scale: MotionScale, steps: int, share: float) -> "Fan":
        bends = SHARPEST * scale.turn / steps * np.linspace(-1.0, 1.0, _BENDS)
        first, second = (bend.reshape(-1, 1) for bend in np.meshgrid(bends, bends, indexing="ij"))
        rate = np.where(np.arange(steps) < steps // 2, first, second)
        yaw = np.concatenate([np.zeros((len(rate), 1)), np.cumsum(rate, axis=1)], axis=1)
        middle = (yaw[:, 1:] + yaw[:, :-1]) / 2
        chord = share * scale.step * np.sinc(rate / 2 / np.pi)  # of an arc one step long
        move = chord[..., None] * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
        place = np.concatenate([np.zeros((len(rate), 1, 2)), np.cumsum(move, axis=1)], axis=1)
        return Fan(place, yaw)
