"""Sequential CRM beside CRM without redeployment and logarithmic smoothing: pricing and advertising.

`python -m benchmarks.crm_sequential [--quick] [--lines PATH]`. n0 = 100, 10 doublings, seeds 0..9, lambda 0 and 0.01,
all 20 lanes in one vmapped run. Each finished run is a JSON line in `--lines`; the same command goes on from there.
Loss is the true one (10 000 fresh situations, 10 actions each); for advertising also as the published code measures
it, whose action noise starts from the same seed as the potentials: the two correlate, and losses look some 0.01 lower
than they are.
"""

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

import jax
import numpy as np
from scipy import optimize

from benchmarks.crm_improve import append, read
from embodied_cf.crm.fit import Decisions, value_and_grad
from embodied_cf.crm.objectives import LogSmoothed, VariancePenalised
from embodied_cf.crm.problems import Advertising, Pricing, deploy, true_loss
from embodied_cf.crm.redeploy import Redeployments, Schedule, sequential_crm
from embodied_cf.datasets.randomness import generator

SEEDS, PENALTIES = tuple(range(10)), (0.0, 0.01)
PROBLEMS = {"pricing": Pricing(), "advertising": Advertising()}
PUBLISHED = {("pricing", 0.0): (-5.3713, 0.1753), ("pricing", 0.01): (-5.5853, 0.0249),
             ("advertising", 0.0): (-0.7155, 0.0196), ("advertising", 0.01): (-0.7266, 0.0011)}  # fmt: skip
"""Mean and standard deviation over 10 seeds of the published code's sequential CRM, measured beforehand."""
METHODS = ("scrm latest", "crm", "scrm mixture", "log smoothing latest")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--lines", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    rollouts = 4 if arguments.quick else 10
    lines = read(arguments.lines)
    tasks = {f"{method} {name}": (run, method, name) for name, method in itertools.product(PROBLEMS, METHODS)}
    tasks["speed pricing"] = (speed, "", "pricing")
    for key, (task, method, name) in tasks.items():
        if key not in lines:
            lines[key] = task(method, name, rollouts)
            append(arguments.lines, {"key": key, **lines[key]})
    report(lines)
    if arguments.json:
        arguments.json.write_text(json.dumps(lines, indent=2) + "\n")


def run(method: str, name: str, rollouts: int) -> dict:
    problem, lanes = PROBLEMS[name], SEEDS * len(PENALTIES)
    numbers = np.repeat(PENALTIES, len(SEEDS))
    objective = LogSmoothed(np.maximum(numbers, 1e-6)) if "smoothing" in method else VariancePenalised(numbers)
    schedule = Schedule(rollouts, pooling="mixture" if "mixture" in method else "latest", redeploy=method != "crm")
    began = time.process_time()
    found = sequential_crm(problem, objective, lanes, schedule)
    shape = (len(PENALTIES), len(SEEDS))
    truth = [true_loss(problem, t, generator(s, "test")) for t, s in zip(found.theta[-1], lanes, strict=True)]
    result = {"loss": np.reshape(truth, shape).tolist(), "fit_wall_s": found.fit_seconds,
              "cpu_s": time.process_time() - began, "curve": curve(problem, found)}  # fmt: skip
    if name == "advertising":
        seen = [published_loss(t, s) for t, s in zip(found.theta[-1], lanes, strict=True)]
        result["as_published"] = np.reshape(seen, shape).tolist()
    print(f"done: {method} {name}, fits {found.fit_seconds:.0f} s, {result['cpu_s']:.0f} s of processor")
    sys.stdout.flush()
    return result


def curve(problem, found: Redeployments) -> list[float]:
    """Return the mean logged loss of each batch, over lanes of the larger penalty."""
    return found.logged_loss[:, len(SEEDS) :].mean(axis=1).tolist()


def published_loss(theta: np.ndarray, seed: int) -> float:
    """Return the loss as the published code measures it, rebuilt from its description."""
    g, r, n = np.random.RandomState(seed), np.random.RandomState(seed), 10_000
    angle = np.linspace(0, np.pi, n // 2)
    outer, inner = (np.cos(angle), np.sin(angle)), (1 - np.cos(angle), 0.5 - np.sin(angle))
    order = np.arange(n)
    g.shuffle(order)
    x = np.concatenate([np.stack(outer, 1), np.stack(inner, 1)])[order] + g.normal(scale=0.05, size=(n, 2))
    groups = [r.normal(mean, 0.5, size=n) for mean in (3, 1)]
    y = np.abs(np.where(order < n // 2, groups[0], groups[1]))
    noise = np.random.RandomState(seed)
    mean = theta[0] + x @ theta[1:]
    actions = [noise.normal(mean, 0.3) for _ in range(10)]
    losses = [-np.maximum(np.where(a < y, a / y, 1 + 0.5 * (y - a)), -0.1) for a in actions]
    return float(np.mean(losses))


def speed(_method: str, name: str, rollouts: int) -> dict:
    """Return seconds of processor of fits: all 20 lanes at once, compiled before, beside 10 sequential scipy runs."""
    problem, schedule = PROBLEMS[name], Schedule(rollouts)
    objective = VariancePenalised(np.repeat(PENALTIES, len(SEEDS)))
    times = {}
    for label in ("lanes, cold", "lanes, warm"):
        began, wall = time.process_time(), time.perf_counter()
        found = sequential_crm(problem, objective, SEEDS * 2, schedule)
        times[label] = {"cpu_s": time.process_time() - began, "wall_s": time.perf_counter() - wall,
                        "fit_wall_s": found.fit_seconds}  # fmt: skip
    fits = {"scipy, own gradient": own_gradient, "scipy, finite differences": no_gradient,
            "scipy, jax compiled per fit": fresh_jax}  # fmt: skip
    for label, minimise in fits.items():
        seeds = SEEDS[:2] if "jax" in label else SEEDS
        cpu = wall = 0.0
        for seed in seeds:
            spent = sequential_scipy(problem, minimise, seed, schedule)
            cpu, wall = cpu + spent[0], wall + spent[1]
        factor = len(SEEDS) / len(seeds)
        times[label] = {"cpu_s": cpu * factor, "fit_wall_s": wall * factor, "seeds": len(seeds)}
    return {"times": times}


def sequential_scipy(problem, minimise, seed: int, schedule: Schedule) -> tuple[float, float]:
    """Run one seed at lambda 0.01, fit by fit; return seconds of processor and of wall in the fits alone."""
    theta, cpu, wall = problem.start(generator(seed, "start")), 0.0, 0.0
    for rollout, size in enumerate(schedule.sizes):
        logger = None if rollout == 0 else theta
        _, data = deploy(problem, logger, generator(seed, "log", str(rollout)), size)
        began = time.process_time(), time.perf_counter()
        theta = minimise(problem.policy, data, theta)
        cpu, wall = cpu + time.process_time() - began[0], wall + time.perf_counter() - began[1]
    return cpu, wall


def own_gradient(policy, data: Decisions, theta: np.ndarray) -> np.ndarray:
    return optimize.minimize(lambda t: objective_and_gradient(policy, data, t), theta, jac=True, method="L-BFGS-B").x


def no_gradient(policy, data: Decisions, theta: np.ndarray) -> np.ndarray:
    return optimize.minimize(lambda t: objective_and_gradient(policy, data, t)[0], theta, method="L-BFGS-B").x


def fresh_jax(policy, data: Decisions, theta: np.ndarray) -> np.ndarray:
    """As the published code does it: a new compiled function for every fit."""
    jax.clear_caches()
    risk = lambda t: value_and_grad(policy, VariancePenalised(0.01), t, data)  # noqa: E731
    return optimize.minimize(risk, theta, jac=True, method="L-BFGS-B").x


def objective_and_gradient(policy, data: Decisions, theta: np.ndarray, lam: float = 0.01) -> tuple[float, np.ndarray]:
    """mean(l z) + lam std(l (z - 1)) and its gradient, by numpy."""
    n, gap = len(data.loss), (data.action - theta[0] - data.context @ theta[1:]) / policy.scale
    w = np.exp(-(gap**2) / 2 - np.log(policy.scale) - 0.5 * np.log(2 * np.pi) - data.log_propensity)
    z = w / (1 + w / n)
    slope = data.loss * z / (1 + w / n) * gap / policy.scale
    terms = data.loss * (z - 1)
    centred, spread = terms - terms.mean(), terms.std()
    pull = slope / n + (lam * centred * slope / (n * spread) if spread > 0 else 0.0)
    return float((data.loss * z).mean() + lam * spread), np.concatenate([[pull.sum()], pull @ data.context])


def report(lines: dict[str, dict]) -> None:
    for name in PROBLEMS:
        for method in METHODS:
            row = lines[f"{method} {name}"]
            for k, lam in enumerate(PENALTIES):
                print(f"{name:12} {method:21} lambda {lam:5}  {told(row['loss'][k])}{beside(row, name, k, method)}")
        for k, lam in enumerate(PENALTIES):
            ours, plain = (np.array(lines[f"{m} {name}"]["loss"][k]) for m in ("scrm latest", "crm"))
            gap = ours - plain
            print(f"{name:12} paired scrm latest - crm, lambda {lam}: {gap.mean():+.4f} "
                  f"(sign-flip p = {sign_flip(gap):.4f})")  # fmt: skip
    for label, spent in lines["speed pricing"]["times"].items():
        print(f"{label:32} " + "  ".join(f"{k} {v:.1f}" for k, v in spent.items()))


def beside(row: dict, name: str, k: int, method: str) -> str:
    if method != "scrm latest":
        return ""
    mean, deviation = PUBLISHED[name, PENALTIES[k]]
    seen = np.mean(row.get("as_published", row["loss"])[k])
    return f"  as published measures {seen:.4f}; published code {mean} ± {deviation / 10**0.5:.4f}"


def told(losses: list[float]) -> str:
    return f"{np.mean(losses):.4f} ± {np.std(losses) / len(losses) ** 0.5:.4f} (standard error)"


def sign_flip(gap: np.ndarray) -> float:
    """Return the exact two-sided p-value of paired differences under random signs."""
    signs = np.array(list(itertools.product([-1, 1], repeat=len(gap))))
    return float(np.mean(np.abs(signs @ gap) >= abs(gap.sum()) - 1e-12))


if __name__ == "__main__":
    main()
