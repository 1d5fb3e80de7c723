"""LeRobot v2.0, v2.1 and v3.0 into RLDS: numbers 1:1, video frames decoded and stored as images."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from embodied_cf.datasets.convert.cards import card_files, licence_of
from embodied_cf.datasets.convert.lerobot_info import EpisodeEntry, LeRobotFeature, LeRobotSet, open_lerobot
from embodied_cf.datasets.convert.lerobot_keys import (
    COUNTERS,
    LANGUAGE_COLUMNS,
    MEMORY,
    Memory,
    rlds_keys,
    stored_shape,
    tfds_feature,
)
from embodied_cf.datasets.convert.lerobot_sidecar import FOLDER, LabelReader, open_sidecar
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.result import Converted, Progress, shards_of
from embodied_cf.datasets.convert.rlds_target import dataset_name, label_files, link_steps_view, nested, step_flags
from embodied_cf.datasets.convert.rows import Rows, numbers
from embodied_cf.datasets.convert.spec_beside import flat_names, known_spec
from embodied_cf.datasets.convert.video import read_frames
from embodied_cf.datasets.features import STEPS
from embodied_cf.datasets.images import encode_jpeg, encode_png
from embodied_cf.datasets.rlds import RldsDataset
from embodied_cf.datasets.writer import DatasetCard, Example, ShardSource, write_dataset
from embodied_cf.errors import DatasetError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict

_BYTES_PER_PIXEL = {"jpeg": 0.25, "png": 1.5}
_ENCODE = {"jpeg": encode_jpeg, "png": encode_png}


@dataclass(frozen=True)
class _Source:
    """A LeRobot set and how it becomes RLDS."""

    dataset: LeRobotSet
    features: Mapping[str, LeRobotFeature]
    """Those that are stored, by LeRobot name."""
    keys: Mapping[str, str]
    frames: str
    labels: LabelReader

    @property
    def columns(self) -> list[str]:
        """Parquet columns that are read."""
        own = [name for name, feature in self.features.items() if feature.dtype != "video"]
        return [*own, "frame_index", "episode_index", "task_index"]


def lerobot_to_rlds(options: ConvertOptions, progress: Progress) -> Converted:
    """Convert; run again to resume. Raises DatasetError that says what of the source is broken, and where."""
    dataset = open_lerobot(options.source)
    labels = open_sidecar(options.source)
    features, notes = _stored(dataset, labels)
    source = _Source(dataset, features, rlds_keys(features), options.frames, labels)
    memory = Memory(
        dataset.info.codebase_version, dataset.info.fps, dataset.info.features, dict(source.keys),
        [dataset.tasks[index] for index in sorted(dataset.tasks)], dataset.info.robot_type,
    )  # fmt: skip
    said = (
        f"Converted from LeRobot {dataset.info.codebase_version} by embodied-cf. Numbers are 1:1; video frames are "
        f"decoded and stored as {options.frames}. `lerobot.json` holds what the way back needs."
    )
    licence = licence_of(options.source)
    card = DatasetCard(
        dataset_name(options.name, options.source),
        description=said,
        licence=licence,
        recipe=json.dumps([str(options.source.resolve()), options.frames]),
    )
    splits = {name: _shards(source, episodes, progress) for name, episodes in dataset.splits().items()}
    files = {
        **label_files(options.source / FOLDER),
        **card_files(options.source, said),
        MEMORY: json.dumps(memory.to_json(), indent=2, ensure_ascii=False) + "\n",
    }
    tree = _tree(source)
    write_dataset(options.out, card, tree, splits, files, partial(_spec, source))
    if labels.sets:
        link_steps_view(options.out, tree)
    kept = [episode for episodes in dataset.splits().values() for episode in episodes]
    return Converted(options.out, len(kept), sum(episode.length for episode in kept), notes)


def _stored(dataset: LeRobotSet, labels: LabelReader) -> tuple[dict[str, LeRobotFeature], tuple[str, ...]]:
    """Return the features that RLDS gets, and what is said of the others."""
    depth = [name for name, feature in dataset.info.features.items() if feature.is_depth]
    own = LANGUAGE_COLUMNS if labels.sets else ()  # written from label sets, which come back themselves
    kept = {n: f for n, f in dataset.info.features.items() if n not in (*depth, *own, *COUNTERS)}
    notes = [f"{name} is a depth map, which is not converted" for name in depth]
    inside = {episode.index for episodes in dataset.splits().values() for episode in episodes}
    if outside := len(dataset.episodes) - len(inside):
        notes.append(f"{outside} episodes are in no split and stay behind")
    return kept, tuple(notes)


def _tree(source: _Source) -> "FeaturesDict":
    from tensorflow_datasets.core import features as tf

    step: dict[str, Any] = {
        "reward": np.float32,
        "discount": np.float32,
        **dict.fromkeys(("is_first", "is_last", "is_terminal"), np.bool_),
        "language_instruction": tf.Text(doc="The task of this step."),
    }
    step |= {
        source.keys[name].removeprefix(f"{STEPS}/"): tfds_feature(name, feature, source.frames)
        for name, feature in source.features.items()
    }
    step |= {key.removeprefix(f"{STEPS}/"): child for key, child in source.labels.step_features().items()}
    episode = {
        "episode_index": np.int64,
        "file_path": tf.Text(doc="Parquet file that the episode came from."),
        "tasks": tf.Sequence(tf.Text()),
    }
    top = source.labels.features()
    return tf.FeaturesDict({STEPS: tf.Dataset(nested(step)), "episode_metadata": episode, **top})


def _shards(source: _Source, episodes: Sequence[EpisodeEntry], progress: Progress) -> list[ShardSource]:
    pixels = sum(int(np.prod(f.image_shape[:2])) for f in source.features.values() if f.dtype in ("video", "image"))
    per_step = 1000 + int(_BYTES_PER_PIXEL[source.frames] * pixels)
    runs = shards_of([per_step * episode.length for episode in episodes])
    return [partial(_examples, source, episodes[run.start : run.stop], progress) for run in runs]


def _examples(source: _Source, episodes: Sequence[EpisodeEntry], progress: Progress) -> Iterator[Example]:
    rows = Rows(source.columns)
    for entry in episodes:
        yield _example(source, entry, rows)
        progress(1, entry.length)


def _example(source: _Source, entry: EpisodeEntry, rows: Rows) -> Example:
    table, where = rows.read(entry.data, entry.row, entry.length), f"{entry.data}, episode {entry.index}"
    _check_counters(table, entry, where)
    tasks = _tasks(source.dataset, table, where)
    step: dict[str, Any] = {f"{STEPS}/{key}": value for key, value in step_flags(entry.length).items()}
    step[f"{STEPS}/language_instruction"] = tasks
    for name, feature in source.features.items():
        if feature.dtype == "video":
            step[source.keys[name]] = _frames(source, entry, name)
        else:
            step[source.keys[name]] = _column(table[name], feature, f"{where}, {name}")
    path = str(entry.data.relative_to(source.dataset.root))
    episode = {"episode_index": entry.index, "file_path": path, "tasks": list(dict.fromkeys(tasks))}
    return {**step, "episode_metadata": episode, **source.labels.example(entry.index, entry.length)}


def _check_counters(table: Any, entry: EpisodeEntry, where: str) -> None:
    at = {name: numbers(table[name], "int64", (), f"{where}, {name}") for name in ("episode_index", "frame_index")}
    if (at["episode_index"] != entry.index).any() or (at["frame_index"] != np.arange(entry.length)).any():
        raise DatasetError(
            "the rows are not those of this episode, frame by frame from 0",
            where=where,
            remedy="The parquet file and meta/episodes belong to different versions of the dataset: copy it again.",
        )


def _tasks(dataset: LeRobotSet, table: Any, where: str) -> list[str]:
    indices = numbers(table["task_index"], "int64", (), where).tolist()
    unknown = sorted(set(indices) - dataset.tasks.keys())
    if unknown:
        raise DatasetError(f"task {unknown[0]} is not in the table of tasks", where=where)
    return [dataset.tasks[index] for index in indices]


def _column(column: Any, feature: LeRobotFeature, where: str) -> Any:
    if feature.dtype == "image":
        return _images(column.to_pylist(), where)
    if feature.dtype == "string":
        return column.to_pylist()
    if feature.dtype == "language":
        return [json.dumps(rows or [], ensure_ascii=False) for rows in column.to_pylist()]
    return numbers(column, feature.dtype, stored_shape(feature), where)


def _images(cells: list, where: str) -> list[bytes]:
    images = [cell.get("bytes") if isinstance(cell, dict) else cell for cell in cells]
    kept = [image for image in images if isinstance(image, bytes)]
    if len(kept) < len(images):
        raise DatasetError("the images are not in the parquet file", where=where, remedy="Embed them with LeRobot.")
    return kept


def _frames(source: _Source, entry: EpisodeEntry, name: str) -> list[bytes]:
    part, encode = entry.videos[name], _ENCODE[source.frames]
    frames = read_frames(part.path, part.start_s, entry.length, source.dataset.info.fps, part.whole)
    return [encode(frame) for frame in frames]


def _spec(source: _Source, written: RldsDataset) -> Mapping[str, str]:
    known: dict[str, object] = {
        "control_period_s": round(1 / source.dataset.info.fps, 6),
        "last_action_valid": True,
        "language": ["language_instruction"],
    }
    names = {
        source.keys[name].removeprefix(f"{STEPS}/"): labels
        for name, feature in source.features.items()
        if feature.dtype not in ("video", "image") and (labels := flat_names(feature.names))
    }
    columns = {"timestamp": "timestamp"} if source.keys.get("timestamp") else {}
    return {"spec.toml": known_spec(written, known, columns, names)}
