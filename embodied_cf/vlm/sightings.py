"""From what was seen frame by frame to what the robot did: which things it drove up to.

Used by captioners that name objects with boxes but write no sentences: it looks at names and boxes only, as a
model that watches the frames could.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from embodied_cf.language.phrasing import GO_TO, going_to
from embodied_cf.vlm.captions import Box, Hindsight, SeenObject

Sighting = tuple[int, Box]
"""Step and box."""


@dataclass(frozen=True)
class ArrivalRule:
    """When a box says that the robot has come up to a thing. Shares are of the frame's size."""

    bottom: float = 0.68
    """Its lower edge lies at least so far down: within some 1.7 m for a level camera at 0.6 m and 90 degrees."""
    middle: float = 0.3
    """Its centre lies within this share of the width of the middle."""
    growth: float = 1.5
    """It has grown in height by this factor since it came into view."""
    gap: int = 3
    """Frames that it may be missed in between."""
    longest: int = 40
    """Steps that one instruction spans at most."""


def arrivals(
    seen: Sequence[SeenObject],
    size: tuple[int, int],
    rule: ArrivalRule,
    rng: np.random.Generator,
) -> Iterator[Hindsight]:
    """Yield "go to the red chair" over the steps in which the robot came up to it. `size` is (width, height)."""
    by_name: dict[str, list[Sighting]] = {}
    for item in seen:
        if item.box is not None:
            by_name.setdefault(item.name, []).append((item.step, item.box))
    for name, sightings in by_name.items():
        for visit in _visits(sightings, rule):
            came = [step for step, box in visit[1:] if _has_come(box, visit[0][1], size, rule)]
            if came:
                start = max(visit[0][0], came[0] - rule.longest)
                text = going_to(name, int(rng.integers(len(GO_TO.train))))
                yield Hindsight(start, came[0], text, 1.0, "its box grew to the foot of the frame")


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
