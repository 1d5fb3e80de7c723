"""Sequential counterfactual risk minimisation: learn, redeploy, log twice as much, learn again (arXiv 2302.12120)."""

import time
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from embodied_cf.crm.fit import Decisions, fit
from embodied_cf.crm.objectives import Objective
from embodied_cf.crm.problems import Problem, World, deploy, log_density_of
from embodied_cf.datasets.randomness import generator

LEAST_DENSITY = 1e-5
"""Mixture densities below are raised to it, as in the published code."""


@dataclass(frozen=True)
class Schedule:
    """How much is logged by whom before each fit."""

    rollouts: int = 10
    first: int = 100
    growth: int = 2
    """Each batch is this many times the one before."""
    pooling: Literal["latest", "mixture"] = "latest"
    """Fit on the latest batch with its own propensities, or on all with those of the mixture of their loggers."""
    redeploy: bool = True
    """False: the problem's own logger goes on logging and every fit starts anew: CRM without deployments."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Decisions logged before each fit."""
        return tuple(self.first * self.growth**rollout for rollout in range(self.rollouts))


class Redeployments(NamedTuple):
    """Every policy on the way, of l lanes."""

    theta: Float[np.ndarray, "m l p"]
    """The start, then the policy after each rollout."""
    logged_loss: Float[np.ndarray, "r l"]
    """Mean loss of each batch: the true one of the policy that logged it, with noise."""
    fit_seconds: float
    """Time spent in fitting alone."""


class _Logged(NamedTuple):
    world: World
    decisions: Decisions


def sequential_crm(
    problem: Problem,
    objective: Objective,
    seeds: tuple[int, ...],
    schedule: Schedule = Schedule(),
    precision: Literal["float32", "float64"] = "float64",
) -> Redeployments:
    """Run one lane per seed and entry of the objective's numbers, all fits of a rollout in one vmapped call.

    A lane's situations and noise depend on its seed only, so lanes of one seed are paired. Numbers of `objective`
    have a lane axis.
    """
    starts = np.stack([problem.start(generator(seed, "start")) for seed in seeds]).astype(precision)
    thetas, losses, seconds = [starts], [], 0.0
    history: list[list[_Logged]] = []
    for rollout, size in enumerate(schedule.sizes):
        loggers = [None if rollout == 0 or not schedule.redeploy else theta for theta in thetas[-1]]
        batch = [_log(problem, loggers[lane], seed, rollout, size) for lane, seed in enumerate(seeds)]
        history.append(batch)
        losses.append(np.array([logged.decisions.loss.mean() for logged in batch]))
        data = _stack([_pool(problem, history, thetas, schedule, lane) for lane in range(len(seeds))])
        began = time.perf_counter()
        start = thetas[-1] if schedule.redeploy else starts
        found = fit(problem.policy, objective, start, data, largest_loss=problem.largest_loss)
        seconds += time.perf_counter() - began
        thetas.append(found.theta)
    return Redeployments(np.stack(thetas), np.stack(losses), seconds)


def _log(problem: Problem, theta: np.ndarray | None, seed: int, rollout: int, size: int) -> _Logged:
    return _Logged(*deploy(problem, theta, generator(seed, "log", str(rollout)), size))


def _pool(
    problem: Problem, history: list[list[_Logged]], thetas: list[np.ndarray], schedule: Schedule, lane: int
) -> Decisions:
    """Return what a lane's next fit sees."""
    logged = [batch[lane] for batch in history]
    if schedule.redeploy and schedule.pooling == "latest":
        return logged[-1].decisions
    pooled, world = _concatenate([one.decisions for one in logged]), _concatenate([one.world for one in logged])
    if not schedule.redeploy:
        return pooled
    loggers = [None, *(theta[lane] for theta in thetas[1:])]
    share = np.array(schedule.sizes[: len(logged)]) / len(pooled.loss)
    densities = [log_density_of(problem, logger, world, pooled.action) for logger in loggers]
    mixture = np.logaddexp.reduce(np.log(share)[:, None] + densities, axis=0)
    return pooled._replace(log_propensity=np.maximum(mixture, np.log(LEAST_DENSITY)))


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _concatenate(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *trees)
