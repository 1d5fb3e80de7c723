"""`embodied-cf crm evaluate`: what the logs say of a policy, to people, machines and as a page."""

from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from embodied_cf.crm import bounds, page
from embodied_cf.crm import estimators as E  # noqa: N812 (the name that the documentation uses)
from embodied_cf.crm.batches import LoggedBatch
from embodied_cf.crm.command import Evaluate, LogOptions
from embodied_cf.crm.diagnostics import diagnose
from embodied_cf.crm.intervals import Guarantee, by_episode, value_interval
from embodied_cf.crm.log_files import StoredLog, read_log
from embodied_cf.crm.logs import DecisionLog
from embodied_cf.crm.policy_files import load_policy, log_target
from embodied_cf.datasets.files import check_writable, write_json, write_text
from embodied_cf.datasets.randomness import generator
from embodied_cf.errors import UsageError


def run_evaluate(verb: Evaluate) -> int:
    """Evaluate, print, write what was asked for; return the exit code."""
    options = verb.options
    check_writable(options.json, options.html)
    stored = read_options(options)
    batch = stored.log.batch(_log_target(verb, stored))
    result = evaluate(stored.log, batch, verb)
    _print(result, Console())
    finish(options, result, page.evaluation(result, batch.weight))
    return 0


def read_options(options: LogOptions) -> StoredLog:
    """Read the logs, of one logger only if so asked. Raises UsageError if it took no decision."""
    stored = read_log(options.logs, (options.low, options.high))
    if options.logger is None:
        return stored
    chosen = np.array(stored.log.logger) == options.logger
    if not chosen.any():
        names = ", ".join(dict.fromkeys(stored.log.logger))
        raise UsageError(f"no decision of logger {options.logger!r}", where=options.logs, remedy=f"It has: {names}.")
    target = stored.target_log_prob
    return StoredLog(stored.log.take(chosen), None if target is None else target[chosen])


def evaluate(log: DecisionLog, batch: LoggedBatch, verb: Evaluate) -> dict[str, Any]:
    """Return diagnostics, estimates, interval and the loggers' own record, as plain data."""
    options = verb.options
    max_weight = np.inf if verb.max_weight is None else verb.max_weight
    guarantee = Guarantee(options.low, options.high, options.delta, verb.method, max_weight)
    lower, upper = value_interval(batch, guarantee, generator(options.seed, "crm", "bootstrap"), log.episode)
    found = diagnose(batch)
    return {
        "decisions": len(log),
        "episodes": len(np.unique(log.episode)),
        "propensities": log.propensity_source,
        "diagnostics": {**asdict(found), "problems": list(found.problems), "clean": found.clean},
        "estimates": [_row(estimate, shift, log) for estimate, shift in estimates(batch, options.low, verb.max_weight)],
        "interval": {
            "lower": lower,
            "upper": upper,
            "delta": options.delta,
            "method": verb.method,
            "holds": log.guaranteed and not guarantee.approximate and lower <= upper,
        },
        "loggers": record(log, options.delta),
        "endings": log.endings(),
    }


def estimates(batch: LoggedBatch, low: float, max_weight: float | None) -> list[tuple[E.Estimate, float]]:
    """Return (estimate, what must be added to it): shrinking estimators see rewards shifted to be >= 0."""
    shifted = LoggedBatch(batch.reward - low, batch.propensity, batch.target_propensity, guaranteed=batch.guaranteed)
    n = len(batch)
    tamed: list[E.Estimator[LoggedBatch]] = [E.ImplicitExploration(1 / n), E.LogSmoothing(1 / float(np.sqrt(n)))]
    if max_weight is not None:
        tamed.append(E.ClippedIPS(max_weight))
    plain = [(E.IPS()(batch), 0.0), (E.SNIPS()(batch), 0.0)]
    return plain + [(estimator(shifted), low) for estimator in tamed]


def record(log: DecisionLog, delta: float) -> list[dict[str, Any]]:
    """Return each logger's own mean reward with its betting interval (by episodes), in order of appearance."""
    low, high = log.reward_range
    rows = []
    for name, part in log.by_logger().items():
        lower, upper = bounds.betting(by_episode(part.reward, part.episode), low, high, delta)
        rows.append(
            {"logger": name, "decisions": len(part), "mean": float(part.reward.mean()), "lower": lower, "upper": upper}
        )
    return rows


def finish(options: LogOptions, result: dict[str, Any], html: str) -> None:
    """Write JSON and page where asked for."""
    if options.json is not None:
        write_json(options.json, result)
    if options.html is not None:
        write_text(options.html, html)


def _row(estimate: E.Estimate, shift: float, log: DecisionLog) -> dict[str, Any]:
    return {
        "estimator": estimate.estimator,
        "value": estimate.value + shift,
        "standard_error": _standard_error(estimate, log),
        "leaning": estimate.leaning,
    }


def _standard_error(estimate: E.Estimate, log: DecisionLog) -> float | None:
    """Return the standard error with whole episodes as what is drawn: decisions of one are not independent.

    None for a single episode.
    """
    _, index = np.unique(log.episode, return_inverse=True)
    sums = np.bincount(index, estimate.terms - estimate.value)
    if len(sums) == 1:
        return None
    if len(sums) == len(log):
        return estimate.standard_error
    return float(np.sqrt(len(sums)) * sums.std(ddof=1) / len(log))


def _log_target(verb: Evaluate, stored: StoredLog) -> np.ndarray:
    if verb.target is not None:
        return log_target(load_policy(verb.target), stored.log)
    if stored.target_log_prob is not None:
        return stored.target_log_prob
    stored.log.refuse_several("the logger itself cannot be the target")
    return stored.log.log_prob


def _print(result: dict[str, Any], console: Console) -> None:
    found = result["diagnostics"]
    console.print(
        f"{result['decisions']:,} decisions amount to {found['effective_sample_size']:,.1f} of the target policy; "
        f"mean weight {found['mean_weight']:.3f}, largest {found['max_weight']:.3g}, overlap {found['overlap']:.3f}"
    )
    for problem in found["problems"]:
        console.print(f"[bold red]Do not trust these values[/]: {problem}")
    table = Table("estimator", "value", "standard error", "errs")
    for row in result["estimates"]:
        error = "-" if row["standard_error"] is None else f"{row['standard_error']:.2g}"
        table.add_row(row["estimator"], f"{row['value']:.4g}", error, row["leaning"])
    console.print(table)
    told = result["interval"]
    note = f"confidence {1 - told['delta']:.0%}" if told["holds"] else "no guarantee"
    several = result["episodes"] < result["decisions"]
    alike = f"; the mean over {result['episodes']:,} episodes of an episode's mean" if several else ""
    if told["lower"] > told["upper"]:
        console.print("[bold red]No value agrees with these weights[/]: propensities are wrong")
    console.print(f"value between {told['lower']:.4g} and {told['upper']:.4g} ({told['method']}, {note}{alike})")
