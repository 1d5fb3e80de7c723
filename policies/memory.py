"""What a frozen detector believed of frames that it has seen before: in training they come again and again."""

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from embodied_cf.policies.detector import Detector, mirror_features

_TOGETHER = 8
"""Frames that are looked at in one go, always: what is said of one then depends on no other."""
_ROOM = 1 << 30
"""Bytes that are kept; what comes later is looked at each time."""


@dataclass(frozen=True)
class _Kept:
    """Features of one frame, in half precision, without the cells in which no thing has its middle."""

    cells: Tensor
    """Which cells hold more than closeness."""
    there: Float[Tensor, "n c"]
    closeness: Float[Tensor, "i j"]

    @property
    def bytes(self) -> int:
        """What it takes."""
        return sum(part.numel() * part.element_size() for part in (self.cells, self.there, self.closeness))


class Memory:
    """Features of frames on the CPU, rounded to half precision whether they are remembered or new."""

    def __init__(self, detector: Detector, room: int = _ROOM) -> None:
        self._detector, self._left = detector, room
        self._kept: dict[bytes, _Kept] = {}

    def features(self, frames: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c i j"]:
        """Return `Detector.features` of the frames, those alone worked out that were not seen before. Of a frame and
        its mirror image always the same one is looked at, and what it holds is mirrored for the other."""
        pairs = torch.stack([frames, frames.flip(2)], dim=1)
        keys = [[_key(frame) for frame in pair] for pair in pairs]
        looked = [int(pair[1] < pair[0]) for pair in keys]
        first = [pair[side] for pair, side in zip(keys, looked, strict=True)]
        rows = {key: row for row, key in enumerate(first) if key not in self._kept}
        shown = [pairs[row, looked[row]] for row in rows.values()]
        new = dict(zip(rows, self._look(shown), strict=True))
        seen = torch.stack([_whole(self._kept.get(key) or new[key]) for key in first])
        self._keep(new)
        return torch.where(torch.tensor(looked).bool()[:, None, None, None], mirror_features(seen), seen)

    def _look(self, frames: list[UInt8[Tensor, "h w 3"]]) -> list[_Kept]:
        if not frames:
            return []
        whole = torch.stack([*frames, *frames[:1] * (-len(frames) % _TOGETHER)])
        maps = torch.cat([self._detector.features(some) for some in whole.split(_TOGETHER)])
        return [_kept(one) for one in maps[: len(frames)]]

    def _keep(self, new: dict[bytes, _Kept]) -> None:
        for key, one in new.items():
            if one.bytes <= self._left:
                self._kept[key] = one
                self._left -= one.bytes


def _key(frame: UInt8[Tensor, "h w 3"]) -> bytes:
    return hashlib.blake2b(frame.contiguous().numpy().tobytes(), digest_size=16).digest()


def _kept(maps: Float[Tensor, "c i j"]) -> _Kept:
    there = maps[:-1].flatten(1).T
    cells = torch.nonzero(there[:, 0])[:, 0]
    return _Kept(cells.short(), there[cells].half(), maps[-1].half())


def _whole(kept: _Kept) -> Float[Tensor, "c i j"]:
    there = torch.zeros(kept.closeness.numel(), kept.there.shape[1])
    there[kept.cells.long()] = kept.there.float()
    return torch.cat([there.T.unflatten(1, kept.closeness.shape), kept.closeness[None].float()])
