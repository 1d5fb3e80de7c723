"""Improve a deployed policy from its logs, or keep it: P(a policy worse than the baseline is returned) <= delta.

High-confidence policy improvement (Thomas, Theocharous & Ghavamzadeh, ICML 2015): one part of the logs makes
candidates, the other, never looked at before, tests the most promising by one paired bound on the difference to the
baseline, with delta shared among those tested. What is assumed: propensities are right, episodes are drawn alike and
one decision does not change the contexts of later ones.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from embodied_cf.crm import bounds
from embodied_cf.crm.cells import Cells, make_cells
from embodied_cf.crm.diagnostics import Diagnostics, of_weights
from embodied_cf.crm.fit import fit, lanes
from embodied_cf.crm.intervals import by_episode
from embodied_cf.crm.logs import DecisionLog
from embodied_cf.crm.objectives import Objective, VariancePenalised
from embodied_cf.crm.policies import Policy
from embodied_cf.datasets.randomness import generator
from embodied_cf.errors import RecordError, UsageError

Vector = Float[np.ndarray, " n"]
_DOUBT = 1e-6
"""Probability with which right propensities are taken for wrong ones."""
_PENALTIES = (0.0, 0.1, 0.3, 1.0, 3.0)
_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the way from the least reward to the mean."""


@dataclass(frozen=True)
class Deployed:
    """A policy with its parameters, as it is or was deployed."""

    policy: Policy
    theta: Float[np.ndarray, " p"]

    def log_prob(self, log: DecisionLog) -> Vector:
        """Log probabilities of the logged actions."""
        return np.asarray(self.policy.log_prob(self.theta, log.context, log.action), np.float64)


Baseline = Deployed | Literal["logger"]
"""What must be beaten; "logger" is whatever took the decisions."""


@dataclass(frozen=True)
class Learner:
    """How candidates are made and how many are tested."""

    policy: Policy
    start: Float[np.ndarray, " p"]
    """Where fitting starts: best the logger's own parameters."""
    objective: Objective | None = None
    """With a lane axis; None: a variance penalty of 0, 0.1, 0.3, 1 and 3 / sqrt(n)."""
    train_share: float = 0.5
    """Of the episodes, for making candidates; the rest is for the test alone."""
    tests: int = 1
    """How many candidates may be tested, each at delta / tests."""
    fall_back: bool = True
    """Keep to the baseline in thinly covered cells of contexts."""
    max_weight: float = float("inf")
    """Largest importance weight that a candidate can have against these logs, by construction: 1 / the least
    propensity of a logger that keeps trying every choice. If finite, the test measures rewards from a level between
    the least one and the mean, chosen on the training part, which may sharpen it much."""

    def lanes(self) -> Objective:
        """Return the objective with its lane axis."""
        return self.objective or VariancePenalised(np.array(_PENALTIES), scaling="sqrt_n")


@dataclass(frozen=True)
class Candidate:
    """A fitted policy, used in the covered cells; elsewhere the baseline acts."""

    deployed: Deployed
    cells: Cells
    covered: tuple[bool, ...]

    def covers(self, context: Float[np.ndarray, "n d"]) -> np.ndarray:
        """Return where the fitted policy acts, (n,) bool."""
        return np.array(self.covered)[self.cells.of(context)]

    def weight(self, log: DecisionLog, baseline: Baseline) -> Vector:
        """Return importance weights of the policy as it would be deployed, fallback included."""
        fitted = np.exp(self.deployed.log_prob(log) - log.log_prob)
        return np.where(self.covers(log.context), fitted, baseline_weight(log, baseline))


@dataclass(frozen=True)
class Tested:
    """One safety test of one candidate."""

    candidate: Candidate
    predicted: float
    """Lower bound on the gain that the training part promised."""
    gain: float
    """Estimated gain over the baseline on the safety part."""
    lower: float
    """Bound on the gain that holds, for all tests together, with probability 1 - delta."""
    diagnostics: Diagnostics


class _Promise(NamedTuple):
    """What the training part says of a candidate."""

    lower: float
    """Bound on its gain."""
    level: float
    """From which rewards are to be measured."""
    candidate: Candidate


@dataclass(frozen=True)
class Improvement:
    """What came of it: a policy, or the advice to keep the baseline."""

    chosen: Tested | None
    """None: keep the baseline."""
    tested: tuple[Tested, ...]
    delta: float
    baseline_value: bounds.Interval
    """Interval for the baseline's own value at delta, from the safety part."""
    train: int
    safety: int
    """Decisions in each part."""
    episodes: int
    """Episodes in the safety part: what the test counts."""
    guaranteed: bool
    """False: propensities were estimated, so nothing can be returned as safe."""

    @property
    def decision(self) -> Literal["deploy", "keep the baseline"]:
        """What to do."""
        return "keep the baseline" if self.chosen is None else "deploy"


def improve(
    logs: DecisionLog, baseline: Baseline = "logger", delta: float = 0.05, *, learner: Learner, seed: int = 0
) -> Improvement:
    """Return a policy that beats the baseline with probability 1 - delta, or "keep the baseline".

    Raises UsageError for deterministic loggers, for several of them if the baseline is "logger", and for logs too
    small to split.
    """
    if not 0 < delta < 0.5:
        raise UsageError(f"delta is the probability of a wrong answer, between 0 and 0.5, and not {delta:g}")
    logs.refuse_deterministic()
    if isinstance(baseline, str):
        logs.refuse_several("which is the baseline?")
    train, safety = logs.split(learner.train_share, generator(seed, "improve", "split"))
    if min(len(train), len(safety)) < 2:
        raise UsageError(f"{len(logs)} decisions cannot be split into two parts")
    promising = _candidates(train, baseline, delta, learner, seed)[: learner.tests]
    tested = tuple(_test(one, safety, baseline, delta / len(promising), learner.max_weight) for one in promising)
    passed = [test for test in tested if test.lower > 0 and logs.guaranteed]
    return Improvement(
        max(passed, key=lambda test: test.lower, default=None),
        tested,
        delta,
        _baseline_value(safety, baseline, delta),
        len(train),
        len(safety),
        len(np.unique(safety.episode)),
        logs.guaranteed,
    )


def baseline_weight(log: DecisionLog, baseline: Baseline) -> Vector:
    """Return importance weights of the baseline: 1 if it is the logger."""
    return np.ones(len(log)) if isinstance(baseline, str) else np.exp(baseline.log_prob(log) - log.log_prob)


def paired_gain(
    log: DecisionLog, weight: Vector, baseline: Vector, level: float | None = None
) -> Float[np.ndarray, " m"]:
    """Return one value per episode whose mean is at most the gain of `weight` over `baseline`.

    w_c (r - level) + w_b (high - r) - (high - level), averaged over an episode's decisions. At the default level, the
    least reward, both weights stand before something >= 0: values are >= -(high - low) and no bound on either weight
    is needed. With w_b = 1 it is (w_c - 1) (r - level).
    """
    low, high = log.reward_range
    level = low if level is None else level
    gain = weight * (log.reward - level) + baseline * (high - log.reward) - (high - level)
    return by_episode(gain, log.episode)


def _candidates(train: DecisionLog, baseline: Baseline, delta: float, learner: Learner, seed: int) -> list[_Promise]:
    """Return candidates with what they promise, best first, from the training part alone."""
    fitting, scoring = train.split(0.7, generator(seed, "improve", "fit"))
    objective = learner.lanes()
    count = len(np.asarray(next(iter(_numbers(objective)))))
    start = np.tile(learner.start, (count, 1))
    theta = fit(learner.policy, objective, start, lanes(fitting.decisions(), count)).theta
    cells = make_cells(fitting.context, generator(seed, "improve", "cells"))
    made = [_cover(Deployed(learner.policy, one), fitting, cells, learner.fall_back) for one in theta]
    levels = _levels(fitting, learner.max_weight)
    promises = [
        _Promise(_lower(scoring, one, baseline, delta, learner.max_weight, level), level, one)
        for one in made
        for level in levels
    ]
    best = [
        max(promises[at : at + len(levels)], key=lambda promise: promise.lower)
        for at in range(0, len(promises), len(levels))
    ]
    return sorted(best, key=lambda promise: -promise.lower)


def _levels(log: DecisionLog, max_weight: float) -> list[float]:
    low = log.reward_range[0]
    shares = _LEVELS if np.isfinite(max_weight) else _LEVELS[:1]
    return [low + share * (float(log.reward.mean()) - low) for share in shares]


def _cover(deployed: Deployed, fitting: DecisionLog, cells: Cells, fall_back: bool) -> Candidate:
    weight = np.exp(deployed.log_prob(fitting) - fitting.log_prob)
    covered = cells.covered(fitting.context, weight) if fall_back else np.ones(len(cells.centres), bool)
    return Candidate(deployed, cells, tuple(bool(c) for c in covered))


def _lower(
    log: DecisionLog, candidate: Candidate, baseline: Baseline, delta: float, max_weight: float, level: float
) -> float:
    gain = paired_gain(log, candidate.weight(log, baseline), baseline_weight(log, baseline), level)
    least = _least(log, baseline, max_weight, level)
    return float(bounds.betting(gain, least, np.inf, 2 * delta).lower)  # one side of the two


def _least(log: DecisionLog, baseline: Baseline, max_weight: float, level: float) -> float:
    """Return the least value of `paired_gain` that can be: of (w_c - 1) (r - level) if the logger is the baseline."""
    low, high = log.reward_range
    if level == low:
        return low - high
    if isinstance(baseline, str):
        return min(level - high, (max_weight - 1) * (low - level))
    return level - high - max_weight * (level - low)


def _test(promise: _Promise, safety: DecisionLog, baseline: Baseline, delta: float, max_weight: float) -> Tested:
    candidate, level = promise.candidate, promise.level
    weight = candidate.weight(safety, baseline)
    _refuse_impossible(safety, weight)
    gain = by_episode((weight - baseline_weight(safety, baseline)) * safety.reward, safety.episode)
    lower = _lower(safety, candidate, baseline, delta, max_weight, level)
    diagnostics = of_weights(weight, guaranteed=safety.guaranteed)
    return Tested(candidate, promise.lower, float(gain.mean()), lower, diagnostics)


def _refuse_impossible(log: DecisionLog, weight: Vector) -> None:
    """Raise RecordError for weights that no policy can have: with right propensities their mean is at most 1."""
    least = float(bounds.betting(by_episode(weight, log.episode), 0.0, np.inf, 2 * _DOUBT).lower)
    if log.guaranteed and least > 1:
        raise RecordError(
            f"the log's propensities are wrong: the candidate's mean weight is at least {least:.3g}, and no policy's "
            "exceeds 1",
            remedy="Record the probability of what was done, at the moment of the decision.",
        )


def _baseline_value(safety: DecisionLog, baseline: Baseline, delta: float) -> bounds.Interval:
    low, high = safety.reward_range
    weight = baseline_weight(safety, baseline)
    below = bounds.betting(by_episode(weight * (safety.reward - low), safety.episode), 0.0, np.inf, delta).lower
    above = bounds.betting(by_episode(weight * (high - safety.reward), safety.episode), 0.0, np.inf, delta).lower
    return bounds.Interval(min(low + float(below), high), max(high - float(above), low))


def _numbers(objective: Objective) -> list[np.ndarray]:
    return jax.tree.leaves(objective)
