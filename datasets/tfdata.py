"""For users of tf.data and rlds (extra `tfds`): the one place that deals with their quirks."""

import importlib
import sys
from types import ModuleType

from embodied_cf.errors import UsageError


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
