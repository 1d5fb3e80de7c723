"""Where robots happen to have arrived: told some steps ago, the goal would be fulfilled here, and the robot may stand.

Robots that drive by things seldom stand beside them, so goals told at random seldom end where they branch off; without
rows that stand still a policy drives on from where it should stop.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.language.predicate_geometry import length
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import BESIDE_M
from embodied_cf.relabel.propose_things import Goals, Sights, goals_about
from embodied_cf.relabel.ways import BESIDE_ENOUGH_M

_AGO = (4, 7, 10, 14, 19)
"""Steps before, at which it may have been told."""
_LEAST_GAP_M = 1.0
"""From where it was told to the surface of the thing."""


def arrivals_beside(sights: Sights) -> tuple[Goals, Int64[np.ndarray, " p"]]:
    """Return goals "stop left (right) of it" of things that were in view when it was told, and the steps at which the
    robot has arrived."""
    found = [*_found(sights)]
    told, start, row, side = np.array(found, np.int64).reshape(-1, 4).T
    return goals_about(told, Rule.STOP_BESIDE, side, row, -1), start


def _found(sights: Sights) -> Iterator[tuple[int, int, int, int]]:
    """Yield the step at which it was told, that at which it has arrived, landmark and side."""
    landmarks, steps = sights.landmarks, sights.steps
    for row in np.flatnonzero(sights.unique & sights.believed).tolist():
        for ago in _AGO:
            start = steps[steps >= ago]
            start = start[landmarks.seen[row, start - ago]]
            for side in (1, -1):
                there = _beside(sights.track[start - ago], sights.track[start], landmarks.place[row], side)
                yield from ((step - ago, step, row, side) for step in start[there].tolist())


def _beside(
    told: Float[np.ndarray, "n 3"], here: Float[np.ndarray, "n 3"], thing: Float[np.ndarray, " 3"], side: int
) -> Bool[np.ndarray, " n"]:
    """Return which robots are at the place beside a thing, as seen from where they were told."""
    sight = thing[:2] - told[:, :2]
    away = np.maximum(length(sight), 1e-9)
    normal = side * np.stack([-sight[:, 1], sight[:, 0]], axis=1) / away[:, None]
    aim = thing[:2] + (thing[2] + BESIDE_M / 2) * normal
    return (away - thing[2] >= _LEAST_GAP_M) & (length(here[:, :2] - aim) <= BESIDE_ENOUGH_M)
