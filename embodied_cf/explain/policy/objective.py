"""Gradients of return and of divergence from a reference policy, estimated from episodes.

For weights a, b the surrogate's gradient is that of a * J + b * KL_traj, with KL_traj the sum of per-step divergences
from the reference along the policy's own episodes, in closed form at each state: the score function carries what a
step changes later (return to go, divergence to go after the step), less a baseline. A batch that was played by a
slightly other policy is weighed by ratios of likelihood, step by step, clipped as in PPO (arXiv 1707.06347).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from embodied_cf.explain.policies import distribution, divergence, log_likelihood
from embodied_cf.explain.rollout import Episodes

_CLIP = 0.2
"""Largest difference of a ratio from 1 that is still followed."""


@dataclass(frozen=True)
class Baseline:
    """Linear in context, its square and powers of time; ridge regression (Duan et al. 2016, arXiv 1604.06778).

    Fitted on one batch and used on the next, so that the gradient stays unbiased.
    """

    weights: Float[Tensor, "f 2"]

    def __call__(self, episodes: Episodes) -> Float[Tensor, "n 2"]:
        """Return expected return to go and divergence to go at each step."""
        return _features(episodes) @ self.weights

    @staticmethod
    def fit(episodes: Episodes, to_go: Float[Tensor, "n 2"], ridge: float = 1e-3) -> "Baseline":
        """Fit the two sums to go."""
        features = _features(episodes)
        gram = features.T @ features / len(features) + ridge * torch.eye(features.shape[1], dtype=torch.float64)
        return Baseline(torch.linalg.solve(gram, features.T @ to_go / len(features)))


def _features(episodes: Episodes) -> Float[Tensor, "n f"]:
    flat = episodes.context.double().clamp(-10, 10)
    time = episodes.step.double()[:, None] / 100
    return torch.cat([flat, flat**2, time, time**2, time**3, torch.ones_like(time)], dim=1)


@dataclass(frozen=True)
class Gradient:
    """What one batch says."""

    surrogate: Float[Tensor, ""]
    """Call backward on it; its value means nothing."""
    divergence: float
    """Mean over episodes of the summed divergence from the reference."""
    baseline: Baseline
    """For the next batch."""


def gradient(
    policy: nn.Module,
    reference: nn.Module,
    episodes: Episodes,
    baseline: Baseline | None,
    *,
    on_return: float,
    on_divergence: float,
    played: Float[Tensor, " n"] | None = None,
) -> Gradient:
    """Return the surrogate of on_return * J + on_divergence * KL_traj(policy, reference), per episode.

    `played`: log-likelihood of the actions when they were drawn, if the policy has changed since.
    """
    given = distribution(policy, episodes.observation)
    with torch.no_grad():
        held = distribution(reference, episodes.observation)
    apart = divergence(given, held).double()
    known = apart.detach()
    ahead = torch.stack([episodes.to_go(episodes.reward), episodes.to_go(known) - known], dim=1)
    surprise = ahead - baseline(episodes) if baseline else ahead - ahead.mean(dim=0)
    advantage = on_return * surprise[:, 0] + on_divergence * surprise[:, 1]
    score = log_likelihood(given, episodes.action).double()
    paid = score * advantage if played is None else _clipped(torch.exp(score - played), advantage)
    total = (paid + on_divergence * apart).sum() / episodes.count
    return Gradient(total, float(known.sum()) / episodes.count, Baseline.fit(episodes, ahead))


def _clipped(ratio: Float[Tensor, " n"], advantage: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return what is to be made small, with no gain beyond the clip."""
    return torch.maximum(ratio * advantage, ratio.clamp(1 - _CLIP, 1 + _CLIP) * advantage)
