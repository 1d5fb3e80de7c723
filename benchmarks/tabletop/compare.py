"""The numbers of the row: success of both policies, what separates them, and how far each follows what it is told."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.tabletop.row import ARMS, SHUFFLED, TOLD, Line
from embodied_cf.evaluate.demo import OURS, THEIRS
from embodied_cf.evaluate.statistics import following, mcnemar, over_seeds, paired_gain, rate


def compared(lines: Sequence[Line], rng: np.random.Generator) -> dict[str, Any]:
    """Return the numbers of some trials.

    Trials on one table are not independent: `by_table` is the gain with an interval for other tables, of which each
    counts the same.
    """
    ours, theirs = (_marks(lines, name, TOLD, "passes") for name in (OURS, THEIRS))
    table = np.array([line["table"] for line in lines])
    gains = ours.astype(float) - theirs
    by_table = np.array([[gains[table == one].mean() for one in np.unique(table)]])
    return {
        "trials": len(lines),
        "arms": {name: _numbers(lines, name, rng) for name in ARMS},
        "gain": paired_gain(ours, theirs).plain(),
        "by_table": over_seeds([by_table], rng).plain(),
        "p": mcnemar(ours, theirs),
        "gain_clean": paired_gain(*(_marks(lines, name, TOLD, "clean") for name in (OURS, THEIRS))).plain(),
    }


def _numbers(lines: Sequence[Line], name: str, rng: np.random.Generator) -> dict[str, Any]:
    told, shuffled = (_marks(lines, name, which, "passes") for which in (TOLD, SHUFFLED))
    score = following(told, shuffled, np.array([line["chance"] for line in lines], bool), rng)
    return {
        "success": rate(told).plain(),
        "clean": rate(_marks(lines, name, TOLD, "clean")).plain(),
        "shuffled": rate(shuffled).plain(),
        "following": None if score is None else score.plain(),
    }


def _marks(lines: Sequence[Line], name: str, which: str, mark: str) -> np.ndarray:
    return np.array([line[name][which][mark] for line in lines], bool)
