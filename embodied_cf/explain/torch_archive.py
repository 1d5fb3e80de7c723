"""Weights out of what `torch.save` wrote, read without torch.load: a zip of a pickle and of raw numbers.

The pickle gets stand-ins only (`datasets.restricted_pickle`). Format:
https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

import io
import math
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from embodied_cf.datasets.restricted_pickle import UnpicklingError, load_restricted

LARGEST = 1 << 28
"""Bytes of one entry."""
_DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "LongStorage": "<i8", "IntStorage": "<i4"}


class _Table(dict):
    """Stands for collections.OrderedDict; a state dict carries versions of modules as its state."""

    def __setstate__(self, state: Any) -> None:
        """Pass over them."""


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return an entry of an archive. Raises KeyError if there is none, ValueError if it is larger than `LARGEST`."""
    with archive.open(name) as entry:
        content = entry.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"{name} has more than {LARGEST} bytes")
    return content


def read_state_dict(file: io.BytesIO) -> dict[str, Tensor]:
    """Return a state dict of plain tensors on the CPU. Raises ValueError for anything else, nothing of it run."""
    try:
        with zipfile.ZipFile(file) as archive:
            (root,) = [name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
            pickled = read_entry(archive, f"{root}data.pkl")
            loaded = load_restricted(pickled, _STAND_INS, lambda pid: _storage(pid, archive, root))
    except Exception as error:  # a forged pickle can raise whatever the machine it drives raises
        raise ValueError(f"not weights of torch.save ({error or type(error).__name__})") from error
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError("not a dict of tensors")
    return {str(name): value for name, value in loaded.items()}


def _storage(pid: Any, archive: zipfile.ZipFile, root: str) -> np.ndarray:
    kind, dtype, key = pid[:3]
    if kind != "storage" or dtype not in _DTYPES.values() or not str(key).isdigit():
        raise UnpicklingError("a storage that is not plain")
    return np.frombuffer(read_entry(archive, f"{root}data/{key}"), dtype)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    if not isinstance(storage, np.ndarray) or math.prod(size) > len(storage):
        raise UnpicklingError("a tensor of more numbers than it stores")
    return torch.from_numpy(storage.copy()).as_strided(size, stride, offset).clone()  # which checks the bounds


def _parameter(data: Any, *_: Any) -> Any:
    return data


_REBUILD: dict[str, Callable[..., Any]] = {"_rebuild_tensor_v2": _tensor, "_rebuild_parameter": _parameter}
_STAND_INS = {
    ("collections", "OrderedDict"): _Table,
    **{("torch._utils", name): rebuild for name, rebuild in _REBUILD.items()},
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
}
