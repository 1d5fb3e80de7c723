"""One data file of a LeRobot v3 dataset: its rows, its videos, its episodes' metadata and its labels."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from embodied_cf.datasets.contract import EncodedImages, Labels
from embodied_cf.datasets.convert.lerobot_arrow import cells, schema
from embodied_cf.datasets.convert.lerobot_plan import LeRobotPlan
from embodied_cf.datasets.convert.lerobot_sidecar import FOLDER, label_rows, label_schema
from embodied_cf.datasets.convert.lerobot_stats import Stats, joined, number_stats, picture_stats, sampled
from embodied_cf.datasets.convert.rows import parquet
from embodied_cf.datasets.convert.video import VideoWriter
from embodied_cf.datasets.files import atomic_path

DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
CHUNK = 1000


@dataclass(frozen=True)
class EpisodeData:
    """One episode as LeRobot holds it."""

    index: int
    first_row: int
    """Its place among the rows of the whole dataset."""
    columns: Mapping[str, Any]
    """Values by feature: arrays (T, ...), texts, lists of rows; encoded images for pictures."""
    tasks: Sequence[str]
    labels: Mapping[str, Labels]
    metadata: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.columns["frame_index"])


class DataFile:
    """Writes episodes into one file of each kind; they appear, whole, when the `with` block ends."""

    def __init__(self, out: Path, number: int, plan: LeRobotPlan) -> None:
        self._out, self._number, self._plan = out, number, plan
        self._place = {"chunk_index": number // CHUNK, "file_index": number % CHUNK}
        self._schema = schema(plan.features)
        self._rows: list[dict[str, Any]] = []
        self._stats: list[dict[str, Stats]] = []

    def __enter__(self) -> "DataFile":
        self._stack = ExitStack()
        self._videos: dict[str, VideoWriter] = {}
        return self

    def _begin(self) -> None:
        """Open the files; not before there is an episode, for a video of no frames is no video."""
        self._data = self._parquet(DATA.format(**self._place), self._schema)
        self._labels = self._parquet(f"{FOLDER}/labels-{self._number:05d}.parquet", label_schema())
        for key in self._plan.videos:
            path = self._stack.enter_context(atomic_path(self._out / VIDEO.format(video_key=key, **self._place)))
            height, width, _ = self._plan.features[key].shape
            writer = VideoWriter(path, self._plan.codec, self._plan.fps, (height, width))
            self._videos[key] = self._stack.enter_context(writer)

    def add(self, episode: EpisodeData) -> None:
        """Append an episode."""
        import pyarrow as pa

        if not self._rows:
            self._begin()
        features = self._plan.features
        row: dict[str, Any] = {
            "episode_index": episode.index, "tasks": list(episode.tasks), "length": len(episode),
            **self._placed("data"),
            "dataset_from_index": episode.first_row, "dataset_to_index": episode.first_row + len(episode),
        }  # fmt: skip
        for key, writer in self._videos.items():
            row |= self._film(key, writer, episode)
        stored = {name: cells(features[name], episode.columns[name]) for name in self._schema.names}
        self._data.write_table(pa.table(stored, schema=self._schema))
        labels = [row for name, table in episode.labels.items() for row in label_rows(name, episode.index, table)]
        if labels:
            self._labels.write_table(pa.Table.from_pylist(labels, schema=label_schema()))
        stats = self._measure(episode)
        self._stats.append(stats)
        row |= {f"stats/{name}/{key}": value for name, part in stats.items() for key, value in part.items()}
        row |= self._placed("meta/episodes")
        self._rows.append({**row, "episode_metadata": json.dumps(episode.metadata, ensure_ascii=False)})

    def finish(self) -> dict[str, Stats]:
        """Write the episodes' metadata and return the statistics of all."""
        import pyarrow as pa

        if not self._rows:
            return {}
        table = pa.Table.from_pylist(self._rows)
        self._parquet(EPISODES.format(**self._place), table.schema).write_table(table)
        return {name: joined([stats[name] for stats in self._stats]) for name in self._stats[0]}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _placed(self, folder: str) -> dict[str, int]:
        return {f"{folder}/{key}": value for key, value in self._place.items()}

    def _parquet(self, name: str, columns: Any) -> Any:
        path = self._stack.enter_context(atomic_path(self._out / name))
        return self._stack.enter_context(parquet().ParquetWriter(path, columns))

    def _film(self, key: str, writer: VideoWriter, episode: EpisodeData) -> dict[str, Any]:
        start = writer.frames / self._plan.fps
        images: EncodedImages = episode.columns[key]
        for step in range(len(episode)):
            writer.write(images.decode(step))
        end = writer.frames / self._plan.fps
        return {
            **self._placed(f"videos/{key}"),
            f"videos/{key}/from_timestamp": start,
            f"videos/{key}/to_timestamp": end,
        }

    def _measure(self, episode: EpisodeData) -> dict[str, Stats]:
        found = {}
        for name, feature in self._plan.features.items():
            value = episode.columns[name]
            if isinstance(value, EncodedImages):
                found[name] = picture_stats([value.decode(step) for step in sampled(len(episode))])
            elif isinstance(value, np.ndarray) and feature.dtype not in ("string", "language"):
                found[name] = number_stats(value)
        return found
