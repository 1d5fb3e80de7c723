"""What every conversion into RLDS shares."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embodied_cf.datasets.metadata import link_view
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict

_VERSION = re.compile(r"\d+\.\d+\.\d+")


def dataset_name(asked: str | None, source: Path | str) -> str:
    """Return the name that is asked for, else one from a directory's (of a version directory, its parent's) or text.

    TFDS takes lower-case letters, digits and _. Raises UsageError if what is asked for has others.
    """
    if asked is not None:
        if asked != _tfds_name(asked):
            raise UsageError(f"name {asked!r} is not lower-case letters, digits and _", remedy="Choose another name.")
        return asked
    if isinstance(source, str):
        return _tfds_name(source)
    path = source.resolve()
    return _tfds_name(path.parent.name if _VERSION.fullmatch(path.name) else path.name)


def _tfds_name(text: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return name if name[:1].isalpha() else f"dataset_{name}".rstrip("_")


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys such as observation/state as folders. Raises DatasetError if one is folder and feature at once."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *folders, last = key.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                raise DatasetError(f"feature {key!r} lies inside another feature")
        if last in place:
            raise DatasetError(f"feature {key!r} is there twice, or a folder too")
        place[last] = value
    return tree


def step_flags(steps: int) -> dict[str, np.ndarray]:
    """Return the RLDS step keys of an episode that says nothing of reward or of whether it ended or was cut off."""
    at = np.arange(steps)
    return {
        "reward": np.zeros(steps, np.float32),
        "discount": np.ones(steps, np.float32),
        "is_first": at == 0,
        "is_last": at == steps - 1,
        "is_terminal": np.zeros(steps, bool),
    }


_HISTORY = ("provenance.jsonl", "quarantine.jsonl", "rejected.jsonl")
"""The manifest stays behind: it tells of shards that the conversion does not keep."""


def label_files(source: Path) -> dict[str, str]:
    """Return the history of label sets that lies in a directory, by its place in RLDS."""
    return {f"labels/{name}": (source / name).read_text("utf-8") for name in _HISTORY if (source / name).is_file()}


def link_steps_view(out: Path, tree: "FeaturesDict") -> None:
    """Give a finished dataset with label sets the view that dlimp, octo and openvla read."""
    link_view(out, tree, [shard.name for shard in open_dataset(out).shards()])
