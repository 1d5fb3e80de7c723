"""What stands out of view, to the left: told to go there, the robot searches.

A policy sees what its camera shows. Where it should look for what is not there cannot be seen, so there must be a
convention: on ahead while the floor is free, and else round to the left. Who only turned would come back to where it
began, and turn for ever if the thing is hidden, or too far off to be made out. Labels teach it only where turning leads
there, too: where the thing stands to the left.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from embodied_cf.datasets.spec import CameraModel
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.scale import MotionScale
from embodied_cf.relabel.asked import Asked
from embodied_cf.relabel.ground import from_world
from embodied_cf.relabel.obstacles import Obstacles
from embodied_cf.relabel.propose_things import Goals, Sights
from embodied_cf.relabel.synthesize import arcs

_MARGIN = np.radians(10)
"""Beyond the edge of the frame, so that no part of the thing is seen."""
_TURN = 1.8
"""By how much it turns in one chunk, rad: further than robots turn that see where they go, whatever the data's typical
turn (`datasets.streams.augment.ABOUT` tells it from them)."""
_LEAST_TURN, _MOST_BEND, _LEAST_AHEAD = 1.2, 0.2, 0.8
"""A chunk that searches turns to the left by so many rad at least, or by so few at most and leads on by this share of
what the data's speed allows."""
REASON = "out of view, to the left"


def is_elsewhere(place: Float[np.ndarray, "n 2"], camera: CameraModel) -> Bool[np.ndarray, " n"]:
    """Return which places in the robot's frame are beyond the left edge of what the camera shows, or behind to the
    left. With 90 degrees across, (1, 1) lies on the edge and (0, 1) beyond it."""
    return np.arctan2(place[:, 1], place[:, 0]) > np.radians(camera.horizontal_fov_deg) / 2 + _MARGIN


@dataclass(frozen=True)
class _Way:
    """A way to search."""

    speed: float
    """Share of the data's."""
    turn: float
    """To the left in one chunk, rad."""
    room_m: float
    """Room beside it that it needs, m, over `ahead` chunks."""
    ahead: float = 1.0

    def chunk(self, scale: MotionScale, steps: int, count: float = 1.0) -> Float32[np.ndarray, "1 h 2"]:
        """Return `count` chunks of it in `steps` points."""
        return arcs(np.array([count * self.speed * scale.step * steps]), np.array([count * self.turn]), steps)


_WAYS = (_Way(0.1, _TURN, 0.0), _Way(0.6, _TURN, 0.3), _Way(1.0, 0.0, 0.4, ahead=1.2))
"""The last for which there is room: nearly on the spot, a bend, straight on."""


def searches(
    scale: MotionScale, steps: int, obstacles: Obstacles, here: Float[np.ndarray, "p 3"]
) -> Float32[np.ndarray, "p h 2"]:
    """Return the chunk with which a robot searches from each pose x m, y m, yaw rad: x forward, y left, m."""
    on_the_spot, *wider = _WAYS
    chosen = np.repeat(on_the_spot.chunk(scale, steps), len(here), axis=0)
    for way in wider:
        path = np.repeat(way.chunk(scale, steps, way.ahead), len(here), axis=0)
        chosen[~obstacles.touched(here, path, way.room_m)] = way.chunk(scale, steps)
    return chosen


def is_search(pose: Float[np.ndarray, "p k 3"], reach: float) -> Bool[np.ndarray, " p"]:
    """Return which ways turn far to the left, or lead straight on; `reach` in m is how far a chunk leads."""
    turn, move = turns_left(pose), pose[:, -1, :2] - pose[:, 0, :2]
    ahead = np.cos(pose[:, 0, 2]) * move[:, 0] + np.sin(pose[:, 0, 2]) * move[:, 1]
    return (turn >= _LEAST_TURN) | ((np.abs(turn) <= _MOST_BEND) & (ahead >= _LEAST_AHEAD * reach))


def goals_elsewhere(sights: Sights, camera: CameraModel, rng: np.random.Generator) -> Goals:
    """Return for each step one thing to go to that stands to the left, out of view, where there is any."""
    pairs = np.array([*_pairs(sights, camera)], np.int64).reshape(-1, 2)
    pairs = pairs[np.lexsort((rng.random(len(pairs)), pairs[:, 0]))]
    told, row = pairs[np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))].T
    asked = Asked.nothing(len(told))
    asked.rule[:, 0], asked.landmark[:, 0, 0] = Rule.GO_TO, row
    return Goals(told, asked)


def _pairs(sights: Sights, camera: CameraModel) -> Iterator[tuple[int, int]]:
    """Yield step and row of what is out of view to the left and has a name of its own."""
    for row in np.flatnonzero(sights.unique & sights.believed).tolist():
        place = np.repeat(sights.landmarks.place[[row], :2], len(sights.steps), axis=0)
        out = is_elsewhere(from_world(sights.track[sights.steps], place), camera)
        for step in sights.steps[out & ~sights.landmarks.seen[row, sights.steps]].tolist():
            yield step, row


def turns_left(pose: Float[np.ndarray, "p k 3"]) -> Float[np.ndarray, " p"]:
    """Return by how much ways turn to the left, rad."""
    turn = np.diff(pose[..., 2], axis=1)
    return ((turn + np.pi) % (2 * np.pi) - np.pi).sum(axis=1)


def asks_elsewhere(
    asked: Asked, told: Int64[np.ndarray, " p"], seen: Bool[np.ndarray, "n t"], place: np.ndarray, camera: CameraModel
) -> Bool[np.ndarray, " p"]:
    """Return which goals are to go to one thing that was out of view to the left when the robot was told."""
    first = asked.landmark[:, 0, 0]
    alone = (asked.rule[:, 0] == Rule.GO_TO) & (asked.count == 1) & (asked.landmark[:, 0, 1] < 0) & (first >= 0)
    in_frame = np.where(alone, seen[np.maximum(first, 0), told], True) if len(seen) else np.ones(len(told), bool)
    return alone & ~in_frame & is_elsewhere(place, camera)
