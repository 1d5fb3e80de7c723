"""The one pass over a dataset that fills a cache, an episode in memory at a time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float16, UInt8

from embodied_cf.datasets.contract import KINDS, EncodedImages, Episode, Labels
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.episodes import EpisodeReader
from embodied_cf.datasets.images import resized
from embodied_cf.datasets.label_store import set_names
from embodied_cf.datasets.motion import track_of
from embodied_cf.datasets.shards import Broken, read_shard
from embodied_cf.datasets.streams.arrays import ArrayWriter
from embodied_cf.datasets.streams.reader import FrameReader
from embodied_cf.datasets.streams.sources import OpenSource
from embodied_cf.errors import RecordError

LABEL_COLUMNS = ("episode", "start", "end", "instruction", "kind", "score", "action", "mask", "told")


@dataclass(frozen=True)
class Frames:
    """What is kept of the primary camera's frames."""

    size: tuple[int, int]
    """Height and width to which they are scaled."""
    reader: FrameReader | None = None
    """Who reads them, so that what it says is kept instead."""

    def of(self, images: EncodedImages) -> UInt8[np.ndarray, "t h w 3"] | Float16[np.ndarray, "t m"]:
        """Return that of an episode. Raises RecordError if an image cannot be decoded."""
        frames = np.empty((len(images), *self.size, 3), np.uint8)
        for step in range(len(images)):
            frames[step] = resized(images.decode(step), self.size)
        return frames if self.reader is None else self.reader.read(frames)

    @property
    def none(self) -> UInt8[np.ndarray, "0 h w 3"] | Float16[np.ndarray, "0 m"]:
        """That of no frame."""
        return (
            np.zeros((0, *self.size, 3), np.uint8)
            if self.reader is None
            else np.zeros((0, self.reader.width), np.float16)
        )


def build(opened: OpenSource, frames: Frames, directory: Path, progress: Callable[[int, int], None]) -> None:
    """Write frames, tracks and labels of every episode that has labels; what cannot be read is noted."""
    total = sum(shard.records for shard in opened.dataset.shards())
    with ArrayWriter(directory) as writer:
        builder = _Builder(writer, opened.body, frames, set_names(opened.dataset.features))
        for done, episode in enumerate(_episodes(opened), 1):
            builder.add(episode)
            progress(min(done, total), total)
        writer.finish(builder.facts)


def _episodes(opened: OpenSource) -> Iterator[Episode | str]:
    """Yield every record's episode, or what is wrong with it."""
    reader, dataset = EpisodeReader(opened.dataset.features, opened.spec), opened.dataset
    for shard in dataset.shards():
        for record in read_shard(shard.path, dataset.file_format):
            if isinstance(record, Broken):
                yield str(record.error(shard.path))
                continue
            try:
                yield reader.read(record.data, dataset.episode_id(shard, record.index))
            except RecordError as error:
                yield str(error)


class _Builder:
    def __init__(self, writer: ArrayWriter, body: Embodiment, kept: Frames, sets: tuple[str, ...]) -> None:
        self._writer, self._body, self._kept = writer, body, kept
        self._episodes: list[str] = []
        self._left_out: list[str] = []
        self._texts: dict[str, int] = {}
        self._frames = 0
        self._append("", {"frames": kept.none, "first": np.zeros(1, np.int64)})
        for name in sets:
            none = Labels.empty(body.chunk_length, body.chunk_dimensions)
            self._append(f"{name}.", self._columns(none, 0))
        self._append("", {"track": np.zeros((0, 3 if body.kind == "nav" else 7))})

    def add(self, episode: Episode | str) -> None:
        """Take in an episode, whole or not at all."""
        if isinstance(episode, str):
            self._left_out.append(episode)
        elif any(map(len, episode.labels.values())):
            try:
                _check_ranges(episode)
                frames = self._kept.of(next(iter(episode.cameras.values())))
            except RecordError as error:
                self._left_out.append(str(error))
            else:
                self._write(episode, frames)

    def _write(self, episode: Episode, frames: np.ndarray) -> None:
        self._frames += len(episode)
        first = np.array([self._frames], np.int64)
        track = track_of(episode, self._body).astype(np.float64)
        self._append("", {"frames": frames, "track": track, "first": first})
        for name, labels in episode.labels.items():
            self._append(f"{name}.", self._columns(labels, len(episode)))
        self._episodes.append(episode.episode_id)

    @property
    def facts(self) -> dict[str, list[str]]:
        """What is no array."""
        return {"episodes": self._episodes, "texts": list(self._texts), "left_out": self._left_out}

    def _columns(self, labels: Labels, steps: int) -> dict[str, np.ndarray]:
        texts = [self._texts.setdefault(text, len(self._texts)) for text in labels.instruction]
        columns = (
            np.full(len(labels), len(self._episodes), np.int32),
            labels.start.astype(np.int32),
            np.minimum(labels.end, steps - 1).astype(np.int32),  # no motion is known beyond the last step
            np.array(texts, np.int32),
            np.array([KINDS.index(kind) for kind in labels.kind], np.uint8),
            labels.score.astype(np.float32),
            labels.action.astype(np.float32),
            labels.action_mask.astype(bool),
            labels.told.astype(np.int32),
        )
        return dict(zip(LABEL_COLUMNS, columns, strict=True))

    def _append(self, prefix: str, columns: Mapping[str, np.ndarray]) -> None:
        for name, rows in columns.items():
            self._writer.append(f"{prefix}{name}", rows)


def _check_ranges(episode: Episode) -> None:
    for name, labels in episode.labels.items():
        if (labels.start >= len(episode)).any():
            problem = f"label set {name!r} has rows that start after the last step"
            raise RecordError(problem, where=episode.episode_id, remedy="Relabel the dataset.")
