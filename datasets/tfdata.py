"""TFDS, and for its users tf.data and rlds (extra `tfds`): the one place that deals with their quirks."""

import importlib
import io
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from embodied_cf.errors import UsageError


def import_tfds() -> None:
    """Import TFDS at once; call it before a progress bar is shown under which TFDS may be needed.

    While it is imported, etils replaces `__import__` for all threads alike. What rich's own thread imports meanwhile
    to draw with then fails: a traceback on the screen, and a bar that stands still.
    """
    importlib.import_module("tensorflow_datasets")


def import_rlds() -> ModuleType:
    """Return the `rlds` package.

    rlds 0.1.8 imports reverb without declaring it, and reverb has no build for current TensorFlow. Only
    `rlds.transformations.pattern_map` uses it, so an empty placeholder takes its place where it is missing;
    everything else works. Raises UsageError if rlds itself is missing.
    """
    try:
        importlib.import_module("reverb")
    except ImportError:
        _stand_in_for_reverb()
    try:
        return importlib.import_module("rlds")
    except ImportError as error:
        raise UsageError("rlds is not installed", remedy="pip install 'embodied-cf[tfds]'") from error


def _stand_in_for_reverb() -> None:
    reverb, writer = ModuleType("reverb"), ModuleType("reverb.structured_writer")
    vars(writer)["__getattr__"] = lambda name: object  # types that signatures name
    vars(reverb)["structured_writer"] = writer
    sys.modules.setdefault("reverb", reverb)
    sys.modules.setdefault("reverb.structured_writer", writer)


def by_step(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return an episode as builders of tfds yield it: rows where `writer` has columns, encoded images as files.

    >>> by_step({"steps": {"is_first": [True, False], "action": [7, 8]}})["steps"]
    [{'is_first': True, 'action': 7}, {'is_first': False, 'action': 8}]
    """
    steps = example["steps"]
    return {**example, "steps": [_row(steps, step) for step in range(len(steps["is_first"]))]}


def _row(columns: Mapping[str, Any], step: int) -> dict[str, Any]:
    return {key: _row(column, step) if isinstance(column, Mapping) else _cell(column[step])
            for key, column in columns.items()}  # fmt: skip


def _cell(value: Any) -> Any:
    return io.BytesIO(value) if isinstance(value, bytes) else value
