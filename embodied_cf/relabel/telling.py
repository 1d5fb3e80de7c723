"""Since when the robot may have been told what a label tells it, so that policies learn to look back no further."""

import numpy as np
from jaxtyping import Bool, Int64

from embodied_cf.language.predicate_program import Rule
from embodied_cf.relabel.asked import Asked

EARLIER = (0.8, 20)
"""Share of ways to one thing that the robot was told of before, and by how many steps at most: such a way is the same
whenever it was told, but once it drives a robot has seen more than the present frame."""


def told_before(
    asked: Asked, told: Int64[np.ndarray, " p"], seen: Bool[np.ndarray, "n t"], rng: np.random.Generator
) -> Int64[np.ndarray, " p"]:
    """Return when goals were told: as given, or for ways to one thing often some steps before.

    `seen` says in which steps a landmark was in view. What is out of view when it is told stays unseen: it is told
    after it was last in view.
    """
    share, most = EARLIER
    chance, back = rng.random(len(asked)), rng.integers(1, most + 1, len(asked))
    first = asked.landmark[:, 0, 0]
    rows = np.flatnonzero((asked.rule[:, 0] == Rule.GO_TO) & (asked.count == 1) & (first >= 0) & (chance < share))
    before = told.copy()
    before[rows] = np.maximum(told[rows] - back[rows], 0)
    for row in rows[~seen[first[rows], told[rows]]].tolist():
        shown = np.flatnonzero(seen[first[row], : told[row]])
        before[row] = max(int(before[row]), int(shown[-1]) + 1 if len(shown) else 0)
    return before
