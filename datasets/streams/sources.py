"""Which labels of which dataset a stream draws from."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from embodied_cf.datasets.contract import DEFAULT_LABEL_SET, KINDS
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.label_store import set_key, set_names
from embodied_cf.datasets.rlds import RldsDataset, open_dataset
from embodied_cf.datasets.spec import DatasetSpec, load_spec
from embodied_cf.errors import DatasetError, SpecError, UsageError

_SAMPLED = 1 << 16
"""Bytes read at either end of a shard to tell it from others."""


@dataclass(frozen=True)
class Source:
    """A relabelled dataset in a mixture."""

    directory: Path
    spec: str | None = None
    """Shipped spec or TOML file; None for the spec.toml beside the data."""
    weight: float = 1.0
    """Share of the samples that come from here, relative to the other sources' weights."""
    kinds: tuple[str, ...] | None = None
    """Kinds of labels that are used; None for all that are there."""
    label_sets: tuple[str, ...] = (DEFAULT_LABEL_SET,)
    min_score: float = 0.0
    """Labels of a lower score are left out."""
    split: str | None = None
    """None for all splits."""
    stop_at_end: bool = False
    """Whether robots stand where a hindsight row ends, as they that did what they were told, though they drove on."""

    def __post_init__(self) -> None:
        unknown = set(self.kinds or ()) - set(KINDS)
        problems = {
            f"weight {self.weight} is not a positive number": not 0 < self.weight < float("inf"),
            f"unknown kinds {', '.join(sorted(unknown))} (known: {', '.join(KINDS)})": bool(unknown),
            "no kind is named": self.kinds == (),
            "no label set is named": not self.label_sets,
            "stop_at_end is for hindsight labels, which kinds leave out": self.stop_at_end
            and "hindsight" not in (self.kinds or KINDS),
            f"min_score {self.min_score} is not in [0, 1]": not 0 <= self.min_score <= 1,
        }
        broken = [problem for problem, holds in problems.items() if holds]
        if broken:
            raise UsageError("; ".join(broken), where=self.directory)

    @staticmethod
    def parse(text: str) -> "Source":
        """Read `DIR[:WEIGHT]`.

        >>> Source.parse("data/1.0.0:0.5").weight
        0.5
        """
        directory, colon, weight = text.rpartition(":")
        try:
            return Source(Path(directory), weight=float(weight)) if colon else Source(Path(text))
        except ValueError:
            return Source(Path(text))  # the colon belongs to the path


@dataclass(frozen=True)
class OpenSource:
    """A source whose dataset and spec were found and fit together."""

    source: Source
    dataset: RldsDataset
    spec: DatasetSpec
    body: Embodiment
    fingerprint: str
    """Of the dataset as it is read by its spec, 16 hex digits; the same for a copy elsewhere."""


def open_source(source: Source) -> OpenSource:
    """Open a source's dataset. Raises DatasetError, SpecError or UsageError that say what does not fit."""
    dataset = open_dataset(source.directory)
    spec = load_spec(source.spec, dataset.path)
    spec.check(dataset.features)
    if not spec.cameras:
        raise SpecError("no camera is named", where=f"spec {spec.name}", remedy="Name one under [cameras].")
    body = spec.body()
    dataset.shards(source.split)  # raises for an unknown split
    _check_sets(source, dataset)
    for name in source.label_sets:
        _check_shape(dataset, name, body)
    return OpenSource(source, dataset, spec, body, _fingerprint(dataset, spec, body))


def _check_sets(source: Source, dataset: RldsDataset) -> None:
    names = set_names(dataset.features)
    if not names:
        raise DatasetError(
            "no labels in this dataset",
            where=dataset.path,
            remedy=f"Make some: embodied-cf relabel {dataset.path} OUT, then train on OUT.",
        )
    absent = [name for name in source.label_sets if name not in names]
    if absent:
        raise UsageError(f"no label set {absent[0]!r}", where=dataset.path, remedy=f"It has: {', '.join(names)}.")


def _check_shape(dataset: RldsDataset, name: str, body: Embodiment) -> None:
    stored = dataset.features[f"{set_key(name)}/action"].shape[1:]
    wanted = (body.chunk_length, body.chunk_dimensions)
    if stored != wanted:
        raise SpecError(
            f"label set {name!r} holds chunks of shape {stored}, embodiment {body.name!r} has {wanted}",
            where=dataset.path,
            remedy="Name the spec that the dataset was relabelled with.",
        )


def _fingerprint(dataset: RldsDataset, spec: DatasetSpec, body: Embodiment) -> str:
    """Hash metadata, the labels' manifest (which holds every shard's sha256), sizes and both ends of each shard."""
    digest = hashlib.sha256(json.dumps({**asdict(spec), "embodiment": asdict(body)}).encode())
    for name in ("features.json", "dataset_info.json", "labels/manifest.jsonl"):
        file = dataset.path / name
        digest.update(hashlib.sha256(file.read_bytes() if file.is_file() else b"").digest())
    for shard in dataset.shards():
        size = shard.path.stat().st_size
        digest.update(f"{shard.name} {size}".encode())
        with open(shard.path, "rb") as opened:
            digest.update(opened.read(_SAMPLED))
            opened.seek(max(0, size - _SAMPLED))
            digest.update(opened.read(_SAMPLED))
    return digest.hexdigest()[:16]
