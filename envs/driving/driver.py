"""The steps of the expert: to notice how far its instruction is done, and to drive on along the route, safely."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.envs.driving.avoid import avoid
from embodied_cf.envs.driving.pursuit import Routes, pursue
from embodied_cf.envs.scene import Worlds
from embodied_cf.envs.state import State
from embodied_cf.language.predicate import Programs, Tracker, advance, begin
from embodied_cf.language.predicate_tracker import STOP_M

_PATIENCE = 2
"""Steps that the robot waits for people before it would rather creep than stand: a long wait is a stop."""


@dataclass(frozen=True)
class Progress:
    """How far B robots are."""

    tracker: Tracker
    """What the judge of the instruction remembers; its clause is the one that is driven."""
    point: Int64[np.ndarray, " b"]
    """Point of the clause's route that the robot has come to."""
    fresh: Bool[np.ndarray, " b"]
    """Whether the robot still stands where the tracker begins."""

    @classmethod
    def at_start(cls, programs: Programs, pose: Float64[np.ndarray, "b 3"]) -> "Progress":
        """Begin the first clause at a pose."""
        return cls(begin(programs, pose), np.zeros(len(pose), np.int64), np.ones(len(pose), bool))


def notice(programs: Programs, progress: Progress, state: State) -> Progress:
    """Return the progress after a step has led to `state`; a clause that begins now begins with its first point."""
    tracker = advance(programs, progress.tracker, state.pose)
    fresh = np.flatnonzero(progress.fresh)
    if len(fresh):
        tracker = tracker.replaced(fresh, progress.tracker.take(fresh))
    point = np.where(tracker.clause == progress.tracker.clause, progress.point, 0)
    return Progress(tracker, point, np.zeros(len(state), bool))


def drive(
    worlds: Worlds, routes: Routes, progress: Progress, state: State
) -> tuple[Float64[np.ndarray, "b 2"], Progress]:
    """Return the action v m/s, w rad/s of this step, and where on the routes it starts from. Who is done stands."""
    tracker = progress.tracker
    waited = _has_waited(tracker)
    wanted, point = pursue(routes, tracker.clause, tracker.origin, progress.point, state.pose, waited)
    wanted[tracker.done] = 0.0
    return avoid(worlds, state, wanted, waited), replace(progress, point=point)


def is_lost(routes: Routes, progress: Progress) -> Bool[np.ndarray, " b"]:
    """Return who has come to the end of a route that should have been enough, and is not done."""
    each, clause = np.arange(len(progress.point)), progress.tracker.clause
    followed = ~routes.stop[each, clause] & np.isnan(routes.turn[each, clause])
    return followed & (progress.point >= routes.count[each, clause] - 1) & ~progress.tracker.done


def _has_waited(tracker: Tracker) -> Bool[np.ndarray, " b"]:
    recent = tracker.recent[:, -_PATIENCE:] - tracker.pose[:, None, :2]
    return (np.hypot(recent[..., 0], recent[..., 1]) <= STOP_M).all(axis=1)
