"""What the metadata of a LeRobot dataset says, v2.0, v2.1 and v3.0, as one record.

Source: huggingface/lerobot, docs/source/lerobot-dataset-v3.mdx and src/lerobot/datasets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pydantic

from embodied_cf.datasets.convert.checked_json import parse, read_json, read_lines
from embodied_cf.datasets.convert.paths import fill
from embodied_cf.datasets.convert.rows import read_columns
from embodied_cf.errors import DatasetError

VERSIONS = ("v2.0", "v2.1", "v3.0")
_LENIENT = pydantic.ConfigDict(extra="ignore")


@dataclass(frozen=True)
class LeRobotFeature:
    """One feature as info.json declares it. Shape (1,) means one number per row."""

    dtype: str
    shape: tuple[int, ...]
    names: Any = None
    info: Mapping[str, Any] | None = None
    video_info: Mapping[str, Any] | None = None
    __pydantic_config__: ClassVar[pydantic.ConfigDict] = _LENIENT

    @property
    def is_depth(self) -> bool:
        """Whether it is a depth map stored as a video."""
        told = {**(self.video_info or {}), **(self.info or {})}
        return bool(told.get("is_depth_map") or told.get("video.is_depth_map"))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels); some datasets declare channels first."""
        if len(self.shape) != 3:
            raise DatasetError(f"an image feature of shape {self.shape}")
        first, second, third = self.shape
        return (second, third, first) if first in (1, 3, 4) and third not in (1, 3, 4) else (first, second, third)


@dataclass(frozen=True)
class LeRobotInfo:
    """meta/info.json."""

    codebase_version: str
    fps: float
    features: dict[str, LeRobotFeature]
    data_path: str
    video_path: str | None = None
    robot_type: str | None = None
    chunks_size: int = 1000
    splits: dict[str, str] = field(default_factory=dict)
    __pydantic_config__: ClassVar[pydantic.ConfigDict] = _LENIENT


@dataclass(frozen=True)
class VideoPart:
    """Where an episode's frames lie: a video file, from `start_s` on. `whole`: the file holds nothing else."""

    path: Path
    start_s: float
    whole: bool


@dataclass(frozen=True)
class EpisodeEntry:
    """One episode: `length` rows of a parquet file from `row` on, and a piece of video per camera."""

    index: int
    length: int
    data: Path
    row: int
    videos: Mapping[str, VideoPart]


@dataclass(frozen=True)
class LeRobotSet:
    """A LeRobot dataset on disk."""

    root: Path
    info: LeRobotInfo
    tasks: Mapping[int, str]
    episodes: tuple[EpisodeEntry, ...]

    def splits(self) -> dict[str, tuple[EpisodeEntry, ...]]:
        """Return the episodes of each split; info.json writes them as "first:end".

        Raises DatasetError for splits that go beyond the episodes or share some.
        """
        spans = {name: self._span(name, span) for name, span in self.info.splits.items()}
        names = sorted((name for name, span in spans.items() if span), key=lambda name: spans[name].start)
        for name, after in pairwise(names):
            if spans[after].start < spans[name].stop:
                raise self._wrong(f"splits {name!r} and {after!r} share episodes from {spans[after].start} on")
        named = {name: tuple(self.episodes[at] for at in span) for name, span in spans.items() if span}
        return named or {"train": self.episodes}

    def _span(self, name: str, span: str) -> range:
        first, _, end = span.partition(":")
        if not (first.isdigit() and end.isdigit() and int(first) <= int(end)):
            raise self._wrong(f"split {name!r} is {span!r}, not first:end")
        if int(end) > len(self.episodes):
            raise self._wrong(f"split {name!r} is {span!r}, and there are {len(self.episodes)} episodes")
        return range(int(first), int(end))

    def _wrong(self, told: str) -> DatasetError:
        remedy = "Correct the splits there, or download what is missing."
        return DatasetError(told, where=self.root / "meta" / "info.json", remedy=remedy)


def open_lerobot(root: Path) -> LeRobotSet:
    """Read the metadata of a LeRobot dataset. Raises DatasetError that says what is missing or unknown."""
    info = read_info(root / "meta" / "info.json")
    v3 = info.codebase_version == "v3.0"
    tasks = dict(_tasks_v3(root) if v3 else _tasks_v2(root))
    episodes = tuple(_episodes_v3(root, info) if v3 else _episodes_v2(root, info))
    if not episodes:
        raise DatasetError("no episodes", where=root)
    for at, episode in enumerate(episodes):
        if episode.length < 1 or episode.index != at:
            raise DatasetError(f"episode {episode.index} of length {episode.length} at place {at}", where=root)
    return LeRobotSet(root, info, tasks, episodes)


def read_info(path: Path) -> LeRobotInfo:
    """Return a checked info.json."""
    raw = read_json(path)
    version = raw.get("codebase_version") if isinstance(raw, dict) else None
    if version not in VERSIONS:
        raise DatasetError(
            f"codebase_version {version!r} is not one of {', '.join(VERSIONS)}",
            where=path,
            remedy="Convert the dataset with LeRobot's own scripts first.",
        )
    info = parse(LeRobotInfo, raw, path)
    if not info.fps > 0 or info.chunks_size < 1:
        raise DatasetError(f"fps {info.fps} and chunks_size {info.chunks_size} must be positive", where=path)
    return info


@dataclass(frozen=True)
class _Task:
    task_index: int
    task: str
    __pydantic_config__: ClassVar[pydantic.ConfigDict] = _LENIENT


@dataclass(frozen=True)
class _Length:
    episode_index: int
    length: int
    __pydantic_config__: ClassVar[pydantic.ConfigDict] = _LENIENT


def _tasks_v2(root: Path) -> Iterator[tuple[int, str]]:
    path = root / "meta" / "tasks.jsonl"
    for row in read_lines(path):
        task = parse(_Task, row, path)
        yield task.task_index, task.task


def _tasks_v3(root: Path) -> Iterator[tuple[int, str]]:
    """The texts are the table's index, which has had several names."""
    table = read_columns(root / "meta" / "tasks.parquet")
    texts = next((table[key] for key in ("task", "__index_level_0__") if key in table), None)
    if texts is None or "task_index" not in table:
        raise DatasetError("no columns task_index and task", where=root / "meta" / "tasks.parquet")
    yield from zip(map(int, table["task_index"]), map(str, texts), strict=True)


def _episodes_v2(root: Path, info: LeRobotInfo) -> Iterator[EpisodeEntry]:
    path = root / "meta" / "episodes.jsonl"
    for row in read_lines(path):
        entry = parse(_Length, row, path)
        place = {"episode_index": entry.episode_index, "episode_chunk": entry.episode_index // info.chunks_size}
        videos = {
            key: VideoPart(fill(root, _video_path(root, info), {**place, "video_key": key}), 0.0, True)
            for key in video_keys(info)
        }
        yield EpisodeEntry(entry.episode_index, entry.length, fill(root, info.data_path, place), 0, videos)


def _episodes_v3(root: Path, info: LeRobotInfo) -> Iterator[EpisodeEntry]:
    names = ["episode_index", "length", "data/chunk_index", "data/file_index", "dataset_from_index"]
    for key in video_keys(info):
        names += [f"videos/{key}/{part}" for part in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")]
    firsts: dict[tuple[int, int], int] = {}
    for row in _episode_rows(root, names):
        file = row["data/chunk_index"], row["data/file_index"]
        first = firsts.setdefault(file, row["dataset_from_index"])
        place = {"chunk_index": file[0], "file_index": file[1]}
        videos = {key: _part_v3(root, info, key, row) for key in video_keys(info)}
        at = row["dataset_from_index"] - first
        yield EpisodeEntry(row["episode_index"], row["length"], fill(root, info.data_path, place), at, videos)


def _episode_rows(root: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    folder = root / "meta" / "episodes"
    for path in sorted(folder.glob("*/*.parquet")):
        table = read_columns(path, names)
        for values in zip(*(table[name] for name in names), strict=True):
            row = dict(zip(names, values, strict=True))
            if any(not isinstance(value, (int, float)) or value < 0 for value in values):
                raise DatasetError(f"a row that is not all numbers from 0: {row}", where=path)
            yield row


def _part_v3(root: Path, info: LeRobotInfo, key: str, row: Mapping[str, Any]) -> VideoPart:
    place = {part: row[f"videos/{key}/{part}"] for part in ("chunk_index", "file_index")}
    start, end = row[f"videos/{key}/from_timestamp"], row[f"videos/{key}/to_timestamp"]
    frames = (end - start) * info.fps
    if abs(frames - row["length"]) >= 1:
        raise DatasetError(
            f"episode {row['episode_index']} has {frames:.1f} frames of {key} for {row['length']} rows",
            where=root / "meta" / "episodes",
        )
    return VideoPart(fill(root, _video_path(root, info), {**place, "video_key": key}), start, False)


def _video_path(root: Path, info: LeRobotInfo) -> str:
    if info.video_path is None:
        raise DatasetError("there are video features, but no video_path", where=root / "meta" / "info.json")
    return info.video_path


def video_keys(info: LeRobotInfo) -> list[str]:
    """Return the features that lie in video files as pictures; depth maps are left out."""
    return [key for key, feature in info.features.items() if feature.dtype == "video" and not feature.is_depth]
