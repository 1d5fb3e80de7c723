"""Pickles of plain numpy arrays, read without ever running what a pickle says.

A pickle is a program. This reader gives it no class and no function of Python or numpy, only stand-ins that
note down dtype, shape and bytes; arrays are then made from those. Even numpy's own unpickling is not used: a
forged dtype makes it take raw bytes for object pointers.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from embodied_cf.datasets.restricted_pickle import UnpicklingError, load_restricted
from embodied_cf.errors import DatasetError

_LIMIT = 256 << 20
"""Bytes of a pickle; a trajectory of a million poses has a tenth of it."""
_PLAIN = re.compile(r"^[<>=|]?[biuf][1248]$")


class _Dtype:
    """Stands for numpy.dtype. The state that follows in the pickle only says the byte order."""

    def __init__(self, code: Any = "", align: Any = False, copy: Any = False) -> None:
        del align, copy
        if not isinstance(code, str) or not _PLAIN.match(code):
            raise UnpicklingError(f"an array of dtype {str(code)[:40]!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "=", "|"):
            raise UnpicklingError("a dtype that is not plain")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for numpy.ndarray."""

    def __init__(self, *arguments: Any) -> None:
        del arguments  # what _reconstruct is given describes an empty array
        self.array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise UnpicklingError("an array whose state is not plain")
        _, shape, dtype, columns_first, data = state
        self.array = _made(data, dtype, shape, "F" if columns_first else "C")


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    made = _Array()
    made.array = _made(data, dtype, shape, order)
    return made


def _scalar(dtype: Any, data: Any) -> _Array:
    return _from_buffer(data, dtype, (), "C")


def _latin1(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise UnpicklingError("text that is no array's bytes")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _made(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    data = data.encode("latin1") if isinstance(data, str) else data  # Python 2 wrote its bytes as text
    plain = isinstance(data, (bytes, bytearray)) and isinstance(dtype, _Dtype) and isinstance(shape, tuple)
    if not plain or order not in ("C", "F"):
        raise UnpicklingError("an array whose parts are not plain")
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


_STAND_INS = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): _no_bytes,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return a pickled dict of numeric numpy arrays, nothing of it executed.

    Raises DatasetError if the file is absent, too large, broken, or holds or asks for anything else.
    """
    if not path.is_file():
        raise DatasetError("no such file", where=path, remedy="Copy the whole trajectory.")
    if path.stat().st_size > _LIMIT:
        raise DatasetError(f"a pickle of more than {_LIMIT >> 20} MiB", where=path)
    try:
        return _arrays(load_restricted(path.read_bytes(), _STAND_INS))
    except Exception as error:  # a forged pickle can raise whatever the machine it drives raises
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DatasetError(
            f"refused: not a plain pickle of numeric arrays ({reason})",
            where=path,
            remedy="Do not unpickle it otherwise unless you trust who made it; write it again as numpy arrays.",
        ) from error


def _arrays(value: Any) -> dict[str, np.ndarray]:
    if not isinstance(value, dict):
        raise UnpicklingError(f"it holds a {type(value).__name__}, not a dict")
    arrays: dict[str, np.ndarray] = {}
    for key, item in value.items():
        array = item.array if isinstance(item, _Array) else _plain(item)
        if not isinstance(key, str) or array is None or array.dtype.kind not in "biuf":
            raise UnpicklingError(f"{str(key)[:40]!r} is no numeric array")
        arrays[key] = array
    return arrays


def _plain(item: Any) -> np.ndarray | None:
    """Return a number, or a list of numbers, as an array."""
    numbers = item if isinstance(item, list) else [item]
    if not all(isinstance(number, (bool, int, float)) for number in numbers):
        return None
    return np.asarray(item)
