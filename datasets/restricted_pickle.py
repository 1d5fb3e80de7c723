"""The only door to pickles: nothing of what a pickle asks for is given to it, only stand-ins that note down data.

A pickle is a program. It may name any function of any module and have it called; here it gets what a table of
stand-ins holds for a name, and an error for every other name.
"""

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

UnpicklingError = pickle.UnpicklingError

_MEMO = 100_000
"""Highest place in a pickle's memo: the reader allots all places up to it."""

_MOST_STEPS = 5_000_000
"""Of the machine; one byte is a step, and may be an empty dict of 64 bytes."""

StandIns = Mapping[tuple[str, str], Any]
"""What is given for (module, name)."""


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes, stand_ins: StandIns, persistent: Callable[[Any], Any] | None) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._stand_ins, self._persistent = stand_ins, persistent

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._stand_ins[module, name]
        except KeyError:
            raise UnpicklingError(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise UnpicklingError("it refers to something outside of it")
        return self._persistent(pid)


def load_restricted(data: bytes, stand_ins: StandIns, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Return what a pickle makes of its stand-ins. `persistent` reads what it keeps outside of itself.

    Raises whatever a forged pickle makes the machine that it drives raise, UnpicklingError among it.
    """
    _check(data)
    return _Reader(data, stand_ins, persistent).load()


def _check(data: bytes) -> None:
    """Walk through the pickle without running it."""
    for step, (code, argument, _) in enumerate(pickletools.genops(data)):
        if step >= _MOST_STEPS:
            raise UnpicklingError(f"more than {_MOST_STEPS} steps")
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int) and argument > _MEMO:
            raise UnpicklingError("a memo of absurd size")
