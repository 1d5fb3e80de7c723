"""Frames that are read before they are trained on: what a frozen network says of a frame is worked out once."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float16, UInt8


@runtime_checkable
class FrameReader(Protocol):
    """A frozen network that says the same of a frame every time: a row of numbers."""

    @property
    def name(self) -> str:
        """Tells it from readers that say something else; part of a file's name."""
        ...

    @property
    def width(self) -> int:
        """Numbers per frame."""
        ...

    def read(self, frames: UInt8[np.ndarray, "n h w 3"]) -> Float16[np.ndarray, "n m"]:
        """Return what there is to say of frames."""
        ...

    def mirrored(self, read: Float16[np.ndarray, "n m"]) -> Float16[np.ndarray, "n m"]:
        """Return what there is to say of the same frames with left and right exchanged."""
        ...
