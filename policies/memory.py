"""What a frozen detector saw in frames that it was shown before: histories show them again."""

import hashlib

import torch
from jaxtyping import Float16, UInt8
from torch import Tensor

from embodied_cf.policies.detector import Detector
from embodied_cf.policies.frame_reader import read_views

ROOM = 1 << 13
"""Frames that are kept, some 2 KB each."""


class Memory:
    """Rows (`policies.things.View.row`) of the last `room` frames on the CPU."""

    def __init__(self, detector: Detector, room: int = ROOM) -> None:
        self._detector, self._room = detector, room
        self._kept: dict[bytes, Float16[Tensor, " m"]] = {}

    def read(self, frames: UInt8[Tensor, "n h w 3"]) -> Float16[Tensor, "n m"]:
        """Return what the detector sees in the frames, those alone worked out that were not seen before."""
        keys = [_key(frame) for frame in frames]
        rows = {key: row for row, key in enumerate(keys) if key not in self._kept}
        new = dict(zip(rows, read_views(self._detector, frames[list(rows.values())]), strict=True))
        read = torch.stack([new[key] if key in new else self._kept[key] for key in keys])
        self._kept |= new
        for key in list(self._kept)[: max(len(self._kept) - self._room, 0)]:
            del self._kept[key]
        return read


def _key(frame: UInt8[Tensor, "h w 3"]) -> bytes:
    return hashlib.blake2b(frame.contiguous().numpy().tobytes(), digest_size=16).digest()
