"""The one pass over a dataset that fills a cache, an episode in memory at a time."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from embodied_cf.datasets.contract import KINDS, EncodedImages, Episode, Labels
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.episodes import EpisodeReader
from embodied_cf.datasets.images import resized
from embodied_cf.datasets.label_store import set_names
from embodied_cf.datasets.motion import track_of
from embodied_cf.datasets.shards import Broken, read_shard
from embodied_cf.datasets.streams.arrays import ArrayWriter
from embodied_cf.datasets.streams.sources import OpenSource
from embodied_cf.errors import RecordError

LABEL_COLUMNS = ("episode", "start", "end", "instruction", "kind", "score", "action", "mask", "told")


def build(opened: OpenSource, size: tuple[int, int], directory: Path, progress: Callable[[int, int], None]) -> None:
    """Write frames, tracks and labels of every episode that has labels; what cannot be read is noted."""
    total = sum(shard.records for shard in opened.dataset.shards())
    with ArrayWriter(directory) as writer:
        builder = _Builder(writer, opened.body, size, set_names(opened.dataset.features))
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
    def __init__(self, writer: ArrayWriter, body: Embodiment, size: tuple[int, int], sets: tuple[str, ...]) -> None:
        self._writer, self._body, self._size = writer, body, size
        self._episodes: list[str] = []
        self._left_out: list[str] = []
        self._texts: dict[str, int] = {}
        self._frames = 0
        self._append("", {"frames": np.zeros((0, *size, 3), np.uint8), "first": np.zeros(1, np.int64)})
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
                frames = _resized(next(iter(episode.cameras.values())), self._size)
            except RecordError as error:
                self._left_out.append(str(error))
            else:
                self._write(episode, frames)

    def _write(self, episode: Episode, frames: UInt8[np.ndarray, "t h w 3"]) -> None:
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


def _resized(images: EncodedImages, size: tuple[int, int]) -> UInt8[np.ndarray, "t h w 3"]:
    frames = np.empty((len(images), *size, 3), np.uint8)
    for step in range(len(images)):
        frames[step] = resized(images.decode(step), size)
    return frames
