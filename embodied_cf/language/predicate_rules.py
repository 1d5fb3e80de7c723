"""What each clause of an instruction asks of a path, in numbers. See docs/instructions.md for the prose.

A rule looks at some rows of a batch (`View`) and finds for each whether the clause's demand holds now, whether it
can no longer be met, and how much of it is done. Whether a stop must come with it is `predicate`'s affair.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import cos, radians

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.language.predicate_geometry import blocked, clearance, cross, dot, in_frame, length, wrap
from embodied_cf.language.predicate_program import FAR, Programs, Rule
from embodied_cf.language.predicate_tracker import STOP_M, Tracker

REACH_M, FACING = 1.0, radians(60)
"""At a thing: this near to its surface, and facing its centre up to this angle."""
BESIDE_M, BESIDE_SECTOR = 1.2, radians(40)
"""Beside a thing: this near to its surface, in a sector this far to each side of the normal."""
BEYOND_M = (0.5, 2.5)
"""Beyond a gap: at least so far past its line, at most so far from the gap itself."""
LENGTH_M, SHARE, BEGUN_M, AWAY_M = 4.0, 0.8, 0.5, 2.0
"""Along a wall: driven length, least share of the path once the first BEGUN_M are driven, least distance from the
origin at the end: driving to and fro gets nowhere."""
WALL_M, WALL_APPROACH_M = (0.35, 1.2), 4.0
"""Clearance to the wall that is followed; free path until it is."""
CORRIDOR_M, KEEP_SHARE, KEEP_APPROACH_M = 4.0, 0.4, 3.0
"""Widest corridor; largest share of its width on the kept side; free path until it is kept."""
RING_M, SWEEP, WRONG_SWEEP = (0.5, 2.5), radians(120), radians(40)
"""Around a thing: distance from its surface; angle to sweep; angle the wrong way that fails."""
FORWARD_M, FORWARD_WITHIN_M, STRAIGHT, SWERVE, DRIFT_M = 2.0, 3.0, radians(20), radians(40), 0.5
"""Forward: length, path within which it is driven, heading at its end and on the way, sideways drift."""
TURN, TURN_WRONG = (radians(60), radians(120)), radians(30)
ADJUST, ADJUST_WRONG, ADJUST_M = (radians(15), radians(50)), radians(15), 1.0
"""Heading change to the right side, the most to the wrong side, and how far an adjustment drives."""
MANOEUVRE_M, SETTLED = 4.0, 0.03
"""Path within which a turn or adjustment is over; heading change in one step from which it goes on, rad."""
HALT_M = 2.0
"""Path within which "stop" must stop."""
SLACK = 1e-9


@dataclass(frozen=True)
class Finding:
    """N rows: the demand holds now, it cannot hold any more, the share that is done, and what to remember."""

    there: Bool[np.ndarray, " n"]
    broken: Bool[np.ndarray, " n"]
    progress: Float64[np.ndarray, " n"]
    memory: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Columns of the tracker to exchange, or their first part."""


@dataclass(frozen=True)
class View:
    """Some rows of a batch and what their present clause is about."""

    programs: Programs
    tracker: Tracker
    rows: Int64[np.ndarray, " n"]

    def of(self, column: np.ndarray) -> np.ndarray:
        """Return these rows of a column."""
        return column[self.rows]

    def clause(self, column: np.ndarray) -> np.ndarray:
        """Return the present clause's part of these rows of a column (b, c, ...)."""
        return column[self.rows, self.tracker.clause[self.rows]]

    @cached_property
    def side(self) -> Float64[np.ndarray, " n"]:
        return self.clause(self.programs.side)

    @cached_property
    def things(self) -> Float64[np.ndarray, "n m 3"]:
        """As many as the row with the most needs."""
        return self.clause(self.programs.things)[:, : self.most]

    @cached_property
    def gaps(self) -> Float64[np.ndarray, "n m 4"]:
        return self.clause(self.programs.gaps)[:, : self.most]

    @cached_property
    def most(self) -> int:
        return int(self.clause(self.programs.num_matches).max())

    @cached_property
    def walls(self) -> Float64[np.ndarray, "n w 4"]:
        most = self.of(self.programs.num_walls).max()
        return self.programs.walls[self.rows, :most]

    @cached_property
    def pose(self) -> Float64[np.ndarray, "n 3"]:
        return self.of(self.tracker.pose)

    @cached_property
    def place(self) -> Float64[np.ndarray, "n 1 2"]:
        return self.of(self.tracker.pose)[:, None, :2]

    @cached_property
    def origin(self) -> Float64[np.ndarray, "n 1 2"]:
        return self.of(self.tracker.origin)[:, None, :2]


def _clip(share: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.minimum(np.maximum(share, low), high)


def _never(view: View) -> Bool[np.ndarray, " n"]:
    return np.zeros(len(view.rows), bool)


def _approach(left: Float64[np.ndarray, "n m"], whole: Float64[np.ndarray, "n m"]) -> Float64[np.ndarray, " n"]:
    """Share of the way to the nearest goal that is behind, given the metres left now and at first."""
    left, whole = np.maximum(left.min(axis=1), 0.0), whole.min(axis=1)
    return np.where(whole > 0, 1 - np.minimum(left, whole) / np.maximum(whole, SLACK), left <= 0)


def _seen(view: View, near: Bool[np.ndarray, "n m"], things: Float64[np.ndarray, "n m 3"]) -> Bool[np.ndarray, " n"]:
    """Whether any of the near things is in line of sight of its surface's nearest point."""
    row, match = np.nonzero(near)
    seen = _never(view)
    if len(row):
        place, thing = view.pose[row, :2], things[row, match]
        offset = thing[:, :2] - place
        share = 1 - thing[:, 2] / np.maximum(length(offset), thing[:, 2] + SLACK)
        free = ~blocked(place, place + share[:, None] * offset, view.walls[row])
        seen[row[free]] = True
    return seen


def go_to(view: View) -> Finding:
    """Within REACH_M of the surface of a thing, facing it within FACING, with no wall between."""
    things = view.things
    offset = things[..., :2] - view.place
    distance = length(offset)
    yaw = view.pose[:, 2, None]
    ahead = np.cos(yaw) * offset[..., 0] + np.sin(yaw) * offset[..., 1]
    left = distance - things[..., 2] - REACH_M
    there = _seen(view, (left <= SLACK) & (ahead >= cos(FACING) * distance - SLACK), things)
    whole = length(things[..., :2] - view.origin) - things[..., 2] - REACH_M
    return Finding(there, _never(view), _approach(left, whole))


def stop_beside(view: View) -> Finding:
    """Within BESIDE_M of the surface, in the sector around the normal of the line from the clause's origin."""
    things = view.things
    sight = things[..., :2] - view.origin
    normal = view.side[:, None, None] * np.stack([-sight[..., 1], sight[..., 0]], axis=-1)
    normal /= np.maximum(length(sight), SLACK)[..., None]
    offset = view.place - things[..., :2]
    distance = length(offset)
    beside = dot(offset, normal) >= cos(BESIDE_SECTOR) * distance - SLACK
    there = _seen(view, beside & (distance - things[..., 2] <= BESIDE_M + SLACK), things)
    goal = things[..., :2] + (things[..., 2] + BESIDE_M / 2)[..., None] * normal
    left, whole = length(goal - view.place), length(goal - view.origin)
    return Finding(there, _never(view), _approach(left - BESIDE_M / 2, whole - BESIDE_M / 2))


def pass_between(view: View) -> Finding:
    """Crossed a gap from the origin's side and not come back; beyond it by BEYOND_M."""
    gaps = view.gaps
    first, line = gaps[..., :2], gaps[..., 2:] - gaps[..., :2]
    width = np.maximum(length(line), SLACK)
    beyond = -np.sign(cross(line, view.origin - first))
    before = view.of(view.tracker.before)[:, None, :2]
    past, was = (beyond * cross(line, place - first) / width for place in (view.place, before))
    crosses = (was < 0) & (past >= 0)
    meeting = before + (was / np.where(crosses, was - past, 1.0))[..., None] * (view.place - before)
    at = dot(meeting - first, line)
    crossed = (past >= 0) & (view.of(view.tracker.crossed)[:, : view.most] | (crosses & (at >= 0) & (at <= width**2)))
    share = _clip(dot(view.place - first, line) / width**2, 0.0, 1.0)
    away = length(first + share[..., None] * line - view.place)
    there = crossed & (past >= BEYOND_M[0] - SLACK) & (away <= BEYOND_M[1] + SLACK)
    middle = first + line / 2
    approach = _approach(length(middle - view.place), length(middle - view.origin))
    depth = np.where(crossed, _clip(past / BEYOND_M[0], 0.0, 1.0), 0.0).max(axis=1)
    progress = np.where(crossed.any(axis=1), 0.7 + 0.3 * depth, 0.7 * approach)
    return Finding(there.any(axis=1), _never(view), progress, {"crossed": crossed})


def along_walls(view: View) -> Finding:
    """LENGTH_M driven while the walls are as asked; the rest, less the approach, must leave a share of SHARE.

    Following: the wall on the side is WALL_M away, and nearer than any on the other side. Keeping to a side:
    between walls at most CORRIDOR_M apart, with at most KEEP_SHARE of the width on the side.
    """
    left, right = clearance(view.pose, view.walls)
    near, other = np.where(view.side > 0, left, right), np.where(view.side > 0, right, left)
    follow, width = view.clause(view.programs.rule) == Rule.FOLLOW_WALL, near + other
    follows = (near >= WALL_M[0]) & (near <= WALL_M[1]) & (near < other)
    holds = np.where(follow, follows, (width <= CORRIDOR_M) & (near <= KEEP_SHARE * width))
    step = length(view.pose[:, :2] - view.of(view.tracker.before)[:, :2])
    driven, off = view.of(view.tracker.along), view.of(view.tracker.astray)
    along, astray = driven + step * holds, off + step * (~holds & (driven >= BEGUN_M))
    approach = view.of(view.tracker.travel) - along - astray
    lost = astray + np.maximum(approach - np.where(follow, WALL_APPROACH_M, KEEP_APPROACH_M), 0.0)
    broken = lost > LENGTH_M * (1 - SHARE) / SHARE + SLACK
    there = (along >= LENGTH_M - SLACK) & (length(view.pose[:, :2] - view.origin[:, 0]) >= AWAY_M)
    return Finding(there, broken, along / LENGTH_M, {"along": along, "astray": astray})


def arc_around(view: View) -> Finding:
    """Swept SWEEP around a thing within RING_M of its surface, clockwise for left; not WRONG_SWEEP the other way."""
    things = view.things
    center, ring = things[..., :2], [things[..., 2] + edge for edge in RING_M]
    spokes = [place[:, None, :2] - center for place in (view.of(view.tracker.before), view.pose)]
    inside = np.logical_and(*((length(spoke) >= ring[0]) & (length(spoke) <= ring[1]) for spoke in spokes))
    angle = np.arctan2(cross(*spokes), dot(*spokes))
    swept = view.of(view.tracker.swept)[:, : view.most] - view.side[:, None] * angle * inside
    wrong = (swept <= -WRONG_SWEEP) | (center[..., 0] == FAR)
    most = swept.max(axis=1)
    return Finding(most >= SWEEP - SLACK, wrong.all(axis=1), np.maximum(most, 0.0) / SWEEP, {"swept": swept})


def forward(view: View) -> Finding:
    """FORWARD_M ahead of the origin with heading and drift in bounds, within FORWARD_WITHIN_M of path."""
    offset = in_frame(view.of(view.tracker.origin), view.place)[:, 0]
    turned, drift = np.abs(view.of(view.tracker.turned)), np.abs(offset[:, 1])
    there = (offset[:, 0] >= FORWARD_M - SLACK) & (turned <= STRAIGHT + SLACK) & (drift <= DRIFT_M + SLACK)
    late = view.of(view.tracker.travel) > FORWARD_WITHIN_M
    return Finding(there, (turned > SWERVE) | (drift > DRIFT_M) | late, _clip(offset[:, 0] / FORWARD_M, 0.0, 1.0))


def turn(view: View) -> Finding:
    """Heading changed by TURN, or by ADJUST with ADJUST_M driven, to the side, and no longer changing."""
    sharp = view.clause(view.programs.rule) == Rule.TURN
    least, most = (np.where(sharp, *pair) for pair in zip(TURN, ADJUST, strict=True))
    turned, travel = view.side * view.of(view.tracker.turned), view.of(view.tracker.travel)
    settled = np.abs(wrap(view.pose[:, 2] - view.of(view.tracker.before)[:, 2])) <= SETTLED
    far = sharp | (travel >= ADJUST_M - SLACK)
    there = settled & far & (turned >= least - SLACK) & (turned <= most + SLACK)
    wrong = turned < -np.where(sharp, TURN_WRONG, ADJUST_WRONG)
    progress = _clip(np.minimum(turned / least, np.where(sharp, 1.0, travel / ADJUST_M)), 0.0, 1.0)
    return Finding(there, (turned > most + SLACK) | wrong | (travel > MANOEUVRE_M), progress)


def stop(view: View) -> Finding:
    """Stopped within HALT_M of path."""
    rested = length(view.of(view.tracker.recent) - view.place) <= STOP_M
    return Finding(~_never(view), view.of(view.tracker.travel) > HALT_M, rested.mean(axis=1))


RULES: Mapping[Rule, Callable[[View], Finding]] = {
    Rule.GO_TO: go_to, Rule.STOP_BESIDE: stop_beside, Rule.PASS_BETWEEN: pass_between,
    Rule.FOLLOW_WALL: along_walls, Rule.KEEP_SIDE: along_walls, Rule.ARC_AROUND: arc_around,
    Rule.FORWARD: forward, Rule.TURN: turn, Rule.ADJUST: turn, Rule.STOP: stop,
}  # fmt: skip
FINDERS = tuple(dict.fromkeys(RULES.values()))
FINDER_OF = np.array([FINDERS.index(RULES[rule]) for rule in Rule])
"""Index into FINDERS by rule."""
