"""What a captioner answers: descriptions with their step ranges, and objects with pixel boxes or points."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from embodied_cf.datasets.contract import Episode
from embodied_cf.language.segments import Segments

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the primary camera's frame, x right, y down."""
Point = tuple[float, float]
"""x, y in pixels of the primary camera's frame, x right, y down."""


@dataclass(frozen=True)
class Hindsight:
    """An instruction that the robot in fact carried out over steps [start, end)."""

    start: int
    end: int
    instruction: str
    score: float = 1.0
    reason: str = ""


@dataclass(frozen=True)
class SeenObject:
    """A thing that the captioner says is visible in the primary camera's frame at `step`."""

    step: int
    name: str
    box: Box | None = None
    point: Point | None = None
    score: float = 1.0


@dataclass(frozen=True)
class Captions:
    """Everything that a captioner says of one episode."""

    hindsight: tuple[Hindsight, ...] = ()
    objects: tuple[SeenObject, ...] = ()
    rejected: tuple[tuple[Hindsight, str], ...] = ()
    """Instructions that the captioner's own filter turned down, each with its reason."""
    floor: Float32[np.ndarray, "t c"] | None = None
    """Where the free floor begins in each of C columns of each frame, as a share of its height: below, all is floor.
    None from captioners that do not look."""


@runtime_checkable
class Captioner(Protocol):
    """Frames (or motion, or a cache) to words.

    `identity` is what provenance records of it: a JSON-able mapping (kind, model, prompt hashes, options)
    that is equal for equal answers.
    """

    @property
    def identity(self) -> dict[str, object]: ...

    async def caption(self, episode: Episode, segments: Segments) -> Captions:
        """Describe one episode. Raises VlmError when the model cannot be asked or understood."""
        ...
