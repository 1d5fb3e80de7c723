"""What the robot can be told of what is in view: go to a thing, stop beside it, pass between two, follow a wall.

Only what makes sense where the sightings place things and walls is proposed: gaps of a passable width, things far
enough off. Whether a way leads there is the synthesizer's affair, whether the things are real is the verifier's.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.language.instruction import FAMILIES, Family
from embodied_cf.language.predicate_geometry import wrap
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import CORRIDOR_M
from embodied_cf.relabel.asked import PARTS, Asked, facing
from embodied_cf.relabel.ground import from_world
from embodied_cf.relabel.landmarks import BELIEVED, Landmarks
from embodied_cf.relabel.naming import thing_named
from embodied_cf.relabel.obstacles import Obstacles, beside

_WALL_M = 3.0
"""How near the robot is to a wall that it is told to follow, at most."""
_LOOK_M = np.array([0.0, 0.8, 1.6])
_NARROWEST_M, _EVEN_M = 1.2, 0.6
"""A corridor: where its width is looked at, ahead of the robot; the least width, and by how much it may change."""
_BESIDE_GAP_M, _AROUND_GAP_M = (1.0, 6.0), (0.9, 5.0)
"""From the robot to the surface of a thing that it stops beside or drives around."""
_WIDTH_M, _HEIGHT_M = (0.95, 2.5), 0.9
"""Of a gap to pass through, and the robot's least distance from its line."""
_NEARER_BY_M = 1.0
"""By how much the nearest of a kind must be nearer to the other thing than the next."""
COMMANDS = (Rule.FORWARD, Rule.TURN, Rule.TURN)
COMMAND_SIDES = (0, 1, -1)
_COMMAND_SHARE = 0.35
"""Share of chains that begin with a driving command."""
_LIKELY, _SOON, _BENT = 0.6, 10, np.radians(20)
"""Share of these that begin with what the robot really does in the next steps, so that some are done with it when they
branch off; and by how much it then turns at least, rad."""


@dataclass(frozen=True)
class Goals:
    """P goals before they are put into words."""

    told: Int64[np.ndarray, " p"]
    """Step at which the robot is told."""
    asked: Asked
    """A goal about "the chair nearest the box" names the box second."""

    def __len__(self) -> int:
        return len(self.told)

    def take(self, rows: Int64[np.ndarray, " k"]) -> "Goals":
        """Return the chosen goals, in the order given."""
        return Goals(self.told[rows], self.asked.take(rows))

    @staticmethod
    def joined(parts: Sequence["Goals"]) -> "Goals":
        """Return the goals of all parts, in order; there may be no part."""
        parts = [Goals(np.zeros(0, np.int64), Asked.nothing(0)), *parts]
        return Goals(np.concatenate([part.told for part in parts]), Asked.joined([part.asked for part in parts]))


@dataclass(frozen=True)
class Sights:
    """The landmarks of an episode as they are seen at some of its steps."""

    landmarks: Landmarks
    track: Float[np.ndarray, "t 3"]
    steps: Int64[np.ndarray, " s"]
    obstacles: Obstacles

    @cached_property
    def pairs(self) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
        """Step and row of everything in view."""
        at, row = np.nonzero(self.landmarks.seen[:, self.steps].T)
        return self.steps[at], row

    @cached_property
    def gap(self) -> Float[np.ndarray, " k"]:
        """Distance of the surface of everything in view, m."""
        told, row = self.pairs
        here = from_world(self.track[told], self.landmarks.place[row, :2])
        return np.hypot(here[:, 0], here[:, 1]) - self.landmarks.place[row, 2]

    @cached_property
    def known(self) -> Bool[np.ndarray, " n"]:
        """Which landmarks have names of the grammar."""
        return np.array([thing_named(name) is not None for name in self.landmarks.name], bool)

    @cached_property
    def believed(self) -> Bool[np.ndarray, " n"]:
        """Which of them some frame's neighbours confirm."""
        return self.known & (self.landmarks.belief >= BELIEVED)

    @cached_property
    def unique(self) -> Bool[np.ndarray, " n"]:
        """Which landmarks have a name of the grammar that no other believed one has."""
        count = Counter(self.landmarks.name[row] for row in np.flatnonzero(self.believed).tolist())
        rows = zip(self.landmarks.name, self.believed.tolist(), strict=True)
        return self.known & np.array([count[name] == own for name, own in rows], bool)

    @cached_property
    def kind(self) -> np.ndarray:
        """Kind of each landmark, "" where its name is not of the grammar."""
        things = map(thing_named, self.landmarks.name)
        return np.array([thing.kind if thing else "" for thing in things], object)

    @cached_property
    def lone(self) -> Bool[np.ndarray, " n"]:
        """Which landmarks are the only believed ones of their kind, so that the kind alone names them."""
        count = Counter(self.kind[self.believed].tolist())
        rows = zip(self.kind.tolist(), self.believed.tolist(), strict=True)
        return self.known & np.array([count[kind] == own for kind, own in rows], bool)


def goals_in_view(sights: Sights, families: Sequence[Family], options: int, rng: np.random.Generator) -> Goals:
    """Return at most `options` goals of each family for each step, drawn at random from what makes sense there."""
    goals = _few(goals_possible(sights), options, rng)
    if "chained" in families:
        first = goals.asked.landmark[:, 0, 0]
        said = goals.take(np.flatnonzero((first < 0) | np.append(sights.known, True)[first]))
        goals = Goals.joined([goals, _few(_chains(sights, said, rng), options, rng)])
    wanted = [FAMILIES.index(name) for name in families]
    return goals.take(np.flatnonzero(np.isin(goals.asked.family, wanted)))


def goals_possible(sights: Sights) -> Goals:
    """Return every goal of one clause that makes sense at some step."""
    return Goals.joined([*_single(sights), *goals_of_two(sights), *_along(sights)])


def goals_about(
    told: np.ndarray, rule: int | np.ndarray, side: int | np.ndarray, first: np.ndarray, second: np.ndarray | int
) -> Goals:
    """Return goals of one clause, about landmarks by row (-1: none)."""
    asked = Asked.nothing(len(told))
    asked.rule[:, 0], asked.side[:, 0] = rule, side
    asked.landmark[:, 0, 0], asked.landmark[:, 0, 1] = first, second
    return Goals(told, asked)


def _single(sights: Sights) -> Iterator[Goals]:
    """Yield goals about one thing each."""
    told, row = sights.pairs
    yield goals_about(told, Rule.GO_TO, 0, row, -1)
    for rule, (least, most) in ((Rule.STOP_BESIDE, _BESIDE_GAP_M), (Rule.ARC_AROUND, _AROUND_GAP_M)):
        far = sights.unique[row] & (sights.gap >= least) & (sights.gap <= most)
        for side in (1, -1):
            yield goals_about(told[far], rule, side, row[far], -1)


def goals_of_two(sights: Sights) -> Iterator[Goals]:
    """Yield goals about two things that are both in view."""
    place, seen = sights.landmarks.place, sights.landmarks.seen[:, sights.steps]
    for first, second in gaps(sights):
        told = sights.steps[seen[first] & seen[second]]
        gap = facing(place[None, [first, second]])[0]
        along = (gap[2:] - gap[:2]) / np.hypot(*(gap[2:] - gap[:2]))
        offset = sights.track[told, :2] - (gap[:2] + gap[2:]) / 2
        told = told[np.abs(offset[:, 0] * along[1] - offset[:, 1] * along[0]) >= _HEIGHT_M]
        yield goals_about(told, Rule.PASS_BETWEEN, 0, np.full(len(told), first), second)
    for target, anchor in _nearest(sights):
        told = sights.steps[seen[target] & seen[anchor]]
        yield goals_about(told, Rule.GO_TO, 0, np.full(len(told), target), anchor)


def _along(sights: Sights) -> Iterator[Goals]:
    """Yield walls to follow and sides of corridors to keep to, where the robot is near them."""
    here = sights.track[sights.steps]
    heading = np.stack([np.cos(here[:, 2]), np.sin(here[:, 2]), np.zeros(len(here))], axis=1)
    ahead = here[:, None] + _LOOK_M[:, None] * heading[:, None]  # (s, 3 places, 3)
    left, right = beside(ahead, sights.obstacles.walls_near(here[:, :2]))
    corridor = _is_corridor(left + right)
    for side, near, other in ((1, left[:, 0], right[:, 0]), (-1, right[:, 0], left[:, 0])):
        for rule, fits in ((Rule.FOLLOW_WALL, (near <= _WALL_M) & (near < other)), (Rule.KEEP_SIDE, corridor)):
            told = sights.steps[fits]
            yield goals_about(told, rule, side, np.full(len(told), -1), -1)


def _is_corridor(width: Float[np.ndarray, "s k"]) -> Bool[np.ndarray, " s"]:
    """Return whether the walls on both sides stay so near, and as far from each other, as those of a corridor."""
    widest, narrowest = width.max(axis=1), width.min(axis=1)
    near = (widest <= CORRIDOR_M - _EVEN_M / 2) & (narrowest >= _NARROWEST_M)
    return near & (np.where(near, widest, 0.0) - np.where(near, narrowest, 0.0) <= _EVEN_M)


def gaps(sights: Sights) -> Iterator[tuple[int, int]]:
    """Yield pairs of landmarks with room to pass between, in either order of naming."""
    place, rows = sights.landmarks.place, np.flatnonzero(sights.unique)
    offset = place[rows, None, :2] - place[rows, :2]
    width = np.hypot(offset[..., 0], offset[..., 1]) - place[rows, None, 2] - place[rows, 2]
    fits = (width >= _WIDTH_M[0]) & (width <= _WIDTH_M[1])
    for first, second in np.argwhere(np.triu(fits, 1)).tolist():
        yield int(rows[first]), int(rows[second])


def _nearest(sights: Sights) -> Iterator[tuple[int, int]]:
    """Yield (thing, other) where the thing is of a kind that comes several times and clearly nearest to the other."""
    place, believed = sights.landmarks.place, np.flatnonzero(sights.believed)
    for kind, count in Counter(sights.kind[believed].tolist()).items():
        for anchor in np.flatnonzero(sights.unique & (sights.kind != kind)).tolist() if count > 1 else ():
            rows = believed[sights.kind[believed] == kind]
            gap = np.hypot(*(place[rows, :2] - place[anchor, :2]).T)
            nearest, next_one = np.argsort(gap)[:2]
            if gap[next_one] - gap[nearest] >= _NEARER_BY_M:
                yield int(rows[nearest]), anchor


def _few(goals: Goals, options: int, rng: np.random.Generator) -> Goals:
    """Return at most `options` goals of each step and family, at random; kinds of clauses come up equally often."""
    key = goals.told * len(FAMILIES) + goals.asked.family
    rule = key * len(Rule) + goals.asked.rule[:, 0]
    order = np.lexsort((rng.random(len(goals)), rule))
    turn = np.empty(len(goals), np.int64)
    turn[order] = np.arange(len(goals)) - np.searchsorted(rule[order], rule[order])
    order = np.lexsort((rng.random(len(goals)), turn, key))
    key = key[order]
    return goals.take(order[np.arange(len(order)) - np.searchsorted(key, key) < options])


def _chains(sights: Sights, goals: Goals, rng: np.random.Generator) -> Goals:
    """Return "one goal, then another" of the same step, about different things, and "command, then goal"."""
    order = np.lexsort((rng.random(len(goals)), goals.told))
    first, second = goals.take(order[:-1]), goals.take(order[1:])
    asked = Asked(*(getattr(second.asked, name).copy() for name in ("rule", "side", "landmark")))
    for name in ("rule", "side", "landmark"):
        table, head, tail = (getattr(part, name) for part in (asked, first.asked, second.asked))
        table[:, 0], table[:, 1:PARTS] = head[:, 0], tail[:, : PARTS - 1]
    by_command = rng.random(len(second)) < _COMMAND_SHARE
    command = rng.integers(len(COMMANDS), size=len(second))
    command = np.where(rng.random(len(second)) < _LIKELY, _begun(sights, second.told), command)
    asked.rule[by_command, 0] = np.array(COMMANDS)[command[by_command]]
    asked.side[by_command, 0] = np.array(COMMAND_SIDES)[command[by_command]]
    asked.landmark[by_command, 0] = -1
    differ = asked.landmark[:, 0, 0] != asked.landmark[:, 1, 0]
    return Goals(second.told, asked).take(np.flatnonzero((first.told == second.told) & differ))


def _begun(sights: Sights, told: Int64[np.ndarray, " p"]) -> Int64[np.ndarray, " p"]:
    """Return which command the robot comes nearest to carrying out next."""
    soon = np.minimum(told + _SOON, len(sights.track) - 1)
    turned = wrap(sights.track[soon, 2] - sights.track[told, 2])
    return np.select([turned > _BENT, turned < -_BENT], [1, 2], 0)
