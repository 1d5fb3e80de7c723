"""What a frozen detector believed of frames that it has seen before: in training they come again and again."""

import hashlib

import torch
from jaxtyping import UInt8
from torch import Tensor

from embodied_cf.policies.detector import Detector
from embodied_cf.policies.things import View, see

_TOGETHER = 8
"""Frames that are looked at in one go, always: what is said of one then depends on no other."""


TRAINED_ON, LATELY_SEEN = 1 << 19, 1 << 13
"""Frames that are kept, some 2 KB each."""


class Memory:
    """Views of the last `room` frames on the CPU, rounded to half precision whether they are remembered or new."""

    def __init__(self, detector: Detector, room: int = TRAINED_ON) -> None:
        self._detector, self._room = detector, room
        self._kept: dict[bytes, View] = {}

    def view(self, frames: UInt8[Tensor, "b h w 3"]) -> View:
        """Return what the detector sees in the frames, those alone worked out that were not seen before. Of a frame and
        its mirror image always the same one is looked at, and what it holds is mirrored for the other."""
        pairs = torch.stack([frames, frames.flip(2)], dim=1)
        keys = [[_key(frame) for frame in pair] for pair in pairs]
        looked = [int(pair[1] < pair[0]) for pair in keys]
        first = [pair[side] for pair, side in zip(keys, looked, strict=True)]
        rows = {key: row for row, key in enumerate(first) if key not in self._kept}
        new = dict(zip(rows, self._look([pairs[row, looked[row]] for row in rows.values()]), strict=True))
        views = [self._kept.get(key) or new[key] for key in first]
        self._kept |= new
        for key in list(self._kept)[: max(len(self._kept) - self._room, 0)]:
            del self._kept[key]
        seen = View(*(torch.stack(part).float() for part in zip(*views, strict=True)))
        other = torch.tensor(looked).bool()[:, None, None]
        return View(*(torch.where(other, *pair) for pair in zip(seen.mirrored(), seen, strict=True)))

    def _look(self, frames: list[UInt8[Tensor, "h w 3"]]) -> list[View]:
        if not frames:
            return []
        whole = torch.stack([*frames, *frames[:1] * (-len(frames) % _TOGETHER)])
        views = [see(self._detector, some) for some in whole.split(_TOGETHER)]
        halves = [zip(*(part.half() for part in view), strict=True) for view in views]
        return [View(*one) for several in halves for one in several][: len(frames)]


def _key(frame: UInt8[Tensor, "h w 3"]) -> bytes:
    return hashlib.blake2b(frame.contiguous().numpy().tobytes(), digest_size=16).digest()
