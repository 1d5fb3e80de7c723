"""What `inspect --strict` demands beyond health: the types of RLDS steps, and label sets that agree with their files.

Sources: RLDS (https://github.com/google-research/rlds, "Dataset format"); docs/labels.md.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import Labels
from embodied_cf.datasets.features import STEPS, Features, flatten, read_features
from embodied_cf.datasets.health_issues import Hit
from embodied_cf.datasets.label_store import hindsight_texts, label_features, set_key, set_names, step_text_key
from embodied_cf.datasets.rlds import RldsDataset, Shard
from embodied_cf.errors import DatasetError

_FLAGS = ("is_first", "is_last", "is_terminal")
_NUMBERS = ("reward", "discount")


def check_step_types(features: Features) -> Iterator[Hit]:
    """Flags are one boolean per step, reward and discount one number."""
    for name in (*_FLAGS, *_NUMBERS):
        leaf = features.get(f"{STEPS}/{name}")
        if leaf is None:
            continue
        kind = "bool" if name in _FLAGS else "number"
        fits = leaf.dtype == "bool" if name in _FLAGS else leaf.dtype.startswith(("float", "int", "uint"))
        if not fits or len(leaf.shape) != 1:
            yield Hit("W205", f"{leaf.key} is {leaf.dtype} of shape {leaf.shape[1:]}, not one {kind} a step")


def check_view(dataset: RldsDataset) -> Iterator[Hit]:
    """The view without label sets shows the same shards."""
    if not set_names(dataset.features):
        return
    view = dataset.path / "views" / "steps"
    try:
        shown = read_features(view) if view.is_dir() else {}
    except DatasetError as error:
        yield Hit("W810", error.what)
        return
    absent = [shard.name for shard in dataset.shards() if not _same_size(shard.path, view / shard.name)]
    if set_names(shown) or not shown:
        yield Hit("W810", "views/steps shows label sets" if shown else "no views/steps")
    elif absent:
        yield Hit("W810", f"views/steps lacks the present {absent[0]}", len(absent))


def _same_size(file: Path, other: Path) -> bool:
    return other.is_file() and other.stat().st_size == file.stat().st_size


def check_manifest(directory: Path, shards: Sequence[Shard]) -> Iterator[Hit]:
    """Every shard hashes to what labels/manifest.jsonl last said of it."""
    file = directory / "labels" / "manifest.jsonl"
    if not file.is_file():
        return
    told: dict[str, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            if "sha256_out" in row:
                told[row["shard"]] = row["sha256_out"]
        except (ValueError, KeyError, TypeError):
            yield Hit("E811", f"line {number} of labels/manifest.jsonl cannot be read")
    for shard in shards:
        if shard.name in told and _sha256(shard.path) != told[shard.name]:
            yield Hit("E811", shard.name)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hindsight(columns: Columns, name: str, labels: Labels, steps: int) -> Iterator[Hit]:
    """The per-step text is the factual instruction of the shortest range; `check_step_texts` judges its length."""
    key = step_text_key(name)
    texts = columns.texts(key) if columns.has(key) else []
    inside = labels.take([row for row in range(len(labels)) if labels.end[row] <= steps])
    odd = [at for at, pair in enumerate(zip(texts, hindsight_texts(inside, steps), strict=False)) if pair[0] != pair[1]]
    if odd:
        yield Hit("E809", f"{key}: {texts[odd[0]]!r}", len(odd), odd[0])


def check_label_columns(features: Features, name: str) -> Iterator[Hit]:
    """A label set has every column of the schema, in its type and shape."""
    from tensorflow_datasets.core import features as tf

    key = set_key(name)
    shape = features[f"{key}/action"].shape
    size = (int(shape[1] or 0), int(shape[2] or 0)) if len(shape) == 3 else (0, 0)
    wanted = flatten(tf.FeaturesDict(dict(label_features(name, *size))))
    for column, leaf in sorted(wanted.items()):
        found = features.get(column)
        if found is None and column == f"{key}/told":
            continue  # older sets say nothing of it: as `start`
        if found is None:
            yield Hit("E808", f"no {column}")
        elif (found.dtype, found.shape) != (leaf.dtype, leaf.shape):
            yield Hit("E808", f"{column} is {found.dtype} {found.shape}, not {leaf.dtype} {leaf.shape}")
