"""The five stages as protocols of one verb each, and what passes between them.

Each is a pure function of what it is given; randomness is passed in as a generator that the pipeline derives
from (seed, episode).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int8, Int64

from embodied_cf.datasets.contract import Episode, Labels
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.motion import future_chunks
from embodied_cf.datasets.spec import CameraModel
from embodied_cf.language.meaning import Meaning
from embodied_cf.language.segments import Segments
from embodied_cf.language.verdict import PASS
from embodied_cf.relabel.asked import Asked
from embodied_cf.relabel.free_space import free_space_of
from embodied_cf.relabel.ground import frame_size
from embodied_cf.relabel.landmarks import BELIEVED, Landmarks, Sightings, landmarks_of, sightings_of
from embodied_cf.relabel.naming import is_door
from embodied_cf.relabel.obstacles import Obstacles
from embodied_cf.vlm.captions import Captions


@dataclass(frozen=True)
class Context:
    """One episode on its way through the stages."""

    episode: Episode
    track: Float[np.ndarray, "t d"]
    """The robot's motion in its own terms (`datasets.motion.track_of`)."""
    segments: Segments
    captions: Captions
    body: Embodiment
    meaning: Meaning
    camera: CameraModel | None = None
    """Of the primary camera, where it can place pixels on the ground in metres (`relabel.goal.metric_camera`)."""

    @cached_property
    def sightings(self) -> Sightings:
        """The captioner's boxes on the ground; none without a camera model."""
        objects = self.captions.objects if self.camera is not None else ()
        if self.camera is None or not any(item.box for item in objects):
            return Sightings.none()
        return sightings_of(objects, self.track, self.camera, frame_size(self.episode))

    @cached_property
    def landmarks(self) -> Landmarks:
        """What stands where, by all sightings together; none without a camera model."""
        if self.camera is None or not len(self.sightings.step):
            return Landmarks.none(len(self.track))
        return landmarks_of(self.sightings, self.described, self.track, self.camera)

    @cached_property
    def obstacles(self) -> Obstacles:
        """What the robot must keep clear of, as far as it was seen."""
        lines, believed = self.captions.floor, self.landmarks.belief >= BELIEVED
        free = None
        if self.camera is not None and lines is not None:
            free = free_space_of(lines[: len(self.track)], self.track, self.camera, frame_size(self.episode))
        in_walls = np.array([is_door(name) for name in self.landmarks.name], bool)
        return Obstacles(self.landmarks.place[believed & ~in_walls], free)

    @cached_property
    def described(self) -> Bool[np.ndarray, " t"]:
        """Frames of which the captioner named something."""
        described = np.zeros(len(self.track), bool)
        described[[item.step for item in self.captions.objects if item.step < len(described)]] = True
        return described

    @cached_property
    def future(self) -> tuple[Float32[np.ndarray, "m h a"], Bool[np.ndarray, "m h"]]:
        """What the robot really did after each of the m = T - 1 steps that have a successor, as chunks with masks."""
        return future_chunks(self.track, self.body, *self._ranges)

    @cached_property
    def carried_out(self) -> Bool[np.ndarray, "c m"]:
        """Which commands what it really did carries out, whatever the segment there is called."""
        return self.meaning.of_track(self.track, *self._ranges) == PASS

    @property
    def _ranges(self) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
        start, last = np.arange(len(self.track) - 1), len(self.track) - 1
        return start, np.minimum(start + self.body.chunk_length, last)


@dataclass(frozen=True)
class Proposals:
    """P things that the robot could have been told instead, columnar."""

    start: Int64[np.ndarray, " p"]
    """Branch step."""
    command: Int64[np.ndarray, " p"]
    """Index into the vocabulary; -1 for a goal that no single command reaches."""
    instruction: tuple[str, ...]
    priority: Float[np.ndarray, " p"]
    """Lower is chosen first where one observation has more proposals than are wanted."""
    score: Float[np.ndarray, " p"]
    """The proposer's own confidence in [0, 1]."""
    reason: tuple[str, ...]
    seen: Int64[np.ndarray, " p"]
    """Step at which the robot is told, at or before `start`: of the frame in which the things, or `box`, are seen."""
    box: Float[np.ndarray, "p 4"]
    """Pixels x0, y0, x1, y1 in the primary camera, of a thing to go to; nan where there is none."""
    thing: tuple[str, ...]
    """Name of the thing in the box, "" for proposals without one."""
    asked: Asked
    """What is asked of the things in view; nothing for plain commands and boxes."""
    unanswered: tuple[tuple[int, str], ...] = ()
    """Frames for which a model gave no usable answer: (step, why)."""

    def __len__(self) -> int:
        return len(self.instruction)

    def take(self, rows: Int64[np.ndarray, " k"]) -> "Proposals":
        """Return the chosen proposals, in the order given."""
        picked = rows.tolist()
        return Proposals(
            self.start[rows],
            self.command[rows],
            tuple([self.instruction[row] for row in picked]),
            self.priority[rows],
            self.score[rows],
            tuple([self.reason[row] for row in picked]),
            self.seen[rows],
            self.box[rows],
            tuple([self.thing[row] for row in picked]),
            self.asked.take(rows),
        )

    @property
    def is_boxed(self) -> Bool[np.ndarray, " p"]:
        """Which proposals go to what a box shows."""
        return np.isfinite(self.box[:, 0])

    @property
    def is_goal(self) -> Bool[np.ndarray, " p"]:
        """Which proposals name things in the image."""
        return self.is_boxed | self.asked.something


@dataclass(frozen=True)
class Synthesis:
    """Action chunks for P proposals. `reason` says why one is not feasible, "" if it is."""

    action: Float32[np.ndarray, "p h a"]
    mask: Bool[np.ndarray, "p h"]
    reason: tuple[str, ...]
    score: Float[np.ndarray, " p"]
    """The synthesizer's own confidence in [0, 1]."""


@dataclass(frozen=True)
class Candidates:
    """N labels before verification: factual rows first, then one row for each of P chosen proposals."""

    labels: Labels
    given: Bool[np.ndarray, " n"]
    """Rows whose words are the dataset's own, so that nobody needs to judge them."""
    proposals: Proposals

    @property
    def factual(self) -> int:
        """How many rows are factual."""
        return len(self.labels) - len(self.proposals)


@dataclass(frozen=True)
class Judged:
    """The candidates' labels with their outcome. `reason` is "" for what is kept."""

    labels: Labels
    verdict: Int8[np.ndarray, " n"]
    reason: tuple[str, ...]


@runtime_checkable
class Segmenter(Protocol):
    """Odometry or end-effector motion to atomic segments."""

    def segment(self, track: Float[np.ndarray, "t d"], body: Embodiment, meaning: Meaning) -> Segments: ...


@runtime_checkable
class Proposer(Protocol):
    """Branch points to counterfactual commands or goals with their instructions."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records of it."""
        ...

    async def propose(self, context: Context, rng: np.random.Generator) -> Proposals: ...


@runtime_checkable
class Synthesizer(Protocol):
    """(State, command or goal) to action chunk and feasibility."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records of it."""
        ...

    def synthesize(self, context: Context, proposals: Proposals) -> Synthesis: ...


@runtime_checkable
class Verifier(Protocol):
    """Candidates to scores and reasons."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records of it."""
        ...

    def verify(self, context: Context, candidates: Candidates) -> Judged: ...
