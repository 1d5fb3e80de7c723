"""What a dataset holds and what is wrong with it: one streamed pass, one frozen result."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from embodied_cf.datasets import health, health_labels, health_strict
from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.datasets.episode_view import EpisodeView, language_keys, view_episode
from embodied_cf.datasets.episodes import EpisodeReader
from embodied_cf.datasets.features import STEPS, load_tree
from embodied_cf.datasets.health_issues import Findings, Hit
from embodied_cf.datasets.inspection_result import FeatureRow, Inspection, SplitSummary
from embodied_cf.datasets.label_statistics import LabelTally
from embodied_cf.datasets.looks import CameraTally, Look, look_at
from embodied_cf.datasets.motion import track_of
from embodied_cf.datasets.motion_statistics import MotionTally
from embodied_cf.datasets.randomness import generator
from embodied_cf.datasets.rlds import RldsDataset, Shard, open_dataset
from embodied_cf.datasets.shards import Broken, Record, read_shard
from embodied_cf.datasets.spec import DatasetSpec
from embodied_cf.datasets.statistics import LanguageTally, NumberTally, summarise_lengths
from embodied_cf.errors import RecordError, SpecError

Progress = Callable[[int, int], None]
"""Told of (episodes, steps) read since the last call."""
_LOOKED_AT = 1000
"""Episodes whose frames are decoded before decoding thins out."""
_FRAMES = 3
_FLAGS = {f"{STEPS}/{flag}" for flag in ("is_first", "is_last", "is_terminal")}


def inspect_dataset(
    directory: str | Path,
    *,
    split: str | None = None,
    spec: DatasetSpec | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Inspection:
    """Read a whole dataset (or split) once, in constant memory, and return what it holds.

    With a spec, motion is judged too. `strict` decodes every frame rather than a sample, demands every RLDS step
    key in its type, and compares label sets with views, manifest and per-step texts. Broken records are counted
    and passed over. Raises DatasetError if there is no dataset or a shard is missing, UsageError for an unknown
    split.
    """
    survey = _Survey(open_dataset(directory), spec, strict)
    shards = survey.dataset.shards(split)
    names = [split] if split else list(survey.dataset.splits)
    splits = tuple(survey.split(name, [s for s in shards if s.split == name], progress) for name in names)
    return survey.result(splits)


class _Survey:
    """The tallies of one pass."""

    def __init__(self, dataset: RldsDataset, spec: DatasetSpec | None, strict: bool) -> None:
        self.dataset, self._strict = dataset, strict
        self._declared, documents = _declarations(dataset.path)
        self._findings, self._records = Findings(), 0
        self._seen: set[bytes] = set()
        self._lengths: Counter[int] = Counter()
        self._numbers: dict[str, NumberTally] = {}
        self._cameras = {key: CameraTally(key, shape) for key, shape in self._declared.items()}
        self._spec, self._reader = spec, self._open_reader(spec)
        self._motion = MotionTally()
        self._language = {key: LanguageTally(key) for key in self._language_keys()}
        self._labels, hits = health_labels.open_labels(dataset.path, dataset.features, documents)
        self._label_tallies = {name: LabelTally(name) for name in self._labels.names}
        self._findings.add([*hits, *health.check_features(dataset.features, strict)])
        if strict:
            self._findings.add(health_strict.check_step_types(dataset.features))
            self._findings.add(health_strict.check_view(dataset))
            self._findings.add(health_strict.check_manifest(dataset.path, dataset.shards()))

    def split(self, name: str, shards: list[Shard], progress: Progress | None) -> SplitSummary:
        """Read one split."""
        episodes = broken = steps = 0
        for shard in shards:
            for record in read_shard(shard.path, self.dataset.file_format):
                episode_id = self.dataset.episode_id(shard, record.index)
                length = self._episode(record, episode_id)
                broken += length is None
                episodes += length is not None
                steps += length or 0
                if progress:
                    progress(1, length or 0)
        promised = sum(shard.records for shard in shards)
        self._findings.add(health.check_count(name, promised, episodes + broken))
        return SplitSummary(name, len(shards), promised, episodes, broken, steps)

    def result(self, splits: tuple[SplitSummary, ...]) -> Inspection:
        """Return the result of everything read so far."""
        numbers = tuple(self._numbers[key].summary() for key in sorted(self._numbers))
        language = tuple(tally.summary() for tally in self._language.values())
        cameras = tuple(tally.summary() for tally in self._cameras.values())
        motion = self._motion.summary() if self._reader else None
        for hits in (health.check_numbers(numbers), health.check_language(language), health.check_cameras(cameras)):
            self._findings.add(hits)
        for episode_id, hit in health.check_motion(motion) if motion else ():
            self._findings.add([hit], episode_id)
        dataset = self.dataset
        return Inspection(
            dataset.path, dataset.name, dataset.version, dataset.file_format, self._spec.name if self._spec else "",
            splits, _feature_rows(dataset, self._declared), numbers, summarise_lengths(self._lengths), language,
            cameras, motion, tuple(tally.summary() for tally in self._label_tallies.values()),
            self._findings.result(),
        )  # fmt: skip

    def _open(self, record: Record | Broken, episode_id: str) -> Columns | Hit:
        if isinstance(record, Broken):
            return Hit("E101", record.problem)
        try:
            return Columns(record.data, self.dataset.features, episode_id)
        except RecordError as error:
            return Hit("E101", error.what)

    def _episode(self, record: Record | Broken, episode_id: str) -> int | None:
        """Take in one record and return its number of steps, None if it cannot be read."""
        columns = self._open(record, episode_id)
        if isinstance(columns, Hit) or isinstance(record, Broken):
            self._findings.add([columns] if isinstance(columns, Hit) else [], episode_id)
            return None
        self._records += 1
        self._findings.add(self._repeated(record), episode_id)
        view = view_episode(columns, self.dataset.features)
        self._lengths[view.steps] += 1
        for hits in self._checks(view, columns, episode_id):
            self._findings.add(hits, episode_id)
        self._count_numbers(view)
        self._trace(record, episode_id)
        return view.steps

    def _repeated(self, record: Record) -> list[Hit]:
        digest = hashlib.sha256(record.data).digest()[:16]
        again = digest in self._seen
        self._seen.add(digest)
        return [Hit("W103")] * again

    def _checks(self, view: EpisodeView, columns: Columns, episode_id: str) -> Iterable[Iterable[Hit]]:
        keys = list(self._language)
        yield health.check_record(view)
        yield health.check_flags(view)
        yield health.check_finite(view)
        yield health.check_instructions(view, keys)
        yield health.check_language_facts(view, keys)
        for key in keys:
            if key in view.texts:
                self._language[key].add(view.texts[key])
        looks = self._look(view, episode_id)
        yield health.check_images(looks, self._declared)
        yield health.check_camera_facts(view, looks)
        for name in self._labels.names:
            yield from self._check_labels(name, view.steps, columns)

    def _check_labels(self, name: str, steps: int, columns: Columns) -> Iterable[Iterable[Hit]]:
        yield health_labels.check_step_texts(columns, name, steps)
        labels = health_labels.read_labels(columns, name)
        if isinstance(labels, Hit):
            yield [labels]
            return
        self._label_tallies[name].add(labels, steps)
        yield health_labels.check_labels(name, labels, steps, self._labels.sources)
        if self._strict:
            yield health_strict.check_hindsight(columns, name, labels, steps)

    def _look(self, view: EpisodeView, episode_id: str) -> dict[str, list[Look]]:
        """Decode some frames; of ever fewer episodes, so that a large set costs little more than a small one."""
        chosen = generator(0, "look", episode_id).random() * self._records < _LOOKED_AT
        most = _FRAMES * chosen if not self._strict else view.steps
        looks = {key: look_at(EncodedImages(frames, key), most) for key, frames in view.images.items()}
        for key, seen in looks.items():
            if key in self._cameras:
                self._cameras[key].add(view.steps, seen)
        return looks

    def _count_numbers(self, view: EpisodeView) -> None:
        for key, values in view.numbers.items():
            rows = values.reshape(len(values), math.prod(values.shape[1:])).astype(np.float64)
            if key not in self._numbers and rows.size:
                self._numbers[key] = NumberTally(key, rows.shape[1])
            if rows.size:
                self._numbers[key].add(rows)

    def _open_reader(self, spec: DatasetSpec | None) -> EpisodeReader | None:
        if spec is None:
            return None
        try:
            spec.body()
            return EpisodeReader(self.dataset.features, spec)
        except SpecError as error:
            self._findings.add([Hit("E701", error.what)])
            return None

    def _trace(self, record: Record, episode_id: str) -> None:
        if not self._reader:
            return
        body = self._reader.spec.body()
        try:
            track = track_of(self._reader.read(record.data, episode_id), body)
        except RecordError as error:
            self._findings.add([Hit("E702", error.what)], episode_id)
            return
        self._motion.add(track[:, : 2 if body.kind == "nav" else 3], episode_id)

    def _language_keys(self) -> list[str]:
        guessed = language_keys(self.dataset.features)
        if not self._spec:
            return guessed
        texts = [key for key, leaf in self.dataset.features.items() if leaf.per_step and leaf.role == "text"]
        named = [key for pattern in self._spec.language for key in texts
                 if fnmatchcase(key.removeprefix(f"{STEPS}/"), pattern)]  # fmt: skip
        return list(dict.fromkeys(named)) or guessed


def _declarations(path: Path) -> tuple[dict[str, tuple[int | None, ...]], dict[str, str]]:
    """Return shapes of the per-step image features, and descriptions of the top-level features."""
    from tensorflow_datasets.core import features

    shapes: dict[str, tuple[int | None, ...]] = {}

    def walk(node: Any, key: str) -> None:
        if isinstance(node, features.FeaturesDict):
            for name, child in node.items():
                walk(child, f"{key}/{name}")
        elif isinstance(node, features.Image):
            shapes[key] = tuple(node.shape)

    tree = load_tree(path)
    walk(tree[STEPS].feature, STEPS)
    return dict(sorted(shapes.items())), {key: str(child.doc.desc or "") for key, child in tree.items()}


def _feature_rows(dataset: RldsDataset, declared: Mapping[str, tuple[int | None, ...]]) -> tuple[FeatureRow, ...]:
    return tuple(
        FeatureRow(key, leaf.dtype, declared.get(key, leaf.shape[1:] if leaf.per_step else leaf.shape), leaf.role,
                   leaf.description)
        for key, leaf in sorted(dataset.features.items())
    )  # fmt: skip
