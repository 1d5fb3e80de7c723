"""Records whose fields are arrays with one row per world, so that rows can be picked and exchanged."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

Record = TypeVar("Record", bound="Columns")


@dataclass(frozen=True)
class Columns:
    """Base of a record of arrays (b, ...)."""

    def take(self: Record, rows: Sequence[int] | np.ndarray) -> Record:
        """Return the chosen rows, in the order given; a row may be named more than once."""
        index = np.asarray(rows, np.int64)
        return type(self)(*(getattr(self, item.name)[index] for item in fields(self)))

    def replaced(self: Record, rows: Sequence[int] | np.ndarray, others: Record) -> Record:
        """Return this record with `rows` exchanged for `others`."""
        index = np.asarray(rows, np.int64)
        columns = []
        for item in fields(self):
            column = getattr(self, item.name).copy()
            column[index] = getattr(others, item.name)
            columns.append(column)
        return type(self)(*columns)
