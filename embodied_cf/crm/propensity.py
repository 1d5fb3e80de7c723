"""Propensities that were not recorded: recomputed from the policy that acted, or estimated by behaviour cloning.

Estimated propensities come without a guarantee and mark the log so. Cross-fitting (each episode's propensities from
a model that never saw it) keeps estimates honest; fitting on the same data ("in sample") often has the smaller error
(Hanna, Niekum & Stone 2019, arXiv 1806.01347) but hides overfitting. Both are offered and named.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from embodied_cf.crm.fit import Decisions, fit, lanes
from embodied_cf.crm.logs import DecisionLog
from embodied_cf.crm.objectives import Likelihood
from embodied_cf.crm.policies import LinearGaussian, LinearLognormal, Policy
from embodied_cf.errors import UsageError


@dataclass(frozen=True)
class Estimated:
    """A log with estimated propensities, and how well they describe it."""

    log: DecisionLog
    log_likelihood: float
    """Mean log probability of logged actions; held out if cross-fitted."""
    folds: int
    """1: in sample."""


def recompute(log: DecisionLog, policy: Policy, theta: Float[np.ndarray, " p"]) -> DecisionLog:
    """Return the log with propensities of the policy that took the decisions, from its checkpoint."""
    log_prob = np.asarray(policy.log_prob(theta, log.context, log.action), np.float64)
    return replace(log, log_prob=log_prob, propensity_source="recomputed")


def estimate(log: DecisionLog, policy: Policy, rng: np.random.Generator, folds: int = 5) -> Estimated:
    """Estimate propensities by behaviour cloning with `policy`; folds of whole episodes, or folds = 1 in sample.

    The scale of Gaussian and lognormal policies is estimated too.
    """
    episodes = len(np.unique(log.episode))
    if not 1 <= folds <= episodes:
        raise UsageError(f"{episodes} episodes cannot be split into {folds} folds", remedy="Ask for fewer folds.")
    fold = _folds(log, rng, folds)
    log_prob = np.zeros(len(log))
    for k in range(folds):
        train, held = (fold != k) | (folds == 1), fold == k
        model, theta = clone(log.take(train), policy)
        part = log.take(held)
        log_prob[held] = np.asarray(model.log_prob(theta, part.context, part.action))
    marked = replace(log, log_prob=log_prob, propensity_source="estimated")
    return Estimated(marked, float(log_prob.mean()), folds)


def clone(log: DecisionLog, policy: Policy) -> tuple[Policy, Float[np.ndarray, " p"]]:
    """Return the policy of greatest likelihood and its parameters."""
    theta = _likeliest(log, policy)
    if isinstance(policy, LinearGaussian | LinearLognormal):
        action = log.action if isinstance(policy, LinearGaussian) else np.log(log.action)
        mean = theta[0] + log.context @ theta[1:]
        return replace(policy, scale=float(np.sqrt(((action - mean) ** 2).mean()))), theta
    return policy, theta


def _likeliest(log: DecisionLog, policy: Policy) -> Float[np.ndarray, " p"]:
    rows = Decisions(log.context, log.action, np.zeros(len(log)), np.zeros(len(log)))
    start = small_start(policy.size)
    return fit(policy, Likelihood(), start[None], lanes(rows, 1)).theta[0]


def small_start(size: int) -> Float[np.ndarray, " p"]:
    """Return small parameters that differ from each other, so that hidden units can part."""
    return 0.1 * np.sin(np.arange(1, size + 1, dtype=np.float64))


def _folds(log: DecisionLog, rng: np.random.Generator, folds: int) -> Int[np.ndarray, " n"]:
    names, index = np.unique(log.episode, return_inverse=True)
    return (rng.permutation(len(names)) % folds)[index]
