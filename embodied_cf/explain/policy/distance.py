"""How far a changed policy is from the original, on fresh episodes of both."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from embodied_cf.explain.policies import Explainable, distribution, divergence, log_likelihood, variation
from embodied_cf.explain.policy.search import Estimate
from embodied_cf.explain.rollout import Episodes, MakeEnvs, play

_LANES = 400
_GREEDY = 100
"""Episodes of the likeliest actions: reported beside, never judged."""


@dataclass(frozen=True)
class Returns:
    """Returns on fresh episodes: with drawn actions, as the policy is defined, and with its likeliest ones."""

    stochastic: Estimate
    greedy: Estimate
    drawn: tuple[float, ...]
    """Each episode's return with drawn actions."""


@dataclass(frozen=True)
class Proximity:
    """Distances between changed and original policy; divergences in nats."""

    trajectory_kl: float
    """E over the changed policy's episodes of the sum of KL(changed, original): what the dual mode minimises."""
    forward_kl: float
    """The same per step: E_{d_changed} KL(changed, original)."""
    reverse_kl: float
    """E_{d_original} KL(original, changed)."""
    total_variation: float
    """At the changed policy's states."""
    greedy_disagreement: float
    """Share of the original policy's states at which the likeliest action differs; by more than one standard deviation
    of the original in some dimension, if actions are continuous."""
    touched: float
    """Share of the changed policy's states with KL above a tenth of a nat: few for a sparse change."""
    parameters: float
    """Euclidean distance between weights, relative to the norm of the original ones."""
    plausibility: float
    """Mean log-likelihood under the original policy of the changed one's actions, less that of its own."""


@dataclass(frozen=True)
class Visits:
    """States of both policies' episodes and how much the policy changed there."""

    observation: Float[Tensor, "n *o"]
    context: Float[Tensor, "n c"]
    """What tells the states apart, see `rollout.Episodes`."""
    kl: Float[Tensor, " n"]
    changed: Float[Tensor, " n"]
    """1 where the changed policy went, 0 where the original one did."""
    way: Int[Tensor, " n"]
    """Which way the changed policy leans there: the action that it takes more often by the most; of continuous actions
    the dimension that moves most in standard deviations, twice, plus one if it moves up."""
    episode: Int[Tensor, " n"]


def measure_returns(policy: nn.Module, make: MakeEnvs, episodes: int, rng: np.random.Generator) -> Returns:
    """Play so many fresh episodes with drawn actions, and up to _GREEDY with the likeliest ones."""
    drawn = _play(policy, make, episodes, rng)
    greedy = _play(policy, make, min(episodes, _GREEDY), rng, greedy=True)
    returns = torch.cat([batch.returns for batch in drawn])
    best = torch.cat([batch.returns for batch in greedy])
    return Returns(Estimate.of(returns), Estimate.of(best), tuple(returns.tolist()))


def measure_change(
    changed: nn.Module, original: nn.Module, make: MakeEnvs, episodes: int, rng: np.random.Generator
) -> tuple[Proximity, Visits]:
    """Compare two policies on so many fresh episodes of each."""
    new, old = _play(changed, make, episodes, rng), _play(original, make, episodes, rng)
    at_new, at_old = (torch.cat([batch.observation for batch in batches]) for batches in (new, old))
    with torch.no_grad():
        p, q = distribution(changed, at_new), distribution(original, at_new)
        back_p, back_q = distribution(changed, at_old), distribution(original, at_old)
        forward, reverse = divergence(p, q), divergence(back_q, back_p)
        count = sum(batch.count for batch in new)
        proximity = Proximity(
            trajectory_kl=float(forward.double().sum()) / count,
            forward_kl=float(forward.mean()),
            reverse_kl=float(reverse.mean()),
            total_variation=float(variation(p, q, rng).mean()),
            greedy_disagreement=_disagreement(back_p, back_q),
            touched=float((forward > 0.1).double().mean()),
            parameters=_parameters(changed, original),
            plausibility=_likelihood(q, new) - _likelihood(back_q, old),
        )
        visits = Visits(
            torch.cat([at_new, at_old]),
            torch.cat([batch.context for batch in (*new, *old)]),
            torch.cat([forward, divergence(back_p, back_q)]),
            torch.cat([torch.ones(len(at_new)), torch.zeros(len(at_old))]),
            torch.cat([_way(p, q), _way(back_p, back_q)]),
            _numbered([*new, *old]),
        )
    return proximity, visits


def _play(
    policy: nn.Module, make: MakeEnvs, episodes: int, rng: np.random.Generator, *, greedy: bool = False
) -> list[Episodes]:
    played = []
    for left in range(episodes, 0, -_LANES):
        envs = make(min(_LANES, left))
        played.append(play(policy, envs, rng, greedy=greedy))
        envs.close()
    return played


def _likelihood(given: Explainable, episodes: list[Episodes]) -> float:
    return float(log_likelihood(given, torch.cat([batch.action for batch in episodes])).mean())


def _way(p: Explainable, q: Explainable) -> Int[Tensor, " n"]:
    if isinstance(p, torch.distributions.Categorical) and isinstance(q, torch.distributions.Categorical):
        return (p.probs - q.probs).argmax(dim=-1)
    moved = (p.mode - q.mode) / q.stddev
    most = moved.abs().argmax(dim=-1)
    return 2 * most + (moved.gather(-1, most[:, None])[:, 0] > 0)


def _numbered(batches: list[Episodes]) -> Int[Tensor, " n"]:
    """Number the episodes of several batches through."""
    first = np.cumsum([0, *(batch.count for batch in batches)])
    return torch.cat([batch.episode + int(at) for batch, at in zip(batches, first[:-1], strict=True)])


def _disagreement(p: Explainable, q: Explainable) -> float:
    if isinstance(p, torch.distributions.Categorical):
        return float((p.mode != q.mode).double().mean())
    return float(((p.mode - q.mode).abs() > q.stddev).any(dim=-1).double().mean())


def _parameters(changed: nn.Module, original: nn.Module) -> float:
    # by name: weights whose low-rank change was folded in stand in another order
    pairs = [(changed.get_parameter(name).double(), b.double()) for name, b in original.named_parameters()]
    moved = sum(float(((a - b) ** 2).sum()) for a, b in pairs)
    return (moved / sum(float((b**2).sum()) for _, b in pairs)) ** 0.5
