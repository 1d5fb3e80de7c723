"""Arm labels against exact truth, and one row: hindsight against counterfactual labels, over a table.

    python -m benchmarks.tabletop audit --out FILE.json
    python -m benchmarks.tabletop row --work DIR --out FILE.json

Interrupted, both go on with the logs that they had made, `row` with its training and its situations, too.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.tabletop.audit import SYNTHESIZERS, Logs, audit, summary
from benchmarks.tabletop.compare import compared
from benchmarks.tabletop.row import ARMS, RowPlan, labelled, outcomes, trained
from benchmarks.tabletop.situations import PIXELS
from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.rollouts import Plan
from embodied_cf.envs.tabletop.collect import collect_tables
from embodied_cf.evaluate.ledger import LEDGER, note_look
from embodied_cf.language import arm

SHARES = ("precision", "precision_pushing", "precision_done", "recall", "false_removed", "coverage")


def main(told: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    truth = commands.add_parser("audit", help="are the labels true?")
    truth.add_argument("--episodes", type=int, default=32)
    truth.add_argument("--stride", type=int, default=16, help="commands are audited at every stride-th step")
    truth.add_argument("--bias", type=float, default=0.8)
    truth.add_argument("--seed", type=int, default=100)
    truth.add_argument("--synthesizers", nargs="+", default=SYNTHESIZERS)
    truth.add_argument("--work", type=Path, help="where the logs are kept")
    truth.add_argument("--out", type=Path, help="file for the numbers")
    truth.set_defaults(run=run_audit)
    race = commands.add_parser("row", help="does a policy that learns from them listen?")
    race.add_argument("--episodes", type=int, default=200, help="logged")
    race.add_argument("--steps", type=int, default=1000, help="of training, for each policy")
    race.add_argument("--longer", type=int, default=1, help="times as many steps for hindsight")
    race.add_argument("--tables", type=int, default=60)
    race.add_argument("--split", default="test", choices=("train", "dev", "test"))
    race.add_argument("--bias", type=float, default=1.0)
    race.add_argument("--seed", type=int, default=0)
    race.add_argument("--work", type=Path, help="where logs, labels, policies and trials are kept")
    race.add_argument("--out", type=Path, help="file for the numbers")
    race.add_argument("--ledger", type=Path, default=LEDGER, help="where a look at the split `test` leaves a line")
    race.set_defaults(run=run_row)
    arguments = parser.parse_args(told)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        arguments.work = arguments.work or Path(scratch)
        arguments.run(arguments)


def run_audit(arguments: argparse.Namespace) -> None:
    logs = Logs.of(collected(arguments, size=16, name="audit-logs"), "train")
    cells = []
    for synthesizer in arguments.synthesizers:
        rows = audit(logs, synthesizer, arguments.stride, arguments.seed)
        for name in ("all", *arm.VOCABULARY.names):
            part = [row for row in rows if name in ("all", row["command"])]
            cells.append({"synthesizer": synthesizer, "command": name, **summary(part)})
            print(shown(cells[-1]), flush=True)
    if arguments.out:
        arguments.out.write_text("".join(json.dumps(cell) + "\n" for cell in cells), "utf-8")


def run_row(arguments: argparse.Namespace) -> None:
    plan = RowPlan(arguments.steps, arguments.tables, arguments.split, arguments.bias, arguments.seed, arguments.longer)
    data, measure = labelled(collected(arguments, size=PIXELS, name="row-logs"), plan.seed)
    policies = {name: trained(name, data, arguments.work, plan, _tell) for name in ARMS}
    lines = list(outcomes(measure, policies, plan, arguments.work / f"trials-{plan.name}.jsonl"))
    parts = {"all": lines} | {name: [line for line in lines if line["command"] == name] for name in measure.names}
    numbers = {name: compared(part, generator(plan.seed, "row", name)) for name, part in parts.items() if part}
    for name, part in numbers.items():
        rates = " ".join(f"{arm} {found['success']['value']:.1%}" for arm, found in part["arms"].items())
        print(f"{name:14}{part['trials']:5} trials  {rates}  gain {part['gain']['value']:+.1%} {part['gain']['ci95']}")
    if plan.split == "test":
        arms = numbers["all"]["arms"]
        note_look(arguments.ledger, {"benchmark": "tabletop row", **asdict(plan)},
                  {name: found["success"] for name, found in arms.items()})  # fmt: skip
    if arguments.out:
        arguments.out.write_text(json.dumps({"plan": asdict(plan), **numbers}, indent=1) + "\n", "utf-8")


def _tell(what: str) -> None:
    print(f"\r{what}", end="", file=sys.stderr, flush=True)


def collected(arguments: argparse.Namespace, size: int, name: str) -> Path:
    """Return logs of frames of so many pixels a side, made if they are not there."""
    directory: Path = arguments.work / f"{name}-{arguments.episodes}-{arguments.bias:g}-{arguments.seed}" / "1.0.0"
    if not (directory / "dataset_info.json").exists():
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
