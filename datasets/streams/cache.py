"""Decoded frames, tracks and labels of a source, ready to be mapped into memory; made once, found again."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float16, Float32, Float64, Int32, Int64, UInt8

from embodied_cf.datasets.files import atomic_directory, disk_errors
from embodied_cf.datasets.label_store import set_names
from embodied_cf.datasets.streams.arrays import Arrays, read_arrays
from embodied_cf.datasets.streams.build import LABEL_COLUMNS, Frames, build
from embodied_cf.datasets.streams.sources import OpenSource
from embodied_cf.errors import DatasetError, UsageError

_FORMAT = 2
_LARGEST = 4096
Progress = Callable[[int, int], None]
"""Called with (records done, records in all) while a cache is built."""


def silent(done: int, total: int) -> None:
    """Show no progress."""
    del done, total


@dataclass(frozen=True)
class LabelColumns:
    """The rows of one label set, over all episodes in order."""

    episode: Int32[np.ndarray, " n"]
    start: Int32[np.ndarray, " n"]
    end: Int32[np.ndarray, " n"]
    instruction: Int32[np.ndarray, " n"]
    """Index into `Cache.texts`."""
    kind: UInt8[np.ndarray, " n"]
    score: Float32[np.ndarray, " n"]
    action: Float32[np.ndarray, "n k a"]
    mask: Bool[np.ndarray, "n k"]
    told: Int32[np.ndarray, " n"]


@dataclass(frozen=True)
class Cache:
    """F frames of E episodes, in order. Episodes without any label are not in it."""

    frames: UInt8[np.ndarray, "f h w 3"] | Float16[np.ndarray, "f m"]
    """The primary camera, RGB; see `datasets.images.resized`. Or what a reader said of each frame."""
    track: Float64[np.ndarray, "f d"]
    """See `datasets.motion.track_of`."""
    first: Int64[np.ndarray, " bounds"]
    """Index of each episode's first frame; the last entry is F."""
    episodes: tuple[str, ...]
    """Episode ids."""
    labels: Mapping[str, LabelColumns]
    texts: tuple[str, ...]
    left_out: tuple[str, ...]
    """What could not be read, one text per record."""


def open_cache(opened: OpenSource, frames: Frames, directory: Path | None = None, progress: Progress = silent) -> Cache:
    """Return the cache of a source and such frames, built now if there is none or it is damaged.

    It lies in `directory`, or else beside the dataset, or, where nothing can be written there, under
    XDG_CACHE_HOME. Raises DatasetError if no episode can be used, OutputError if the disk is full.
    """
    height, width = frames.size
    if not all(1 <= side <= _LARGEST for side in frames.size):
        raise UsageError(f"image size {height}x{width} is not in 1..{_LARGEST}", remedy="Give (height, width).")
    read = f"-{frames.reader.name}" if frames.reader else ""
    name = f"{opened.fingerprint}-{height}x{width}{read}-v{_FORMAT}"
    roots = [directory] if directory else [_beside(opened.dataset.path), _personal()]
    for root in roots:
        if (arrays := read_arrays(root / name)) is not None:
            return _cache(arrays, opened)
    path = next(root for root in roots if root is roots[-1] or _writable(root)) / name
    return _cache(_made(path, opened, frames, progress), opened)


def _beside(dataset: Path) -> Path:
    whole = dataset.resolve()
    return whole.with_name(f".{whole.name}.cache")


def _personal() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embodied-cf"


def _writable(root: Path) -> bool:
    return os.access(root if root.exists() else root.parent, os.W_OK)


def _made(path: Path, opened: OpenSource, frames: Frames, progress: Progress) -> Arrays:
    with _one_at_a_time(path.with_suffix(".lock")):
        if (arrays := read_arrays(path)) is not None:
            return arrays  # another process was quicker
        with disk_errors(path):
            shutil.rmtree(path, ignore_errors=True)
        with atomic_directory(path) as temporary:
            build(opened, frames, temporary, progress)
    arrays = read_arrays(path)
    assert arrays is not None, path
    return arrays


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """Hold a lock file, waiting for it: the ranks of one training run all want the same cache."""
    with disk_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = open(lock, "w")  # noqa: SIM115 (closed below)
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _cache(arrays: Arrays, opened: OpenSource) -> Cache:
    facts, found = arrays.facts, arrays.by_name
    if not facts["episodes"]:
        left_out = facts["left_out"]
        raise DatasetError(
            "no episode has a label" + (f"; {len(left_out)} records were left out ({left_out[0]})" if left_out else ""),
            where=opened.dataset.path,
            remedy="Look at labels/report.html, or relabel with another captioner or a lower minimal score.",
        )
    labels = {
        name: LabelColumns(**{column: found[f"{name}.{column}"] for column in LABEL_COLUMNS})
        for name in set_names(opened.dataset.features)
    }
    texts = {key: tuple(facts[key]) for key in ("episodes", "texts", "left_out")}
    return Cache(found["frames"], found["track"], found["first"], labels=labels, **texts)
