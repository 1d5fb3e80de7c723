"""The captioner of simulated worlds: what a vision-language model would say of a frame, and no better.

It reads the simulator's list of what each frame shows (`datasets.privileged`) and degrades it on purpose: boxes
are jittered, things overlooked, things named that are not there. It gives names, colours and boxes, no depth and
no map. Faults are drawn anew for each frame, or persist through an episode as a model's misconceptions do.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np

from embodied_cf.datasets.contract import Episode
from embodied_cf.datasets.privileged import Visible, VisibleThing, read_visible
from embodied_cf.datasets.randomness import generator
from embodied_cf.language.instruction import COLOURS, KINDS
from embodied_cf.language.segments import Segments
from embodied_cf.language.vocabulary import Vocabulary
from embodied_cf.vlm.captions import Box, Captions, SeenObject
from embodied_cf.vlm.faults import Faults
from embodied_cf.vlm.floor import floor_identity, floor_lines
from embodied_cf.vlm.motion import MotionCaptioner
from embodied_cf.vlm.sightings import ArrivalRule, arrivals

_LEAST_PIXELS = 0.004
"""Share of the frame below which nobody could name a thing."""
_PHANTOM_OFFSET = (1.2, 2.5)
"""How far beside a real thing a made-up one is said to stand, in widths of the real one's box."""


@dataclass(frozen=True)
class SceneCaptioner:
    """Names the things of each frame, says when one was driven up to, and puts the motion into words."""

    vocabulary: Vocabulary
    seed: int = 0
    faults: Faults = field(default_factory=Faults)
    rule: ArrivalRule = field(default_factory=ArrivalRule)
    floor: bool = False
    """Whether it says where the free floor ends, too: from the pixels, by `vlm.floor`."""
    motion_share: float = 1.0
    """Share of the motion that is put into words, beside the things that it drives up to."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        floor = {"floor": floor_identity()} if self.floor else {}
        return {"captioner": "scene", "faults": asdict(self.faults), "rule": asdict(self.rule),
                "motion_share": self.motion_share, **floor}  # fmt: skip

    async def caption(self, episode: Episode, segments: Segments) -> Captions:
        """Describe one episode. Raises RecordError for data that no simulator of ours wrote."""
        motion = await MotionCaptioner(self.vocabulary, self.seed, share=self.motion_share).caption(episode, segments)
        frames = next(iter(episode.cameras.values()))
        height, width, _ = frames.decode(0).shape
        told = _Telling(self.faults, (width, height), self.seed, episode.episode_id)
        seen = tuple(told.frames(read_visible(episode)))
        rng = generator(self.seed, episode.episode_id, "scene captioner's words")
        hindsight = (*motion.hindsight, *arrivals(seen, (width, height), self.rule, rng))
        return Captions(hindsight, seen, floor=floor_lines(frames) if self.floor else None)


@dataclass(frozen=True)
class _Telling:
    """One episode told with faults. `size` is (width, height) of a frame in pixels."""

    faults: Faults
    size: tuple[int, int]
    seed: int
    episode_id: str

    def frames(self, visible: Visible) -> Iterator[SeenObject]:
        """Yield what is said of each frame; frames that show nothing are passed over."""
        least = _LEAST_PIXELS * self.size[0] * self.size[1]
        for step, frame in enumerate(visible):
            for thing in frame:
                if thing.pixels >= least:
                    yield from self._sayings(step, thing)

    def _sayings(self, step: int, thing: VisibleThing) -> Iterator[SeenObject]:
        fault = self._rng("fault", step, thing.row)
        omitted, untrue, misnamed = fault.random(3)
        rng = self._rng("box", step, thing.row, persistent=False)
        if untrue < self.faults.hallucination and misnamed < 0.5:
            yield SeenObject(step, wrong_name(thing.name, fault), self._jittered(thing.box, rng))
            return
        if omitted >= self.faults.omission:
            yield SeenObject(step, thing.name, self._jittered(thing.box, rng))
        phantom = self._phantom(thing.box, fault)
        if untrue < self.faults.hallucination and 0 <= (phantom[0] + phantom[2]) / 2 < self.size[0]:
            yield SeenObject(step, wrong_name(thing.name, fault), self._jittered(phantom, rng))

    def _rng(self, purpose: str, step: int, row: int, persistent: bool | None = None) -> np.random.Generator:
        lasting = self.faults.persistent if persistent is None else persistent
        when = "all" if lasting else str(step)
        return generator(self.seed, self.episode_id, "scene captioner", purpose, when, str(row))

    def _jittered(self, box: Box, rng: np.random.Generator) -> Box:
        """Return the box with its edges moved by chance, inside the frame and at least a pixel wide and high."""
        x0, y0, x1, y1 = box
        spread = self.faults.jitter * np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0])
        moved = np.array(box) + rng.standard_normal(4) * spread
        limit = np.array(self.size, np.float64)
        low = np.clip(moved[:2], 0.0, limit - 1.0)
        high = np.clip(np.maximum(moved[2:], low + 1.0), 1.0, limit)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def _phantom(self, box: Box, rng: np.random.Generator) -> Box:
        """Return the box of a thing that is not there: a real one's, moved sideways."""
        aside = rng.uniform(*_PHANTOM_OFFSET) * rng.choice((-1.0, 1.0)) * (box[2] - box[0])
        return box[0] + aside, box[1], box[2] + aside, box[3]


def wrong_name(name: str, rng: np.random.Generator) -> str:
    """Return another "colour kind": half of the time a wrong colour, half of the time a wrong kind."""
    colour, _, kind = name.partition(" ")
    if rng.random() < 0.5:
        others = [other for other in COLOURS if other != colour]
        return f"{others[int(rng.integers(len(others)))]} {kind}"
    kinds = [other for other in KINDS if other != kind]
    return f"{colour} {kinds[int(rng.integers(len(kinds)))]}"
