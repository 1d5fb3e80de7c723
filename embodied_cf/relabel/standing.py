"""Where goals stand: what each is about on the ground, and how far the robot was with it when it branched off."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.datasets.spec import CameraModel
from embodied_cf.language.predicate import Programs, Tracker, advance, begin
from embodied_cf.language.predicate_geometry import length
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.vocabulary import normalise
from embodied_cf.relabel.asked import Asked, programs_of
from embodied_cf.relabel.elsewhere import asks_elsewhere
from embodied_cf.relabel.ground import frame_size, from_world, standing_circles, to_world
from embodied_cf.relabel.landmarks import Landmarks, Sightings, single_landmarks
from embodied_cf.relabel.lanes import ALONG
from embodied_cf.relabel.obstacles import Obstacles
from embodied_cf.relabel.stages import Context, Proposals
from embodied_cf.relabel.ways import Aims


@dataclass(frozen=True)
class Standing:
    """P goals of one episode."""

    told: Int64[np.ndarray, " p"]
    start: Int64[np.ndarray, " p"]
    asked: Asked
    landmarks: Landmarks
    track: Float[np.ndarray, "t 3"]
    obstacles: Obstacles
    camera: CameraModel | None = None

    @staticmethod
    def of(context: Context, proposals: Proposals) -> "Standing":
        """Place the things of proposals that are goals. A box that stands on no ground has a place of nan."""
        asked, landmarks = proposals.asked, context.landmarks
        boxed = np.flatnonzero(proposals.is_boxed)
        if len(boxed):
            asked = asked.take(np.arange(len(asked)))
            asked.rule[boxed, 0] = Rule.GO_TO
            asked.landmark[boxed, 0, 0] = len(landmarks) + np.arange(len(boxed))
            landmarks = landmarks.with_more(_boxes(context, proposals.take(boxed)))
        told, start = proposals.seen, proposals.start
        return Standing(told, start, asked, landmarks, context.track, context.obstacles, context.camera)

    @cached_property
    def circle(self) -> Float[np.ndarray, "p c 2 3"]:
        """Each clause's things in the odometry frame; nan where there is none."""
        named = self.asked.landmark >= 0
        table = np.concatenate([self.landmarks.place, np.full((1, 3), np.nan)])
        return table[np.where(named, self.asked.landmark, -1)]

    @cached_property
    def programs(self) -> Programs:
        """What is asked, as predicates in the odometry frame."""
        along = np.flatnonzero(np.isin(self.asked.rule, ALONG).any(axis=1))
        return programs_of(self.asked, self.circle, along, self.obstacles.walls_near(self.track[self.start[along], :2]))

    @cached_property
    def support(self) -> Float[np.ndarray, " p"]:
        """How far other frames confirm the least confirmed thing of each goal, in [0, 1]."""
        everywhere = np.ones((1, len(self.track)))  # of what is not named
        support = np.concatenate([self.landmarks.support, everywhere])
        rows = np.where(self.asked.landmark >= 0, self.asked.landmark, -1)
        return support[rows, self.told[:, None, None]].min(axis=(1, 2))

    @cached_property
    def tracker(self) -> Tracker:
        """How far the robot had come at the branch step: its real motion since it was told; progress is that of the
        branch step, and not the best on the way there."""
        tracker = begin(self.programs, self.track[self.told])
        lag = self.start - self.told
        for ago in range(1, int(lag.max(initial=0)) + 1):
            rows = np.flatnonzero(lag >= ago)
            before = forgetful(tracker.take(rows))
            after = advance(self.programs.take(rows), before, self.track[self.told[rows] + ago])
            tracker = tracker.replaced(rows, after)
        return tracker

    @property
    def clause(self) -> Int64[np.ndarray, " p"]:
        """The clause that is to be carried out next."""
        return self.tracker.clause

    @property
    def is_last(self) -> Bool[np.ndarray, " p"]:
        """Whether it is the last one."""
        return self.clause == self.asked.count - 1

    @cached_property
    def aims(self) -> Aims:
        """The present clause of each, in the robot's frame at its branch step."""
        each, here, tracker = np.arange(len(self.asked)), self.track[self.start], self.tracker
        circle = self.circle[each, self.clause]
        middle = from_world(np.repeat(here, 2, axis=0), circle[..., :2].reshape(-1, 2)).reshape(-1, 2, 2)
        origin = from_world(here, tracker.origin[:, :2])
        return Aims(
            self.asked.rule[each, self.clause],
            self.asked.side[each, self.clause],
            np.concatenate([middle, circle[..., 2:]], axis=2),
            np.concatenate([origin, tracker.origin[:, 2:] - here[:, 2:]], axis=1),
            np.zeros((len(each), 2)),
            tracker.swept[:, 0],
            tracker.crossed[:, 0],
            self._others(circle),
        )

    @cached_property
    def elsewhere(self) -> Bool[np.ndarray, " p"]:
        """Which are to go to a thing that is out of view, to the left (`relabel.elsewhere`)."""
        if self.camera is None:
            return np.zeros(len(self.start), bool)
        place, seen = self.aims.circle[:, 0, :2], self.landmarks.seen
        return (self.told == self.start) & asks_elsewhere(self.asked, self.told, seen, place, self.camera)

    def _others(self, own: Float[np.ndarray, "p 2 3"]) -> Float[np.ndarray, "p n 3"]:
        """Return what stands there but for the clause's own things, in the robot's frame at the branch step."""
        standing, here = self.obstacles.circle, self.track[self.start]
        count = len(standing)
        centre = from_world(np.repeat(here, count, axis=0), np.tile(standing[:, :2], (len(here), 1)))
        place = np.concatenate(
            [centre.reshape(len(here), count, 2), np.tile(standing[:, 2:], (len(here), 1, 1))], axis=2
        )
        apart = length(standing[:, None, :2] - own[:, None, :, :2]) - standing[:, None, 2] - own[:, None, :, 2]
        place[(apart < 0).any(axis=2)] = np.nan
        return place


def _boxes(context: Context, proposals: Proposals) -> Landmarks:
    """Return a landmark for each box, with what the other frames say of it."""
    assert context.camera is not None
    circle = standing_circles(proposals.box, context.camera, frame_size(context.episode))
    world = to_world(context.track[proposals.seen], circle[:, :2])
    place = np.concatenate([world, circle[:, 2:]], axis=1)
    names = tuple(map(normalise, proposals.thing))
    own = Sightings(proposals.seen, names, place, *np.ones((3, len(place))))
    return single_landmarks(own, context.sightings, context.described, context.track, context.camera)


def forgetful(tracker: Tracker) -> Tracker:
    """Return a tracker whose progress will be that of the next pose, not the best so far."""
    return replace(tracker, progress=np.where(tracker.success, 1.0, 0.0))
