"""Metadata that others wrote: refused where it names code to run, other places, or more than a dataset can have."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from embodied_cf.errors import DatasetError

_LARGEST_METADATA = 64 << 20
"""Bytes of features.json or dataset_info.json; real ones have a few thousandths of it."""
_MOST_SHARDS = 1 << 14
"""Of a dataset. TFDS itself takes half a millisecond to name one."""
_MOST_RECORDS = 1 << 40
_NAME = re.compile(r"\w[\w.+=-]{0,99}")
_CLASS_KEYS = frozenset({"pythonClassName", "python_class_name", "type"})
_TRUSTED = "tensorflow_datasets.core.features."
_OWN_FILES = frozenset({"features.json", "dataset_info.json"})
_OWN_FOLDERS = frozenset({"labels", "views"})


def refuse_large(path: Path) -> None:
    """Raise DatasetError for a metadata file that nobody should load."""
    size = path.stat().st_size
    if size > _LARGEST_METADATA:
        raise DatasetError(f"metadata of {size} bytes, more than {_LARGEST_METADATA}", where=path)


def refuse_foreign_classes(path: Path) -> None:
    """Raise DatasetError if features.json names a class that is neither TFDS' own nor imported already.

    TFDS imports whatever module the file names, so that opening a dataset would run code of its author's choice.
    """
    from tensorflow_datasets.core.features.feature import FeatureConnector

    text = path.read_text(encoding="utf-8")
    known = FeatureConnector._registered_features
    for name in _class_names(json.loads(text)):
        if name not in known and not name.startswith(_TRUSTED):
            raise DatasetError(
                f"features.json names the class {name!r}, which is not one of tensorflow-datasets",
                where=path.parent,
                remedy="If you trust it, import the package that defines it before opening the dataset.",
            )


def _class_names(node: object) -> Iterator[str]:
    """Yield every class name of a feature tree, in all the ways that TFDS has written it: legacy files nest JSON."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _CLASS_KEYS and isinstance(value, str) and "." in value:
                yield value
            else:
                yield from _class_names(value)
    elif isinstance(node, list):
        for item in node:
            yield from _class_names(item)
    elif isinstance(node, str) and node.lstrip()[:1] in ("{", "["):
        try:
            inner = json.loads(node)
        except ValueError:
            return
        yield from _class_names(inner)


def check_name(name: str, what: str, where: object) -> None:
    """Raise DatasetError unless the name of a dataset, version or split can stand in a file name, as it does."""
    if not _NAME.fullmatch(name):
        raise DatasetError(f"{name[:100]!r} is no {what}", where=where, remedy="Use letters, digits, _, - and dots.")


def check_shard_lengths(lengths: Sequence[int], directory: Path) -> None:
    """Raise DatasetError for a number of shards or of records that no dataset has."""
    if len(lengths) > _MOST_SHARDS:
        raise DatasetError(f"{len(lengths)} shards, more than {_MOST_SHARDS}", where=directory)
    absurd = [length for length in lengths if not 0 <= length <= _MOST_RECORDS]
    if absurd:
        raise DatasetError(f"a shard of {absurd[0]} records", where=directory, remedy="Correct dataset_info.json.")


def check_shard_names(names: Sequence[str], directory: Path) -> None:
    """Raise DatasetError if two shards are one file, or one bears the name of a file that stands beside them."""
    seen: set[str] = set()
    for name in names:
        parts = PurePath(name).parts
        hidden = any(part.startswith(".") for part in parts)
        if name in seen or hidden or name in _OWN_FILES or parts[0] in _OWN_FOLDERS:
            problem = "stands for two shards" if name in seen else "is no name of a shard"
            raise DatasetError(f"{name[:200]!r} {problem}", where=directory, remedy="Correct dataset_info.json.")
        seen.add(name)
