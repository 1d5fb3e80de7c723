"""The options of a relabel run."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import tyro

from embodied_cf.datasets.contract import DEFAULT_LABEL_SET
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import FAMILIES, Family
from embodied_cf.policies.config import DeviceName
from embodied_cf.vlm.faults import Faults

_ENGINE = re.compile(r"local|ray(:auto|:[^/\s]+:\d+)?")


@dataclass(frozen=True)
class VlmOptions:
    """How to reach a vision-language model; only read by captioners that ask one."""

    model: str = "gpt-4o-mini"
    """Model name as the server knows it; for `hf` a directory, or a name on the Hugging Face hub."""
    base_url: str = "https://api.openai.com/v1"
    """Any OpenAI-compatible server, such as http://127.0.0.1:8000/v1 of vLLM."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key."""
    send_images: bool = False
    """Allow frames to leave this machine; not needed for servers on loopback."""
    before_send: str = ""
    """package.module:function that takes and returns encoded image bytes, such as to blur faces."""
    batch: bool = False
    """Ask through the server's Batch API: half the price at OpenAI, answers within a day. Killed or stopped, the same
    command goes on with what was sent."""
    concurrency: int = 32
    """Requests in flight at once."""
    every: int = 3
    """Steps between the frames that the model is asked about; its answers hold until the next one."""
    window: int = 30
    """Steps that one hindsight instruction of the model spans; windows overlap by half and cover every step."""
    max_requests: int | None = None
    """Stop cleanly before more requests than this are made; cached answers are free."""
    max_cost: float | None = None
    """Stop cleanly before more US dollars than this are spent, at the prices given."""
    price_in: float = 0.15
    """US dollars per million input tokens."""
    price_out: float = 0.60
    """US dollars per million output tokens."""
    timeout: float = 120.0
    """Seconds that one request may take."""
    max_new_tokens: int = 1024
    """Tokens that one answer may have."""
    batch_size: int = 8
    """Answers that the model of `hf` generates at once."""
    device: DeviceName = "auto"
    """What the model of `hf` computes on."""
    weights: Literal["fp32", "bf16"] = "bf16"
    """Precision of the model of `hf`."""
    cache: Path | None = None
    """File of answered questions; default OUT.vlm-cache.sqlite beside OUT."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"--batch-size {self.batch_size} is less than 1")


@dataclass(frozen=True)
class RelabelOptions:
    """What one relabel run does. A run with equal options resumes; other options need another directory."""

    dataset: tyro.conf.Positional[Path]
    """Version directory of a TFDS dataset, such as .../bridge_dataset/1.0.0."""
    out: tyro.conf.Positional[Path]
    """Directory of the labelled dataset; an interrupted run of the same options is resumed."""
    spec: str | None = None
    """Shipped spec (bridge, gnm, simulator) or a TOML file; default DATASET/spec.toml, if the data brings one.
    `embodied-cf inspect DATASET --suggest-spec` drafts one."""
    split: str | None = None
    """Only this split; default all."""
    captioner: Literal["motion", "openai", "hf", "replay", "scene", "learned"] = "motion"
    """Who says what was done: motion alone; a vision-language model behind a server, or in this process, or only its
    cached answers; for simulated data, the simulator's own list of what frames show, degraded on purpose, or a small
    network that sees."""
    synthesizer: Literal["primitive", "retrieval", "goal", "atomic"] = "primitive"
    """Who makes counterfactual actions: arcs, matched real segments, paths to things in view, or a learned policy
    that was trained on commands."""
    policy: Path | None = None
    """Of the synthesizer `atomic`: a run of `embodied-cf train --preset atomic --kinds hindsight atomic`."""
    segmenter: Literal["threshold", "changepoint"] = "threshold"
    """How motion is cut into atomic commands."""
    label_set: str = DEFAULT_LABEL_SET
    """Name of the label set to add; an existing one is refused."""
    seed: int = 0
    """Same seed, same bytes."""
    per_observation: int = 3
    """Counterfactuals kept for one observation at most."""
    stride: int = 1
    """Counterfactuals at every stride-th frame."""
    families: tuple[Family, ...] = FAMILIES
    """Goals about things in view that may be proposed: go to one (object); stop beside it, pass between two, go to
    the one nearest another (referential); drive around it (continuous); one of these or a command, then another
    (chained). Where the robot did one of them, hindsight says so. Needs boxes from the captioner, a camera model, and
    the synthesizer `goal`."""
    command_share: float = 1.0
    """Share of the atomic commands not carried out that is proposed, and of those carried out that the captioners
    `scene` and `learned` tell in hindsight; less leaves more room for goals."""
    look_round: float = 0.0
    """Share of the observations for which one thing is proposed, too, that stands to the left, out of view: told to go
    there, the robot searches. It teaches a policy to look for what it does not see."""
    limit: int | None = None
    """Only the first N episodes of each split."""
    dry_run: bool = False
    """Write no dataset: label the first episodes in memory, forecast requests and cost, show ten labels."""
    prompts: Path | None = None
    """Directory that replaces the shipped prompts and JSON schemas."""
    workers: int = 1
    """Processes; each takes a shard at a time. Runs that ask a model use one and overlap their requests,
    except on Ray."""
    engine: str = "local"
    """Where shards are worked on: `local`, in --workers processes; `ray`, on a Ray with so many CPUs that is started
    on this machine for the run; `ray:HOST:PORT` or `ray:auto`, on a cluster that shares a file system with it."""
    gpus_per_task: float = 0.0
    """GPUs, or share of one, that each task on Ray reserves: for captioners whose network runs on one."""
    no_frames: bool = False
    """Keep camera frames out of the report."""
    scene: Faults = field(default_factory=Faults)
    """Faults of the captioner `scene`."""
    detector: Path | None = None
    """Weights of the captioner `learned`; default the shipped ones."""
    floor: bool = True
    """Whether the captioners `scene` and `learned` look where the free floor ends, too: walls are then kept clear of,
    and followed. A network for level cameras 0.6 m high sees it; `--no-floor`, for others, switches it off."""
    vlm: tyro.conf.OmitArgPrefixes[VlmOptions] = field(default_factory=VlmOptions)

    def __post_init__(self) -> None:
        for name in ("per_observation", "stride", "workers"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)} is less than 1")
        for name in ("command_share", "look_round"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)} is not in [0, 1]")
        if self.vlm.batch and self.captioner != "openai":
            raise UsageError(f"--batch asks a server; the captioner {self.captioner} asks none")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit {self.limit} is less than 1")
        if (self.policy is not None) != (self.synthesizer == "atomic"):
            raise UsageError(
                "--policy and --synthesizer atomic need each other",
                remedy="Train one by `embodied-cf train --preset atomic --kinds hindsight atomic`.",
            )
        self._check_engine()

    def _check_engine(self) -> None:
        if not _ENGINE.fullmatch(self.engine):
            raise UsageError(
                f"--engine {self.engine!r} is unknown", remedy="Give local, ray, ray:auto or ray:HOST:PORT."
            )
        if self.workers > 1 and self.ray_address is not None:
            raise UsageError("--workers counts processes of this machine, a cluster has CPUs of its own")
        if self.gpus_per_task < 0 or (self.gpus_per_task > 1 and self.gpus_per_task % 1):
            raise UsageError(f"--gpus-per-task {self.gpus_per_task:g} is neither a share of one GPU nor a whole number")
        if self.gpus_per_task and self.engine == "local":
            raise UsageError("--gpus-per-task is for tasks on Ray", remedy="Add --engine ray.")
        if self.vlm.batch and self.engine != "local":
            raise UsageError("--batch collects the questions of one process, and tasks on Ray are many")
        limited = self.vlm.max_requests is not None or self.vlm.max_cost is not None
        if self.asks_model and limited and self.engine != "local":
            raise UsageError(
                "--max-requests and --max-cost are kept by one process, and tasks on Ray are many",
                remedy="Drop them, or take --engine local, which overlaps --concurrency requests.",
            )

    @property
    def ray_address(self) -> str | None:
        """Address of the Ray cluster to join; None for engines of this machine."""
        return self.engine.partition(":")[2] or None

    def absolute(self) -> "RelabelOptions":
        """Return the options with every path that workers open made absolute."""
        model = Path(self.vlm.model)
        local = self.captioner == "hf" and model.is_dir()
        return replace(
            self,
            vlm=replace(self.vlm, model=str(model.absolute())) if local else self.vlm,
            dataset=self.dataset.absolute(),
            out=self.out.absolute(),
            policy=self.policy and self.policy.absolute(),
            detector=self.detector and self.detector.absolute(),
            prompts=self.prompts and self.prompts.absolute(),
        )

    @property
    def asks_model(self) -> bool:
        """Whether the captioner puts questions to a model, or to the cache of one."""
        return self.captioner in ("openai", "hf", "replay")
