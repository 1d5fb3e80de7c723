"""What the robot did about things and walls unasked: came to, stopped beside, passed between, drove around, followed.

Hindsight of the families of goals: of all that the things in view allow to be told, what the robot's own way then
carried out, by the predicates. That it drove on counts for no less: what ends with a stop is done where the rest of it
holds. Captioners say themselves what it drove up to (`vlm.sightings`), by boxes alone, and so less surely.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int64

from embodied_cf.language.instruction import FAMILIES, Family
from embodied_cf.relabel.fulfilled import Fulfilled
from embodied_cf.relabel.landmarks import BELIEVED
from embodied_cf.relabel.propose import in_training_words
from embodied_cf.relabel.propose_things import Goals, Sights, goals_possible
from embodied_cf.relabel.stages import Context
from embodied_cf.vlm.captions import Hindsight

LONGEST = 60
"""Steps that one instruction spans at most."""
_STRIDE = 2
"""Steps between those at which it may have been told."""
REASON = "done by its own way, among the things and walls seen"


def done_unasked(context: Context, families: Sequence[Family], rng: np.random.Generator) -> tuple[Hindsight, ...]:
    """Return what was done of some families but chains, each time it was, from the earliest step at which it can have
    been told."""
    wanted = [FAMILIES.index(name) for name in families]
    if not wanted or context.camera is None or not (context.obstacles.any or len(context.landmarks)):
        return ()
    steps = np.arange(0, len(context.track) - 1, _STRIDE)
    sights = Sights(context.landmarks, context.track, steps, context.obstacles)
    goals = goals_possible(sights)
    sure = goals.asked.least(context.landmarks.belief) >= BELIEVED
    goals = goals.take(np.flatnonzero(sure & np.isin(goals.asked.family, wanted)))
    end = Fulfilled.of(context, goals.asked, goals.told, goals.told + LONGEST).done
    rows = np.array([*_each_once(goals, end)], np.int64)
    goals, end = goals.take(rows), end[rows]
    score = goals.asked.least(context.landmarks.score)
    told = zip(goals.told.tolist(), end.tolist(), in_training_words(sights, goals, rng), score.tolist(), strict=True)
    return tuple([Hindsight(start, stop, text, share, REASON) for start, stop, text, share in told])


def _each_once(goals: Goals, end: Int64[np.ndarray, " p"]) -> Iterator[int]:
    """Yield of the rows that ask for the same the earliest of each time that it was done."""
    until: dict[tuple[int, ...], int] = {}
    asked = goals.asked
    for row in np.lexsort((end, goals.told)).tolist():
        key = (int(asked.rule[row, 0]), int(asked.side[row, 0]), *asked.landmark[row, 0].tolist())
        if end[row] >= 0 and goals.told[row] >= until.get(key, 0):
            until[key] = int(end[row])
            yield row
