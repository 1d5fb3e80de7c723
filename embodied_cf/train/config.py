"""What a training run does: one frozen dataclass, named presets, dotted changes. Loads no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import ClassVar, Literal

from pydantic import ConfigDict

from embodied_cf.datasets.normalise import Kind
from embodied_cf.datasets.tables import STRICT
from embodied_cf.errors import UsageError
from embodied_cf.policies.config import DeviceName, HeadConfig, HfVlaConfig, ModelConfig, NavVlaTinyConfig


def _refuse_below(name: str, value: float, least: int) -> None:
    if not value >= least:
        raise UsageError(f"{name} {value} is less than {least}")


@dataclass(frozen=True)
class DataConfig:
    """What is drawn from the sources."""

    batch: int = 64
    """Samples per step."""
    per_observation: int = 1
    """Samples of one observation that come side by side, as far as it has several; `loss.preference` needs them."""
    kind_weights: tuple[float, float, float] | None = None
    """Shares of hindsight, atomic and counterfactual samples; default as many as there are observations with each."""
    accumulate: int = 1
    """Batches whose gradients are added up before a step is made."""
    normalisation: Kind = "quantile"
    """How chunks are scaled; goes into stats.json with the numbers."""
    holdout: float = 0.05
    """Share of episodes that is never trained on and that validation looks at."""
    augment: Literal["all", "mirror", "none"] = "all"
    """Crop, colour, shift and mirror, with the matching correction of chunk and words; or nothing but `mirror`."""
    fit_samples: int = 2048
    """Samples from which bins and the typical step are learnt before training."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        _refuse_below("data.accumulate", self.accumulate, 1)
        _refuse_below("data.fit_samples", self.fit_samples, 1)
        if self.kind_weights is not None and not any(weight > 0 for weight in self.kind_weights):
            raise UsageError(f"data.kind_weights {self.kind_weights}: one must be above 0")


@dataclass(frozen=True)
class ScheduleConfig:
    """Learning rate: linear warm-up, then half a cosine (arXiv 1608.03983) to `floor`.

    It depends on `steps` and not on where a run is stopped, so that a run that is stopped and resumed is the same.
    """

    steps: int = 2000
    """Length of the schedule, and of the run unless `--steps` says otherwise."""
    warmup: int = 100
    """Steps until the highest rate."""
    rate: float = 2e-3
    """Highest learning rate."""
    floor: float = 0.02
    """Share of the highest rate at the end, and ever after."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        _refuse_below("schedule.steps", self.steps, 1)
        _refuse_below("schedule.warmup", self.warmup, 0)
        _refuse_below("schedule.floor", self.floor, 0)
        if not 0 <= self.rate < math.inf:
            raise UsageError(f"schedule.rate {self.rate} is no learning rate")


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW (arXiv 1711.05101), clipping, and the average of weights that becomes the policy."""

    weight_decay: float = 0.01
    """Of matrices; biases, norms and vectors have none."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.995
    """Decay of the moving average of weights; its start is faster, 0 switches it off."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """In which products are computed (autocast); weights that are trained, their moments and losses are fp32."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        _refuse_below("optimiser.weight_decay", self.weight_decay, 0)
        if not self.clip > 0:  # below 0, steps would go uphill
            raise UsageError(f"optimiser.clip {self.clip} is not above 0", remedy="inf clips nothing.")
        if not 0 <= self.ema < 1:  # at 1 the policy would stay what it began as
            raise UsageError(f"optimiser.ema {self.ema} is not in [0, 1)")


@dataclass(frozen=True)
class LossConfig:
    """What is minimised besides the head's own loss. Each is a switch (`train.losses` cites the sources)."""

    stop: float = 0.1
    """Weight of the stop output's cross-entropy."""
    score_power: float = 0.0
    """A sample counts score^power; 0: all alike."""
    instruction_dropout: float = 0.05
    """Share of samples whose instruction is taken away: makes guidance possible. More of it delays listening."""
    contrastive: float = 0.0
    """Weight of telling the right instruction from others."""
    candidates: int = 2
    """Other instructions per sample that `contrastive` looks at; each costs a forward and backward pass."""
    temperature: float = 0.1
    """Of `contrastive`, in units of the head's loss."""
    preference: float = 0.0
    """Weight of preferring the instruction's own chunk to another instruction's chunk for the same observation."""
    beta: float = 5.0
    """Sharpness of `preference`, per unit of the head's loss."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        for name in ("stop", "score_power", "contrastive", "preference", "beta"):
            _refuse_below(f"loss.{name}", getattr(self, name), 0)
        _refuse_below("loss.candidates", self.candidates, 1)
        if not 0 <= self.instruction_dropout <= 1:
            raise UsageError(f"loss.instruction_dropout {self.instruction_dropout} is no share")
        if not self.temperature > 0:
            raise UsageError(f"loss.temperature {self.temperature} is not above 0")


@dataclass(frozen=True)
class ValidationConfig:
    """Looking at held-out episodes while training."""

    every: int = 200
    """Steps between validations; there is one at the end, too."""
    batches: int = 4
    """Batches looked at, the same each time."""
    patience: int = 0
    """Stop early after so many validations without a higher instruction sensitivity; 0: never."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        _refuse_below("validation.every", self.every, 1)
        _refuse_below("validation.batches", self.batches, 1)
        _refuse_below("validation.patience", self.patience, 0)


@dataclass(frozen=True)
class LogConfig:
    """Where a run tells how it goes, besides its log.jsonl and the terminal."""

    tensorboard: bool = False
    """Event files in RUN/tensorboard (extra `tensorboard`)."""
    wandb: bool = False
    """Weights & Biases (extra `wandb`): files in RUN/wandb, sent only if WANDB_MODE=online."""
    project: str = "embodied-cf"
    """Of wandb."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a run is a function of, besides its data."""

    model: ModelConfig = field(default_factory=NavVlaTinyConfig)
    data: DataConfig = field(default_factory=DataConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    log: LogConfig = field(default_factory=LogConfig)
    seed: int = 0
    """Of weights, order, dropout and noise."""
    save_every: int = 500
    """Steps between checkpoints; there is one at the end, too."""
    threads: int = 1
    """Of torch. On shared cores one is faster than two."""
    device: DeviceName = "cpu"
    """What computes; `auto`: CUDA if there is any. Several: start the command by torchrun or `accelerate launch`."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        _refuse_below("save_every", self.save_every, 1)
        _refuse_below("threads", self.threads, 1)


def tiny() -> TrainConfig:
    """`embodied-cf train --data rooms_cf/1.0.0 --out RUN`: 128k samples, learned words, L1 chunks.

    7 minutes on one shared core. So few samples do not ground names in `rooms` yet (docs/results/demo.md).

    300 steps (`benchmarks/presets.py`): 63 s of one core; held-out error 0.38 m hindsight, 0.14 m atomic,
    0.37 m counterfactual, sensitivity 0.21 m.
    """
    return TrainConfig()


def bins() -> TrainConfig:
    """`embodied-cf train … --preset bins`: sampled actions with exact log-probabilities, for `crm` and explanation.

    300 steps (`benchmarks/presets.py`): 66 s of one core; held-out error 0.38 m hindsight, 0.13 m atomic,
    0.37 m counterfactual, sensitivity 0.21 m.
    """
    return _with_head(tiny(), "bins")


def flow() -> TrainConfig:
    """`embodied-cf train … --preset flow`: where one instruction allows several ways, which L1 would average.

    300 steps (`benchmarks/presets.py`): 65 s of one core; held-out error 0.40 m hindsight, 0.13 m atomic,
    0.37 m counterfactual, sensitivity 0.22 m.
    """
    return _with_head(tiny(), "flow")


def sentence() -> TrainConfig:
    """`embodied-cf train … --preset sentence`: frozen MiniLM sentences, for words that training did not show.

    300 steps (`benchmarks/presets.py`): 134 s of one core; held-out error 0.35 m hindsight, 0.13 m atomic,
    0.38 m counterfactual, sensitivity 0.19 m.
    """
    return replace(tiny(), model=NavVlaTinyConfig(text="minilm"))


def synonyms() -> TrainConfig:
    """`embodied-cf train … --preset synonyms`: frozen MiniLM words, for synonyms that training did not show.

    300 steps (`benchmarks/presets.py`): 69 s of one core; held-out error 0.38 m hindsight, 0.14 m atomic,
    0.34 m counterfactual, sensitivity 0.21 m.
    """
    return replace(tiny(), model=NavVlaTinyConfig(text="minilm-words"))


def seeing() -> TrainConfig:
    """`embodied-cf train … --preset seeing`: things that the shipped detector finds, frozen MiniLM words and phrases.

    With a memory of five seconds, placed by odometry; `--set model.history=1` does without and takes half the time
    (docs/results/demo.md says what it reaches).
    """
    remembers = NavVlaTinyConfig(eye="pretrained", size=144, history=6, stride=4, width=128, layers=3)
    model = replace(remembers, text="minilm-phrases", by_parts=True)
    return replace(tiny(), model=model, data=replace(tiny().data, augment="mirror"))


def chain() -> TrainConfig:
    """`embodied-cf train … --preset chain`: four frames of history, for instructions with several parts.

    300 steps (`benchmarks/presets.py`): 66 s of one core; held-out error 0.38 m hindsight, 0.14 m atomic,
    0.36 m counterfactual, sensitivity 0.21 m.
    """
    return replace(tiny(), model=NavVlaTinyConfig(history=4))


def atomic() -> TrainConfig:
    """`embodied-cf train … --preset atomic --kinds hindsight atomic`: the atomic policy, told commands only.

    300 steps (`benchmarks/presets.py`): 42 s of one core; held-out error 0.21 m hindsight, 0.14 m atomic,
    sensitivity 0.31 m.
    """
    return replace(tiny(), model=NavVlaTinyConfig(text="commands"))


def arm() -> TrainConfig:
    """`embodied-cf train … --preset arm`: the whole frame, for a camera that looks at a table.

    300 steps (`benchmarks/presets.py`): 90 s of one core; held-out error 0.09 m hindsight, 0.06 m atomic,
    0.05 m counterfactual, sensitivity 0.07 m.
    """
    return replace(tiny(), model=NavVlaTinyConfig(rows=(0.0, 1.0)))


def hf() -> TrainConfig:
    """`embodied-cf train … --preset hf --set model.base=DIR`: adapters on PaliGemma, SmolVLM or Qwen2.5-VL; for a GPU.

    The rate is the usual one of LoRA; what is learnt has not been measured, what it costs has (docs/training.md).
    """
    return replace(
        tiny(),
        model=HfVlaConfig(),
        data=replace(tiny().data, batch=32),
        schedule=ScheduleConfig(steps=5000, warmup=200, rate=2e-4),
        optimiser=OptimiserConfig(precision="bf16"),
        device="auto",
    )


PRESETS = {preset.__name__: preset for preset in (tiny, bins, flow, sentence, synonyms, seeing, chain, atomic, arm, hf)}


def load_preset(name: str) -> TrainConfig:
    """Return a preset, or its debug twin if the name ends in `-debug`."""
    base = name.removesuffix("-debug")
    if base not in PRESETS:
        known = ", ".join(PRESETS)
        raise UsageError(
            f"no preset {name!r}", remedy=f"Use one of {known}; each has a twin such as {base and 'tiny'}-debug."
        )
    config = PRESETS[base]()
    return config if base == name else debug(config)


def debug(config: TrainConfig) -> TrainConfig:
    """Return the same kind of run made so small that it takes a second: to try data and options, and for tests."""
    return replace(
        config,
        model=config.model.debug(),
        data=replace(config.data, batch=8, fit_samples=64, holdout=0.25),
        schedule=replace(config.schedule, steps=4, warmup=2),
        validation=replace(config.validation, every=2, batches=1),
        save_every=2,
    )


def change(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """Return a configuration with dotted settings, such as `schedule.rate=1e-3`, changed.

    Raises UsageError for what is no setting; tyro tells of values of the wrong type and exits with 2.
    """
    import tyro

    pairs = [setting.partition("=") for setting in settings]
    for name, sign, _ in pairs:
        if not sign or not _has(config, name):
            raise UsageError(f"no setting {name!r}", remedy="Write NAME=VALUE, such as schedule.rate=1e-3.")
    arguments = [part for name, _, value in pairs for part in (f"--{name}", *map(_capital, value.split(",")))]
    # the network's kind is the preset's, and switches are told True or False like any other value
    told = (tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff)
    return tyro.cli(TrainConfig, prog="--set", default=config, args=arguments, config=told)


def _capital(value: str) -> str:
    return value.capitalize() if value in ("true", "false") else value


def _has(config: object, name: str) -> bool:
    head, _, rest = name.partition(".")
    if not is_dataclass(config) or head not in {part.name for part in fields(config)}:
        return False
    return not rest or _has(getattr(config, head), rest)


def _with_head(config: TrainConfig, kind: Literal["l1", "bins", "flow"]) -> TrainConfig:
    return replace(config, model=replace(config.model, head=HeadConfig(kind=kind)))
