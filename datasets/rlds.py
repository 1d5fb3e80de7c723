"""Opening an RLDS dataset that TFDS wrote: its splits, shards and features. Nothing here loads TensorFlow."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from embodied_cf.datasets.features import Features, read_features
from embodied_cf.datasets.shards import FORMATS, read_records
from embodied_cf.datasets.untrusted import (
    check_name,
    check_shard_lengths,
    check_shard_names,
    refuse_large,
)
from embodied_cf.errors import DatasetError, UsageError

_REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True)
class Shard:
    """One file of a split. `records` is what dataset_info.json promises, not what was counted."""

    directory: Path
    name: str
    """File name, relative to the dataset's directory."""
    split: str
    index: int
    records: int

    @property
    def path(self) -> Path:
        """The file."""
        return self.directory / self.name


@dataclass(frozen=True)
class RldsDataset:
    """A prepared dataset on disk. `splits` maps a split's name to its shards in order."""

    path: Path
    name: str
    version: str
    file_format: str
    features: Features
    splits: Mapping[str, tuple[Shard, ...]]

    def shards(self, split: str | None = None) -> tuple[Shard, ...]:
        """Return the shards of one split, or of all. Raises UsageError for an unknown split."""
        if split is None:
            return tuple(shard for shards in self.splits.values() for shard in shards)
        if split not in self.splits:
            raise UsageError(f"no split {split!r}", where=self.path, remedy=f"It has: {', '.join(self.splits)}.")
        return self.splits[split]

    def episode_id(self, shard: Shard, index: int) -> str:
        """Return the stable name of a record: `dataset/version/split/shard/index`."""
        return f"{self.name}/{self.version}/{shard.split}/{shard.index:05d}/{index:05d}"

    def records(self, split: str | None = None) -> Iterator[tuple[str, bytes]]:
        """Yield (episode id, record) in order, one in memory at a time. Raises RecordError if one is broken."""
        for shard in self.shards(split):
            for record in read_records(shard.path, self.file_format):
                yield self.episode_id(shard, record.index), record.data


def open_dataset(directory: str | Path) -> RldsDataset:
    """Open the version directory of a TFDS dataset, such as `.../bridge_dataset/1.0.0`.

    Raises DatasetError that says what is missing: directory, metadata, format, shards.
    """
    path = local_directory(directory)
    features = read_features(path)
    name, version, file_format, splits = _read_info(path)
    if file_format not in FORMATS:
        raise DatasetError(
            f"file format {file_format!r} is not one of {FORMATS}",
            where=path,
            remedy="Convert it with tfds to tfrecord.",
        )
    missing = [shard.name for shards in splits.values() for shard in shards if not shard.path.is_file()]
    if missing:
        raise DatasetError(
            f"{len(missing)} shards are missing, the first is {missing[0]}",
            where=path,
            remedy="Copy the whole dataset, or correct dataset_info.json.",
        )
    return RldsDataset(path, name, version, file_format, features, splits)


def local_directory(directory: str | Path) -> Path:
    """Return an existing local directory. Raises DatasetError otherwise; remote paths are refused by name."""
    if _REMOTE.match(str(directory)):
        raise DatasetError(
            "remote paths are not read",
            where=directory,
            remedy="Copy it first, such as with `gcloud storage cp -r` or `aws s3 sync`.",
        )
    path = Path(directory)
    if not path.is_dir():
        raise DatasetError("no such directory", where=path)
    if not (path / "features.json").is_file():
        inside = sorted(found.parent for found in path.glob("*/features.json"))
        inside += sorted(found.parent for found in path.glob("*/*/features.json"))
        hint = f"Did you mean {inside[0]}?" if inside else "Name the version directory, such as .../my_dataset/1.0.0."
        raise DatasetError("no features.json here, so this is not a prepared TFDS dataset", where=path, remedy=hint)
    return path


def _read_info(path: Path) -> tuple[str, str, str, dict[str, tuple[Shard, ...]]]:
    from tensorflow_datasets.core import dataset_info, naming

    file = path / "dataset_info.json"
    if not file.is_file():
        raise DatasetError(
            "no dataset_info.json here, so this is not a prepared TFDS dataset",
            where=path,
            remedy="An interrupted tfds build leaves none: build it again.",
        )
    refuse_large(file)
    try:
        proto = dataset_info.read_from_json(str(file))
    except Exception as error:  # protobuf's JSON parser has errors of its own
        raise DatasetError(f"dataset_info.json cannot be read ({error})", where=path) from error
    file_format = proto.file_format or "tfrecord"
    template = naming.ShardedFileTemplate(data_dir=str(path), dataset_name=proto.name, filetype_suffix=file_format)
    check_name(proto.name, "name of a dataset", file)
    check_name(proto.version, "version", file)
    check_shard_lengths([int(length) for split in proto.splits for length in split.shard_lengths], path)
    splits: dict[str, tuple[Shard, ...]] = {}
    for split in proto.splits:
        check_name(split.name, "name of a split", file)
        named = template.replace(split=split.name, template=split.filepath_template or None)
        files = named.sharded_filepaths(len(split.shard_lengths))
        splits[split.name] = tuple(
            Shard(path, _inside(path, Path(str(file))), split.name, index, int(length))
            for index, (file, length) in enumerate(zip(files, split.shard_lengths, strict=True))
        )
    if not splits:
        raise DatasetError("dataset_info.json names no split", where=path)
    check_shard_names([shard.name for shards in splits.values() for shard in shards], path)
    return proto.name, proto.version, file_format, splits


def _inside(directory: Path, file: Path) -> str:
    """Return a shard's name relative to its directory; a template may hold folders, but no way out."""
    name = os.path.relpath(file, directory)
    if name.startswith(os.pardir):
        raise DatasetError(f"shard name {name!r} points outside the dataset", where=directory)
    return name
