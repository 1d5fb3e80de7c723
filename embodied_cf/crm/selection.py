"""Choosing among fits without test data: by self-normalised risk on folds that were held out, or on the fitted data."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from embodied_cf.crm.fit import Decisions, fit, lanes
from embodied_cf.crm.objectives import Objective
from embodied_cf.crm.policies import Policy
from embodied_cf.errors import UsageError


class Choice(NamedTuple):
    """What cross-validation says of each lane of an objective."""

    best: int
    """Lane with the least mean held-out risk."""
    risk: Float[np.ndarray, "k l"]
    """Self-normalised risk of each lane on each held-out fold."""


def cross_validate(
    policy: Policy,
    objective: Objective,
    start: Float[np.ndarray, "l p"],
    decisions: Decisions,
    episode: Int[np.ndarray, " n"],
    rng: np.random.Generator,
    folds: int = 4,
) -> Choice:
    """Fit every lane (such as a grid of penalties) on all folds but one and score it there; `decisions` has no lanes.

    Folds hold whole episodes: decisions of one are alike, so that a fit which has seen some of them knows the others.
    Episodes of one length are left out where they make folds unequal, so that all fits share one compiled program.
    """
    parts = _folds(episode, rng, folds)
    risk = np.zeros((folds, len(start)))
    for k, held in enumerate(parts):
        train = take(decisions, np.concatenate([part for j, part in enumerate(parts) if j != k]))
        theta = fit(policy, objective, start, lanes(train, len(start))).theta
        risk[k] = [self_normalised_risk(policy, one, take(decisions, held)) for one in theta]
    return Choice(int(np.argmin(risk.mean(axis=0))), risk)


def _folds(episode: Int[np.ndarray, " n"], rng: np.random.Generator, folds: int) -> list[Int[np.ndarray, " m"]]:
    """Return rows of decisions, those of an episode in one fold. Raises UsageError for fewer episodes than folds."""
    _, count = np.unique(episode, return_counts=True)
    if len(count) < folds:
        raise UsageError(f"episodes are too few ({len(count)}) for {folds} folds", remedy="Log more of them.")
    of_episode = np.split(np.argsort(episode, kind="stable"), np.cumsum(count)[:-1])
    mixed = rng.permutation(len(count))
    if (count == count[0]).all():
        mixed = mixed[: len(mixed) // folds * folds]
    return [np.concatenate([of_episode[name] for name in part]) for part in np.array_split(mixed, folds)]


def best_shift(policy: Policy, theta: Float[np.ndarray, "l p"], decisions: Decisions) -> int:
    """Return which fit of a grid of Lagrange shifts has the least self-normalised risk on the fitted data."""
    return int(np.argmin([self_normalised_risk(policy, one, decisions) for one in theta]))


def self_normalised_risk(policy: Policy, theta: Float[np.ndarray, " p"], decisions: Decisions) -> float:
    """sum(w l) / sum(w); 0, the largest loss, where the policy takes none of the logged actions."""
    log_weight = np.asarray(policy.log_prob(theta, decisions.context, decisions.action)) - decisions.log_propensity
    weight = np.exp(log_weight)
    return float((weight * decisions.loss).sum() / weight.sum()) if weight.sum() > 0 else 0.0


def take(decisions: Decisions, rows: np.ndarray) -> Decisions:
    """Return the chosen rows."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[rows], decisions)


def resample(decisions: Decisions, rng: np.random.Generator, replicates: int) -> Decisions:
    """Return bootstrap replicates as lanes, for `fit`."""
    n = len(decisions.loss)
    return take(decisions, rng.integers(n, size=(replicates, n)))
