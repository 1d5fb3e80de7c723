"""What a model is made of: everything needed to build it again, written into its checkpoint. Loads no torch."""

from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal

import numpy as np
from pydantic import ConfigDict

from embodied_cf.datasets.batch import Batch
from embodied_cf.datasets.contract import KINDS
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.randomness import generator
from embodied_cf.datasets.tables import STRICT
from embodied_cf.errors import SpecError

HeadName = Literal["l1", "bins", "flow"]
TextName = Literal["words", "minilm", "minilm-words", "commands"]


@dataclass(frozen=True)
class HeadConfig:
    """The action head (`policies.heads`)."""

    kind: HeadName = "l1"
    bins: int = 32
    """Of the `bins` head, per number of the chunk."""
    flow_steps: int = 8
    """Euler steps of the `flow` head."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True)
class ModelConfig:
    """The network `nav-vla-tiny`."""

    size: int = 64
    """Pixels a side of the square frames it wants."""
    eye: Literal["learned", "pretrained"] = "learned"
    """`learned` from the data alone; `pretrained`: on frozen features of the shipped detector, best at size 96."""
    rows: tuple[float, float] = (0.25, 0.75)
    """Part of the frame's height that is looked at: most of what lies above and below is sky and floor, and costs as
    much as the rest."""
    history: int = 1
    """Frames. More than one tells speed and progress, but also what the robot was doing anyway."""
    channels: tuple[int, int, int] = (16, 32, 96)
    """Of the convolutions at a half, a quarter and an eighth of the resolution; the first cost the most."""
    width: int = 96
    """Of tokens."""
    layers: int = 2
    """In which the action queries look at the image."""
    heads: int = 4
    """Of attention."""
    text: TextName = "words"
    """How instructions are read: `words` (learned), `minilm` (frozen sentence embeddings, extra `text`),
    `minilm-words` (frozen embeddings of single words, extra `text`), `commands` (atomic commands only: the atomic
    policy)."""
    text_width: int = 128
    """Of the sentence vector."""
    head: HeadConfig = field(default_factory=HeadConfig)
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        first, last = self.rows
        if not (0 <= first < last <= 1):
            raise SpecError(f"rows {self.rows} are not a part of [0, 1]", where="model")
        if self.size % 8 or self.history < 1:
            raise SpecError("size must be a multiple of 8 and history at least 1", where="model")

    def fake_batch(self, samples: int, embodiment: Embodiment, seed: int = 0) -> Batch:
        """Return random samples that the model can be trained on: each observation twice, told different things."""
        rng = generator(seed, "fake batch")
        image = rng.integers(0, 256, (samples, self.history, self.size, self.size, 3), np.uint8)
        shape = (samples, embodiment.chunk_length, embodiment.chunk_dimensions)
        action = np.cumsum(rng.normal(0.1, 0.1, shape), axis=1).astype(np.float32)
        mask = np.arange(shape[1]) < rng.integers(1, shape[1] + 1, samples)[:, None]
        said = [("bear left", "turn right")[row % 2] for row in range(samples)]
        observation = np.arange(samples) // 2
        kind = np.array([KINDS.index(("hindsight", "counterfactual")[row % 2]) for row in range(samples)], np.uint8)
        score = rng.random(samples, np.float32)
        return Batch(image[observation], tuple(said), action, mask, kind, score, observation)


@dataclass(frozen=True)
class ModelCard:
    """A model with what it learnt about its data: enough to build it without that data."""

    model: ModelConfig
    embodiment: Embodiment
    vocabulary: tuple[str, ...] = ()
    """Words that `words` knows."""
    format: int = 1
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def to_json(self) -> dict[str, object]:
        """Return the card as plain values."""
        return asdict(self)
