"""Estimators of episodes that use the Markov property: marginalised importance sampling and fitted Q evaluation.

Both avoid products of weights over the horizon (Liu et al. 2018, arXiv 1810.12429) and need the state to be one:
given it, the future does not depend on the past.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embodied_cf.crm._trajectories import estimate
from embodied_cf.crm.batches import Matrix, TrajectoryBatch
from embodied_cf.crm.estimate import Estimate
from embodied_cf.errors import RecordError


@dataclass(frozen=True)
class MarginalisedIS:
    """mean(sum_t g^t (d_t^pi / d_t)(s_t) rho_t r_t) for discrete states (Xie, Ma & Wang 2019, arXiv 1906.03393).

    d_t is the share of episodes in state s at step t; d_t^pi follows from d_0 by transitions that are estimated
    with rho. Consistent if the states are Markov; ended episodes are in a state of their own. Terms are not
    linearised in the estimated ratios.
    """

    state: Int[np.ndarray, "n t"]
    """State of each step, 0..S-1."""

    def __call__(self, batch: TrajectoryBatch) -> Estimate:
        """Return the estimate. Raises RecordError if the states do not fit the batch."""
        if self.state.shape != batch.reward.shape:
            raise RecordError(f"states have shape {self.state.shape}, rewards {batch.reward.shape}")
        weight = self.occupancy_ratio(batch) * batch.ratio
        return estimate(self, batch, (weight * batch.discounted_reward).sum(axis=1), "consistent")

    def occupancy_ratio(self, batch: TrajectoryBatch) -> Matrix:
        """Return d_t^pi(s_t) / d_t(s_t), (N, T)."""
        ended = int(self.state.max()) + 1
        state, rho, n = np.where(batch.happened, self.state, ended), batch.ratio, len(batch)
        ratio = np.ones(state.shape)
        for t in range(1, state.shape[1]):
            arrived = np.bincount(state[:, t], ratio[:, t - 1] * rho[:, t - 1], minlength=ended + 1) / n
            there = np.bincount(state[:, t], minlength=ended + 1) / n
            ratio[:, t] = (arrived / np.maximum(there, 1 / n))[state[:, t]]
        return ratio


@dataclass(frozen=True)
class FQE:
    """mean(v_0(s_0)) with q_t linear in features, fitted backwards: q_t ~ r_t + g v_{t+1} (Le et al. 2019, 1903.08738).

    One regression per step, so that values may depend on time. One-hot features of (state, action) give the
    tabular form. As right as its features; terms vary over first states only, not over the fit.
    """

    logged: Float[np.ndarray, "n t d"]
    """phi(s_t, a_t) of the logged actions."""
    target: Float[np.ndarray, "n t d"]
    """sum_a pi(a|s_t) phi(s_t, a)."""
    ridge: float = 1e-6

    def __call__(self, batch: TrajectoryBatch) -> Estimate:
        """Return the estimate."""
        return estimate(self, batch, self.model(batch)[1][:, 0], "unknown")

    def model(self, batch: TrajectoryBatch) -> tuple[Matrix, Matrix]:
        """Return fitted (q_logged, q_target) for SequentialDR; fitted on the same episodes."""
        return self.predict(self.fit(batch))

    def fit(self, batch: TrajectoryBatch) -> Float[np.ndarray, "t d"]:
        """Return one coefficient vector per step."""
        theta = np.zeros(self.logged.shape[1:])
        value = np.zeros(len(batch))
        for t in reversed(range(len(theta))):
            rows = batch.happened[:, t]
            if rows.any():
                phi, goal = self.logged[rows, t], (batch.reward[:, t] + batch.discount * value)[rows]
                theta[t] = np.linalg.solve(phi.T @ phi + self.ridge * np.eye(phi.shape[1]), phi.T @ goal)
            value = np.where(rows, self.target[:, t] @ theta[t], 0.0)
        return theta

    def predict(self, theta: Float[np.ndarray, "t d"]) -> tuple[Matrix, Matrix]:
        """Return (q_logged, q_target) of coefficients, such as ones that were fitted on other episodes."""
        return np.einsum("ntd,td->nt", self.logged, theta), np.einsum("ntd,td->nt", self.target, theta)
