"""Three answers to "does this motion do what the words say?"."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Int8

PASS: Final = 1
UNKNOWN: Final = 0
"""The program cannot tell. Never counted as a pass."""
FAIL: Final = -1
NAMES: Final = {PASS: "pass", UNKNOWN: "unknown", FAIL: "fail"}


def verdict(passed: Bool[np.ndarray, " n"], unknown: Bool[np.ndarray, " n"]) -> Int8[np.ndarray, " n"]:
    """Combine two conditions: PASS where passed, else UNKNOWN where unknown, else FAIL."""
    return np.where(passed, PASS, np.where(unknown, UNKNOWN, FAIL)).astype(np.int8)
