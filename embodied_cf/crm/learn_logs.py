"""`embodied-cf crm fit` and `crm improve`."""

from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console

from embodied_cf.crm import page, words
from embodied_cf.crm.command import FitPolicy, Improve, ObjectiveKind, PolicyOptions
from embodied_cf.crm.diagnostics import diagnose
from embodied_cf.crm.evaluate_logs import finish, read_options, record
from embodied_cf.crm.fit import fit, lanes
from embodied_cf.crm.improve import Deployed, Improvement, Learner, Tested, improve
from embodied_cf.crm.logs import DecisionLog
from embodied_cf.crm.objectives import LagrangeShift, LogSmoothed, Objective, Poem, VariancePenalised
from embodied_cf.crm.policies import LinearGaussian, LinearLognormal, Softmax
from embodied_cf.crm.policy_files import save_policy
from embodied_cf.crm.propensity import clone, small_start
from embodied_cf.crm.selection import cross_validate
from embodied_cf.datasets.files import check_writable
from embodied_cf.datasets.randomness import generator
from embodied_cf.errors import UsageError

_GRIDS: dict[ObjectiveKind, tuple[float, ...]] = {
    "variance": (0.0, 0.1, 0.3, 1.0, 3.0),
    "poem": (0.0, 0.1, 0.3, 1.0, 3.0),
    "self-normalised": (0.0, 0.25, 0.5, 0.75, 1.0),
    "log-smoothing": (0.01, 0.03, 0.1, 0.3, 1.0),
}
"""Penalties; shifts as shares of the reward's range; smoothings."""


def run_fit(verb: FitPolicy) -> int:
    """Fit, print, write; return the exit code."""
    options = verb.options
    check_writable(verb.out, options.json, options.html)
    log = read_options(options).log
    result, deployed = fit_log(log, verb.learn, options.seed)
    batch = log.batch(deployed.log_prob(log))
    save_policy(verb.out, deployed)
    result["diagnostics"] = {**asdict(diagnose(batch)), "problems": list(diagnose(batch).problems)}
    result["policy"] = str(verb.out)
    Console().print(
        f"[bold]{verb.out}[/bold]: {verb.learn.objective} with {result['chosen']:g}, chosen by cross-validation. "
        "Nothing is promised of it: `crm improve` tests, `crm evaluate` on other logs bounds."
    )
    finish(options, result, page.fitted(result, batch.weight))
    return 0


def run_improve(verb: Improve) -> int:
    """Improve, print, write; return the exit code."""
    options = verb.options
    check_writable(verb.out, options.json, options.html)
    log = read_options(options).log
    policy = policy_for(log, verb.learn)
    grid = np.array(verb.learn.grid or _GRIDS[verb.learn.objective])
    learner = Learner(policy, start_for(log, policy), objective_for(verb.learn, grid, log), tests=verb.tests)
    found = improve(log, "logger", options.delta, learner=learner, seed=options.seed)
    if found.chosen is not None:
        save_policy(verb.out, found.chosen.candidate)
    result = as_data(found, log, str(verb.out))
    _print(result, Console())
    finish(options, result, page.improvement(result, [_weights(test, log) for test in found.tested]))
    return 0


def fit_log(log: DecisionLog, learn: PolicyOptions, seed: int) -> tuple[dict[str, Any], Deployed]:
    """Return (what was tried, the policy fitted to all of the log with the best of the grid)."""
    policy, grid = policy_for(log, learn), np.array(learn.grid or _GRIDS[learn.objective])
    decisions, start = log.decisions(), start_for(log, policy)
    choice = cross_validate(policy, objective_for(learn, grid, log), np.tile(start, (len(grid), 1)), decisions,
                            log.episode, generator(seed, "crm", "folds"))  # fmt: skip
    best = grid[choice.best : choice.best + 1]
    theta = fit(policy, objective_for(learn, best, log), start[None], lanes(decisions, 1)).theta[0]
    risk = choice.risk.mean(axis=0)
    tried = [
        {"setting": float(g), "held_out_reward": float(log.reward_range[0] - r)}
        for g, r in zip(grid, risk, strict=True)
    ]
    return {"objective": learn.objective, "tried": tried, "chosen": float(best[0])}, Deployed(policy, theta)


def policy_for(log: DecisionLog, learn: PolicyOptions) -> Softmax | LinearGaussian | LinearLognormal:
    """Return the class of policies that fits the log's actions. Raises UsageError if what was asked for does not."""
    choices = log.action.dtype.kind in "iu"
    kind = learn.policy or ("softmax" if choices else "gaussian")
    if (kind == "softmax") != choices or log.action.ndim != 1:
        shape = f" of shape {log.action.shape[1:]}" if log.action.ndim != 1 else ""
        raise UsageError(
            f"a {kind} policy does not fit actions that are {'whole numbers' if choices else 'settings'}{shape}"
        )
    if kind == "lognormal" and (log.action <= 0).any():
        raise UsageError("a lognormal policy does not fit settings of 0 or less", remedy="Use --policy gaussian.")
    features = log.context.shape[1]
    if kind == "softmax":
        return Softmax(features, int(log.action.max()) + 1, learn.hidden)
    return LinearGaussian(features, learn.scale) if kind == "gaussian" else LinearLognormal(features, learn.scale)


def start_for(log: DecisionLog, policy: Softmax | LinearGaussian | LinearLognormal) -> np.ndarray:
    """Return where to start: a clone of the logger's mean for settings, near uniform for choices."""
    return small_start(policy.size) if isinstance(policy, Softmax) else clone(log, policy)[1]


def objective_for(learn: PolicyOptions, grid: np.ndarray, log: DecisionLog) -> Objective:
    """Return the objective with its grid as lanes."""
    match learn.objective:
        case "variance":
            return VariancePenalised(grid, scaling="sqrt_n")
        case "poem":
            return Poem(grid, np.full(len(grid), 100.0))
        case "self-normalised":
            return LagrangeShift(-grid * (log.reward_range[1] - log.reward_range[0]))
        case "log-smoothing":
            return LogSmoothed(grid)


def as_data(found: Improvement, log: DecisionLog, out: str) -> dict[str, Any]:
    """Return an improvement as plain data."""
    return {
        "decision": found.decision,
        "policy": out if found.chosen is not None else None,
        "verdict": words.verdict(found),
        "known": words.known(found),
        "unknown": words.unknown(found),
        "delta": found.delta,
        "baseline": {"lower": found.baseline_value.lower, "upper": found.baseline_value.upper},
        "tested": [
            {
                "gain": test.gain,
                "lower": test.lower,
                "predicted": test.predicted,
                "covered": list(test.candidate.covered),
                "diagnostics": {**asdict(test.diagnostics), "problems": list(test.diagnostics.problems)},
            }
            for test in found.tested
        ],
        "train": found.train,
        "safety": found.safety,
        "loggers": record(log, found.delta),
    }


def _weights(test: Tested, log: DecisionLog) -> np.ndarray:
    return test.candidate.weight(log, "logger")


def _print(result: dict[str, Any], console: Console) -> None:
    console.print(f"[bold]{result['verdict']}[/bold]")
    for title in ("known", "unknown"):
        console.print(f"\n{title.capitalize()}:")
        for sentence in result[title]:
            console.print(f"  • {sentence}")
    if result["policy"]:
        console.print(f"\nPolicy: [bold]{result['policy']}[/bold]")
