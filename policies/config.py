"""What a model is made of: everything needed to build it again, written into its checkpoint. Loads no torch."""

from dataclasses import asdict, dataclass, field, replace
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
TextName = Literal["words", "minilm", "minilm-words", "minilm-phrases", "commands"]
DeviceName = Literal["auto", "cpu", "cuda"]
"""`auto`: CUDA if there is any."""


_LARGEST_SIZE, _LONGEST_HISTORY = 2048, 64
_MOST_WEIGHTS = 1 << 24
"""Of one matrix: a checkpoint's configuration is believed before its weights are read."""


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
class VlaConfig:
    """What every network has."""

    size: int = 64
    """Pixels a side of the square frames it wants."""
    history: int = 1
    """Frames, none from before the robot was told. More than one tells speed and progress, but also what the robot was
    doing anyway."""
    stride: int = 1
    """Control periods between them."""
    head: HeadConfig = field(default_factory=HeadConfig)

    def __post_init__(self) -> None:
        if min(self.size, self.history, self.stride) < 1:
            raise SpecError("size, history and stride must be at least 1", where="model")
        if self.size > _LARGEST_SIZE or self.history * self.stride > _LONGEST_HISTORY:
            raise SpecError(f"size or history beyond {_LARGEST_SIZE} and {_LONGEST_HISTORY}", where="model")

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
        odometry = np.cumsum(rng.normal(0, 0.1, (samples, self.history + 1, 3)), axis=1).astype(np.float32)
        odometry = (odometry - odometry[:, -1:])[observation]
        return Batch(image[observation], tuple(said), action, mask, kind, score, odometry, observation)


@dataclass(frozen=True)
class NavVlaTinyConfig(VlaConfig):
    """The network `nav-vla-tiny`."""

    eye: Literal["learned", "pretrained"] = "learned"
    """`learned` from the data alone; `pretrained`: the things that the shipped detector finds, best at size 144."""
    field_of_view_deg: float = 90.0
    """Of the camera, across: a pretrained eye tells by it where things stand."""
    rows: tuple[float, float] = (0.25, 0.75)
    """Part of the frame's height that a learned eye looks at: most of what lies above and below is sky and floor, and
    costs as much as the rest."""
    channels: tuple[int, int, int] = (16, 32, 96)
    """Of a learned eye's convolutions, at a half, a quarter and an eighth of the resolution; the first costs most."""
    width: int = 96
    """Of tokens."""
    layers: int = 2
    """In which the action queries look at the image; with a pretrained eye, those that see all it tells at once."""
    heads: int = 4
    """Of attention, with a learned eye."""
    text: TextName = "words"
    """How instructions are read: `words` (learned), `minilm` (frozen sentence embeddings, extra `text`),
    `minilm-words` (frozen embeddings of single words, extra `text`), `minilm-phrases` (those, and of whole phrases in
    which things have no names), `commands` (atomic commands only: the atomic policy)."""
    text_width: int = 128
    """Of the sentence vector."""
    by_parts: bool = False
    """Whether a chain of instructions is told part by part, the next where the robot would stand (`policies.chains`,
    extra `text`)."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        super().__post_init__()
        first, last = self.rows
        if not (0 <= first < last <= 1):
            raise SpecError(f"rows {self.rows} are not a part of [0, 1]", where="model")
        if not 0 < self.field_of_view_deg < 180:
            raise SpecError(f"a field of view of {self.field_of_view_deg} degrees", where="model")
        if self.size % 8:
            raise SpecError("size must be a multiple of 8", where="model")
        inner = (self.layers * self.width**2, *(width**2 for width in (*self.channels, self.text_width)))
        if min(self.width, self.layers, self.heads, *self.channels, self.text_width) < 1 or max(inner) > _MOST_WEIGHTS:
            raise SpecError("widths or layers that no small network has", where="model")
        if self.width % self.heads:
            raise SpecError("width must be a multiple of heads", where="model")

    def debug(self) -> "NavVlaTinyConfig":
        """Return the same kind of network, as small as it gets."""
        return replace(self, size=32, channels=(8, 8, 16), width=16, layers=1, heads=2, text_width=16)


@dataclass(frozen=True)
class HfVlaConfig(VlaConfig):
    """A pretrained vision-language model (PaliGemma, SmolVLM, Idefics3, Qwen2.5-VL) with adapters, extra `hf`."""

    size: int = 224
    """Pixels a side of the square frames it wants; they are scaled to what the pretrained model looks at."""
    base: str = ""
    """Directory of the pretrained model, or its name on the Hugging Face hub. Checkpoints only name it."""
    weights: Literal["fp32", "bf16"] = "bf16"
    """Of the frozen model; what is trained is fp32."""
    rank: int = 16
    """Of the adapters (LoRA, arXiv 2106.09685) of every linear layer of the language model."""
    adapt_vision: bool = False
    """Whether the eye has adapters, too: for cameras that see other things than photographs show."""
    width: int = 256
    """Of the tokens that the head sees."""
    recompute: bool = False
    """Whether to keep fewer activations and compute them again (arXiv 1604.06174): less memory, a third more time."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def debug(self) -> "HfVlaConfig":
        """Return the same kind of network, as small as the pretrained model allows."""
        return replace(self, size=32, rank=2, width=16)


ModelConfig = NavVlaTinyConfig | HfVlaConfig


@dataclass(frozen=True)
class ModelCard:
    """A model with what it learnt about its data: enough to build it without that data."""

    model: ModelConfig
    embodiment: Embodiment
    vocabulary: tuple[str, ...] = ()
    """Words that `words` knows, or wordings that `minilm-phrases` does."""
    names: tuple[str, ...] = ()
    """Words with which training names things, where the reader says new names in known ones (`minilm-phrases`)."""
    base: str = ""
    """Fingerprint of the pretrained model's files, where there is one."""
    format: int = 1
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def to_json(self) -> dict[str, object]:
        """Return the card as plain values."""
        return asdict(self)
