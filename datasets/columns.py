"""A record as named columns, each decoded only when someone asks for it."""

import math
import zlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from embodied_cf.datasets import wire
from embodied_cf.datasets.features import STEPS, Features, Leaf
from embodied_cf.errors import RecordError, SpecError

_FLAT, _LENGTHS = "ragged_flat_values", "ragged_row_lengths_"
_MAX_INFLATED = 1 << 30
"""Bytes that the compressed tensors of one feature may inflate to, together."""


class Columns:
    """The columns of one episode's record. `where` names file and record in errors."""

    def __init__(self, record: bytes, features: Features, where: str) -> None:
        self._features = features
        self.where = where
        try:
            self._raw = wire.scan_example(record)
        except wire.WireError as error:
            raise RecordError(f"not a tf.train.Example ({error})", where=where) from error

    @cached_property
    def steps(self) -> int:
        """Number of steps, from the lengths of the per-step columns; they must agree."""
        flags = [key for key in (f"{STEPS}/is_first", f"{STEPS}/is_last", f"{STEPS}/reward") if self.has(key)]
        keys = flags[:1] or [key for key in self._raw if key.startswith(f"{STEPS}/") and key in self._features]
        return len(self.array(keys[0])) if keys else 0

    def has(self, key: str) -> bool:
        """Whether the record stores a feature of that key."""
        return key in self._features and (key in self._raw or f"{key}/{_FLAT}" in self._raw)

    def array(self, key: str) -> np.ndarray | list:
        """Return a feature as an array of its declared dtype, leading axis steps where it is per step.

        Texts and images come as nested lists of memoryviews, ragged features as nested lists of arrays.
        Raises SpecError for an unknown key, RecordError for values that do not fit the declared shape.
        """
        leaf = self._leaf(key)
        try:
            return self._decode(leaf)
        except (ValueError, TypeError, IndexError, OverflowError, zlib.error) as error:
            raise RecordError(f"feature {key!r} cannot be decoded ({error})", where=self.where) from error

    def texts(self, key: str) -> list[str]:
        """Return a text feature, flattened, as str."""
        return [str(item, "utf-8", "replace") for item in _flatten(self.array(key))]

    def images(self, key: str) -> Sequence[memoryview]:
        """Return the encoded images of a feature, one per step."""
        values = self.array(key)
        return values if isinstance(values, list) else list(values)

    def _leaf(self, key: str) -> Leaf:
        if key not in self._features:
            raise SpecError(
                f"no feature {key!r} in the dataset",
                where=self.where,
                remedy=f"It has: {', '.join(sorted(self._features))}.",
            )
        return self._features[key]

    def _decode(self, leaf: Leaf) -> np.ndarray | list:
        lengths = self._row_lengths(leaf.key)
        flat_key = f"{leaf.key}/{_FLAT}" if lengths else leaf.key
        if flat_key not in self._raw:
            raise wire.WireError("the record does not store it")
        values = _values(self._raw[flat_key], leaf)
        for row_lengths in reversed(lengths):
            values = _split(values, row_lengths)
        return values

    def _row_lengths(self, key: str) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        while (name := f"{key}/{_LENGTHS}{len(found)}") in self._raw:
            found.append(wire.int64_values(self._raw[name]))
        return found


def _values(raw: memoryview, leaf: Leaf) -> np.ndarray | list:
    """Return the stored list in its declared shape; ragged leading axes are flattened into one."""
    shape = (-1, *leaf.shape[leaf.sequence_rank :]) if leaf.sequence_rank > 1 else leaf.shape
    if leaf.dtype == "string":
        items: list = wire.bytes_values(raw)
        if leaf.role == "encoded":
            tensors = _inflated(items, leaf)
            if not shape:
                return tensors[0]
            fixed = None not in leaf.inner_shape
            return np.stack(tensors) if fixed and tensors else tensors
        return _nest(items, shape)
    flat = wire.float_values(raw) if np.dtype(leaf.dtype).kind == "f" else wire.int64_values(raw)
    unknown = sum(size is None for size in shape)
    if unknown > 1:
        raise ValueError(f"shape {shape} has two unknown lengths and no row lengths")
    return flat.reshape([-1 if size is None else size for size in shape]).astype(leaf.dtype, copy=False)


def _nest(items: list, shape: Sequence[int | None]) -> list:
    inner = shape[1:]
    if not inner:
        if not shape and len(items) != 1:
            raise ValueError(f"{len(items)} values for one")
        return items
    size = math.prod(part or 1 for part in inner)
    if len(items) % size:
        raise ValueError(f"{len(items)} values do not divide into rows of {size}")
    return [items[at : at + size] for at in range(0, len(items), size)]


def _inflated(items: list[memoryview], leaf: Leaf) -> list[np.ndarray]:
    shape, left = [-1 if size is None else size for size in leaf.inner_shape], _MAX_INFLATED
    tensors: list[np.ndarray] = []
    for item in items:
        data: bytes | memoryview = _inflate(item, left) if leaf.compression == "zlib" else item
        left -= len(data)
        tensors.append(np.frombuffer(data, leaf.inner_dtype).reshape(shape))
    return tensors


def _inflate(raw: memoryview, most: int) -> bytes:
    inflater = zlib.decompressobj()
    data = inflater.decompress(raw, max(most, 1))
    if inflater.unconsumed_tail or len(data) > most:
        raise ValueError(f"inflates to more than {_MAX_INFLATED} bytes")
    return data


def _split(values: np.ndarray | list, lengths: np.ndarray) -> list:
    if ((lengths < 0) | (lengths > len(values))).any() or lengths.sum() != len(values):
        raise ValueError(f"row lengths add up to {lengths.sum()}, not to {len(values)}")
    ends = np.cumsum(lengths)
    return [values[end - length : end] for length, end in zip(lengths.tolist(), ends.tolist(), strict=True)]


def _flatten(values: object) -> list:
    if not isinstance(values, (list, np.ndarray)):
        return [values]
    if len(values) and isinstance(values[0], memoryview):
        return list(values)
    return [item for part in values for item in _flatten(part)]
