"""Arm labels against exact truth, and one row: hindsight against counterfactual labels, over a table.

    python -m benchmarks.tabletop audit --out FILE.json
    python -m benchmarks.tabletop row --work DIR --out FILE.json

Interrupted, both go on with the logs that they had made, `row` with its training and its situations, too.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.tabletop.audit import SYNTHESIZERS, Logs, audit, summary
from embodied_cf.envs.rollouts import Plan
from embodied_cf.envs.tabletop.collect import collect_tables
from embodied_cf.language import arm

SHARES = ("precision", "precision_pushing", "precision_done", "recall", "false_removed", "coverage")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    truth = commands.add_parser("audit", help="are the labels true?")
    truth.add_argument("--episodes", type=int, default=32)
    truth.add_argument("--stride", type=int, default=16, help="commands are audited at every stride-th step")
    truth.add_argument("--bias", type=float, default=0.8)
    truth.add_argument("--seed", type=int, default=100)
    truth.add_argument("--work", type=Path, help="where the logs are kept")
    truth.add_argument("--out", type=Path, help="file for the numbers")
    truth.set_defaults(run=run_audit)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        arguments.work = arguments.work or Path(scratch)
        arguments.run(arguments)


def run_audit(arguments: argparse.Namespace) -> None:
    logs = Logs.of(collected(arguments, size=16, name="audit-logs"), "train")
    cells = []
    for synthesizer in SYNTHESIZERS:
        rows = audit(logs, synthesizer, arguments.stride, arguments.seed)
        for name in ("all", *arm.VOCABULARY.names):
            part = [row for row in rows if name in ("all", row["command"])]
            cells.append({"synthesizer": synthesizer, "command": name, **summary(part)})
            print(shown(cells[-1]), flush=True)
    if arguments.out:
        arguments.out.write_text("".join(json.dumps(cell) + "\n" for cell in cells), "utf-8")


def collected(arguments: argparse.Namespace, size: int, name: str) -> Path:
    """Return logs of frames of so many pixels a side, made if they are not there."""
    directory: Path = arguments.work / f"{name}-{arguments.episodes}-{arguments.bias:g}-{arguments.seed}" / "1.0.0"
    plan = Plan(arguments.episodes, arguments.seed, max_steps=60, says=False)
    collect_tables(directory, plan, "train", size, arguments.bias)
    return directory


def shown(cell: Mapping[str, Any]) -> str:
    """Return a line of a table."""
    counts = (f"{cell[name]:5}" for name in ("proposed", "candidates", "verified"))
    return " ".join([f"{cell['synthesizer']:10}{cell['command']:14}", *counts, *_shares(cell)]) + f"  {cell['harm']}"


def _shares(cell: Mapping[str, Any]) -> Iterator[str]:
    for name in SHARES:
        value = cell[name]["value"]
        yield f"{name} {'-' if value is None else f'{value:.1%}'}"


if __name__ == "__main__":
    main()
