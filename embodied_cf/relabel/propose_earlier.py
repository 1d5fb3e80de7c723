"""Goals told some steps ago, of which the robot has since done a part, or all: what few goals told at random show.

Robots that drive by things seldom stand beside them, seldom pass between the two that they see, and never stop because
they have turned enough (`relabel.propose_commands`). Without rows of such moments a policy drives on from where it
should stop.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.language.predicate_geometry import cross, length
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import BESIDE_M, RING_M
from embodied_cf.relabel.asked import facing
from embodied_cf.relabel.propose_commands import commands_earlier
from embodied_cf.relabel.propose_things import (
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
_ARC_AGO = (10, 16, 22, 28, 34, 40, 48)
"""Steps before, at which it was told to drive around a thing."""
_ROUND = tuple(np.radians((50, 115))), tuple(np.radians((125, 170)))
"""How far it has come around it since, to go on with it, and to be done."""


def goals_earlier(sights: Sights, families: tuple[str, ...], rng: np.random.Generator) -> Earlier:
    """Return all such goals of some families."""
    parts: list[Earlier] = []
    if "referential" in families:
        parts += [_beside(sights), _of_two(sights, rng), _through(sights, rng)]
    if "continuous" in families:
        parts += [_around(sights, rng), commands_earlier(sights, rng)]
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
    """Return for each step one goal "go around it" of a thing that the robot has in part driven around since, and one
    of a thing that it has gone around."""
    found = np.array([*_found_around(sights)], np.int64).reshape(-1, 5)
    told, start, row, side, _ = found[_few(found[:, 1] * len(_ROUND) + found[:, 4], 1, rng)].T
    return goals_about(told, Rule.ARC_AROUND, side, row, -1), start


def _found_around(sights: Sights) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield the step at which it was told, the present one, landmark, side (clockwise is left) and whether it is
    done."""
    for row in np.flatnonzero(sights.unique & sights.believed).tolist():
        spoke = sights.track[:, :2] - sights.landmarks.place[row, :2]
        angle = np.unwrap(np.arctan2(spoke[:, 1], spoke[:, 0]))
        near = length(spoke) - sights.landmarks.place[row, 2] <= RING_M[1]
        for ago in _ARC_AGO:
            start = _seen_before(sights, row, ago)
            swept = angle[start] - angle[start - ago]
            for done, (least, most) in enumerate(_ROUND):
                come = near[start] & (np.abs(swept) >= least) & (np.abs(swept) <= most)
                side = np.where(swept[come] < 0, 1, -1)
                for step, round_it in zip(start[come].tolist(), side.tolist(), strict=True):
                    yield step - ago, step, row, round_it, done
