"""Estimators of whole episodes, of any length each.

Notation: rho_t = pi(a_t|s_t) / p_t, w_t = rho_0 ... rho_t, w_-1 = 1, r_t reward, q_t value model at the logged
action, v_t = sum_a pi(a|s_t) q_t(s_t, a), g discount, N episodes. Beyond an episode's end rewards and models are
0 and rho is 1, as in an absorbing state. Weights multiply over the horizon, and no form here is better than
another on every log: PDIS does not always vary less than TIS (Liu, Bacon & Brunskill 2020, arXiv 1910.06508).
"""

from dataclasses import dataclass

import numpy as np

from embodied_cf.crm._decisions import self_normalised
from embodied_cf.crm.batches import Matrix, TrajectoryBatch
from embodied_cf.crm.diagnostics import diagnose
from embodied_cf.crm.estimate import Estimate, Estimator, Leaning
from embodied_cf.errors import UsageError


def estimate(
    estimator: Estimator[TrajectoryBatch], batch: TrajectoryBatch, terms: np.ndarray, leaning: Leaning
) -> Estimate:
    """Return the mean of `terms`, one per episode, with the batch's diagnostics."""
    return Estimate(type(estimator).__name__, float(terms.mean()), terms, diagnose(batch), leaning)


@dataclass(frozen=True)
class TIS:
    """mean(w_{T-1} sum_t g^t r_t), trajectory-wise importance sampling. Unbiased (Precup et al. 2000)."""

    def __call__(self, batch: TrajectoryBatch) -> Estimate:
        """Return the estimate."""
        return estimate(self, batch, batch.ratio.prod(axis=1) * batch.discounted_reward.sum(axis=1), "unbiased")


@dataclass(frozen=True)
class PDIS:
    """mean(sum_t g^t w_t r_t), per-decision importance sampling. Unbiased (Precup et al. 2000)."""

    def __call__(self, batch: TrajectoryBatch) -> Estimate:
        """Return the estimate."""
        return estimate(self, batch, (running(batch) * batch.discounted_reward).sum(axis=1), "unbiased")


@dataclass(frozen=True)
class SequentialDR:
    """mean(sum_t g^t (w_t (r_t - q_t) + w_{t-1} v_t)). Unbiased (Jiang & Li 2016, arXiv 1511.03722)."""

    def __call__(self, batch: TrajectoryBatch) -> Estimate:
        """Return the estimate."""
        return estimate(self, batch, _corrected(batch, running(batch)), "unbiased")


@dataclass(frozen=True)
class SNTIS:
    """sum_i w_{T-1} G / sum_i w_{T-1}, G = sum_t g^t r_t. Consistent."""

    def __call__(self, batch: TrajectoryBatch) -> Estimate:
        """Return the estimate; its terms are linearised."""
        weight, gain = batch.ratio.prod(axis=1), batch.discounted_reward.sum(axis=1)
        return estimate(self, batch, self_normalised(weight, gain), "consistent")


@dataclass(frozen=True)
class SNPDIS:
    """sum_t g^t sum_i w_t r_t / sum_i w_t, over all N episodes, ended ones with their last weight. Consistent."""

    def __call__(self, batch: TrajectoryBatch) -> Estimate:
        """Return the estimate; its terms are linearised."""
        steps = zip(running(batch).T, batch.discounted_reward.T, strict=True)
        return estimate(self, batch, sum_of([self_normalised(w, gain) for w, gain in steps]), "consistent")


@dataclass(frozen=True)
class SNSequentialDR:
    """SequentialDR with w_t / mean(w_t) in place of w_t (Thomas & Brunskill 2016, arXiv 1604.00923). Consistent."""

    def __call__(self, batch: TrajectoryBatch) -> Estimate:
        """Return the estimate; its terms are not linearised in the normaliser."""
        weight = running(batch)
        mean = weight.mean(axis=0)
        if (mean == 0).any():
            raise UsageError("all weights are 0 at some step: the logs hold no episode of the target policy")
        return estimate(self, batch, _corrected(batch, weight / mean), "consistent")


def running(batch: TrajectoryBatch) -> Matrix:
    """Return w_t, (N, T)."""
    return batch.ratio.cumprod(axis=1)


def sum_of(terms: list[np.ndarray]) -> np.ndarray:
    """Return the sum over steps of per-episode terms."""
    return np.sum(terms, axis=0)


def _corrected(batch: TrajectoryBatch, weight: Matrix) -> np.ndarray:
    logged, target = batch.model()
    before = np.concatenate([np.ones((len(batch), 1)), weight[:, :-1]], axis=1)
    steps = weight * batch.at_steps(batch.reward - logged) + before * target
    return (batch.powers * steps).sum(axis=1)
