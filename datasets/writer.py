"""Writing new RLDS datasets that tensorflow-datasets reads, shard by shard, resumable, without TensorFlow.

An episode is a nested mapping of the shape of the feature tree, columnar: per-step features are arrays (or
lists of texts, or of encoded images) with a leading axis of steps.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embodied_cf.datasets import wire
from embodied_cf.datasets.features import Features, Leaf, flatten
from embodied_cf.datasets.files import write_text
from embodied_cf.datasets.metadata import INFO, write_features
from embodied_cf.datasets.parts import Parts, parts
from embodied_cf.datasets.rlds import RldsDataset, Shard
from embodied_cf.datasets.shards import ShardWriter
from embodied_cf.datasets.untrusted import check_name
from embodied_cf.errors import DatasetError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict

Example = Mapping[str, Any]
ShardSource = Callable[[], Iterable[Example]]
"""Makes a shard's episodes; called only if the shard is not on disk yet, so it must depend on nothing else."""
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


@dataclass(frozen=True)
class DatasetCard:
    """What dataset_info.json says of a dataset."""

    name: str
    version: str = "1.0.0"
    description: str = ""
    citation: str = ""
    licence: str = ""
    """SPDX identifier, or the licence's text."""
    file_format: str = "tfrecord"
    recipe: str = ""
    """What the episodes depend on, not published: an unfinished dataset is only finished by the same recipe."""


def write_dataset(
    directory: Path,
    card: DatasetCard,
    tree: "FeaturesDict",
    splits: Mapping[str, Sequence[ShardSource]],
    extra_files: Mapping[str, str] | None = None,
    describe: Callable[[RldsDataset], Mapping[str, str]] | None = None,
) -> None:
    """Write a dataset into `directory`, or finish one that was interrupted; finished shards are kept.

    `extra_files` (such as the dataset's spec) are written beside the shards; so is what `describe` makes of the
    finished shards. Raises OutputError if the directory holds something else or what another recipe began,
    DatasetError if an episode does not fit the feature tree.
    """
    for split in splits:
        check_name(split, "name of a split", directory)
    features = flatten(tree)
    shards = {split: len(sources) for split, sources in splits.items()}
    with parts(directory, {**asdict(card), "shards": shards}) as state:
        sizes = {
            split: [
                _shard(directory, state, card, features, (split, index, len(sources)), source)
                for index, source in enumerate(sources)
            ]
            for split, sources in splits.items()
        }
        write_features(tree, directory)
        files = dict(extra_files or {})
        if describe:
            files |= describe(_unsealed(directory, card, features, sizes))
        for name, text in files.items():
            write_text(directory / name, text)
        write_text(directory / INFO, _info(card, sizes))


def encode_example(features: Features, example: Example) -> bytes:
    """Return an episode as a serialized tf.train.Example. Raises DatasetError naming the key that does not fit."""
    flat = _flat(example)
    odd = sorted(flat.keys() ^ features.keys())
    if odd:
        raise DatasetError(f"keys {', '.join(odd)} are in the episode or in the features, but not in both")
    encoded: dict[str, bytes] = {}
    for key, value in flat.items():
        encoded |= _encode(features[key], value)
    return wire.encode_example(encoded)


def _shard(
    directory: Path,
    state: Parts,
    card: DatasetCard,
    features: Features,
    place: tuple[str, int, int],
    make: ShardSource,
) -> tuple[int, int]:
    part = f"{place[0]}-{place[1]:05d}"
    if (done := state.result(part)) is not None:
        return done[0], done[1]
    with ShardWriter(directory / _shard_name(card, *place), card.file_format) as writer:
        for example in make():
            writer.write(encode_example(features, example))
    state.finish(part, [writer.records, writer.num_bytes])
    return writer.records, writer.num_bytes


def _shard_name(card: DatasetCard, split: str, index: int, count: int) -> str:
    return f"{card.name}-{split}.{card.file_format}-{index:05d}-of-{count:05d}"


def _unsealed(
    directory: Path, card: DatasetCard, features: Features, sizes: Mapping[str, Sequence[tuple[int, int]]]
) -> RldsDataset:
    """Return the dataset as it will be opened once dataset_info.json stands."""
    splits = {
        split: tuple(
            Shard(directory, _shard_name(card, split, index, len(shards)), split, index, records)
            for index, (records, _) in enumerate(shards)
        )
        for split, shards in sizes.items()
    }
    return RldsDataset(directory, card.name, card.version, card.file_format, features, splits)


def _info(card: DatasetCard, sizes: Mapping[str, Sequence[tuple[int, int]]]) -> str:
    from tensorflow_datasets.core import dataset_info
    from tensorflow_datasets.core.proto import dataset_info_pb2

    proto = dataset_info_pb2.DatasetInfo(
        name=card.name,
        version=card.version,
        description=card.description,
        citation=card.citation,
        file_format=card.file_format,
        redistribution_info=dataset_info_pb2.RedistributionInfo(license=card.licence) if card.licence else None,
        splits=[
            dataset_info_pb2.SplitInfo(
                name=split,
                filepath_template=_TEMPLATE,
                num_bytes=sum(size for _, size in shards),
                shard_lengths=[records for records, _ in shards],
            )
            for split, shards in sizes.items()
        ],
    )
    return dataset_info.get_dataset_info_json(proto) + "\n"


def _flat(example: Example, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in example.items():
        flat |= _flat(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _encode(leaf: Leaf, value: Any) -> dict[str, bytes]:
    try:
        if leaf.sequence_rank > 1:
            return _ragged(leaf, value)
        return {leaf.key: _feature(leaf, value, leaf.shape)}
    except (TypeError, ValueError) as error:
        raise DatasetError(f"feature {leaf.key!r} does not fit: {error}") from error


def _ragged(leaf: Leaf, value: Any) -> dict[str, bytes]:
    encoded: dict[str, bytes] = {}
    for level in range(leaf.sequence_rank - 1):
        lengths = np.array([len(row) for row in value], np.int64)
        encoded[f"{leaf.key}/ragged_row_lengths_{level}"] = wire.int64_feature(lengths)
        value = [item for row in value for item in row]
    inner = (None, *leaf.shape[leaf.sequence_rank :])
    encoded[f"{leaf.key}/ragged_flat_values"] = _feature(leaf, value, inner)
    return encoded


def _feature(leaf: Leaf, value: Any, shape: Sequence[int | None]) -> bytes:
    if leaf.role == "encoded":
        return wire.bytes_feature(_tensors(leaf, value, shape))
    if leaf.dtype == "string":
        items = [value] if not shape else _leaves(value)
        return wire.bytes_feature([item.encode() if isinstance(item, str) else bytes(item) for item in items])
    array = np.asarray(value)
    if array.shape == (0,):  # an empty list says neither its inner shape nor its dtype
        array = np.zeros([size or 0 for size in shape], leaf.dtype)
    free = [size for size in shape if size is not None]
    if array.ndim != len(shape) or [n for n, size in zip(array.shape, shape, strict=True) if size is not None] != free:
        raise ValueError(f"shape {array.shape} where {tuple(shape)} belongs")
    if not np.can_cast(array.dtype, leaf.dtype, "same_kind"):
        raise TypeError(f"{array.dtype} does not go into {leaf.dtype}")
    is_float = np.dtype(leaf.dtype).kind == "f"
    return wire.float_feature(array) if is_float else wire.int64_feature(array.astype(np.int64))


def _tensors(leaf: Leaf, value: Any, shape: Sequence[int | None]) -> list[bytes]:
    """Return tensors stored as bytes, which keeps the 64 bits that an Example's float list cuts to 32."""
    if leaf.compression != "bytes":
        raise TypeError(f"tensors encoded as {leaf.compression} are read, not written")
    rows = np.asarray(value, leaf.inner_dtype) if shape else np.asarray(value, leaf.inner_dtype)[None]
    if rows.shape[1:] != leaf.inner_shape:
        raise ValueError(f"shape {rows.shape} where {(None, *leaf.inner_shape)} belongs")
    return [row.tobytes() for row in rows]


def _leaves(value: Any) -> list[str | bytes]:
    if isinstance(value, (str, bytes, memoryview)):
        return [bytes(value) if isinstance(value, memoryview) else value]
    return [leaf for item in value for leaf in _leaves(item)]
