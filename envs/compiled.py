"""Compilation by numba, kept on disk where that is possible, so that a second process does not compile again."""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
_OPTIONS = {"nogil": True, "error_model": "numpy"}
"""Free of Python's global lock; no fastmath, so that results do not depend on how code is vectorised. Kernels are
unwrapped first: a run-time type checker may have wrapped them, and numba would compile the wrapper."""


def compiled(kernel: Kernel) -> Kernel:
    """Compile `kernel`, which other kernels call and Python does not, when it is first needed."""
    return cast(Kernel, numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(inspect.unwrap(kernel)))


def kept(kernel: Kernel) -> Kernel:
    """Compile `kernel`, which Python calls, and keep the result beside the source or else in the user's cache.

    Where neither can be written, it is compiled in each process. numba looks only at the file that `kernel` is
    in, so let `kernel` close over `fingerprint` of all files that it calls into.
    """
    try:
        return cast(Kernel, numba.njit(cache=True, no_cfunc_wrapper=True, **_OPTIONS)(inspect.unwrap(kernel)))
    except RuntimeError:  # numba found no directory to write to
        return cast(Kernel, numba.njit(no_cfunc_wrapper=True, **_OPTIONS)(inspect.unwrap(kernel)))


def fingerprint(*files: str) -> int:
    """Return a number that changes with the content of Python files."""
    return int.from_bytes(hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).digest()[:6], "little")
