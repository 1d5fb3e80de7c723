"""Minimal policy change on five control problems: COUNTERPOL, its dual, and no proximity, at equal return.

    python -m benchmarks.counterpol [--env ID …] [--seeds 0 1 2] [--methods …]   # run again to resume, and once more
                                                                                  # for the second core
    python -m benchmarks.counterpol --table                                       # print the tables

Each cell (environment, target, seed, method) appends one JSON line to docs/results/counterpol.jsonl; cells that stand
there are not run again. A line keeps the options that it was run with. Base policies: benchmarks/explain_bases.py.
Targets are taken from the method's hyper-parameter file, both below and above the base policy's return; LunarLander's
-150 is not in it: none of the file's is clearly below what its base policy has.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.counterpol_table import print_tables
from embodied_cf.counterfactual.errors import UnreachableError
from embodied_cf.datasets.files import append_line, exclusive
from embodied_cf.errors import OutputError
from embodied_cf.explain.checkpoints import load_policy
from embodied_cf.explain.options import SearchOptions
from embodied_cf.explain.policy.distance import Returns
from embodied_cf.explain.policy.explanation import explain_policy, returns_before
from embodied_cf.explain.rollout import make_envs

ROOT = Path(__file__).parent.parent
BASES = Path(__file__).parent / "counterpol_bases"
RESULTS = ROOT / "docs" / "results" / "counterpol.jsonl"
METHODS = ("paper", "none", "dual")


@dataclass(frozen=True)
class Problem:
    """One environment's row of the hyper-parameter table."""

    targets: tuple[float, ...]
    options: SearchOptions
    """For the paper's mode. The dual takes four times the episodes, and each batch for four of its 400 gradient steps:
    its multiplier needs quiet batches, not many of them."""


def _row(rate: float, proximity: float, rollouts: int, outer: int, inner: int, scale: float, delta: float, clip: float):
    """In the order of the file's columns. The pivot moves after each outer iteration, of so many inner ones."""
    return SearchOptions(
        delta=delta, episodes=rollouts, iterations=outer * inner, rate=rate, clip=clip,
        proximity=proximity, scale=scale, pivot_every=inner,
    )  # fmt: skip


# Episodes are as long as gymnasium makes them: 200 steps of Pendulum for the file's 1000, 1000 of LunarLander for 500.
PROBLEMS = {
    "CartPole-v1": Problem((150.0, 250.0, 450.0), _row(1e-3, 10, 10, 100, 10, 500, 10, 1.0)),
    "Acrobot-v1": Problem((-120.0, -100.0, -90.0), _row(1e-3, 1, 10, 100, 10, 500, 2.5, 1.0)),
    # The file's k of 1e5 nails the policy to the pivot where it weighs a true divergence per step.
    # Its returns scatter by 500: 400 episodes do not tell whether a policy is within 37.5.
    "Pendulum-v1": Problem(
        (-1000.0, -750.0, -500.0), replace(_row(5e-3, 0.1, 10, 100, 10, 1000, 37.5, 1.0), confirm=1600)
    ),
    "LunarLander-v3": Problem((-150.0, -50.0, 0.0, 100.0), _row(5e-4, 10, 10, 10, 250, 500, 5, 0.5)),
    "BipedalWalker-v3": Problem((50.0, 150.0), _row(5e-4, 1, 5, 200, 5, 400, 10, 1.0)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print what stands in the results, run nothing")
    arguments = parser.parse_args()
    if not arguments.table:
        torch.set_num_threads(1)
        for cell in cells(arguments.env, arguments.seeds, arguments.methods):
            do(cell, arguments.results)
    print_tables(lines(arguments.results))


Cell = tuple[str, float, int, str]


def cells(environments: list[str], seeds: list[int], methods: list[str]) -> Iterator[Cell]:
    for environment in environments:
        for seed in seeds:
            for target in PROBLEMS[environment].targets:
                yield from ((environment, target, seed, method) for method in methods)


def lines(results: Path) -> list[dict]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []


def done(results: Path) -> set[Cell]:
    return {(line["env"], line["target"], line["seed"], line["method"]) for line in lines(results)}


def do(cell: Cell, results: Path) -> None:
    """Run a cell, unless it is done or another process is at it."""
    claim = results.with_name(f".{results.stem}-{'-'.join(map(str, cell))}.claim")
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(claim))
        except OutputError:
            return
        if cell not in done(results):
            append(results, run(*cell))


def run(environment: str, target: float, seed: int, method: str) -> dict:
    options = settings(environment, method)
    policy, make, before = base(environment), make_envs(environment), known(environment, seed, options.confirm)
    cell = {"env": environment, "target": target, "seed": seed, "method": method, "options": asdict(options)}
    started = time.perf_counter()
    try:
        told = explain_policy(policy, make, target, options, seed=seed, before=before).to_json()
    except UnreachableError as error:
        told = {"unreachable": str(error)}
    return cell | told | {"wall_seconds": round(time.perf_counter() - started, 1)}


def base(environment: str) -> nn.Module:
    return load_policy(str(BASES / f"{environment}.safetensors"))


@cache
def known(environment: str, seed: int, episodes: int) -> Returns:
    """What the base policy has, which all cells of a seed compare with."""
    return returns_before(base(environment), make_envs(environment), episodes, seed)


def settings(environment: str, method: str) -> SearchOptions:
    problem = PROBLEMS[environment]
    if method == "dual":
        base = problem.options
        return replace(base, mode="dual", iterations=400, episodes=4 * base.episodes, reuse=4)
    return replace(problem.options, mode="paper", proximity=0.0 if method == "none" else problem.options.proximity)


def append(results: Path, cell: dict) -> None:
    append_line(results, _plain(cell))
    print(
        cell["env"], cell["target"], cell["seed"], cell["method"], cell.get("valid"), cell["wall_seconds"], flush=True
    )


def _plain(value: object) -> object:
    """Round numbers to 6 significant digits: the file is read by people, too."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and np.isfinite(value):
        return float(f"{value:.6g}")
    return None if isinstance(value, float) else value


if __name__ == "__main__":
    main()
