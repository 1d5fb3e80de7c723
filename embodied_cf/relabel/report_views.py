"""What the report shows of an episode: frames, the timeline of commands, and labels with their chunks.

Everything here is plain data for the templates; axes are chosen, and chunks drawn, once all views are known.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float, Float32

from embodied_cf.datasets.contract import Episode, Labels
from embodied_cf.datasets.film import data_uri
from embodied_cf.datasets.motion import future_chunks, track_of
from embodied_cf.errors import RecordError
from embodied_cf.language.segments import Segments
from embodied_cf.relabel.balance import own_texts
from embodied_cf.relabel.build import Setting
from embodied_cf.relabel.segment import SEGMENTERS

PALETTE = (
    "#332288", "#88CCEE", "#117733", "#DDCC77", "#CC6677", "#44AA99", "#882255", "#999933", "#AA4499", "#661100",
    "#BBBBBB", "#6699CC",
)  # fmt: skip
"""Paul Tol's muted colours and kin, which stay apart for colour-blind readers; by position in the vocabulary."""
_FILM_FRAMES = 12
_FILM_PIXELS, _FRAME_PIXELS = 96, 256
"""Heights up to which frames of the strip and of branch points are stored; small frames are not blown up."""
_BRANCH_FRAMES = 3


@dataclass(frozen=True)
class Decidable:
    """What names a label in decisions.jsonl."""

    episode: str
    label_set: str
    kind: str
    start: int
    end: int
    instruction: str
    command: str


@dataclass(frozen=True)
class LabelView:
    """One label, with its chunk and what the robot really did from the same step."""

    names: Decidable
    score: float
    chunk: Float32[np.ndarray, "k a"]
    real: Float32[np.ndarray, "r a"]
    told_before: int = 0
    """Steps before the chunk's at which the robot was told: what it did since then is part of carrying it out."""

    @property
    def record(self) -> str:
        """JSON text of what decisions.jsonl says of the label, less the decision."""
        return json.dumps(asdict(self.names), ensure_ascii=False)


@dataclass(frozen=True)
class Picture:
    """A camera frame; `uri` is "" where there is none to show."""

    step: int
    seconds: float
    uri: str


@dataclass(frozen=True)
class Branch:
    """One frame with the counterfactuals that start there."""

    picture: Picture
    done: str
    """The command carried out, "" if none fits."""
    labels: tuple[LabelView, ...]


@dataclass(frozen=True)
class EpisodeView:
    """One episode as the page shows it."""

    episode: str
    steps: int
    told: tuple[str, ...]
    """The dataset's own instructions."""
    film: tuple[Picture, ...]
    """Frames from the middles of equally long stretches, so that the strip and the timeline line up."""
    timeline: tuple[tuple[int, int, str], ...]
    """Atomic segments: start, end, command or ""."""
    ranges: tuple[LabelView, ...]
    """Hindsight and atomic labels."""
    branches: tuple[Branch, ...]

    def labels(self) -> Iterator[LabelView]:
        """Yield every label shown."""
        yield from self.ranges
        for branch in self.branches:
            yield from branch.labels


@dataclass(frozen=True)
class Viewer:
    """Makes views of the episodes of one run."""

    setting: Setting
    label_set: str
    segmenter: str
    frames: bool = True
    """Whether pixels may be shown."""

    def track(self, episode: Episode) -> Float[np.ndarray, "t d"]:
        """Return the robot's motion in its own terms."""
        return track_of(episode, self.setting.body)

    def segments(self, episode: Episode) -> Segments:
        """Return the timeline of commands, as the run cut it."""
        body = self.setting.body
        meaning = self.setting.profile.meaning(body)
        return SEGMENTERS[self.segmenter]().segment(self.track(episode), body, meaning)

    def told(self, episode: Episode) -> tuple[str, ...]:
        """Return the dataset's own instructions, each once."""
        return tuple(dict.fromkeys(own_texts(episode)))

    def episode(self, episode: Episode, labels: Labels, segments: Segments) -> EpisodeView:
        """Return the view of an episode of two steps or more."""
        factual = [row for row, kind in enumerate(labels.kind) if kind != "counterfactual"]
        factual.sort(key=lambda row: (labels.kind[row] == "atomic", int(labels.start[row]), -int(labels.end[row])))
        return EpisodeView(
            episode.episode_id,
            len(episode),
            self.told(episode),
            tuple(self.picture(episode, step, _FILM_PIXELS) for step in middles(len(episode), _FILM_FRAMES)),
            tuple(segments),
            self.labels(episode, labels, factual),
            tuple(self._branches(episode, labels, segments)),
        )

    def labels(self, episode: Episode, labels: Labels, rows: Sequence[int]) -> tuple[LabelView, ...]:
        """Return the views of some labels."""
        if not rows:
            return ()
        start = labels.start[list(rows)].astype(np.int64)
        end = np.minimum(start + self.setting.body.chunk_length, len(episode) - 1)
        real, known = future_chunks(self.track(episode), self.setting.body, start, end)
        return tuple(
            LabelView(
                Decidable(
                    episode.episode_id, self.label_set, labels.kind[row], int(labels.start[row]), int(labels.end[row]),
                    labels.instruction[row], labels.command[row],
                ),
                float(labels.score[row]), labels.action[row][labels.action_mask[row]], real[at][known[at]],
                int(labels.start[row] - labels.told[row]),
            )
            for at, row in enumerate(rows)
        )  # fmt: skip

    def picture(self, episode: Episode, step: int, height: int = _FRAME_PIXELS) -> Picture:
        """Return a frame of the primary camera, no higher than `height` pixels."""
        camera = next(iter(episode.cameras.values()), None)
        seconds = float(episode.timestamp[step])
        if camera is None or not self.frames:
            return Picture(step, seconds, "")
        try:
            frame = camera.decode(step)
        except RecordError:
            return Picture(step, seconds, "")
        return Picture(step, seconds, data_uri(frame, min(height, frame.shape[0])))

    def _branches(self, episode: Episode, labels: Labels, segments: Segments) -> Iterator[Branch]:
        counterfactual = [row for row, kind in enumerate(labels.kind) if kind == "counterfactual"]
        steps = np.unique(labels.start[counterfactual])
        for at in middles(len(steps), _BRANCH_FRAMES):
            step = int(steps[at])
            rows = [row for row in counterfactual if labels.start[row] == step]
            done = segments.commands_at(np.array([step]))[0]
            yield Branch(self.picture(episode, step), done, self.labels(episode, labels, rows))


def middles(count: int, wanted: int) -> list[int]:
    """Return the middles of `wanted` equal stretches of 0..count-1, or all if there are no more than wanted.

    >>> middles(10, 3)
    [1, 5, 8]
    """
    parts = min(count, wanted)
    return [int((index + 0.5) * count / parts) for index in range(parts)]
