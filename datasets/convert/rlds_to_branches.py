"""Relabelled RLDS into RLDS that CAST's, octo's and openvla's loaders read: see `convert.branches`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from embodied_cf.datasets.contract import EncodedImages, Episode
from embodied_cf.datasets.convert.branches import Branch, branches, counterfactuals, step_actions
from embodied_cf.datasets.convert.cards import card_files, declared_licence
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.result import Converted, Progress
from embodied_cf.datasets.convert.rlds_source import usable
from embodied_cf.datasets.convert.rlds_target import dataset_name, label_files, step_flags
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.episodes import EpisodeReader
from embodied_cf.datasets.features import STEPS
from embodied_cf.datasets.label_store import set_names
from embodied_cf.datasets.motion import track_of, typical_scale
from embodied_cf.datasets.rlds import RldsDataset, Shard, open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.datasets.writer import DatasetCard, Example, write_dataset
from embodied_cf.errors import UsageError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict
    from tensorflow_datasets.core.features.feature import FeatureConnector

SLOTS = 10
"""Instructions per step in CAST's layout, unused ones empty."""
_SAID = (
    "Made by embodied-cf from {name}, label set {labels}: the real episodes, and one episode per counterfactual label. "
    "`loss_mask` is 1 where a step's instruction explains its action; train on those steps alone. Steps with "
    "`is_synthetic` were never seen: they repeat the frame of the branch. Positions count from an episode's first "
    "step. `action` is the way to the next step; `normalization_factor` is the typical step, in the same unit."
)


@dataclass(frozen=True)
class _Layout:
    """What differs between the readers."""

    to: str
    body: Embodiment
    cameras: tuple[str, ...]
    """Primary camera first."""
    factor: float
    history: int
    label_set: str

    @property
    def is_cast(self) -> bool:
        """CAST's keys, one camera, ten slots of text, 64-bit types; else octo's."""
        return self.to == "cast"


def rlds_to_branches(options: ConvertOptions, progress: Progress) -> Converted:
    """Convert; run again to resume. Raises UsageError if the label set is not there, or CAST's robot does not drive."""
    dataset = open_dataset(options.source)
    spec = load_spec(options.spec, options.source)
    body, reader = spec.body(), EpisodeReader(dataset.features, spec)
    if options.label_set not in set_names(dataset.features):
        raise UsageError(f"no label set {options.label_set!r}", where=options.source, remedy="Relabel it first.")
    if options.to == "cast" and body.kind != "nav":
        raise UsageError("CAST's layout is for robots that drive", where=options.source, remedy="Use --to octo.")
    seen = _survey(dataset, reader, body, options)
    layout = _Layout(options.to, body, tuple(spec.cameras), seen.typical_step, options.history, options.label_set)
    said = _SAID.format(name=f"{dataset.name} {dataset.version}", labels=options.label_set)
    licence = declared_licence(options.source)
    card = DatasetCard(
        dataset_name(options.name, f"{dataset.name}_{options.to}"),
        description=said,
        licence=licence,
        recipe=f"{options.source.resolve()} {options.to} {options.label_set} {options.history} {spec}",
    )
    splits = {
        split: [partial(_examples, dataset, shard, reader, layout, progress) for shard in shards]
        for split, shards in dataset.splits.items()
    }
    files = {**card_files(options.source, said, licence), **label_files(options.source / "labels")}
    write_dataset(options.out, card, _tree(dataset, layout), splits, files)
    return Converted(options.out, seen.episodes, seen.steps, left_out=seen.left_out)


@dataclass(frozen=True)
class _Seen:
    """What a first pass finds: the typical step, and what will be written."""

    typical_step: float
    episodes: int
    steps: int
    left_out: int


def _survey(dataset: RldsDataset, reader: EpisodeReader, body: Embodiment, options: ConvertOptions) -> _Seen:
    tracks = []
    episodes = steps = left_out = 0
    for shard in dataset.shards():
        for _, episode in usable(dataset, shard, reader):
            if episode is None:
                left_out += 1
                continue
            tracks.append(track_of(episode, body))
            labels = episode.labels[options.label_set]
            rows = counterfactuals(labels, len(episode))
            before = np.minimum(labels.start[rows], options.history)
            episodes += 1 + len(rows)
            steps += len(episode) + int((before + 1 + labels.action_mask[rows].sum(axis=1)).sum())
    return _Seen(typical_scale(tracks, body).step, episodes, steps, left_out)


def _tree(dataset: RldsDataset, layout: _Layout) -> "FeaturesDict":
    from tensorflow_datasets.core import features as tf

    real = np.float64 if layout.is_cast else np.float32
    slots: FeatureConnector = tf.Tensor(shape=(SLOTS,), dtype=np.str_) if layout.is_cast else tf.Text()
    action = tf.Tensor(shape=(layout.body.chunk_dimensions,), dtype=real, doc="The way to the next step.")
    step = {
        "observation": {**_images(layout), **_places(layout, real)},
        "action": action,
        **dict.fromkeys(("reward", "discount"), np.float32),
        **dict.fromkeys(("is_first", "is_last", "is_terminal"), np.bool_),
        "language_instruction": slots,
        "is_synthetic": tf.Scalar(dtype=np.bool_, doc="Nobody saw this step; it repeats the branch's frame."),
        "loss_mask": tf.Scalar(dtype=np.float32, doc="1 where the instruction explains the action, else 0."),
    }
    episode = {
        "file_path": tf.Text(),
        "episode_id": tf.Text(doc="Episode of the source."),
        "normalization_factor": tf.Scalar(dtype=real, doc="Typical step, in the unit of action."),
        "kind": tf.Text(doc="factual or counterfactual."),
        "branch_step": tf.Scalar(dtype=np.int64, doc="Step of the source where the label holds, -1 if factual."),
        "score": np.float32,
        "command": tf.Text(),
        "label_source": tf.Text(doc="Row of labels/provenance.jsonl."),
    }
    return tf.FeaturesDict({STEPS: tf.Dataset(step), "episode_metadata": episode})


def _images(layout: _Layout) -> dict[str, "FeatureConnector"]:
    from tensorflow_datasets.core import features as tf

    return {name: tf.Image(shape=(None, None, 3)) for name in _image_names(layout).values()}


def _image_names(layout: _Layout) -> Mapping[str, str]:
    if layout.is_cast:
        return {layout.cameras[0]: "image"}
    return {camera: f"image_{camera}" for camera in layout.cameras}


def _places(layout: _Layout, real: type) -> dict[str, "FeatureConnector"]:
    from tensorflow_datasets.core import features as tf

    size = 3 if layout.body.kind == "nav" else 7
    shapes: dict[str, tuple[int, ...]] = {"state": (size,)}
    if layout.is_cast:
        shapes |= {"position": (2,), "yaw": (1,), "yaw_rotmat": (3, 3)}
    return {name: tf.Tensor(shape=shape, dtype=real) for name, shape in shapes.items()}


def _examples(
    dataset: RldsDataset, shard: Shard, reader: EpisodeReader, layout: _Layout, progress: Progress
) -> Iterator[Example]:
    for _, episode in usable(dataset, shard, reader):
        if episode is None:
            continue
        track = track_of(episode, layout.body)
        for branch in branches(episode, track, episode.labels[layout.label_set], layout.history):
            yield _example(episode, branch, layout)
            progress(1, len(branch.steps))


def _example(episode: Episode, branch: Branch, layout: _Layout) -> Example:
    about = branch.about
    return {
        STEPS: {
            "observation": {
                **{name: _shown(episode.cameras[camera], branch) for camera, name in _image_names(layout).items()},
                **_placed(branch, layout),
            },
            "action": step_actions(branch.track),
            **step_flags(len(branch.steps)),
            "language_instruction": [_slots(texts, layout) for texts in branch.texts],
            "is_synthetic": branch.is_synthetic,
            "loss_mask": branch.loss_mask,
        },
        "episode_metadata": {
            "file_path": str(episode.metadata.get("episode_metadata/file_path", episode.episode_id)),
            "episode_id": episode.episode_id,
            "normalization_factor": layout.factor,
            "kind": branch.kind,
            "branch_step": about["step"],
            "score": about["score"],
            "command": about["command"],
            "label_source": about["source"],
        },
    }


def _shown(images: EncodedImages, branch: Branch) -> list[bytes]:
    return [bytes(images.frames[step]) for step in branch.steps.tolist()]


def _placed(branch: Branch, layout: _Layout) -> dict[str, np.ndarray]:
    if layout.body.kind != "nav":
        return {"state": branch.track.astype(np.float32)}
    place = branch.track - [*branch.track[0, :2], 0]
    if not layout.is_cast:
        return {"state": place.astype(np.float32)}
    cos, sin, zero = np.cos(place[:, 2]), np.sin(place[:, 2]), np.zeros(len(place))
    rotation = np.moveaxis(np.array([[cos, -sin, zero], [sin, cos, zero], [zero, zero, zero + 1]]), -1, 0)
    return {
        "state": place,
        "position": place[:, :2],
        "yaw": place[:, 2:],
        "yaw_rotmat": rotation,
    }


def _slots(texts: Sequence[str], layout: _Layout) -> Any:
    if not layout.is_cast:
        return texts[0] if texts else ""
    kept = list(texts[:SLOTS])
    return kept + [""] * (SLOTS - len(kept))
