"""What a LeRobot export holds: its features, where each comes from, and at what rate it plays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.datasets.convert.lerobot_info import LeRobotFeature
from embodied_cf.datasets.convert.lerobot_keys import (
    COUNTERS,
    LANGUAGE_COLUMNS,
    lerobot_name,
    read_memory,
)
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.video import video_info
from embodied_cf.datasets.episode_view import language_keys
from embodied_cf.datasets.features import STEPS, Features, Leaf
from embodied_cf.datasets.label_store import belongs_to, set_key, set_names
from embodied_cf.datasets.rlds import RldsDataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.errors import DatasetError, UsageError

_DERIVED = (f"{STEPS}/is_first", f"{STEPS}/is_last")
_INTEGER = LeRobotFeature("int64", (1,))


@dataclass(frozen=True)
class LeRobotPlan:
    """How an RLDS dataset becomes LeRobot v3."""

    dataset: RldsDataset
    fps: float
    features: Mapping[str, LeRobotFeature]
    """All that info.json declares, in order."""
    keys: Mapping[str, str]
    """LeRobot feature to the RLDS key it comes from; the others are made here."""
    task_key: str | None
    """Text feature that says the task of a step."""
    tasks: Sequence[str]
    """Tasks that are numbered before any is met."""
    robot_type: str | None
    label_sets: Mapping[str, tuple[int, int]]
    language_set: str | None
    """Label set that fills the language columns."""
    codec: str
    notes: tuple[str, ...]

    @property
    def videos(self) -> list[str]:
        """Features that go into video files."""
        return [name for name, feature in self.features.items() if feature.dtype == "video"]


def plan_export(options: ConvertOptions, dataset: RldsDataset) -> LeRobotPlan:
    """Look at a dataset's features and first episode. Raises UsageError if nothing says how fast it plays."""
    memory = read_memory(dataset.path)
    first = _first(dataset)
    codec = "av1" if options.video == "none" else options.video
    fps = memory.fps if memory else _rate(options, dataset)
    pictured = "image" if options.video == "none" else "video"
    keys = dict(memory.keys) if memory else _keys(dataset.features)
    absent = [name for name, key in keys.items() if key not in dataset.features]
    keys = {name: key for name, key in keys.items() if key in dataset.features}
    features = {
        name: _feature(key, dataset.features[key], first, memory.features.get(name) if memory else None, pictured)
        for name, key in keys.items()
    }
    features = {n: _with_info(f, codec, fps) if f.dtype == "video" else f for n, f in features.items()}
    sets = {name: _chunk(dataset.features, name) for name in set_names(dataset.features)}
    spoken = options.label_set if options.label_set in sets else None
    if memory is None or "timestamp" not in features:
        features["timestamp"] = LeRobotFeature("float32", (1,))
    features |= dict.fromkeys(COUNTERS, _INTEGER)
    if spoken:
        features |= {name: LeRobotFeature("language", (1,)) for name in LANGUAGE_COLUMNS}
    left = [f"{name} is no longer in the data" for name in absent]
    left += [] if memory else _left_out(dataset.features)
    return LeRobotPlan(
        dataset, fps, features, keys, _task_key(dataset.features), memory.tasks if memory else [],
        memory.robot_type if memory else None, sets, spoken, codec, tuple(left),
    )  # fmt: skip


def _first(dataset: RldsDataset) -> Columns:
    for episode_id, record in dataset.records():
        columns = Columns(record, dataset.features, episode_id)
        if columns.steps:
            return columns
    raise DatasetError("no episode with a step", where=dataset.path)


def _rate(options: ConvertOptions, dataset: RldsDataset) -> float:
    if options.spec is None and not (dataset.path / "spec.toml").is_file():
        raise UsageError(
            "nothing says how fast the data plays",
            where=dataset.path,
            remedy="Name a spec with --spec; its control_period_s is the time of a frame.",
        )
    return round(1 / load_spec(options.spec, dataset.path).control_period_s, 6)


def _keys(features: Features) -> dict[str, str]:
    chosen = [key for key, leaf in sorted(features.items()) if _exportable(key, leaf, features)]
    names = [lerobot_name(key) for key in chosen]
    # the frame's own time in LeRobot is its place in the video; what the data calls timestamp may run otherwise
    names = [f"observation.{name}" if name == "timestamp" else name for name in names]
    return dict(zip(names, chosen, strict=True))


def _exportable(key: str, leaf: Leaf, features: Features) -> bool:
    own = any(belongs_to(name, key) for name in set_names(features))
    told = key == _task_key(features) and len(leaf.shape) == 1  # the table of tasks says it all
    return leaf.per_step and not own and not told and key not in _DERIVED and not _why_not(leaf)


def _why_not(leaf: Leaf) -> str:
    shape = leaf.inner_shape if leaf.role == "encoded" else leaf.shape[1:]
    if leaf.sequence_rank > 1 or None in shape or len(shape) > 5:
        return "its rows differ in shape"
    return "it holds several images a step" if leaf.role == "image" and shape else ""


def _left_out(features: Features) -> list[str]:
    return [f"{key} is left out: {_why_not(leaf)}" for key, leaf in sorted(features.items())
            if leaf.per_step and _why_not(leaf)]  # fmt: skip


def _task_key(features: Features) -> str | None:
    plain = f"{STEPS}/language_instruction"
    return plain if plain in features else next(iter(language_keys(features)), None)


def _feature(key: str, leaf: Leaf, first: Columns, known: LeRobotFeature | None, pictured: str) -> LeRobotFeature:
    if leaf.role == "image":
        image = EncodedImages(first.images(key), f"{first.where} {key}").decode(0)
        kind = known.dtype if known and known.dtype == "image" else pictured
        return LeRobotFeature(kind, image.shape, ["height", "width", "channels"])
    if known:
        return known
    shape = leaf.inner_shape if leaf.role == "encoded" else leaf.shape[1:]
    dtype = "string" if leaf.role == "text" else leaf.inner_dtype if leaf.role == "encoded" else leaf.dtype
    return LeRobotFeature(dtype, tuple(int(size or 0) for size in shape) or (1,))


def _with_info(feature: LeRobotFeature, codec: str, fps: float) -> LeRobotFeature:
    height, width, _ = feature.shape
    return replace(feature, info=video_info(codec, fps, (height, width)), video_info=None)


def _chunk(features: Features, name: str) -> tuple[int, int]:
    shape = features[f"{set_key(name)}/action"].shape
    return int(shape[1] or 0), int(shape[2] or 0)


def times(plan: LeRobotPlan, steps: int) -> np.ndarray:
    """Return when each frame of an episode plays, in seconds."""
    return (np.arange(steps) / plan.fps).astype(np.float32)
