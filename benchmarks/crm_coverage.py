"""How often bounds on a logged policy's value miss: costs and rewards, fixed and adaptive loggers.

`python -m benchmarks.crm_coverage [--quick] [--json PATH]`. Nominal 5 %, 2000 repetitions, n = 50, 200, 1000. The
betting bound at n contains those at all smaller n: what is counted is a miss at *any* look.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from embodied_cf.crm import bounds
from embodied_cf.datasets.randomness import generator

DELTA = 0.05
SIZES = (50, 200, 1000)
TOP = 3.0
"""Largest weighted reward: target 0.6, logger at least 0.2 in each action."""
TRUTH = 0.5
"""0.6 * 0.7 + 0.4 * 0.2."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    repetitions = 200 if arguments.quick else 2000
    rows = [row for case in cases() for row in measure(*case, repetitions)]
    print(f"violations of nominal {100 * DELTA:.0f} % bounds, {repetitions} repetitions")
    for row in rows:
        print("{bound:20} {rewards:8} {logger:9} n {n:5} {missed:7.2%} ± {error:.2%}  width {width:.3f}".format(**row))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def cases() -> list[tuple[str, str, int]]:
    return [(sign, logger, n) for sign in ("rewards", "costs") for logger in ("fixed", "adaptive") for n in SIZES]


def measure(sign: str, logger: str, n: int, repetitions: int) -> list[dict]:
    """Return one row per bound, all on the same logs."""
    factor = 1.0 if sign == "rewards" else -1.0
    values = factor * logs(generator(0, sign, logger, str(n)), logger == "adaptive", repetitions, n)
    low, high = sorted((0.0, factor * TOP))
    found = {
        "hoeffding": bounds.hoeffding(values, low, high, DELTA),
        "empirical_bernstein": bounds.empirical_bernstein(values, low, high, DELTA),
        "betting": bounds.betting(values, low, high, DELTA),
        "student_t (approx.)": bounds.student_t(values, DELTA),
        "bootstrap (approx.)": bootstrap(values, generator(1, sign, logger, str(n))),
    }
    if sign == "rewards":
        found["log_smoothing"] = bounds.log_smoothing(values, low, 1 / np.sqrt(n), DELTA)
    return [row(name, interval, sign, logger, n, factor * TRUTH) for name, interval in found.items()]


def row(name: str, interval: bounds.Interval, sign: str, logger: str, n: int, truth: float) -> dict:
    missed = float(np.mean((interval.lower > truth) | (interval.upper < truth)))
    error = float(np.sqrt(max(missed * (1 - missed), DELTA * (1 - DELTA)) / len(interval.lower)))
    width = float(np.mean(np.minimum(interval.upper, TOP) - interval.lower))
    return {"bound": name, "rewards": sign, "logger": logger, "n": n, "missed": missed, "error": error, "width": width}


def logs(rng: np.random.Generator, adaptive: bool, repetitions: int, n: int) -> np.ndarray:
    """Return weighted rewards, (repetitions, n); the adaptive logger repeats what has just worked."""
    value, last = np.zeros((repetitions, n)), np.ones(repetitions)
    for t in range(n):
        p = np.where(last == 1, 0.8, 0.2) if adaptive else np.full(repetitions, 0.5)
        action = rng.random(repetitions) < p
        last = (rng.random(repetitions) < np.where(action, 0.7, 0.2)).astype(float)
        value[:, t] = np.where(action, 0.6 / p, 0.4 / (1 - p)) * last
    return value


def bootstrap(values: np.ndarray, rng: np.random.Generator) -> bounds.Interval:
    some = values[:400]
    found = [bounds.bootstrap(sample, DELTA, rng, 400) for sample in some]
    return bounds.Interval(np.array([f.lower for f in found]), np.array([f.upper for f in found]))


if __name__ == "__main__":
    main()
