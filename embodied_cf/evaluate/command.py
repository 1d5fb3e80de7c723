"""What `embodied-cf evaluate` does and shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from embodied_cf.datasets.files import check_writable, write_json
from embodied_cf.datasets.randomness import generator
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.ledger import LEDGER, note_look
from embodied_cf.evaluate.load import checkpoint_of, load
from embodied_cf.evaluate.options import EvaluateOptions
from embodied_cf.evaluate.record import Record, read_records
from embodied_cf.evaluate.report import write_report
from embodied_cf.evaluate.run import RECORDS, Plan, evaluate
from embodied_cf.evaluate.suites import parse_suite
from embodied_cf.evaluate.summary import NONE, compare, shared_episodes, summarise
from embodied_cf.policies.devices import device_of

SUMMARY, REPORT = "summary.json", "report.html"
ABREAST = 3
"""Controls that a terminal has room for side by side."""


def run_evaluate(options: EvaluateOptions, json_path: Path | None) -> int:
    """Evaluate with a progress bar, print and write; return the exit code."""
    torch.set_num_threads(1)
    check_writable(json_path, options.ledger)
    console = Console(stderr=True)
    name = _name(options)
    suite = parse_suite(options.suite)
    plan = Plan(
        name, suite, options.episodes, options.seed, options.controls, options.execute, options.ensemble,
        options.backend, checkpoint_of(options.policy),
    )  # fmt: skip
    if NONE not in plan.controls:
        raise UsageError(f"--controls without {NONE!r}, which every control is held against", remedy="Add it.")
    others = {str(path): tuple(read_records(path / RECORDS)) for path in options.compare}
    for theirs in others.values():
        shared_episodes(plan.wanted, theirs)  # refused before anything is driven
    records = driven(options, plan, console)
    summary = {"plan": plan.to_json(), **summarise(records, generator(options.seed, "summary"))}
    summary["compared"] = {other: compare(records, theirs) for other, theirs in others.items()}
    write_json(options.out / SUMMARY, summary)
    _note(options, plan, summary, console)
    write_report(options.out / REPORT, {name: records, **others}, frames=not options.no_frames)
    show(summary, console)
    console.print(f"{options.out / REPORT} shows it.", highlight=False)
    if json_path is not None:
        write_json(json_path, summary)
    return 0


def _name(options: EvaluateOptions) -> str:
    """Return what the policy is called: an evaluation that is resumed goes on with the same arithmetic."""
    told = [] if options.guidance == 1 else [f"guidance {options.guidance:g}"]
    device = device_of(options.device).type
    told += [] if device == "cpu" else [device]
    return f"{options.policy} ({', '.join(told)})" if told else options.policy


def driven(options: EvaluateOptions, plan: Plan, console: Console) -> tuple[Record, ...]:
    """Drive the plan with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as bar:
        task = bar.add_task("evaluate", total=plan.drives)
        policy = load(options.policy, options.guidance, options.device)
        return evaluate(
            policy, plan, options.out, lambda told, drives: bar.update(task, description=told, advance=drives)
        )


def show(summary: dict[str, Any], console: Console) -> None:
    """Print success by cell and control."""
    rows = summary["cells"] if len(summary["cells"]) == 1 else {**summary["cells"], "all": summary["all"]}
    controls = list(summary["all"]["controls"])
    console.print(side_by_side(rows, controls) if len(controls) <= ABREAST else one_below_another(rows))
    for other, gain in summary["compared"].items():
        console.print(f"Gain over {other}: {points(gain['all'])} points (95 % interval), same episodes")


def side_by_side(rows: Mapping[str, Any], controls: Sequence[str]) -> Table:
    """Return a row for each cell, a column for each control."""
    table = Table("success, % (95 % interval)", "n", "as told", *controls, "following")
    for name, part in rows.items():
        changed = [part["controls"].get(control) for control in controls]
        told = [share(part["success"]), *(share(one["success"]) if one else "" for one in changed)]
        table.add_row(name, str(part["success"]["n"]), *told, score(part["following"]))
    return table


def one_below_another(rows: Mapping[str, Any]) -> Table:
    """Return a row for each cell and control, and one for its language following."""
    table = Table("success, % (95 % interval)", "control", "share", Column("n", justify="right"))
    for name, part in rows.items():
        success = {"as told": part["success"]} | {key: one["success"] for key, one in part["controls"].items()}
        for row, (control, one) in enumerate(success.items()):
            table.add_row("" if row else name, control, share(one), str(one["n"]))
        if part["following"]:
            table.add_row("", "following, 0 to 1", score(part["following"]), str(part["following"]["n"]))
        table.add_section()
    return table


def share(estimate: dict[str, Any]) -> str:
    """Return a share in percent with its interval."""
    low, high = estimate["ci95"]
    return f"{100 * estimate['rate']:.0f} ({100 * low:.0f}-{100 * high:.0f})"


def score(estimate: dict[str, Any] | None) -> str:
    """Return a score with its interval; nothing where there is none."""
    return "" if estimate is None else "{:.2f} ({:.2f}-{:.2f})".format(estimate["value"], *estimate["ci95"])


def points(estimate: dict[str, Any]) -> str:
    """Return a difference in percentage points with its interval."""
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * x for x in (estimate["value"], *estimate["ci95"])))


def _note(options: EvaluateOptions, plan: Plan, summary: dict[str, Any], console: Console) -> None:
    """Leave a line of what was looked at: in the ledger that is named, or of `test` in the checkout's."""
    looked = any(cell.split == "test" for cell in plan.suite.cells)
    file = options.ledger or (LEDGER if looked and LEDGER.exists() else None)
    if file:
        note_look(file, summary["plan"], {name: part["success"] for name, part in summary["cells"].items()})
    elif looked:
        console.print(f"No ledger notes this look at `test`: no {LEDGER} is here. --ledger names one.", highlight=False)
