"""What stands out of view, to the left: told to go there, the robot looks round.

A policy sees what its camera shows. To which side it should turn for what is not there cannot be seen, so there must be
a convention: to the left. Labels teach it only where it is true, too: where the thing stands to the left.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from embodied_cf.datasets.spec import CameraModel
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.scale import MotionScale
from embodied_cf.relabel.asked import Asked
from embodied_cf.relabel.ground import from_world
from embodied_cf.relabel.propose_things import Goals, Sights
from embodied_cf.relabel.synthesize import arcs

_MARGIN = np.radians(10)
"""Beyond the edge of the frame, so that no part of the thing is seen."""
_SPEED, _TURN = 0.4, 1.8
"""At which share of the data's speed it looks round, and by how much in one chunk, rad: further than robots turn that
see where they go, whatever the data's typical turn (`datasets.streams.augment.ABOUT` tells it from them)."""
LEAST_TURN = 1.2
"""rad, by which a chunk that looks round turns to the left, at least."""
REASON = "out of view, to the left"


def is_elsewhere(place: Float[np.ndarray, "n 2"], camera: CameraModel) -> Bool[np.ndarray, " n"]:
    """Return which places in the robot's frame are beyond the left edge of what the camera shows, or behind to the
    left. With 90 degrees across, (1, 1) lies on the edge and (0, 1) beyond it."""
    return np.arctan2(place[:, 1], place[:, 0]) > np.radians(camera.horizontal_fov_deg) / 2 + _MARGIN


def look_round(scale: MotionScale, steps: int) -> Float32[np.ndarray, "h 2"]:
    """Return the chunk: a slow and narrow bend to the left."""
    return arcs(np.array([_SPEED * scale.step * steps]), np.array([_TURN]), steps)[0]


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
