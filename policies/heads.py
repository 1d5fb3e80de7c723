"""Action heads behind one interface: from a token per chunk row to chunks, in normalised units."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.policies.config import HeadConfig

Chunk = Float[Tensor, "b k a"]
Tokens = Float[Tensor, "b k d"]


@dataclass(frozen=True)
class Features:
    """What the trunk says of (observation, instruction), and of the observation with no instruction.

    Guidance (arXiv 2207.12598) mixes what a head makes of both: f(∅) + w (f(told) - f(∅)). A head mixes what its law
    is made of: the chunk (`l1`), the logits (`bins`), the velocity (`flow`). Without `untold`, w is 1.
    """

    told: Tokens
    untold: Tokens | None = None
    weight: float = 1.0

    def guided(self, f: Callable[[Tensor], Tensor]) -> Tensor:
        """Return f of the tokens, guided."""
        if self.untold is None:
            return f(self.told)
        untold = f(self.untold)
        return untold + self.weight * (f(self.told) - untold)


class Head(nn.Module):
    """An action head. All randomness comes from the generator that is passed in, which lives on the CPU: equal seeds,
    equal noise, whatever the head computes on."""

    def fit(self, target: Float[Tensor, "n k a"], mask: Bool[Tensor, "n k"]) -> None:
        """Learn from chunks what must be known before training starts."""

    def loss(self, tokens: Tokens, target: Chunk, noise: torch.Generator) -> Float[Tensor, "b k"]:
        """Return the loss of each row."""
        raise NotImplementedError

    def mean(self, features: Features) -> Chunk:
        """Return the chunk to carry out where nothing is to be drawn."""
        raise NotImplementedError

    def sample(self, features: Features, noise: torch.Generator) -> Chunk:
        """Return a drawn chunk."""
        raise NotImplementedError

    def log_probability(self, features: Features, chunk: Chunk) -> Float[Tensor, " b"] | None:
        """Return the log-probability of drawing `chunk`, or None if the law is not known in closed form."""
        raise NotImplementedError

    discrete = False
    """Whether `log_probability` is one of an event, not a density."""


class L1Head(Head):
    """A chunk and its mean absolute error: the median of a Laplace law.

    The law's scale, one per number of the chunk, is learnt beside it and moves nothing else.
    """

    def __init__(self, width: int, rows: int, numbers: int) -> None:
        super().__init__()
        self.chunk = nn.Linear(width, numbers)
        self.log_scale = nn.Parameter(torch.zeros(rows, numbers))

    def loss(self, tokens: Tokens, target: Chunk, noise: torch.Generator) -> Float[Tensor, "b k"]:
        """Return |error| + the Laplace likelihood of the detached error, which teaches the scale."""
        del noise
        error = (self.chunk(tokens) - target).abs()
        law = error.detach() * torch.exp(-self.log_scale) + self.log_scale
        return (error + law - law.detach()).mean(-1)

    def mean(self, features: Features) -> Chunk:
        """Return the median."""
        return features.guided(self.chunk)

    def sample(self, features: Features, noise: torch.Generator) -> Chunk:
        """Return median + Laplace noise, by inversion."""
        median = self.mean(features)
        u = (torch.rand(median.shape, generator=noise).to(median) - 0.5).clamp(-0.4999999, 0.4999999)
        return median - torch.exp(self.log_scale) * u.sign() * torch.log1p(-2 * u.abs())

    def log_probability(self, features: Features, chunk: Chunk) -> Float[Tensor, " b"]:
        """Return the Laplace log-density, per normalised units."""
        error = (chunk - self.mean(features)).abs()
        return -(error * torch.exp(-self.log_scale) + self.log_scale + math.log(2)).sum((1, 2))


class BinsHead(Head):
    """A categorical law per number of the chunk, over quantile bins of the training chunks.

    Quantiles put bins where the data is, and the outer ones reach as far as it does, so that steps longer than the
    mean do not saturate. A bin stands for the mean of the values in it.
    """

    discrete = True

    def __init__(self, width: int, rows: int, numbers: int, bins: int) -> None:
        super().__init__()
        self.logits = nn.Linear(width, numbers * bins)
        self.edges: Tensor
        self.centres: Tensor
        self.used: Tensor
        self.register_buffer("edges", torch.linspace(-1, 1, bins + 1)[1:-1].repeat(rows, numbers, 1))
        self.register_buffer("centres", torch.linspace(-1, 1, bins).repeat(rows, numbers, 1))
        self.register_buffer("used", torch.ones(rows, numbers, bins, dtype=torch.bool))

    def fit(self, target: Float[Tensor, "n k a"], mask: Bool[Tensor, "n k"]) -> None:
        """Place the bins. A row that no chunk reaches keeps bins of equal width, over [-1, 1]."""
        rows, numbers, bins = self.centres.shape
        for row in range(rows):
            values = target[mask[:, row], row]
            for number in range(numbers) if len(values) else ():
                place = self.edges[row, number], self.centres[row, number], self.used[row, number]
                for kept, learnt in zip(place, _quantile_bins(values[:, number], bins), strict=True):
                    kept.copy_(learnt)

    def loss(self, tokens: Tokens, target: Chunk, noise: torch.Generator) -> Float[Tensor, "b k"]:
        """Return the cross-entropy, mean over a row's numbers."""
        del noise
        return -self._chosen(self._laws(Features(tokens)), self._bin(target)).mean(-1)

    def mean(self, features: Features) -> Chunk:
        """Return the expectation."""
        return (self._laws(features).exp() * self.centres).sum(-1)

    def sample(self, features: Features, noise: torch.Generator) -> Chunk:
        """Return centres of drawn bins."""
        laws = self._laws(features).exp()
        drawn = torch.multinomial(laws.flatten(0, 2).cpu(), 1, generator=noise).to(laws.device).view(laws.shape[:-1])
        return torch.take_along_dim(self.centres.expand_as(laws), drawn[..., None], -1)[..., 0]

    def log_probability(self, features: Features, chunk: Chunk) -> Float[Tensor, " b"]:
        """Return the log-probability of the bins in which the chunk lies, exactly."""
        return self._chosen(self._laws(features), self._bin(chunk)).sum((1, 2))

    def _laws(self, features: Features) -> Float[Tensor, "b k a n"]:
        numbers, bins = self.centres.shape[1:]
        logits = features.guided(self.logits).unflatten(-1, (numbers, bins))
        return F.log_softmax(logits.masked_fill(~self.used, -math.inf), dim=-1)

    def _bin(self, chunk: Chunk) -> Int64[Tensor, "b k a"]:
        return (chunk[..., None] > self.edges).sum(-1)

    @staticmethod
    def _chosen(laws: Float[Tensor, "b k a n"], index: Int64[Tensor, "b k a"]) -> Chunk:
        return torch.take_along_dim(laws, index[..., None], -1)[..., 0]


def _quantile_bins(values: Float[Tensor, " n"], bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return inner edges (bins - 1), centres (bins) and which bins hold values.

    An edge lies midway between two neighbouring distinct values, or at infinity above the largest. Where many values
    are equal, edges coincide: no value can lie in the bins between them, which are never drawn.
    """
    ordered = values.double().sort().values
    below = ordered[(torch.arange(1, bins, device=values.device) * len(ordered) // bins - 1).clamp_min(0)]
    above = torch.cat([ordered, ordered.new_tensor([math.inf])])[torch.searchsorted(ordered, below, right=True)]
    edges = ((below + above) / 2).to(values)
    index = (values[:, None] > edges).sum(-1)
    count = torch.bincount(index, minlength=bins)
    total = torch.zeros_like(count, dtype=torch.double).index_add_(0, index, values.double())
    return edges, (total / count.clamp_min(1)).to(values), count > 0


class FlowHead(Head):
    """Rectified flow (arXiv 2209.03003, 2210.02747): the velocity that carries normal noise to the chunk in unit time.

    Each row's token sees the whole noisy chunk, so that rows agree.
    """

    def __init__(self, width: int, rows: int, numbers: int, steps: int) -> None:
        super().__init__()
        self.rows, self.numbers, self.steps = rows, numbers, steps
        self.net = nn.Sequential(
            nn.Linear(width + rows * numbers + 1, 2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, 2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, numbers),
        )

    def velocity(self, tokens: Tokens, chunk: Chunk, time: Float[Tensor, " b"]) -> Chunk:
        """Return d chunk / d time at `time` in [0, 1]."""
        seen = torch.cat([chunk.flatten(1), time[:, None]], dim=1)[:, None].expand(-1, self.rows, -1)
        return self.net(torch.cat([tokens, seen], dim=-1))

    def loss(self, tokens: Tokens, target: Chunk, noise: torch.Generator) -> Float[Tensor, "b k"]:
        """Return the squared error of the velocity at a random time on the straight way from noise to target."""
        start = torch.randn(target.shape, generator=noise).to(target)
        time = torch.rand(len(target), generator=noise).to(target)
        between = start + time[:, None, None] * (target - start)
        return (self.velocity(tokens, between, time) - (target - start)).square().mean(-1)

    def mean(self, features: Features) -> Chunk:
        """Return where the middle of the noise is carried: a typical chunk, near the mean where there is one mode."""
        return self._carry(features, features.told.new_zeros(len(features.told), self.rows, self.numbers))

    def sample(self, features: Features, noise: torch.Generator) -> Chunk:
        """Return where drawn noise is carried."""
        start = torch.randn(len(features.told), self.rows, self.numbers, generator=noise)
        return self._carry(features, start.to(features.told))

    def log_probability(self, features: Features, chunk: Chunk) -> None:
        """Return None: the density of a flow is not known without integrating its divergence."""
        del features, chunk

    def _carry(self, features: Features, chunk: Chunk) -> Chunk:
        for step in range(self.steps):
            time = chunk.new_full((len(chunk),), step / self.steps)
            chunk = chunk + features.guided(partial(self.velocity, chunk=chunk, time=time)) / self.steps
        return chunk


def build_head(config: HeadConfig, width: int, rows: int, numbers: int) -> Head:
    """Return the head that the configuration names, for chunks of `rows` x `numbers`."""
    match config.kind:
        case "l1":
            return L1Head(width, rows, numbers)
        case "bins":
            return BinsHead(width, rows, numbers, config.bins)
        case "flow":
            return FlowHead(width, rows, numbers, config.flow_steps)
