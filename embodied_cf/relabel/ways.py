"""How far it is to where a clause is fulfilled, from any pose: what a sensible way makes less of.

Lengths in metres, frames as in the arguments (any one frame for all). A heading that points elsewhere counts as so
many metres more, because the robot has to drive a bend.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.language.columns import Columns
from embodied_cf.language.predicate_geometry import cross, dot, length, wrap
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import BESIDE_M, SWEEP
from embodied_cf.relabel.asked import facing

STOP_SHORT_M = 0.6
"""Distance that the robot keeps from the surface of the thing it goes to."""
RUN_UP_M, RUN_OUT_M = 0.6, 0.8
"""Straight piece before a gap and beyond it."""
RING_M, _RING_SHARE = (0.8, 1.7), 0.55
"""Distance from a thing's surface at which it is driven around: a share of the present one, within bounds. Nearer
would be shorter in all, further turns at once."""
_SPARE = np.radians(20)
"""By how much an arc around a thing is longer than asked."""
_BEND_M = 0.5
"""What a radian of heading is worth."""
_NEAR_M = 0.6
"""Nearer than this to where it goes, the heading matters less and less."""
_SLANT = np.tan(np.radians(40))
"""Sideways per forward distance up to which a gap is entered without a run-up."""
DETOUR_M = 0.55
"""From the surface of what stands in the way to the middle of the robot that drives around it."""
BESIDE_ENOUGH_M, _BEYOND_ENOUGH_M = 0.3, 0.6
"""So near to the place beside a thing, and so far beyond a gap, it may stand: well within what the predicates ask."""
_OUTSIDE_M = 4.0
"""What it costs to have crossed a gap's line beside the gap."""


@dataclass(frozen=True)
class Aims(Columns):
    """P clauses, each seen from where it began."""

    rule: Int64[np.ndarray, " p"]
    """GO_TO, STOP_BESIDE, PASS_BETWEEN or ARC_AROUND."""
    side: Int64[np.ndarray, " p"]
    circle: Float[np.ndarray, "p 2 3"]
    """The clause's things: centre x, y and radius; nan where there is none."""
    origin: Float[np.ndarray, "p 3"]
    """Pose where the clause began."""
    here: Float[np.ndarray, "p 2"]
    """Where the robot is now."""
    swept: Float[np.ndarray, " p"]
    """Angle swept around the thing up to now, rad, positive as asked."""
    crossed: Bool[np.ndarray, " p"]
    """Whether the gap has been crossed up to now."""
    other: Float[np.ndarray, "p n 3"]
    """What else stands there: centre x, y and radius; nan for none."""

    def __len__(self) -> int:
        return len(self.rule)


def way_left(aims: Aims, place: Float[np.ndarray, "p k 2"], yaw: Float[np.ndarray, "p k"]) -> Float[np.ndarray, "p k"]:
    """Return how far it is for each of P clauses from each of K poses."""
    left = np.zeros(yaw.shape)
    for rule, way in _WAYS.items():
        rows = np.flatnonzero(aims.rule == rule)
        if len(rows):
            left[rows] = way(aims.take(rows), place[rows], yaw[rows])
    return left


def _to_point(
    aim: Float[np.ndarray, "p 2"], place: Float[np.ndarray, "p k 2"], yaw: Float[np.ndarray, "p k"], other: np.ndarray
) -> Float[np.ndarray, "p k"]:
    away, heading = _clear_way(aim, place, other)
    return away + _BEND_M * np.abs(wrap(heading - yaw)) * np.minimum(away / _NEAR_M, 1.0)


def _clear_way(
    aim: Float[np.ndarray, "p 2"], place: Float[np.ndarray, "p k 2"], other: Float[np.ndarray, "p n 3"]
) -> tuple[Float[np.ndarray, "p k"], Float[np.ndarray, "p k"]]:
    """Return length and first heading of the way to an aim that keeps DETOUR_M from what stands most in its way.

    That way is a tangent to a ring around the thing, an arc of it, and the tangent that leads on. Worked example: from
    (0, 0) to (4, 0) around a ring of radius 1 about (2, 0): both tangents are sqrt(3) long and turn by 30 degrees, the
    arc spans 180 - 2 * 60 degrees, in all 2 sqrt(3) + pi / 3 = 4.51.
    """
    toward = aim[:, None] - place
    straight, heading = length(toward), np.arctan2(toward[..., 1], toward[..., 0])
    if not other.shape[1]:
        return straight, heading
    centre, ring = other[:, None, :, :2], other[:, None, :, 2] + DETOUR_M
    spoke = centre - place[:, :, None]  # (p, k, n, 2)
    along = dot(spoke, toward[:, :, None]) / np.maximum(straight, 1e-9)[..., None]
    side = cross(toward[:, :, None], spoke)
    off = np.abs(side) / np.maximum(straight, 1e-9)[..., None]
    blocks = (along > 0) & (along < straight[..., None]) & (off < ring)
    near, far = np.maximum(length(spoke), ring), np.maximum(length(aim[:, None, None] - centre), ring)
    onward = aim[:, None, None] - centre
    angle = np.abs(np.arctan2(cross(-spoke, onward), dot(-spoke, onward)))
    arc = np.maximum(angle - np.arccos(ring / near) - np.arccos(ring / far), 0.0)
    around = np.sqrt(near**2 - ring**2) + np.sqrt(far**2 - ring**2) + ring * arc
    around = np.where(blocks, np.maximum(around, straight[..., None]), -np.inf)
    worst = around.argmax(axis=2)[..., None]
    longest = np.take_along_axis(around, worst, axis=2)[..., 0]
    tangent = np.arctan2(spoke[..., 1], spoke[..., 0]) - np.where(side < 0, -1, 1) * np.arcsin(ring / near)
    turned = np.take_along_axis(tangent, worst, axis=2)[..., 0]
    blocked = np.isfinite(longest)
    return np.where(blocked, longest, straight), np.where(blocked, turned, heading)


def _going(aims: Aims, place: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """To STOP_SHORT_M before the thing, facing it."""
    way, heading = _clear_way(aims.circle[:, 0, :2], place, aims.other)
    away = way - aims.circle[:, :1, 2] - STOP_SHORT_M
    facing_it = np.abs(wrap(heading - yaw))
    return np.maximum(away, 0.0) + _BEND_M * np.where(away > 0, facing_it, np.maximum(facing_it - np.pi / 6, 0.0))


def _beside(aims: Aims, place: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """To the middle of the room beside the thing, on the normal of the line from the origin."""
    centre, radius = aims.circle[:, 0, :2], aims.circle[:, 0, 2]
    sight = centre - aims.origin[:, :2]
    normal = aims.side[:, None] * np.stack([-sight[:, 1], sight[:, 0]], axis=1)
    normal = normal / np.maximum(length(sight), 1e-9)[:, None]
    aim = centre + (radius + BESIDE_M / 2)[:, None] * normal
    there = length(aim[:, None] - place) <= BESIDE_ENOUGH_M
    return np.where(there, 0.0, _to_point(aim, place, yaw, aims.other))


def _between(aims: Aims, place: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Through the middle of the gap: after a run-up, unless it is entered straight enough."""
    gap = facing(aims.circle)
    first, line = gap[:, :2], gap[:, 2:] - gap[:, :2]
    width = np.maximum(length(line), 1e-9)
    along = line / width[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across *= -np.sign(cross(line, aims.origin[:, :2] - first))[:, None]  # from the origin's side to the other
    middle = first + line / 2
    offset = place - middle[:, None]
    before, aside = -dot(offset, across[:, None]), np.abs(dot(offset, along[:, None]))
    past = middle + RUN_OUT_M * across
    straight = _to_point(past, place, yaw, aims.other)
    run_up = _to_point(middle - RUN_UP_M * across, place, yaw, aims.other) + RUN_UP_M + RUN_OUT_M
    left = np.where(aside <= _SLANT * before + 0.1, straight, run_up)
    through = aims.crossed[:, None] | (aside <= width[:, None] / 2)
    there = through & (-before >= _BEYOND_ENOUGH_M) & (length(offset) <= _BEYOND_ENOUGH_M + width[:, None] / 2)
    beyond = np.where(there, 0.0, straight + np.where(through, 0.0, _OUTSIDE_M))
    return np.where(before > 0, left, beyond)


def _around(aims: Aims, place: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Along the tangent to a ring around the thing, then along the ring until enough is swept."""
    centre, radius = aims.circle[:, :1, :2], aims.circle[:, :1, 2]
    spoke, start = place - centre, aims.here[:, None] - centre
    ring = radius + np.clip(_RING_SHARE * (length(start) - radius), *RING_M)
    away = np.maximum(length(spoke), 1e-9)
    side = aims.side[:, None]
    swept = aims.swept[:, None] - side * np.arctan2(cross(start, spoke), dot(start, spoke))
    ahead = np.arccos(np.minimum(ring / away, 1.0))  # angle at the centre to where the tangent touches
    left = np.maximum(SWEEP + _SPARE - swept - ahead, 0.0) * ring
    tangent = np.sqrt(np.maximum(away**2 - ring**2, 0.0))
    heading = np.arctan2(-spoke[..., 1], -spoke[..., 0]) + side * np.arcsin(np.minimum(ring / away, 1.0))
    bend = _BEND_M * np.abs(wrap(heading - yaw))
    return tangent + left + bend + 2.0 * np.maximum(ring - away, 0.0)


_WAYS = {Rule.GO_TO: _going, Rule.STOP_BESIDE: _beside, Rule.PASS_BETWEEN: _between, Rule.ARC_AROUND: _around}
