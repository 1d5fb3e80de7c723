"""From what was seen frame by frame to what the robot did: which things it drove up to.

Used by captioners that name objects with boxes but write no sentences: it looks at names and boxes only, as a
model that watches the frames could.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from embodied_cf.language import connectives
from embodied_cf.language.phrasing import GO_TO, going_to
from embodied_cf.vlm.captions import Box, Hindsight, SeenObject

Sighting = tuple[int, Box]
"""Step and box."""


@dataclass(frozen=True)
class ArrivalRule:
    """When a box says that the robot has come up to a thing, as "go to" means it (`predicate_rules.REACH_M`): a label
    that ends earlier teaches to stop short. Shares are of the frame's size."""

    bottom: float = 0.83
    """Its lower edge lies at least so far down: within some 0.9 m for a level camera at 0.6 m and 90 degrees."""
    middle: float = 0.45
    """Its centre lies within this share of the width of the middle: it is faced."""
    growth: float = 1.5
    """It has grown in height by this factor since it came into view."""
    gap: int = 3
    """Frames that it may be missed in between."""
    longest: int = 40
    """Steps that one instruction spans at most."""
    longest_chain: int = 60
    """Steps that an instruction to go to two things in turn spans at most."""


def arrivals(
    seen: Sequence[SeenObject],
    size: tuple[int, int],
    rule: ArrivalRule,
    rng: np.random.Generator,
) -> Iterator[Hindsight]:
    """Yield "go to the red chair" over the steps in which the robot came up to it, and "..., then ..." over two that
    followed each other. `size` is (width, height)."""
    came = sorted(_arrivals(seen, size, rule), key=lambda arrival: (arrival.end, arrival.start, arrival.name))
    texts = [going_to(arrival.name, int(rng.integers(len(GO_TO.train)))) for arrival in came]
    for arrival, text in zip(came, texts, strict=True):
        yield Hindsight(arrival.start, arrival.end, text, 1.0, "its box grew to the foot of the frame")
    for first, second in pairwise(range(len(came))):
        start, end = came[first].start, came[second].end
        if came[first].name != came[second].name and end - start <= rule.longest_chain:
            connective = connectives.TRAIN[int(rng.integers(len(connectives.TRAIN)))]
            text = connectives.join((texts[first], texts[second]), connective)
            yield Hindsight(start, end, text, 1.0, "two boxes grew to the foot of the frame, one after the other")


@dataclass(frozen=True)
class _Arrival:
    """The robot came up to a thing over steps [start, end)."""

    start: int
    end: int
    name: str


def _arrivals(seen: Sequence[SeenObject], size: tuple[int, int], rule: ArrivalRule) -> Iterator[_Arrival]:
    by_name: dict[str, list[Sighting]] = {}
    for item in seen:
        if item.box is not None:
            by_name.setdefault(item.name, []).append((item.step, item.box))
    for name, sightings in by_name.items():
        for visit in _visits(sightings, rule):
            begin, first = visit[0]  # one frame may hold two boxes of a name, and nobody arrives in the same step
            came = [step for step, box in visit if step > begin and _has_come(box, first, size, rule)]
            if came:
                yield _Arrival(max(begin, came[0] - rule.longest), came[0], name)


def _visits(sightings: list[Sighting], rule: ArrivalRule) -> Iterator[list[Sighting]]:
    """Yield the stretches of frames in which a thing is seen again and again."""
    visit: list[Sighting] = []
    for step, box in sightings:
        if visit and step - visit[-1][0] > rule.gap:
            yield visit
            visit = []
        visit.append((step, box))
    if visit:
        yield visit


def _has_come(box: Box, first: Box, size: tuple[int, int], rule: ArrivalRule) -> bool:
    x0, y0, x1, y1 = box
    grown = (y1 - y0) >= rule.growth * (first[3] - first[1])
    central = abs((x0 + x1) / 2 - size[0] / 2) <= rule.middle * size[0]
    return grown and central and y1 >= rule.bottom * size[1]
