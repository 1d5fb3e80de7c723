"""Goals told some steps ago, of which the robot has since done a part, or all: what few goals told at random show.

Robots that drive by things seldom stand beside them, seldom pass between the two that they see, and never stop because
they have turned enough. Without rows of such moments a policy drives on from where it should stop.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.language.predicate_geometry import cross, length, wrap
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import BESIDE_M, RING_M
from embodied_cf.relabel.asked import facing
from embodied_cf.relabel.propose_things import (
    COMMAND_SIDES,
    COMMANDS,
    Goals,
    Sights,
    gaps,
    goals_about,
    goals_of_two,
)
from embodied_cf.relabel.ways import BESIDE_ENOUGH_M

Earlier = tuple[Goals, Int64[np.ndarray, " p"]]
"""Goals, and for each the step at which it is to be carried on."""
_AGO = (4, 7, 10, 14, 19)
"""Steps before, at which it may have been told."""
_LEAST_GAP_M = 1.0
"""From where it was told to the surface of the thing that it stops beside."""
_OF_TWO = 2
"""Goals about two things for one step, of each kind of clause, at most."""
_THROUGH_AGO, _BEYOND_M = (8, 12, 16, 20, 25, 30), (0.0, 1.6)
"""Steps before, at which it was told to pass between two things, and how far it is beyond their gap."""
_ARC_AGO, _LEAST_SWEEP = (10, 16, 22, 28, 34), np.radians(50)
"""Steps before, at which it was told to drive around a thing, and how far it has come around it since, at least."""
_COMMAND_AGO, _MORE = 24, 0.6
"""Steps before, at which it was told a driving command, at most; and share of which of two such the one is taken since
which it has turned more."""
_LIKELY, _BENT = 0.7, np.radians(20)
"""Share of commands that it has begun to carry out, and by how much it has then turned at least, rad."""


def goals_earlier(sights: Sights, families: tuple[str, ...], rng: np.random.Generator) -> Earlier:
    """Return all such goals of some families."""
    parts: list[Earlier] = []
    if "referential" in families:
        parts += [_beside(sights), _of_two(sights, rng), _through(sights, rng)]
    if "continuous" in families:
        parts += [_around(sights, rng), _commands(sights, rng)]
    start = np.concatenate([np.zeros(0, np.int64), *(start for _, start in parts)])
    return Goals.joined([goals for goals, _ in parts]), start


def _beside(sights: Sights) -> Earlier:
    """Return goals "stop left (right) of it" of things that were in view when it was told, where the robot has arrived
    and may stand."""
    found = np.array([*_found_beside(sights)], np.int64).reshape(-1, 4)
    told, start, row, side = found.T
    return goals_about(told, Rule.STOP_BESIDE, side, row, -1), start


def _found_beside(sights: Sights) -> Iterator[tuple[int, int, int, int]]:
    """Yield the step at which it was told, that at which it has arrived, landmark and side."""
    for row in np.flatnonzero(sights.unique & sights.believed).tolist():
        for ago in _AGO:
            start = _seen_before(sights, row, ago)
            for side in (1, -1):
                there = _is_beside(sights.track[start - ago], sights.track[start], sights.landmarks.place[row], side)
                yield from ((step - ago, step, row, side) for step in start[there].tolist())


def _seen_before(sights: Sights, row: int, ago: int) -> Int64[np.ndarray, " s"]:
    """Return the steps before which a landmark was in view, so many steps ago."""
    start = sights.steps[sights.steps >= ago]
    return start[sights.landmarks.seen[row, start - ago]]


def _is_beside(
    told: Float[np.ndarray, "n 3"], here: Float[np.ndarray, "n 3"], thing: Float[np.ndarray, " 3"], side: int
) -> Bool[np.ndarray, " n"]:
    """Return which robots are at the place beside a thing, as seen from where they were told."""
    sight = thing[:2] - told[:, :2]
    away = np.maximum(length(sight), 1e-9)
    normal = side * np.stack([-sight[:, 1], sight[:, 0]], axis=1) / away[:, None]
    aim = thing[:2] + (thing[2] + BESIDE_M / 2) * normal
    return (away - thing[2] >= _LEAST_GAP_M) & (length(here[:, :2] - aim) <= BESIDE_ENOUGH_M)


def _of_two(sights: Sights, rng: np.random.Generator) -> Earlier:
    """Return goals about two things that were both in view when it was told: seldom both are."""
    goals = Goals.joined([*goals_of_two(sights)])
    every = np.repeat(np.arange(len(goals)), len(_AGO) + 1)
    start = goals.told[every] + np.tile((0, *_AGO), len(goals))
    rows = np.flatnonzero(np.isin(start, sights.steps))
    rows = rows[_few(start[rows] * len(Rule) + goals.asked.rule[every[rows], 0], _OF_TWO, rng)]
    return goals.take(every[rows]), start[rows]


def _through(sights: Sights, rng: np.random.Generator) -> Earlier:
    """Return for each step one goal "pass between them" of two things between which the robot has come since."""
    found = np.array([*_found_through(sights)], np.int64).reshape(-1, 4)
    told, start, first, second = found[_few(found[:, 1], 1, rng)].T
    return goals_about(told, Rule.PASS_BETWEEN, 0, first, second), start


def _found_through(sights: Sights) -> Iterator[tuple[int, int, int, int]]:
    """Yield the step at which it was told, that at which it is beyond the gap, and the landmarks on both sides."""
    place, seen = sights.landmarks.place, sights.landmarks.seen
    for first, second in gaps(sights):
        gap = facing(place[None, [first, second]])[0]
        past, at = _across(gap, sights.track[:, :2])
        for ago in _THROUGH_AGO:
            start = sights.steps[sights.steps >= ago]
            told = start - ago
            beyond = -np.sign(past[told]) * past[start]
            come = seen[first, told] & seen[second, told] & (beyond >= _BEYOND_M[0]) & (beyond <= _BEYOND_M[1])
            for step in start[come].tolist():
                crossing = np.flatnonzero(np.diff(np.sign(past[step - ago : step + 1]))) + step - ago
                if len(crossing) == 1 and 0 <= at[crossing[0]] <= 1:
                    yield step - ago, step, first, second


def _across(
    gap: Float[np.ndarray, " 4"], place: Float[np.ndarray, "t 2"]
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Return how far places are from a gap's line, m, by sign, and where along it they are: 0 to 1 in the gap."""
    line, offset = gap[2:] - gap[:2], place - gap[:2]
    width = np.hypot(*line)
    return cross(line, offset) / width, offset @ line / width**2


def _few(key: Int64[np.ndarray, " n"], most: int, rng: np.random.Generator) -> Int64[np.ndarray, " k"]:
    """Return at most so many rows of each key, at random."""
    order = np.lexsort((rng.random(len(key)), key))
    turn = np.arange(len(key)) - np.searchsorted(key[order], key[order])
    return order[turn < most]


def _around(sights: Sights, rng: np.random.Generator) -> Earlier:
    """Return for each step one goal "go around it" of a thing that the robot has in part driven around since."""
    found = np.array([*_found_around(sights)], np.int64).reshape(-1, 4)
    told, start, row, side = found[_few(found[:, 1], 1, rng)].T
    return goals_about(told, Rule.ARC_AROUND, side, row, -1), start


def _found_around(sights: Sights) -> Iterator[tuple[int, int, int, int]]:
    """Yield the step at which it was told, the present one, landmark and side: clockwise is left."""
    for row in np.flatnonzero(sights.unique & sights.believed).tolist():
        spoke = sights.track[:, :2] - sights.landmarks.place[row, :2]
        angle = np.unwrap(np.arctan2(spoke[:, 1], spoke[:, 0]))
        near = length(spoke) - sights.landmarks.place[row, 2] <= RING_M[1]
        for ago in _ARC_AGO:
            start = _seen_before(sights, row, ago)
            swept = angle[start] - angle[start - ago]
            come = near[start] & (np.abs(swept) >= _LEAST_SWEEP)
            yield from ((step - ago, step, row, 1 if sweep < 0 else -1)
                        for step, sweep in zip(start[come].tolist(), swept[come].tolist(), strict=True))  # fmt: skip


def _commands(sights: Sights, rng: np.random.Generator) -> Earlier:
    """Return a driving command for each step that can have been told before: to go on with it, or that it is done."""
    start, yaw = sights.steps[sights.steps >= 1], sights.track[:, 2]
    ago = np.minimum(rng.integers(1, _COMMAND_AGO + 1, (2, len(start))), start)
    turned = wrap(yaw[start] - yaw[start - ago])
    more = np.where(rng.random(len(start)) < _MORE, np.abs(turned).argmax(axis=0), 0)
    each = np.arange(len(start))
    told, turned = start - ago[more, each], turned[more, each]
    begun = np.select([turned > _BENT, turned < -_BENT], [1, 2], 0)
    command = np.where(rng.random(len(start)) < _LIKELY, begun, rng.integers(len(COMMANDS), size=len(start)))
    none = np.full(len(start), -1)
    return goals_about(told, np.array(COMMANDS)[command], np.array(COMMAND_SIDES)[command], none, none), start
