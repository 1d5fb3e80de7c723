"""Which instructions make sense in a scene: each names one thing only, is not carried out yet, and leaves room.

Whether a way exists is not asked here; `envs.tasks` plans it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from embodied_cf.envs import geometry
from embodied_cf.envs.scene import Scene
from embodied_cf.envs.splits import Split, is_fresh
from embodied_cf.language.instruction import (
    DOOR,
    WALL,
    ArcAround,
    Clause,
    Do,
    Family,
    FollowWall,
    GoTo,
    KeepSide,
    PassBetween,
    Side,
    StopBeside,
    Thing,
)

FAR_ENOUGH_M = 2.5
"""From the start to the surface of a target: further than where one may stop."""
_NEARER_BY_M = 0.8
"""By how much the nearest of a kind must be nearer to the anchor than the next."""
_GAP_M = (0.9, 2.4)
"""Free width between two things that one can be sent through."""
_BESIDE_M = 0.6
SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True)
class Sights:
    """A scene's things with what can be said of each."""

    scene: Scene
    split: Split

    @cached_property
    def things(self) -> tuple[Thing, ...]:
        """Each thing's full name; objects first, then doors."""
        seen = self.scene.surroundings()
        return tuple(Thing(kind, colour) for kind, colour in zip(seen.kind, seen.colour, strict=True))

    @cached_property
    def position(self) -> Float[np.ndarray, "n 2"]:
        """Centres, m."""
        return self.scene.surroundings().position

    @cached_property
    def radius(self) -> Float[np.ndarray, " n"]:
        """Radii, m."""
        return self.scene.surroundings().radius

    @cached_property
    def unique(self) -> tuple[int, ...]:
        """Things whose full name no other has."""
        count = Counter(self.things)
        return tuple(row for row, thing in enumerate(self.things) if count[thing] == 1)

    @cached_property
    def targets(self) -> tuple[int, ...]:
        """Unique objects whose name belongs to the split and that are far from the start; doors too."""
        gap = np.hypot(*(self.position - self.scene.start[:2]).T) - self.radius
        return tuple(row for row in self.unique if gap[row] >= FAR_ENOUGH_M and is_fresh(self.things[row], self.split))

    def names(self, row: int) -> tuple[Thing, ...]:
        """Return the noun phrases that name a unique thing: with its colour, and without if its kind is alone."""
        kinds = Counter(thing.kind for thing in self.things)
        full = self.things[row]
        return (full, Thing(full.kind)) if kinds[full.kind] == 1 else (full,)

    def clearance(self, point: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
        """Return each point's distance to the nearest wall or object surface, m."""
        scene = self.scene
        wall = geometry.segment_distance(point, scene.walls).min(axis=1)
        thing = np.linalg.norm(point[:, None] - scene.position, axis=2) - scene.radius
        return np.minimum(wall, thing.min(axis=1, initial=np.inf))


def candidates(scene: Scene, split: Split, family: Family) -> list[Clause]:
    """Return the single clauses of a family that make sense in a scene; for chains, those that may be parts."""
    sights = Sights(scene, split)
    match family:
        case "object":
            return list(_go_to(sights))
        case "referential":
            return [*_nearest(sights), *_beside(sights), *_between(sights)]
        case "continuous":
            along: list[Clause] = [FollowWall(side) for side in SIDES]
            if scene.family == "corridors":
                along += [KeepSide(side) for side in SIDES]
            return [*along, *_around(sights)]
        case _:
            first = [Do(command) for command in ("forward", "turn_left", "turn_right")]
            return [*first, *_go_to(sights), *_beside(sights), *_between(sights), *_around(sights)]


def _go_to(sights: Sights) -> Iterator[Clause]:
    for row in sights.targets:
        yield from (GoTo(name) for name in sights.names(row))


def _nearest(sights: Sights) -> Iterator[Clause]:
    """Yield "the chair nearest the door" where there are several chairs and one of them is clearly nearest."""
    kinds = Counter(thing.kind for thing in sights.things)
    for kind in (kind for kind, count in kinds.items() if count > 1 and kind != DOOR):
        rows = np.array([row for row, thing in enumerate(sights.things) if thing.kind == kind])
        for anchor in sights.unique:
            if sights.things[anchor].kind == kind:
                continue
            gap = np.hypot(*(sights.position[rows] - sights.position[anchor]).T)
            first, second = np.argsort(gap)[:2]
            if gap[second] - gap[first] >= _NEARER_BY_M and int(rows[first]) in sights.targets:
                yield GoTo(Thing(kind), near=sights.names(anchor)[-1])


def _beside(sights: Sights) -> Iterator[Clause]:
    """Yield "stop left of the table" where there is room to stand."""
    start = sights.scene.start[:2]
    for row in sights.targets:
        if sights.things[row].kind == DOOR:
            continue
        along = sights.position[row] - start
        left = np.array([-along[1], along[0]]) / np.hypot(*along) * (sights.radius[row] + _BESIDE_M)
        room = sights.clearance(sights.position[row] + np.stack([left, -left]))
        yield from (
            StopBeside(sights.names(row)[0], side) for side, free in zip(SIDES, room, strict=True) if free > 0.42
        )


def _between(sights: Sights) -> Iterator[Clause]:
    """Yield "pass between the cone and the wall" where the gap is wide enough, and free beyond."""
    objects = [row for row in sights.targets if sights.things[row].kind != DOOR]
    others = [row for row in sights.unique if sights.things[row].kind != DOOR]
    for first in objects:
        here, radius = sights.position[first], float(sights.radius[first])
        for second in (row for row in others if row > first or (row != first and row not in objects)):
            if _can_pass(sights, here, radius, sights.position[second], float(sights.radius[second])):
                yield PassBetween(sights.names(first)[0], sights.names(second)[0])
        nearest = geometry.nearest_on_segment(here[None], sights.scene.walls)[0]
        foot = nearest[np.hypot(*(nearest - here).T).argmin()]
        if _can_pass(sights, here, radius, foot, 0.0):
            yield PassBetween(sights.names(first)[0], Thing(WALL))


def _can_pass(
    sights: Sights,
    first: Float[np.ndarray, " 2"],
    first_radius: float,
    second: Float[np.ndarray, " 2"],
    second_radius: float,
) -> bool:
    length = float(np.hypot(*(second - first)))
    gap = length - first_radius - second_radius
    if not _GAP_M[0] <= gap <= _GAP_M[1]:
        return False
    unit = (second - first) / length
    middle = first + unit * (first_radius + gap / 2)
    across = np.array([-unit[1], unit[0]])
    height = float((sights.scene.start[:2] - middle) @ across)
    room = sights.clearance(middle - np.sign(height) * np.outer((-0.6, 0.0, 0.6, 1.2), across))
    return abs(height) >= 1.2 and bool((room >= 0.4).all())


def _around(sights: Sights) -> Iterator[Clause]:
    """Yield arcs around things that have free ground on the side where they are passed."""
    angle = np.arange(16) * np.pi / 8
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for row in sights.targets:
        if sights.things[row].kind == DOOR:
            continue
        free = sights.clearance(sights.position[row] + ring * (sights.radius[row] + 0.9)) >= 0.45
        if free.sum() >= 9:
            yield from (ArcAround(sights.names(row)[0], side) for side in SIDES)
