"""What every network that acts has, whatever its trunk, and the policy that it makes.

A trunk turns frames and a sentence into a token per chunk row; a head (`policies.heads`) turns the rows into a chunk,
and a stop output says whether the robot should stand still.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Float32, UInt8
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.normalise import Normalizer
from embodied_cf.errors import UsageError
from embodied_cf.policies.config import ModelCard
from embodied_cf.policies.contract import ActionChunk, Observation, check_observation
from embodied_cf.policies.frame_reader import DetectorReader, reader_of
from embodied_cf.policies.heads import Features, build_head

Frames = UInt8[Tensor, "b t h w 3"] | Float16[Tensor, "b t m"]
"""Frames, or what a reader said of each beforehand (`policies.frame_reader`), where the network has one."""
_STILL = 0.1
"""typical steps: standing still if no row lies further away (as `language.nav` judges it)"""
_NEVER = -30.0
"""Logit of a stop that does not happen."""
POSITION = {"nav": 2, "arm": 3}
"""Leading numbers of a chunk row that are a position, in metres."""


class Vla(nn.Module):
    """A network that acts. Works in normalised units. A subclass builds the trunk, then calls `add_outputs`."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.card = card
        self.step: Tensor
        self.register_buffer("step", torch.ones(()))
        """Typical distance of one control period, m."""

    def add_outputs(self, width: int) -> None:
        """Add stop output and head, which read tokens of this width."""
        body = self.card.embodiment
        self.stop = nn.Linear(width, 1)
        nn.init.constant_(self.stop.bias, -2.0)  # stops are the exception
        self.head = build_head(self.card.model.head, width, body.chunk_length, body.chunk_dimensions)

    def forward(
        self,
        image: Frames,
        instruction: tuple[str, ...],
        odometry: Float[Tensor, "b t1 3"] | None = None,
    ) -> Float[Tensor, "b k d"]:
        """Return one token per chunk row. Odometry as in `datasets.batch.Batch`; not all networks use it."""
        return self.tokens(*self.perceive(image, instruction, odometry))

    def perceive(
        self,
        image: Frames,
        instruction: tuple[str, ...],
        odometry: Float[Tensor, "b t1 3"] | None = None,
    ) -> tuple[Tensor, ...]:
        """Return what the eye and the reader of sentences say: tensors of b rows that `tokens` reads."""
        raise NotImplementedError

    def tokens(self, *perceived: Tensor) -> Float[Tensor, "b k d"]:
        """Return one token per chunk row from what is perceived."""
        raise NotImplementedError

    @property
    def needs_odometry(self) -> bool:
        """Whether `perceive` must be told where the robot was."""
        return False

    deciding: tuple[str, ...] = ("stop", "head")
    """Submodules that come after `perceive`: those that decide what to do about it."""

    def understands(self, instruction: str) -> bool:
        """Whether training on this instruction makes sense."""
        del instruction
        return True

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.step.device

    def fit(self, action: Float[Tensor, "n k a"], target: Float[Tensor, "n k a"], mask: Bool[Tensor, "n k"]) -> None:
        """Learn the typical step from chunks, and what the head must know from their normalised form."""
        first = action[:, 0, : POSITION[self.card.embodiment.kind]].norm(dim=-1)
        moving = first[first > 1e-6]
        if len(moving):
            self.step.copy_(moving.median())
        self.head.fit(target, mask)

    def stands(self, action: Float[Tensor, "b k a"], mask: Bool[Tensor, "b k"]) -> Bool[Tensor, " b"]:
        """Return which chunks (metres, not normalised) stand still. Only a robot that drives does: while an arm keeps
        its place, its gripper may close."""
        if self.card.embodiment.kind == "arm":
            return torch.zeros(len(action), dtype=torch.bool, device=action.device)
        reach = torch.where(mask, action.norm(dim=-1), 0.0).amax(-1)
        return reach <= _STILL * self.step

    def stop_logit(self, tokens: Float[Tensor, "b k d"]) -> Float[Tensor, " b"]:
        """Return the logit of standing still; an arm has a low one, whatever it sees."""
        if self.card.embodiment.kind == "arm":
            return tokens.new_full((len(tokens),), _NEVER)
        return self.stop(tokens.mean(1))[:, 0]


@dataclass(frozen=True)
class VlaPolicy:
    """A trained network as a `Policy`."""

    model: Vla
    normalizer: Normalizer
    guidance: float = 1.0
    """w of a(o, ∅) + w (a(o, l) - a(o, ∅)): above 1, the instruction counts for more. Needs a policy trained with
    instruction dropout."""
    sample: bool = False
    """Draw chunks and tell their log-probability, instead of carrying out the head's mean."""

    @property
    def camera(self) -> tuple[int, int]:
        """Height and width of the frames it wants."""
        return self.model.card.model.size, self.model.card.model.size

    @property
    def reader(self) -> DetectorReader | None:
        """What may read frames beforehand."""
        return reader_of(self.model.card.model)

    @property
    def history(self) -> int:
        """T, frames it wants."""
        return self.model.card.model.history

    @property
    def stride(self) -> int:
        """Control periods between them."""
        return self.model.card.model.stride

    @property
    def needs_odometry(self) -> bool:
        """Whether it must be told where the robot was."""
        return self.model.needs_odometry

    @property
    def by_parts(self) -> bool:
        """Whether it wants to be told chains part by part."""
        return getattr(self.model.card.model, "by_parts", False)

    @property
    def embodiment(self) -> Embodiment:
        """The body that its chunks are for."""
        return self.model.card.embodiment

    @torch.inference_mode()
    def act(self, observation: Observation, instruction: tuple[str, ...], rng: np.random.Generator) -> ActionChunk:
        """Return a chunk for each observation. Raises UsageError for frames of another size or history."""
        features, logit = self._look(observation, instruction)
        if not self.sample:
            chunk = self._metric(self.model.head.mean(features), logit > 0)
            return ActionChunk(chunk, np.ones(chunk.shape[:2], bool))
        noise = torch.Generator().manual_seed(int(rng.integers(2**63)))
        drawn = self.model.head.sample(features, noise)
        stop = torch.rand(logit.shape, generator=noise).to(logit) < torch.sigmoid(logit)
        law = self._law(features, logit, drawn, stop)
        return ActionChunk(self._metric(drawn, stop), np.ones(drawn.shape[:2], bool), law)

    @torch.inference_mode()
    def log_probability(
        self, observation: Observation, instruction: tuple[str, ...], chunk: Float32[np.ndarray, "b k a"]
    ) -> Float32[np.ndarray, " b"]:
        """Return the log-probability with which sampling gives these chunks (metres).

        Of standing still, exactly; of the bins that the numbers lie in (`bins`), exactly; else a density per the
        chunk's units (`l1`). Raises UsageError for `flow`, whose density is not known.
        """
        features, logit = self._look(observation, instruction)
        metric, normal = (torch.from_numpy(c).to(logit) for c in (chunk, self.normalizer.normalise(chunk)))
        stop = self.model.stands(metric, torch.ones_like(metric[..., 0], dtype=torch.bool))
        law = self._law(features, logit, normal, stop)
        if law is None:
            raise UsageError("the flow head has no log-probability", remedy="Train with --set model.head.kind=bins.")
        return law

    def _look(self, observation: Observation, instruction: tuple[str, ...]) -> tuple[Features, Tensor]:
        check_observation(self, observation, instruction)
        self.model.eval()
        image, odometry = self.tensors(observation)
        told = self.model(image, instruction, odometry)
        untold = None if self.guidance == 1.0 else self.model(image, ("",) * len(image), odometry)
        features = Features(told, untold, self.guidance)
        return features, features.guided(self.model.stop_logit)

    def tensors(self, observation: Observation) -> tuple[Tensor, Tensor | None]:
        """Return an observation as the network takes it."""
        image, past = torch.from_numpy(np.ascontiguousarray(observation.image)), observation.odometry
        device = self.model.device
        return image.to(device), None if past is None else torch.from_numpy(past).to(device)

    def _law(self, features: Features, logit: Tensor, drawn: Tensor, stop: Tensor) -> np.ndarray | None:
        law = self.model.head.log_probability(features, drawn)
        if law is None:
            return None
        if not self.model.head.discrete:
            law = law - drawn.shape[1] * float(np.log(self.normalizer.scale).sum())
        return torch.where(stop, F.logsigmoid(logit), F.logsigmoid(-logit) + law).cpu().numpy()

    def _metric(self, chunk: Tensor, stop: Tensor) -> Float32[np.ndarray, "b k a"]:
        metric = self.normalizer.denormalise(chunk.cpu().numpy())
        metric[stop.cpu().numpy()] = 0.0
        return metric


def fit_on(model: Vla, normalizer: Normalizer, chunks: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Let a model learn from (action, mask) pairs, metres, what it must know before training starts."""
    action, mask = (np.concatenate(part) for part in zip(*chunks, strict=True))
    model.fit(*(torch.from_numpy(value).to(model.device) for value in (action, normalizer.normalise(action), mask)))
