"""Numbers of action chunks on a common scale, and back: one object for training and use.

The kind of normalisation is a decision that is stored with its numbers, never derived from anything.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.files import write_text
from embodied_cf.datasets.statistics import Reservoir
from embodied_cf.errors import DatasetError, UsageError

Kind = Literal["quantile", "mean_std", "bounds"]
FILE = "stats.json"
_LEAST_RANGE = 1e-6
"""A dimension that varies less than this, in its own unit, counts as constant."""


@dataclass(frozen=True)
class Statistics:
    """Of each dimension of a chunk row, over all rows that a mask supervises."""

    count: int
    """Rows that went in."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    q01: tuple[float, ...]
    """1 % quantile; of a uniform sample of 8192 rows where there are more."""
    q99: tuple[float, ...]


@dataclass(frozen=True)
class Normalizer:
    """An affine map of each dimension, and its inverse.

    quantile: the 1 % and 99 % quantiles go to -1 and 1, without clipping; bounds: minimum and maximum do; mean_std:
    mean 0 and standard deviation 1. A constant dimension is only shifted, so that it becomes 0 and comes back.

    Example: x from 0 to 2 m under `bounds`: 0.5 m becomes -0.5.
    """

    kind: Kind
    statistics: Statistics
    embodiment: str
    dimensions: tuple[str, ...]
    """Names and units, such as `x m`."""
    dataset: str
    """Fingerprint of what the statistics were computed from."""

    @cached_property
    def shift(self) -> Float32[np.ndarray, " a"]:
        """What becomes 0."""
        low, high = self._ends
        return ((low + high) / 2).astype(np.float32)

    @cached_property
    def scale(self) -> Float32[np.ndarray, " a"]:
        """The length of 1, in each dimension's unit."""
        low, high = self._ends
        return np.where(high - low < _LEAST_RANGE, 1.0, (high - low) / 2).astype(np.float32)

    @property
    def _ends(self) -> tuple[Float64[np.ndarray, " a"], Float64[np.ndarray, " a"]]:
        """Return what becomes -1 and 1."""
        known = self.statistics
        mean, std = np.array(known.mean), np.array(known.std)
        ends = {
            "quantile": (np.array(known.q01), np.array(known.q99)),
            "mean_std": (mean - std, mean + std),
            "bounds": (np.array(known.minimum), np.array(known.maximum)),
        }
        return ends[self.kind]

    def normalise(self, action: Float[np.ndarray, "*b a"]) -> Float32[np.ndarray, "*b a"]:
        """Return chunk rows on the common scale."""
        return ((action - self.shift) / self.scale).astype(np.float32)

    def denormalise(self, action: Float[np.ndarray, "*b a"]) -> Float32[np.ndarray, "*b a"]:
        """Return chunk rows in their units again."""
        return (action * self.scale + self.shift).astype(np.float32)

    def check(self, body: Embodiment, dataset: str | None = None) -> None:
        """Raise UsageError for another embodiment and DatasetError for another dataset (None: any will do)."""
        if (self.embodiment, self.dimensions) != (body.name, _names(body)):
            raise UsageError(
                f"statistics of embodiment {self.embodiment!r} ({', '.join(self.dimensions)}), "
                f"not of {body.name!r} ({', '.join(_names(body))})",
                where=FILE,
                remedy="Use data and policy of one embodiment.",
            )
        if dataset is not None and dataset != self.dataset:
            raise DatasetError(
                f"statistics of another dataset ({self.dataset}, not {dataset})",
                where=FILE,
                remedy="Train on the data that the statistics are of, or start a new run.",
            )

    def to_json(self) -> str:
        """Return what stats.json holds."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str, where: object = FILE) -> "Normalizer":
        """Inverse of to_json. Raises DatasetError if anything is missing."""
        try:
            table = json.loads(text)
            numbers = table.pop("statistics")
            _check_kind(table["kind"], where)
            if sorted(table) != sorted(field.name for field in fields(Normalizer) if field.name != "statistics"):
                raise KeyError("keys " + ", ".join(sorted(table)))
            table["dimensions"] = tuple(table["dimensions"])
            return Normalizer(statistics=_statistics(numbers, len(table["dimensions"])), **table)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(
                f"not the statistics of a normalisation ({error})",
                where=where,
                remedy="Restore the file from the run that wrote it.",
            ) from error

    def save(self, directory: Path) -> None:
        """Write stats.json."""
        write_text(directory / FILE, self.to_json())

    @staticmethod
    def load(directory: Path) -> "Normalizer":
        """Read stats.json. Raises DatasetError if it is not there: nothing is ever left unnormalised silently."""
        path = directory / FILE
        if not path.is_file():
            raise DatasetError(
                f"no {FILE}, so actions cannot be brought back to their units",
                where=directory,
                remedy="Copy the whole checkpoint folder, this file included.",
            )
        return Normalizer.from_json(path.read_text(encoding="utf-8", errors="replace"), path)


def fit(
    chunks: Iterable[tuple[Float32[np.ndarray, "_ k a"], Bool[np.ndarray, "_ k"]]],
    kind: Kind,
    body: Embodiment,
    dataset: str,
) -> Normalizer:
    """Return the normaliser of chunks, such as `Stream.chunks()`, read once in constant memory.

    >>> fit(stream.chunks(), "quantile", stream.embodiment, stream.fingerprint)  # doctest: +SKIP
    """
    tally = _Tally(body.chunk_dimensions)
    for action, mask in chunks:
        if mask.any():
            tally.add(action[mask].astype(np.float64))
    if not tally.count:
        raise DatasetError("no supervised row to compute statistics from", where=dataset)
    return Normalizer(kind, tally.statistics(), body.name, _names(body), dataset)


class _Tally:
    """Collects rows; mean and variance by pairwise updates (Chan, Golub and LeVeque 1983)."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self._mean, self._squares = np.zeros(width), np.zeros(width)
        self._low, self._high = np.full(width, np.inf), np.full(width, -np.inf)
        self._sample = Reservoir(width, "normalise")

    def add(self, rows: Float64[np.ndarray, "n a"]) -> None:
        total = self.count + len(rows)
        mean = rows.mean(axis=0)
        delta = mean - self._mean
        self._squares += ((rows - mean) ** 2).sum(axis=0) + delta**2 * self.count * len(rows) / total
        self._mean += delta * len(rows) / total
        self._low, self._high = np.minimum(self._low, rows.min(axis=0)), np.maximum(self._high, rows.max(axis=0))
        self._sample.add(rows)
        self.count = total

    def statistics(self) -> Statistics:
        q01, q99 = np.quantile(self._sample.rows, [0.01, 0.99], axis=0)
        std = np.sqrt(self._squares / self.count)
        columns = (self._mean, std, self._low, self._high, q01, q99)
        return Statistics(self.count, *(tuple(column.tolist()) for column in columns))


def _names(body: Embodiment) -> tuple[str, ...]:
    return tuple(f"{dimension.name} {dimension.unit}" for dimension in body.dimensions)


def _check_kind(kind: object, where: object) -> None:
    if kind not in get_args(Kind):
        known = ", ".join(get_args(Kind))
        raise UsageError(f"unknown kind of normalisation {kind!r}", where=where, remedy=f"Known are {known}.")


def _statistics(table: dict[str, Any], width: int) -> Statistics:
    columns = {name: tuple(map(float, values)) for name, values in table.items() if name != "count"}
    if any(len(column) != width or not np.isfinite(column).all() for column in columns.values()):
        raise ValueError(f"columns are not {width} finite numbers each")
    return Statistics(count=int(table["count"]), **columns)
