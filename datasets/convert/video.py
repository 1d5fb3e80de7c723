"""Frames out of and into video files, through PyAV (extra `lerobot`): AV1, H.264, whatever FFmpeg decodes."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from embodied_cf.datasets.image_head import MOST_PIXELS
from embodied_cf.errors import DatasetError, MissingLibraryError, OutputError

ENCODERS = {"av1": "libsvtav1", "h264": "libx264"}
_OPTIONS = {"crf": "30", "g": "2"}
"""LeRobot's own: a key frame every second frame, so that single frames are cheap to reach."""
_PIXELS = "yuv420p"


def pyav() -> ModuleType:
    """Return PyAV. Raises MissingLibraryError if it is not installed."""
    try:
        import av
    except ImportError as error:
        raise MissingLibraryError("av is not installed", remedy="pip install 'embodied-cf[lerobot]'") from error
    return av


def read_frames(
    path: Path, start_s: float, count: int, fps: float, whole: bool
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield `count` RGB frames, the first at `start_s`, each within half a period of its time.

    `whole` says that the file may hold no other frame. Raises DatasetError if frames are missing, misplaced or
    too many.
    """
    av = pyav()
    if not path.is_file():
        raise DatasetError("the video is missing", where=path, remedy="Copy the whole dataset.")
    found = 0
    try:
        with av.open(str(path)) as container:
            for frame in _from(container, start_s - 0.5 / fps, path):
                if found == count:
                    if whole:
                        raise DatasetError(f"more than {count} frames for {count} rows", where=path)
                    break
                if abs(frame.time - start_s - found / fps) > 0.5 / fps:
                    break
                yield frame.to_ndarray(format="rgb24")
                found += 1
    except (av.FFmpegError, OSError, EOFError) as error:
        raise DatasetError(f"the video cannot be decoded ({error})", where=path) from error
    if found < count:
        what = f"{found} frames for {count} rows, from {start_s:.3f} s on at {fps:g} frames per second"
        raise DatasetError(what, where=path, remedy="Copy the file again, or re-record its episodes.")


def _from(container: Any, start_s: float, path: Path) -> Iterator[Any]:
    stream = next(iter(container.streams.video), None)
    if stream is None:
        return
    if stream.width * stream.height > MOST_PIXELS:
        raise DatasetError(f"frames of {stream.width} x {stream.height} pixels, more than {MOST_PIXELS}", where=path)
    stream.thread_type = "AUTO"
    if start_s > 0:
        container.seek(int(start_s / stream.time_base), stream=stream)
    for frame in container.decode(stream):
        if frame.time is not None and frame.time >= start_s:
            yield frame


class VideoWriter:
    """Writes RGB frames at a constant rate into an mp4 file; the file is whole after the `with` block."""

    def __init__(self, path: Path, codec: str, fps: float, size: tuple[int, int]) -> None:
        height, width = size
        if height % 2 or width % 2:
            raise OutputError(
                f"{width}x{height} frames do not go into a video of even sides",
                where=path,
                remedy="Use --video none, which keeps the images as they are.",
            )
        os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder reports its settings for every file
        self.frames, self._path = 0, path
        self._rate = Fraction(fps).limit_denominator(100_000)
        self._container = pyav().open(str(path), "w", format="mp4")
        self._stream = self._container.add_stream(ENCODERS[codec], rate=self._rate)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, _PIXELS
        self._stream.options = dict(_OPTIONS)
        self._size, self._early, self._muxed = size, dict[int, Any](), 0
        with scheduling_kept():
            self._container.start_encoding()

    def write(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Append a frame."""
        if image.shape[:2] != self._size:
            raise DatasetError(f"a frame of {image.shape[:2]} in a video of {self._size}")
        frame = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = self.frames, 1 / self._rate
        self._mux(self._stream.encode(frame))
        self.frames += 1

    def _mux(self, packets: Iterable[Any]) -> None:
        """Pass packets on in the order of their frames. Decoding order is the same with a key frame every second frame.

        Once in very many files, on a busy machine, the container refused a packet of the AV1 encoder as invalid, which
        is what it says of times that go backwards.
        """
        self._early |= {packet.pts: packet for packet in packets}
        while (packet := self._early.pop(self._muxed, None)) is not None:
            packet.dts = packet.pts
            self._container.mux(packet)
            self._muxed += 1

    def _finish(self) -> None:
        self._mux(self._stream.encode(None))
        if self._muxed < self.frames:
            raise OutputError(
                f"the encoder gave no packet for frame {self._muxed} of {self.frames}",
                where=self._path,
                remedy="Run the command again, or use --video none.",
            )

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._container.close()


@contextmanager
def scheduling_kept() -> Iterator[None]:
    """Give threads that are begun or changed within the block the scheduling that this one had before.

    SVT-AV1, run as root, makes the thread that opens it and its own ones real-time (SCHED_FIFO 99) and leaves it at
    that: the process and its children would hold off everything else on the machine for as long as they live.
    """
    if not hasattr(os, "sched_getscheduler"):  # Linux has it
        yield
        return
    before, policy, parameters = _policies(), os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread, now in _policies().items():
            if now not in (policy, before.get(thread)):
                with suppress(ProcessLookupError):
                    os.sched_setscheduler(thread, policy, parameters)


def _policies() -> dict[int, int]:
    """Return the scheduling policy of each thread of this process."""
    found = {}
    for thread in map(int, os.listdir("/proc/self/task")):
        with suppress(ProcessLookupError):  # it ended meanwhile
            found[thread] = os.sched_getscheduler(thread)
    return found


def video_info(codec: str, fps: float, size: tuple[int, int]) -> dict[str, Any]:
    """Return what info.json says of a video feature."""
    return {
        "video.height": size[0],
        "video.width": size[1],
        "video.channels": 3,
        "video.codec": codec,
        "video.pix_fmt": _PIXELS,
        "video.fps": fps,
        "is_depth_map": False,
        "has_audio": False,
    }
