"""RLDS into LeRobot v3.0: numbers 1:1, labels as language columns and as tables with their provenance."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.datasets.convert.cards import HUB, card_files, declared_licence
from embodied_cf.datasets.convert.lerobot_arrow import tasks_table
from embodied_cf.datasets.convert.lerobot_files import CHUNK, DATA, VIDEO, DataFile, EpisodeData
from embodied_cf.datasets.convert.lerobot_keys import LANGUAGE_COLUMNS
from embodied_cf.datasets.convert.lerobot_labels import language_columns
from embodied_cf.datasets.convert.lerobot_plan import LeRobotPlan, plan_export, times
from embodied_cf.datasets.convert.lerobot_sidecar import EXPORT, FOLDER
from embodied_cf.datasets.convert.lerobot_stats import joined
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.result import Converted, Progress
from embodied_cf.datasets.convert.rows import parquet
from embodied_cf.datasets.files import atomic_path, write_json, write_text
from embodied_cf.datasets.label_store import decode_labels
from embodied_cf.datasets.parts import Parts, parts
from embodied_cf.datasets.rlds import Shard, open_dataset
from embodied_cf.datasets.shards import read_records

_SIZES = {"data_files_size_in_mb": 100, "video_files_size_in_mb": 200}
"""LeRobot's own; they tell its tools when to begin another file, and bind nothing that stands."""


@dataclass
class _Count:
    """What stands in the output so far."""

    tasks: dict[str, int]
    episodes: int = 0
    frames: int = 0
    empty: int = 0
    splits: dict[str, str] = field(default_factory=dict)
    stats: list[dict[str, Any]] = field(default_factory=list)

    def task(self, text: str) -> int:
        """Return a task's number, a new one for a new text."""
        return self.tasks.setdefault(text, len(self.tasks))


def rlds_to_lerobot(options: ConvertOptions, progress: Progress) -> Converted:
    """Convert; run again to resume. One file per shard. Raises RecordError at a broken record."""
    plan = plan_export(options, open_dataset(options.source))
    recipe = {"from": str(options.source.resolve()), "codec": plan.codec, "videos": plan.videos, "fps": plan.fps,
              "label_set": options.label_set}  # fmt: skip
    count = _Count({task: index for index, task in enumerate(dict.fromkeys(plan.tasks))})
    with parts(options.out, recipe) as state:
        number = 0
        for split, shards in plan.dataset.splits.items():
            first = count.episodes
            for shard in shards:
                _add(count, _shard(plan, options, state, count, shard, number), progress)
                number += 1
            count.splits[split] = f"{first}:{count.episodes}"
        _write_meta(plan, options, count)
    notes = (*plan.notes, *([f"{count.empty} episodes of no steps are left out"] if count.empty else []))
    return Converted(options.out, count.episodes, count.frames, notes)


def _shard(
    plan: LeRobotPlan, options: ConvertOptions, state: Parts, count: _Count, shard: Shard, number: int
) -> dict[str, Any]:
    """Write one file, or find that it stands; return what it adds."""
    part = f"file-{number:05d}"
    if (done := state.result(part)) is not None:
        return done
    met, found = _Count(dict(count.tasks), count.episodes, count.frames), 0
    with DataFile(options.out, number, plan) as file:
        for columns in _records(plan, shard):
            found += 1
            if columns.steps:
                episode = _episode(plan, columns, met)
                file.add(episode)
                met.episodes += 1
                met.frames += len(episode)
        stats = file.finish()
    done = {
        "episodes": met.episodes - count.episodes,
        "frames": met.frames - count.frames,
        "empty": found - (met.episodes - count.episodes),
        "tasks": list(met.tasks)[len(count.tasks) :],
        "stats": stats,
    }
    state.finish(part, done)
    return done


def _records(plan: LeRobotPlan, shard: Shard) -> Iterator[Columns]:
    for record in read_records(shard.path, plan.dataset.file_format):
        yield Columns(record.data, plan.dataset.features, plan.dataset.episode_id(shard, record.index))


def _add(count: _Count, done: Mapping[str, Any], progress: Progress) -> None:
    count.episodes += done["episodes"]
    count.frames += done["frames"]
    count.empty += done["empty"]
    for task in done["tasks"]:
        count.task(task)
    if done["stats"]:
        count.stats.append(done["stats"])
    progress(done["episodes"], done["frames"])


def _episode(plan: LeRobotPlan, columns: Columns, met: _Count) -> EpisodeData:
    steps = columns.steps
    tasks = _task_texts(plan, columns)
    values: dict[str, Any] = {name: _values(plan, name, columns) for name in plan.keys}
    values.setdefault("timestamp", times(plan, steps))
    values |= {
        "frame_index": np.arange(steps),
        "episode_index": np.full(steps, met.episodes),
        "index": np.arange(met.frames, met.frames + steps),
        "task_index": np.array([met.task(text) for text in tasks]),
    }
    labels = {name: decode_labels(columns, name) for name in plan.label_sets}
    if plan.language_set:
        own = language_columns(labels[plan.language_set], values["timestamp"].tolist())
        for name in LANGUAGE_COLUMNS:
            there = values.get(name) or [[] for _ in range(steps)]
            values[name] = [[*old, *new] for old, new in zip(there, own[name], strict=True)]
    return EpisodeData(met.episodes, met.frames, values, list(dict.fromkeys(tasks)), labels, _metadata(plan, columns))


def _task_texts(plan: LeRobotPlan, columns: Columns) -> list[str]:
    """Return the task of each step: of several slots the first that says something."""
    if plan.task_key is None or not columns.has(plan.task_key):
        return [""] * columns.steps
    slots = [value if isinstance(value, list) else [value] for value in columns.array(plan.task_key)]
    texts = [[_text(slot) for slot in step] for step in slots]
    return [next((text for text in step if text), "") for step in texts]


def _values(plan: LeRobotPlan, name: str, columns: Columns) -> Any:
    key, feature = plan.keys[name], plan.features[name]
    if feature.dtype == "video":
        return EncodedImages(columns.images(key), f"{columns.where} {key}")
    if feature.dtype == "image":
        return EncodedImages([bytes(image) for image in columns.images(key)], f"{columns.where} {key}")
    value = columns.array(key)
    if isinstance(value, np.ndarray):
        return value
    texts = [[_text(slot) for slot in step] if isinstance(step, list) else _text(step) for step in value]
    return [json.loads(str(text)) for text in texts] if feature.dtype == "language" else texts


def _text(value: Any) -> str:
    return str(value, "utf-8", "replace")


def _metadata(plan: LeRobotPlan, columns: Columns) -> dict[str, Any]:
    """Return texts and numbers of the episode; what is larger, such as a simulator's scene, stays behind."""
    own = tuple(f"{name}/" for name in ("labels", *(f"labels_{name}" for name in plan.label_sets)))
    told: dict[str, Any] = {}
    for key, leaf in sorted(plan.dataset.features.items()):
        if not leaf.per_step and not key.startswith(own) and leaf.sequence_rank == 0 and columns.has(key):
            value = columns.array(key)
            if isinstance(value, np.ndarray) and value.size <= 16:
                told[key] = value.tolist()
            elif isinstance(value, list) and leaf.role == "text" and len(value) == 1 and len(value[0]) <= 1000:
                told[key] = _text(value[0])
    return told


def _write_meta(plan: LeRobotPlan, options: ConvertOptions, count: _Count) -> None:
    """Write what makes the files a dataset; info.json last."""
    out, source = options.out, options.source
    for name in ("rejected", "quarantine", "provenance", "manifest"):
        if (source / "labels" / f"{name}.jsonl").is_file():
            write_text(out / FOLDER / f"{name}.jsonl", (source / "labels" / f"{name}.jsonl").read_text("utf-8"))
    write_json(out / FOLDER / EXPORT, {"label_sets": {name: list(shape) for name, shape in plan.label_sets.items()}})
    with atomic_path(out / "meta" / "tasks.parquet") as path:
        parquet().write_table(tasks_table(list(count.tasks)), path)
    names = list(count.stats[0]) if count.stats else []
    write_json(out / "meta" / "stats.json", {name: joined([part[name] for part in count.stats]) for name in names})
    kept = "kept as they were" if not plan.videos else f"encoded again as {plan.codec}"
    said = (
        f"Converted from RLDS ({plan.dataset.name} {plan.dataset.version}) by embodied-cf. Numbers are 1:1; images are "
        f"{kept}. Label sets lie in `meta/embodied_cf`, with their provenance."
    )
    for name, text in card_files(source, said, declared_licence(source), HUB).items():
        write_text(out / name, text)
    write_json(out / "meta" / "info.json", _info(plan, count))


def _info(plan: LeRobotPlan, count: _Count) -> dict[str, Any]:
    features = {
        name: {key: value for key, value in asdict(feature).items() if value is not None or key == "names"}
        for name, feature in plan.features.items()
    }
    return {
        "codebase_version": "v3.0",
        "robot_type": plan.robot_type,
        "total_episodes": count.episodes,
        "total_frames": count.frames,
        "total_tasks": len(count.tasks),
        "chunks_size": CHUNK,
        **_SIZES,
        "fps": int(plan.fps) if plan.fps == int(plan.fps) else plan.fps,
        "splits": count.splits,
        "data_path": DATA,
        "video_path": VIDEO if plan.videos else None,
        "features": features,
    }
