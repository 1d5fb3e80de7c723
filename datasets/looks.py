"""What the frames of a dataset look like: size, blank or not, and whether they decode at all."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.datasets.film import spread_steps
from embodied_cf.errors import RecordError

_BLANK_SPREAD = 8
"""Grey levels: what JPEG makes of one flat colour stays well within, the darkest real picture does not."""


@dataclass(frozen=True)
class Look:
    """What one frame turned out to be; `problem` says why it is no image, and then the rest is empty."""

    step: int
    height: int = 0
    width: int = 0
    blank: bool = False
    problem: str = ""


def is_blank(frame: UInt8[np.ndarray, "h w 3"]) -> bool:
    """Whether a frame shows one flat colour."""
    return int(np.ptp(frame, axis=(0, 1)).max(initial=0)) <= _BLANK_SPREAD


def look_at(images: EncodedImages, most: int) -> list[Look]:
    """Decode up to `most` frames, spread over the episode; the other frames' headers and ends are checked."""
    chosen = set(spread_steps(len(images), most))
    return [look for step in range(len(images)) if (look := _look(images, step, step in chosen)) is not None]


def _look(images: EncodedImages, step: int, decode: bool) -> Look | None:
    if not decode:
        return None if _framed(images.frames[step]) else Look(step, problem="cut off, or no image")
    try:
        frame = images.decode(step)
    except RecordError as error:
        return Look(step, problem=error.what)
    return Look(step, frame.shape[0], frame.shape[1], is_blank(frame))


def _framed(encoded: bytes | memoryview) -> bool:
    """Whether bytes begin and end as a JPEG or PNG does; other formats are believed."""
    head, tail = bytes(encoded[:4]), bytes(encoded[-32:])
    if head[:2] == b"\xff\xd8":
        return b"\xff\xd9" in tail
    return b"IEND" in tail if head == b"\x89PNG" else len(head) == 4


@dataclass(frozen=True)
class CameraSummary:
    """One camera. `sizes` are (height, width, frames) of the decoded frames."""

    key: str
    frames: int
    decoded: int
    blank: int
    undecodable: int
    sizes: tuple[tuple[int, int, int], ...]
    declared: tuple[int | None, ...]
    """Height, width, channels of features.json."""


class CameraTally:
    """Counts what looking at one camera's frames has shown."""

    def __init__(self, key: str, declared: tuple[int | None, ...]) -> None:
        self._key, self._declared = key, declared
        self._frames = self._blank = self._broken = 0
        self._sizes: Counter[tuple[int, int]] = Counter()

    def add(self, frames: int, looks: Iterable[Look]) -> None:
        """Take in one episode."""
        self._frames += frames
        for look in looks:
            if look.problem:
                self._broken += 1
            else:
                self._sizes[look.height, look.width] += 1
                self._blank += look.blank

    def summary(self) -> CameraSummary:
        """Return the counts so far."""
        sizes = tuple((*size, count) for size, count in self._sizes.most_common())
        return CameraSummary(self._key, self._frames, self._sizes.total(), self._blank, self._broken, sizes,
                             self._declared)  # fmt: skip
