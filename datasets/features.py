"""What a dataset's records hold: its feature tree as a flat table, read and written by TFDS' own classes.

tensorflow-datasets is imported inside functions: it costs half a second and no TensorFlow, and worker
processes get the plain table instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embodied_cf.datasets.untrusted import refuse_foreign_classes, refuse_large
from embodied_cf.errors import DatasetError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict

STEPS = "steps"


@dataclass(frozen=True)
class Leaf:
    """One stored feature: its key in the Example, and how its flat list becomes an array."""

    key: str
    dtype: str
    """numpy dtype name; "string" for text, encoded images and byte-encoded tensors."""
    shape: tuple[int | None, ...]
    """Shape as stored; None is a length that differs from record to record."""
    sequence_rank: int
    """How many leading dimensions are sequences; from 2 on TFDS stores row lengths beside the values."""
    role: str
    """text, image, tensor or encoded (a tensor stored as bytes)."""
    inner_dtype: str = ""
    """dtype of an encoded tensor's content."""
    inner_shape: tuple[int | None, ...] = ()
    compression: str = ""
    description: str = ""

    @property
    def per_step(self) -> bool:
        """Whether the leaf belongs to the steps of the episode."""
        return self.key.startswith(f"{STEPS}/")


Features = Mapping[str, Leaf]


def read_features(directory: Path) -> Features:
    """Return the table of features.json. Raises DatasetError if it is absent or holds unknown classes."""
    return flatten(load_tree(directory))


def load_tree(directory: Path) -> "FeaturesDict":
    """Return features.json as TFDS' own feature tree."""
    from tensorflow_datasets.core import features

    file = directory / "features.json"
    if not file.is_file():
        raise DatasetError(
            "no features.json here, so this is not a prepared TFDS dataset",
            where=directory,
            remedy="Name the version directory, such as .../my_dataset/1.0.0.",
        )
    refuse_large(file)
    try:
        refuse_foreign_classes(file)
        tree = features.FeaturesDict.from_config(str(directory))
    except DatasetError:
        raise
    except Exception as error:  # TFDS raises whatever the custom class or the JSON parser raised
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(
            f"features.json cannot be read ({reason})",
            where=directory,
            remedy="Rebuild it with tensorflow-datasets.",
        ) from error
    if not isinstance(tree, features.FeaturesDict) or STEPS not in tree:
        raise DatasetError(
            "features.json has no `steps`, so this is not an RLDS dataset",
            where=directory,
            remedy="See https://github.com/google-research/rlds for the episode format.",
        )
    return tree


def flatten(tree: "FeaturesDict") -> Features:
    """Return a feature tree as a table from Example key to Leaf."""
    leaves: dict[str, Leaf] = {}
    _collect(tree, "", leaves, _stored_shapes(tree))
    return leaves


def _stored_shapes(tree: Any) -> dict[str, Any]:
    flat: dict[str, Any] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, Mapping):
            for name, child in node.items():
                walk(child, f"{path}/{name}" if path else name)
        else:
            flat[path] = node

    walk(tree.get_serialized_info(), "")
    return flat


def _collect(node: Any, path: str, leaves: dict[str, Leaf], stored: dict[str, Any]) -> None:
    from tensorflow_datasets.core import features

    if isinstance(node, features.FeaturesDict):
        for name, child in node.items():
            _collect(child, f"{path}/{name}" if path else name, leaves, stored)
    elif isinstance(node, (features.Sequence, features.Dataset)) and not isinstance(node, features.Video):
        _collect(node.feature, path, leaves, stored)
    elif path in stored:
        leaves[path] = _leaf(node, path, stored[path])


def _leaf(node: Any, path: str, info: Any) -> Leaf:
    from tensorflow_datasets.core import features

    is_string = _dtype_name(info) == "string"
    role, inner, inner_shape, compression = "tensor", "", (), ""
    if isinstance(node, (features.Image, features.Video)):
        role = "image"
    elif isinstance(node, features.Text) or (is_string and _dtype_name(node) == "string"):
        role = "text"
    elif is_string:
        role, inner, inner_shape = "encoded", _dtype_name(node), tuple(node.shape)
        compression = getattr(getattr(node, "_encoding", None), "value", "bytes")
    return Leaf(
        path,
        _dtype_name(info),
        tuple(info.shape),
        max(info.sequence_rank or 0, 0),
        role,
        inner,
        inner_shape,
        compression,
        _description(node),
    )


def _dtype_name(node: Any) -> str:
    # TFDS writes texts and encoded bytes as `object`
    return "string" if node.np_dtype == np.object_ else np.dtype(node.np_dtype).name


def _description(node: Any) -> str:
    return str(getattr(getattr(node, "doc", None), "desc", "") or "")
