"""Rows of parquet files by position, one row group in memory at a time (pyarrow, extra `lerobot`)."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from embodied_cf.errors import DatasetError, MissingLibraryError


def parquet() -> ModuleType:
    """Return pyarrow.parquet. Raises MissingLibraryError if it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingLibraryError("pyarrow is not installed", remedy="pip install 'embodied-cf[lerobot]'") from error
    return pyarrow.parquet


def open_parquet(path: Path) -> Any:
    """Return an open ParquetFile. Raises DatasetError if it is absent or no parquet file."""
    pq = parquet()
    if not path.is_file():
        raise DatasetError("no such file", where=path, remedy="Copy the whole dataset.")
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"not a readable parquet file ({error})", where=path) from error


def read_columns(path: Path, names: Sequence[str] | None = None) -> dict[str, list]:
    """Return columns of a small file as lists; all of them, or those named, which must be there."""
    file = open_parquet(path)
    missing = sorted(set(names or ()) - set(file.schema_arrow.names))
    if missing:
        raise DatasetError(f"no columns {', '.join(missing)}", where=path)
    return _decoded(path, lambda: file.read(columns=None if names is None else list(names))).to_pydict()


_GROUP_BYTES = 8 << 30
"""What a row group may decode to; LeRobot's files have 100 MB."""


class Rows:
    """Reads runs of rows from one file after another; consecutive runs read each row group once."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._path: Path | None = None
        self._group = -1

    def read(self, path: Path, start: int, count: int) -> Any:
        """Return rows [start, start + count) as an Arrow table. Raises DatasetError if the file has fewer."""
        import pyarrow as pa

        self._open(path)
        if start + count > self._starts[-1]:
            what = f"{self._starts[-1]} rows where {start + count} are promised"
            raise DatasetError(what, where=path, remedy="Copy the file again.")
        first, last = np.searchsorted(self._starts, [start, start + count - 1], side="right") - 1
        pieces = []
        for group in range(int(first), int(last) + 1):
            table, at = self._read_group(group), int(self._starts[group])
            low, high = max(start - at, 0), min(start + count - at, len(table))
            pieces.append(table.slice(low, high - low))
        return pa.concat_tables(pieces)

    def _open(self, path: Path) -> None:
        if path == self._path:
            return
        self._file, self._path, self._group = open_parquet(path), path, -1
        missing = sorted(set(self._names) - set(self._file.schema_arrow.names))
        if missing:
            raise DatasetError(f"no columns {', '.join(missing)}", where=path)
        groups = [self._file.metadata.row_group(at) for at in range(self._file.metadata.num_row_groups)]
        sizes = [group.num_rows for group in groups]
        # constant columns compress without bound, so that their rows count too
        if any(max(group.total_byte_size, 8 * group.num_rows) > _GROUP_BYTES for group in groups):
            raise DatasetError(f"a row group of more than {_GROUP_BYTES >> 30} GiB", where=path)
        self._starts = np.concatenate([[0], np.cumsum(np.array(sizes, np.int64))])

    def _read_group(self, group: int) -> Any:
        if group != self._group:
            path = self._path or Path()
            self._table = _decoded(path, lambda: self._file.read_row_group(group, columns=self._names))
            self._group = group
        return self._table


def _decoded(path: Path, read: Any) -> Any:
    import pyarrow as pa

    try:
        return read()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"not a readable parquet file ({error})", where=path) from error


def numbers(column: Any, dtype: str, shape: Sequence[int], where: str) -> np.ndarray:
    """Return a column of numbers, or of (nested) lists of them, as (T, *shape); shape () for plain numbers.

    Raises DatasetError if values are missing or the rows have another shape.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = _storage(column.combine_chunks())
    rows = len(array)
    while pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type):
        if len(pc.unique(pc.list_value_length(array))) > 1:  # flattened they might fill the shape by chance
            raise DatasetError(f"not {dtype} of shape {tuple(shape)} in each row (they differ in length)", where=where)
        array = _storage(array.flatten())
    if array.null_count:
        raise DatasetError(f"{array.null_count} values are missing", where=where)
    try:
        values = array.to_numpy(zero_copy_only=False).astype(dtype, copy=False)
        return values.reshape(rows, *shape)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"not {dtype} of shape {tuple(shape)} in each row ({error})", where=where) from error


def _storage(array: Any) -> Any:
    import pyarrow as pa

    array = array.storage if isinstance(array, pa.ExtensionArray) else array
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
