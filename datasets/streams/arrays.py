"""Arrays on disk, written row by row and read by mapping them into memory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import google_crc32c
import numpy as np

INDEX = "index.json"
_PAGE = 1 << 12
_PAGES = 16


class ArrayWriter:
    """Writes named arrays in constant memory, inside a `with`; `finish` makes them readable."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, IO[bytes]] = {}
        self._rows: dict[str, int] = {}
        self._row: dict[str, tuple[str, list[int]]] = {}

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            file.close()

    def append(self, name: str, rows: np.ndarray) -> None:
        """Append rows; dtype and shape of a row stay those of the first call."""
        if name not in self._files:
            self._files[name] = open(self._path(name), "wb")  # noqa: SIM115 (closed by __exit__)
            self._row[name], self._rows[name] = (str(rows.dtype), list(rows.shape[1:])), 0
        assert self._row[name] == (str(rows.dtype), list(rows.shape[1:])), name
        self._files[name].write(np.ascontiguousarray(rows).tobytes())
        self._rows[name] += len(rows)

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the index, with `facts` (JSON) in it."""
        for file in self._files.values():
            file.flush()
        arrays = {
            name: {"dtype": dtype, "shape": [self._rows[name], *row], "sample": _sample(self._path(name))}
            for name, (dtype, row) in self._row.items()
        }
        (self._directory / INDEX).write_text(json.dumps({"arrays": arrays, "facts": dict(facts)}), encoding="utf-8")

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.bin"


@dataclass(frozen=True)
class Arrays:
    """What an ArrayWriter wrote."""

    by_name: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]


def read_arrays(directory: Path) -> Arrays | None:
    """Map the arrays of a directory into memory; None if there are none, or any of them is damaged.

    Sizes are compared, and checksums of 16 pages per file: milliseconds, whatever the size.
    """
    try:
        index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
        arrays = {name: _map(directory / f"{name}.bin", entry) for name, entry in index["arrays"].items()}
        return Arrays(arrays, index["facts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _map(path: Path, entry: Mapping[str, Any]) -> np.ndarray:
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    if path.stat().st_size != dtype.itemsize * int(np.prod(shape)) or _sample(path) != entry["sample"]:
        raise ValueError(f"{path} is damaged")
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", shape=shape).view(np.ndarray)


def _sample(path: Path) -> int:
    """Return the checksum of pages spread evenly over a file, both ends among them."""
    size, crc = path.stat().st_size, 0
    with open(path, "rb", buffering=0) as file:
        for at in np.linspace(0, max(0, size - _PAGE), _PAGES).astype(int).tolist():
            file.seek(at)
            crc = google_crc32c.extend(crc, file.read(_PAGE))
    return int(crc)
