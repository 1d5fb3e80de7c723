"""The captioner that sees: a small detector trained on simulated frames, from pixels to words with no privilege."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embodied_cf.datasets.contract import EncodedImages, Episode
from embodied_cf.datasets.randomness import generator
from embodied_cf.errors import DatasetError
from embodied_cf.language.segments import Segments
from embodied_cf.language.vocabulary import Vocabulary
from embodied_cf.vlm.captions import Captions, SeenObject
from embodied_cf.vlm.floor import floor_identity, floor_lines
from embodied_cf.vlm.motion import MotionCaptioner
from embodied_cf.vlm.sightings import ArrivalRule, arrivals

if TYPE_CHECKING:
    from embodied_cf.policies.detector import Detector

_BATCH = 64


@dataclass(frozen=True)
class LearnedCaptioner:
    """Names the things that the detector finds in each frame, says when one was driven up to, and tells the motion."""

    vocabulary: Vocabulary
    seed: int = 0
    weights: Path | None = None
    """File of weights (`python -m embodied_cf.train.detector`); None for the shipped ones."""
    least_score: float = 0.35
    """What the detector is less sure of is not said."""
    rule: ArrivalRule = field(default_factory=ArrivalRule)
    floor: bool = False
    """Whether it says where the free floor ends, too (`vlm.floor`)."""
    motion_share: float = 1.0
    """Share of the motion that is put into words, beside the things that it drives up to."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records: the weights by their hash."""
        from embodied_cf.policies.detector import weights_path

        path = self.weights or weights_path()
        if not path.is_file():
            raise DatasetError("no detector weights", where=path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        floor = {"floor": floor_identity()} if self.floor else {}
        return {"captioner": "learned", "weights": digest, "least_score": self.least_score, "rule": asdict(self.rule),
                "motion_share": self.motion_share, **floor}  # fmt: skip

    async def caption(self, episode: Episode, segments: Segments) -> Captions:
        """Describe one episode of any size of frame. Raises RecordError for one undecodable or of another size."""
        motion = await MotionCaptioner(self.vocabulary, self.seed, share=self.motion_share).caption(episode, segments)
        frames = next(iter(episode.cameras.values()))
        seen = tuple(self._seen(frames))
        height, width, _ = frames.decode(0).shape
        rng = generator(self.seed, episode.episode_id, "learned captioner's words")
        hindsight = (*motion.hindsight, *arrivals(seen, (width, height), self.rule, rng))
        return Captions(hindsight, seen, floor=floor_lines(frames) if self.floor else None)

    def _seen(self, frames: EncodedImages) -> Iterator[SeenObject]:
        import torch

        model = _detector(self.weights)
        for first in range(0, len(frames), _BATCH):
            steps = range(first, min(first + _BATCH, len(frames)))
            images = frames.decode_steps(steps)
            scale = np.array([images.shape[2], images.shape[1]] * 2)
            for step, things in zip(steps, model.find(torch.from_numpy(images), self.least_score), strict=True):
                for thing in things:
                    x0, y0, x1, y1 = (np.array(thing.box) * scale).tolist()
                    yield SeenObject(step, thing.name, (x0, y0, x1, y1), score=thing.score)


@cache
def _detector(weights: Path | None) -> "Detector":
    """Load the network once per process, not once per episode."""
    from embodied_cf.policies.detector import load_detector

    return load_detector(weights)
