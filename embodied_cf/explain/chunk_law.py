"""The law from which a policy's head draws action chunks, as a torch distribution with a closed-form divergence.

An event is (1 + m,): whether the robot stands still, and the chunk's m numbers in normalised units, which mean nothing
where it does. `l1` heads have a Laplace law for every number, `bins` heads a categorical one over their bins.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Laplace, kl_divergence, register_kl
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.explain.errors import PolicyError
from embodied_cf.policies.heads import BinsHead, Features, L1Head

_UNUSED = -1e4
"""Logit of a bin that holds nothing: finite, since a difference of infinities has no gradient."""


@dataclass(frozen=True)
class LaplaceNumbers:
    """Of an `l1` head."""

    law: Laplace

    def centre(self) -> Float[Tensor, "b m"]:
        """Return the medians."""
        return self.law.loc

    def spread(self) -> Float[Tensor, "b m"]:
        """Return standard deviations."""
        return self.law.stddev

    def draw(self, rng: np.random.Generator) -> Float[Tensor, "b m"]:
        """Draw by numpy."""
        noise = torch.from_numpy(rng.laplace(size=tuple(self.law.loc.shape))).to(self.law.loc)
        return self.law.loc + self.law.scale * noise

    def log_prob(self, numbers: Float[Tensor, "b m"]) -> Float[Tensor, " b"]:
        """Return the log-density."""
        told: Tensor = self.law.log_prob(numbers)
        return told.sum(-1)


@dataclass(frozen=True)
class BinnedNumbers:
    """Of a `bins` head."""

    law: Categorical
    edges: Float[Tensor, "m e"]
    centres: Float[Tensor, "m n"]

    def centre(self) -> Float[Tensor, "b m"]:
        """Return the expectations."""
        return (self.law.probs * self.centres).sum(-1)

    def spread(self) -> Float[Tensor, "b m"]:
        """Return standard deviations."""
        return ((self.law.probs * self.centres**2).sum(-1) - self.centre() ** 2).clamp_min(0).sqrt()

    def draw(self, rng: np.random.Generator) -> Float[Tensor, "b m"]:
        """Draw bins by the Gumbel-max trick; return their centres."""
        noise = torch.from_numpy(rng.gumbel(size=tuple(self.law.logits.shape))).to(self.law.logits)
        index = (self.law.logits + noise).argmax(-1)
        return torch.take_along_dim(self.centres.expand_as(noise), index[..., None], -1)[..., 0]

    def log_prob(self, numbers: Float[Tensor, "b m"]) -> Float[Tensor, " b"]:
        """Return the log-probability of the bins in which numbers lie."""
        told: Tensor = self.law.log_prob((numbers[..., None] > self.edges).sum(-1))
        return told.sum(-1)


Numbers: TypeAlias = LaplaceNumbers | BinnedNumbers
"""Independent laws of the m numbers of each chunk."""


class ChunkLaw(Distribution):
    """Standing still, or else numbers."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, stop: Float[Tensor, " b"], numbers: Numbers) -> None:
        self.stop = Bernoulli(logits=stop, validate_args=False)
        self.numbers = numbers
        width = numbers.law.batch_shape[-1]
        super().__init__(stop.shape, torch.Size((1 + width,)), validate_args=False)

    @property
    def mode(self) -> Float[Tensor, "b e"]:
        """What the policy carries out when it does not draw."""
        return torch.cat([(self.stop.logits > 0).float()[:, None], self.numbers.centre()], dim=1)

    @property
    def stddev(self) -> Float[Tensor, "b e"]:
        """Standard deviations of the event's parts."""
        return torch.cat([self.stop.stddev[:, None], self.numbers.spread()], dim=1)

    def draw(self, rng: np.random.Generator) -> Float[Tensor, "b e"]:
        """Draw events with the noise of `rng`."""
        stands = torch.from_numpy(rng.random(tuple(self.batch_shape))).to(self.stop.probs) < self.stop.probs
        return torch.cat([stands.float()[:, None], self.numbers.draw(rng)], dim=1)

    def log_prob(self, value: Float[Tensor, "b e"]) -> Float[Tensor, " b"]:
        """Return log-probabilities of events; the numbers of one that stands still are no part of it."""
        stands = _stands(value)
        told: Tensor = self.stop.log_prob(stands.float())
        return told + torch.where(stands, 0.0, self.numbers.log_prob(value[:, 1:]))


@register_kl(ChunkLaw, ChunkLaw)  # type: ignore[untyped-decorator]
def _kl(p: ChunkLaw, q: ChunkLaw) -> Float[Tensor, " b"]:
    """Return KL(p, q): that of standing, and that of the numbers as often as p does not stand."""
    numbers = kl_divergence(p.numbers.law, q.numbers.law).sum(-1)
    return _kl_of_stops(p.stop, q.stop) + (1 - p.stop.probs) * numbers


def _kl_of_stops(p: Bernoulli, q: Bernoulli) -> Float[Tensor, " b"]:
    """Return KL from logits: torch's own is infinite where a probability has underflowed."""
    one = p.probs * (F.softplus(-q.logits) - F.softplus(-p.logits))
    return one + (1 - p.probs) * (F.softplus(q.logits) - F.softplus(p.logits))


def _stands(event: Float[Tensor, "b e"]) -> Bool[Tensor, " b"]:
    return event[:, 0] > 0.5


def chunk_law(
    head: nn.Module, tokens: Float[Tensor, "b k d"], stop: Float[Tensor, " b"], width: float = 1.0
) -> ChunkLaw:
    """Return the law of a head; `width` scales its spread: below 1, draws are nearer to the head's centre.

    Raises PolicyError for heads whose law is not known in closed form.
    """
    if isinstance(head, L1Head):
        median = head.mean(Features(tokens)).flatten(1)
        scale = (width * head.log_scale.exp()).flatten().expand_as(median)
        return ChunkLaw(stop / width, LaplaceNumbers(Laplace(median, scale, validate_args=False)))
    if isinstance(head, BinsHead):
        logits = head.logits(tokens).unflatten(-1, head.centres.shape[1:]).masked_fill(~head.used, _UNUSED)
        law = Categorical(logits=logits.flatten(1, 2) / width, validate_args=False)
        return ChunkLaw(stop / width, BinnedNumbers(law, head.edges.flatten(0, 1), head.centres.flatten(0, 1)))
    raise PolicyError(
        f"the head {type(head).__name__} tells no log-probabilities of the chunks that it draws",
        remedy="Train with --set model.head.kind=l1 or =bins: without a law there is no nearest other policy.",
    )
