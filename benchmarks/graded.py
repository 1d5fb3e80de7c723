"""Graded instruction following of a policy (`evaluate.graded`), or of the expert: share of tasks met, by level.

    python -m benchmarks.graded expert
    python -m benchmarks.graded runs/rooms --world rooms --tasks 50 --tries 4 --json graded.json

The expert is told the clauses that carry an instruction out, and no limits. What it misses it loses to people, slip
and the slack of the limits.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.splits import as_split
from embodied_cf.envs.tasks import Task
from embodied_cf.errors import EmbodiedError, UsageError
from embodied_cf.evaluate.graded import make_graded, score, try_all
from embodied_cf.evaluate.graded_levels import LEVELS
from embodied_cf.evaluate.ledger import LEDGER, note_look
from embodied_cf.evaluate.load import load
from embodied_cf.evaluate.otherwise import drive_otherwise
from embodied_cf.evaluate.rollout import Drives, run_episodes

Run = Callable[[Sequence[Task], Sequence[str]], Drives]


def main(told: Sequence[str] | None = None) -> None:
    try:
        measure(options().parse_args(told))
    except EmbodiedError as error:
        raise SystemExit(str(error)) from None


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy", nargs="?", default="expert", help="`expert`, or as `embodied-cf evaluate` takes it")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--world", default="rooms")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--tasks", type=int, default=50, help="seeds for each level; some offer no task of it")
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=70_000)
    parser.add_argument("--ledger", type=Path, default=LEDGER, help="where a look at the split `test` leaves a line")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Let the policy try what the options ask for; print, note and write what came of it.

    Raises UsageError for unknown names, for counts below 1, and if there is no task.
    """
    for name, count in (("tasks", arguments.tasks), ("tries", arguments.tries)):
        if count < 1:
            raise UsageError(f"--{name} {count} is less than 1")
    split = as_split(arguments.split)
    seeds = range(arguments.first_seed, arguments.first_seed + (3 if arguments.quick else arguments.tasks))
    run, tried = runner(arguments.policy), []
    for level in LEVELS:
        made = [make_graded(level, arguments.world, split, seed) for seed in seeds]
        tasks = [one for one in made if one]
        tried += try_all(tasks, arguments.tries, run) if tasks else []
    if not tried:
        raise UsageError(f"no seed from {seeds.start} to {seeds.stop - 1} offers a task", remedy="Raise --tasks.")
    result = score(tried)
    show(result)
    if split == "test":
        asked = {"benchmark": "graded", "policy": arguments.policy, "world": arguments.world, "split": split,
                 "seeds": [seeds.start, seeds.stop], "tries": arguments.tries}  # fmt: skip
        note_look(arguments.ledger, asked, {level: row["success"] for level, row in result["levels"].items()})
    if arguments.json:
        arguments.json.write_text(json.dumps({"policy": arguments.policy, **result}, indent=2) + "\n")


def runner(policy: str) -> Run:
    if policy == "expert":
        return lambda tasks, told: drive_otherwise(tasks, [task.instruction for task in tasks])
    loaded = load(policy)
    return lambda tasks, told: run_episodes(loaded, tasks, told, generator(0, "graded", str(len(tasks))))


def show(result: dict[str, Any]) -> None:
    for level, row in result["levels"].items():
        low, high = row["success"]["ci95"]
        every = " ".join(f"{share:6.1%}" for share in row["all_of"])
        first = f"{row['success']['rate']:6.1%} [{low:.1%}, {high:.1%}] of {row['success']['n']}"
        print(f"{level:16} {first}; 1, 2, ... tries all succeed: {every}")
    if result["order"]:
        print(f"both orders met: {result['order']['rate']:.1%} of {result['order']['n']}")


if __name__ == "__main__":
    main()
