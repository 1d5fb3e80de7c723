"""What training minimises: imitation, and switches that make the policy listen."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.datasets.batch import Batch
from embodied_cf.datasets.contract import KINDS
from embodied_cf.datasets.normalise import Normalizer
from embodied_cf.policies.vla import Vla
from embodied_cf.train.config import LossConfig

COUNTERFACTUAL = KINDS.index("counterfactual")


@dataclass(frozen=True)
class Losses:
    """Parts of the loss, each before its weight; 0 where its switch is off or nothing in the batch is of its kind."""

    imitation: Float[Tensor, ""]
    stop: Float[Tensor, ""]
    contrastive: Float[Tensor, ""]
    preference: Float[Tensor, ""]

    def total(self, config: LossConfig) -> Float[Tensor, ""]:
        """Return what is minimised."""
        listening = config.contrastive * self.contrastive + config.preference * self.preference
        return self.imitation + config.stop * self.stop + listening

    def values(self) -> dict[str, float]:
        """Return the parts as numbers."""
        return {part.name: float(getattr(self, part.name).detach()) for part in fields(self)}


class Objective:
    """The losses of a model on batches. `seed` of a call fixes noise (flow) and choices; equal seeds, equal losses."""

    def __init__(self, model: Vla, normalizer: Normalizer, config: LossConfig) -> None:
        self.model, self.normalizer, self.config = model, normalizer, config

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Losses:
        """Return the losses of a batch."""
        sample = _Sample(self.model, self.normalizer, batch, int(rng.integers(2**63)))
        dropped = rng.random(len(batch)) < self.config.instruction_dropout
        tokens = sample.tokens(without(batch.instruction, dropped))
        own = sample.loss(tokens, sample.target, sample.mask)
        told = torch.from_numpy(~dropped).to(own.device)
        weight = torch.from_numpy(batch.score**self.config.score_power).to(own)
        return Losses(
            (weight * own).sum() / weight.sum().clamp_min(1e-6),
            F.binary_cross_entropy_with_logits(self.model.stop_logit(tokens), sample.stands.to(own)),
            self._contrastive(sample, own, told, rng) if self.config.contrastive else own.new_zeros(()),
            self._preference(sample, tokens, told, rng) if self.config.preference else own.new_zeros(()),
        )

    def per_sample(self, batch: Batch, seed: int) -> Float[Tensor, " b"]:
        """Return the head's loss of each sample, every instruction told."""
        sample = _Sample(self.model, self.normalizer, batch, seed)
        return sample.loss(sample.tokens(batch.instruction), sample.target, sample.mask)

    def _contrastive(
        self, sample: "_Sample", own: Float[Tensor, " b"], told: Bool[Tensor, " b"], rng: np.random.Generator
    ) -> Float[Tensor, ""]:
        """InfoNCE (arXiv 1807.03748): which of several instructions was this chunk the answer to?

        Minimising it raises a lower bound of the mutual information between action and instruction given the image;
        the score of an instruction is minus the head's loss. Instructions that the batch has for the same
        observation are preferred, so `data.per_observation` > 1 makes this term sharper.
        """
        batch = sample.batch
        other, valid = candidates(batch, rng, self.config.candidates)
        scores = [-own]
        for column, kept in zip(other.T, valid.T, strict=True):
            said = tuple(batch.instruction[row] for row in column.tolist())
            score = -sample.loss(sample.tokens(said), sample.target, sample.mask)
            scores.append(score.masked_fill(~torch.from_numpy(kept).to(own.device), -torch.inf))
        law = F.log_softmax(torch.stack(scores, dim=1) / self.config.temperature, dim=1)
        counts = told & torch.from_numpy(valid.any(1)).to(told.device)
        return -(law[:, 0] * counts).sum() / counts.sum().clamp_min(1)

    def _preference(
        self, sample: "_Sample", tokens: Float[Tensor, "b k d"], told: Bool[Tensor, " b"], rng: np.random.Generator
    ) -> Float[Tensor, ""]:
        """Preference pairs: the instruction's own chunk is chosen, another instruction's chunk is rejected.

        The factual chunk is the rejected answer to a counterfactual instruction for the same observation, and the
        other way round. The loss is that of direct preference optimisation (arXiv 2305.18290) without a reference
        policy (as in arXiv 2401.08417), minus the head's loss standing for the log-likelihood (for flows:
        arXiv 2311.12908). Zero unless the batch holds such pairs: `data.per_observation` > 1.
        """
        other, valid = rejected(sample.batch, rng)
        both = sample.mask & sample.mask[torch.from_numpy(other)]
        chosen, wrong = (
            sample.loss(tokens, target, both) for target in (sample.target, sample.target[torch.from_numpy(other)])
        )
        counts = told & torch.from_numpy(valid).to(told.device)
        return -(F.logsigmoid(self.config.beta * (wrong - chosen)) * counts).sum() / counts.sum().clamp_min(1)


class _Sample:
    """A batch as tensors, and a head's loss on it with the same noise every time."""

    def __init__(self, model: Vla, normalizer: Normalizer, batch: Batch, seed: int) -> None:
        self.batch, self._model, self._seed = batch, model, seed
        arrays = (batch.image, batch.odometry, normalizer.normalise(batch.action), batch.action, batch.mask)
        self._image, self._odometry, self.target, action, self.mask = (
            torch.from_numpy(np.ascontiguousarray(array)).to(model.device) for array in arrays
        )
        self.stands = model.stands(action, self.mask)

    def tokens(self, said: tuple[str, ...]) -> Float[Tensor, "b k d"]:
        """Return what the model makes of the observations, told this."""
        return self._model(self._image, said, self._odometry)

    def rows(self, tokens: Float[Tensor, "b k d"], target: Float[Tensor, "b k a"]) -> Float[Tensor, "b k"]:
        return self._model.head.loss(tokens, target, torch.Generator().manual_seed(self._seed))

    def loss(
        self, tokens: Float[Tensor, "b k d"], target: Float[Tensor, "b k a"], mask: Bool[Tensor, "b k"]
    ) -> Float[Tensor, " b"]:
        return _masked_mean(self.rows(tokens, target), mask)


def _masked_mean(rows: Float[Tensor, "b k"], mask: Bool[Tensor, "b k"]) -> Float[Tensor, " b"]:
    return (rows * mask).sum(1) / mask.sum(1).clamp_min(1)


def without(instruction: tuple[str, ...], dropped: Bool[np.ndarray, " b"]) -> tuple[str, ...]:
    """Return instructions with the dropped ones empty."""
    return tuple("" if gone else text for text, gone in zip(instruction, dropped.tolist(), strict=True))


def candidates(
    batch: Batch, rng: np.random.Generator, count: int
) -> tuple[Int64[np.ndarray, "b c"], Bool[np.ndarray, "b c"]]:
    """Return for each sample rows whose instruction differs from its own, and which of these are valid.

    Rows of the same observation come first, then random ones.
    """
    differ = _differ(batch)
    priority = rng.random(differ.shape) + (batch.observation[:, None] == batch.observation[None])
    order = np.argsort(np.where(differ, -priority, 0.0), axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(differ, order, axis=1)


def rejected(batch: Batch, rng: np.random.Generator) -> tuple[Int64[np.ndarray, " b"], Bool[np.ndarray, " b"]]:
    """Return for each sample a row whose chunk is wrong for it, and where there is one.

    That is a row of the same observation under another instruction; one of the two is counterfactual, because what
    the robot really did is the same chunk, whatever it is called.
    """
    counterfactual = batch.kind == COUNTERFACTUAL
    same = batch.observation[:, None] == batch.observation[None]
    wrong = same & _differ(batch) & (counterfactual[:, None] | counterfactual[None])
    return np.where(wrong, rng.random(wrong.shape), -1.0).argmax(1), wrong.any(1)


def _differ(batch: Batch) -> Bool[np.ndarray, "b b"]:
    _, said = np.unique(np.array(batch.instruction), return_inverse=True)
    return said[:, None] != said[None]
