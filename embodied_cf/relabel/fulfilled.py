"""Did what the robot really did carry out goals that it may have been told?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.language.predicate import Programs, advance, begin, holds
from embodied_cf.relabel.asked import Asked, programs_of
from embodied_cf.relabel.lanes import ALONG
from embodied_cf.relabel.stages import Context


@dataclass(frozen=True)
class Fulfilled:
    """P goals of one clause, beside what the robot really did since they can have been told."""

    told: Int64[np.ndarray, " p"]
    there: Bool[np.ndarray, "p k"]
    """Whether what is asked holds at each of the K steps after `told`, at a stop or not."""
    progress: Float[np.ndarray, " p"]
    """The best share, in [0, 1]."""

    @staticmethod
    def of(context: Context, asked: Asked, told: Int64[np.ndarray, " p"], last: Int64[np.ndarray, " p"]) -> "Fulfilled":
        """Follow the robot up to step `last`, at most to the end of the episode."""
        last = np.minimum(last, len(context.track) - 1)
        tracker = begin(_programs(context, asked, context.track[told]), context.track[told])
        there = np.zeros((len(asked), int((last - told).max(initial=0))), bool)
        for ahead in range(1, there.shape[1] + 1):
            rows = np.flatnonzero((told + ahead <= last) & ~tracker.done)
            here = context.track[told[rows] + ahead]
            programs = _programs(context, asked.take(rows), here)
            now = advance(programs, tracker.take(rows), here)
            there[rows, ahead - 1] = holds(programs, now)
            tracker = tracker.replaced(rows, now)
        return Fulfilled(told, there, tracker.progress)

    @property
    def done(self) -> Int64[np.ndarray, " p"]:
        """The step in the middle of the first stretch in which it holds; -1 where it never does."""
        count = self.there.shape[1]
        if not count:
            return np.full(len(self.there), -1)
        first = self.there.argmax(axis=1)
        over = ~self.there & (np.arange(count) > first[:, None])
        beyond = np.where(over.any(axis=1), over.argmax(axis=1), count)
        return np.where(self.there.any(axis=1), self.told + 1 + (first + beyond - 1) // 2, -1)


def _programs(context: Context, asked: Asked, here: Float[np.ndarray, "p 3"]) -> Programs:
    """Return the predicates of goals whose robots are `here`, among the walls that are near now."""
    table = np.concatenate([context.landmarks.place, np.full((1, 3), np.nan)])
    along = np.flatnonzero(np.isin(asked.rule[:, 0], ALONG))
    circle = table[np.where(asked.landmark >= 0, asked.landmark, -1)]
    return programs_of(asked, circle, along, context.obstacles.walls_near(here[along, :2]))
