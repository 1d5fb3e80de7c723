"""What an episode's sightings say stands where: boxes of many frames, placed on the ground and brought together.

One frame's box is off by some 6 % of the distance, may be cut or hidden in part, or made up. Sightings of one name
that agree on a place are one landmark; other frames that should show it and do not speak against it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.datasets.spec import CameraModel
from embodied_cf.language.vocabulary import normalise
from embodied_cf.relabel.ground import from_world, standing_circles, to_world
from embodied_cf.vlm.captions import SeenObject

NEARBY_STEPS = 12
"""Frames within so many steps are asked whether they saw the thing too."""
FURTHEST_M = 8.0
"""Things further off may be missed without that meaning anything."""
BEYOND_M = 15.0
"""Beyond it a pixel row spans metres, and the ground point means nothing."""
BELIEVED = 0.4
"""Support from which a landmark counts as standing there: for names that must be unique, and as an obstacle."""
_AGREE_M, _AGREE_SHARE = 0.6, 0.3
"""Two sightings agree if they are nearer than this, m, or than this share of the distance."""
_INSIDE = 0.85
"""Share of the half field of view within which a thing should have been seen."""
_CUT = 0.05
"""Weight of a box that the frame's edge cuts off."""
_normalise = lru_cache(maxsize=1 << 16)(normalise)


@dataclass(frozen=True)
class Sightings:
    """N boxes that stand on the ground; places in the odometry frame."""

    step: Int64[np.ndarray, " n"]
    name: tuple[str, ...]
    """Normalised."""
    circle: Float[np.ndarray, "n 3"]
    """Centre x, y and radius, m."""
    away: Float[np.ndarray, " n"]
    """Distance of the centre from the camera, m."""
    weight: Float[np.ndarray, " n"]
    """How much it says of the place."""
    score: Float[np.ndarray, " n"]
    """The captioner's own confidence."""

    @staticmethod
    def none() -> "Sightings":
        """Return no sightings."""
        return Sightings(np.zeros(0, np.int64), (), np.zeros((0, 3)), *np.zeros((3, 0)))

    def take(self, rows: Int64[np.ndarray, " k"]) -> "Sightings":
        """Return the chosen ones."""
        names = tuple([self.name[row] for row in rows.tolist()])
        columns = (self.circle, self.away, self.weight, self.score)
        return Sightings(self.step[rows], names, *(column[rows] for column in columns))


@dataclass(frozen=True)
class Landmarks:
    """N things, T steps."""

    name: tuple[str, ...]
    place: Float[np.ndarray, "n 3"]
    """Centre x, y m in the odometry frame, and radius m."""
    seen: Bool[np.ndarray, "n t"]
    """In which frames it was named where it stands."""
    missed: Bool[np.ndarray, "n t"]
    """Which frames were described and should have shown it, and do not."""
    score: Float[np.ndarray, " n"]
    """The captioner's own confidence in it, averaged."""

    @staticmethod
    def none(steps: int) -> "Landmarks":
        """Return nothing seen in so many steps."""
        never = np.zeros((0, steps), bool)
        return Landmarks((), np.zeros((0, 3)), never, never, np.zeros(0))

    def __len__(self) -> int:
        return len(self.name)

    @cached_property
    def support(self) -> Float[np.ndarray, "n t"]:
        """How far the frames around each step confirm it, in [0, 1]; 0.5 where none could.

        (1 + confirming) / (2 + confirming + missing), leaving out the frame of the step itself: what a model makes up
        frame by frame is unmasked by the others.
        """
        confirming, missing = _around(self.seen), _around(self.missed)
        return (1 + confirming) / (2 + confirming + missing)

    @cached_property
    def belief(self) -> Float[np.ndarray, " n"]:
        """The highest support that any frame has which names it: BELIEVED and more stands there."""
        return np.where(self.seen, self.support, 0.0).max(axis=1, initial=0.0)

    def with_more(self, others: "Landmarks") -> "Landmarks":
        """Return these landmarks and others of the same episode."""
        names = ("place", "seen", "missed", "score")
        columns = {name: np.concatenate([getattr(self, name), getattr(others, name)]) for name in names}
        return Landmarks(self.name + others.name, **columns)


def sightings_of(
    objects: Sequence[SeenObject], track: Float[np.ndarray, "t 3"], camera: CameraModel, size: tuple[int, int]
) -> Sightings:
    """Return the boxed objects that can be placed, at most BEYOND_M away. `size` is (width, height) of a frame."""
    boxed = [item for item in objects if item.box is not None and item.step < len(track)]
    step = np.array([item.step for item in boxed], np.int64)
    boxes = np.array([item.box for item in boxed], np.float64).reshape(-1, 4)
    circle = standing_circles(boxes, camera, size)
    away = np.hypot(circle[:, 0], circle[:, 1])
    cut = (boxes[:, 0] <= 1) | (boxes[:, 2] >= size[0] - 1) | (boxes[:, 3] >= size[1] - 1)
    weight = np.where(cut, _CUT, 1.0) / np.maximum(away, 0.5) ** 2
    world = np.concatenate([to_world(track[step], circle[:, :2]), circle[:, 2:]], axis=1)
    names = tuple([_normalise(item.name) for item in boxed])
    score = np.array([item.score for item in boxed], np.float64)
    return Sightings(step, names, world, away, weight, score).take(np.flatnonzero(away <= BEYOND_M))


def landmarks_of(
    sightings: Sightings, described: Bool[np.ndarray, " t"], track: Float[np.ndarray, "t 3"], camera: CameraModel
) -> Landmarks:
    """Return what the sightings say; `described` are the frames of which the captioner said anything."""
    groups = list(_groups(sightings))
    names = tuple([sightings.name[rows[0]] for rows in groups])
    place = np.array([_middle(sightings, rows) for rows in groups], np.float64).reshape(-1, 3)
    seen = np.zeros((len(groups), len(track)), bool)
    for number, rows in enumerate(groups):
        seen[number, sightings.step[rows]] = True
    score = np.array([sightings.score[rows].mean() for rows in groups], np.float64)
    return Landmarks(names, place, seen, described & should_show(place, track, camera) & ~seen, score)


def single_landmarks(
    own: Sightings, others: Sightings, described: Bool[np.ndarray, " t"], track: Float[np.ndarray, "t 3"],
    camera: CameraModel,
) -> Landmarks:  # fmt: skip
    """Return a landmark for each of `own`, where that one frame puts it, with what the other frames say of it."""
    seen = np.zeros((len(own.step), len(track)), bool)
    names, places = np.array(others.name, object), others.circle[:, :2]
    for row, (name, place) in enumerate(zip(own.name, own.circle, strict=True)):
        same = np.flatnonzero(names == name)
        seen[row, others.step[same[_agree(places[same] - place[:2], others.away[same])]]] = True
    return Landmarks(own.name, own.circle, seen, described & should_show(own.circle, track, camera) & ~seen, own.score)


def should_show(
    place: Float[np.ndarray, "n 3"], track: Float[np.ndarray, "t 3"], camera: CameraModel
) -> Bool[np.ndarray, "n t"]:
    """Return which frames look at a place from where things are noticed; what stands in between is not known."""
    count, steps = len(place), len(track)
    poses = np.tile(track, (count, 1))
    point = from_world(poses, np.repeat(place[:, :2], steps, axis=0)).reshape(count, steps, 2)
    away = np.hypot(point[..., 0], point[..., 1])
    bearing = np.abs(np.arctan2(point[..., 1], point[..., 0]))
    limit = _INSIDE * np.radians(camera.horizontal_fov_deg) / 2
    return (bearing <= limit) & (away <= FURTHEST_M) & (away >= camera.height_m)


def _groups(sightings: Sightings) -> Iterator[Int64[np.ndarray, " k"]]:
    """Yield the rows of each landmark: the nearest sighting of a name gathers those that agree with it."""
    names = np.array(sightings.name, object)
    for name in sorted(set(sightings.name)):
        rows = np.flatnonzero(names == name)
        rows = rows[np.argsort(sightings.away[rows], kind="stable")]
        while len(rows):
            offset = sightings.circle[rows, :2] - sightings.circle[rows[0], :2]
            agree = _agree(offset, sightings.away[rows])
            yield rows[agree]
            rows = rows[~agree]


def _agree(offset: Float[np.ndarray, "k 2"], away: Float[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
    return np.hypot(offset[:, 0], offset[:, 1]) <= np.maximum(_AGREE_M, _AGREE_SHARE * away)


def _middle(sightings: Sightings, rows: Int64[np.ndarray, " k"]) -> Float[np.ndarray, " 3"]:
    return np.average(sightings.circle[rows], axis=0, weights=sightings.weight[rows])


def _around(frames: Bool[np.ndarray, "n t"]) -> Int64[np.ndarray, "n t"]:
    """Count the true frames within NEARBY_STEPS of each, without itself."""
    steps = frames.shape[1]
    total = np.concatenate([np.zeros((len(frames), 1), np.int64), np.cumsum(frames, axis=1)], axis=1)
    at = np.arange(steps)
    low, high = np.maximum(at - NEARBY_STEPS, 0), np.minimum(at + NEARBY_STEPS + 1, steps)
    return total[:, high] - total[:, low] - frames
