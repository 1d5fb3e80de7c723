"""What `embodied-cf relabel` shows a person: progress, result, where to look."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from embodied_cf.datasets.files import write_json
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.relabel import shard_work
from embodied_cf.relabel.dry_run import DryRunResult, dry_run
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import RunResult, relabel

_TOLD = 3
"""Quarantined episodes and dropped records that are named on the screen; the files have all."""


def run_relabel(options: RelabelOptions, json_path: Path | None) -> int:
    """Relabel with a progress bar and a closing line; return the exit code."""
    console = Console(stderr=True)
    if options.dry_run:
        tried = dry_run(options)
        _print_dry_run(tried, console)
        if json_path is not None:
            write_json(json_path, asdict(tried))
        return 0
    with _progress(options, console) as progress:
        result = relabel(options, progress)
    _print(result, console)
    if json_path is not None:
        write_json(json_path, asdict(result))
    return result.exit_code


@contextmanager
def _progress(options: RelabelOptions, console: Console) -> Iterator[shard_work.Progress]:
    total = sum(shard.records for shard in open_dataset(options.dataset).shards(options.split))
    columns = (
        TextColumn("relabel"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=not console.is_terminal) as bar:
        task = bar.add_task("relabel", total=total, rate="")
        steps_done = 0

        def advance(episodes: int, steps: int) -> None:
            nonlocal steps_done
            steps_done += steps
            elapsed = bar.tasks[task].elapsed or 1e-9
            bar.update(task, advance=episodes, rate=f"{steps_done / elapsed:,.0f} steps/s")

        yield advance


def _print(result: RunResult, console: Console) -> None:
    kept = f" ({result.resumed_shards} of {result.shards} shards were done before)" if result.resumed_shards else ""
    console.print(
        f"[bold]{result.out}[/bold]: {result.episodes:,} episodes, {result.steps:,} steps, "
        f"{result.labels:,} labels in {result.timing['seconds']:.1f} s{kept}"
    )
    if result.exit_code:
        _print_left_out(result, console)
    if result.usage is not None:
        cost = "" if result.usage["cost_usd"] is None else f", {result.usage['cost_usd']:.4f} USD"
        console.print(f"{result.usage['requests']} requests ({result.usage['cached']} answers were cached){cost}")


def _print_left_out(result: RunResult, console: Console) -> None:
    labels = Path(result.out) / "labels"
    report = json.loads((labels / "report.json").read_text(encoding="utf-8"))
    if result.quarantined_episodes:
        console.print(f"Passed through without labels: {result.quarantined_episodes:,} (quarantined episodes)")
        for row in report["quarantined"]["first"][:_TOLD]:
            console.print(Text(f"  {row['reason']}"))
        console.print(f"  All reasons: {labels / 'quarantine.jsonl'}", soft_wrap=True)
    if result.dropped_records:
        console.print(f"Left out: {result.dropped_records:,} (records that cannot be read)")
        for row in report["dropped_records"]["first"][:_TOLD]:
            rest = "; nothing after it can be read either" if row["rest_lost"] else ""
            console.print(Text(f"  {row['shard']}, record {row['index']}: {row['problem']}{rest}"))
        console.print("  Restore the file from its source and relabel into another directory to have them.")


def _print_dry_run(tried: DryRunResult, console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("episode", "steps", "kind", "instruction", "command", "score"):
        table.add_column(name, no_wrap=name != "instruction", overflow="fold")
    for row in tried.labels:
        # split, shard and record: the dataset is the same for all
        place = str(row["episode"]).split("/", 2)[-1]
        steps = f"{row['start']}-{row['end']}"
        cells = (place, steps, str(row["kind"]), str(row["instruction"]), str(row["command"]), f"{row['score']:.2f}")
        table.add_row(*map(Text, cells))
    console.print(table)
    console.print(f"With pictures: [bold]{tried.preview}[/bold]")
    if tried.forecast_for_all is not None:
        told = tried.forecast_for_all
        cost = "unknown cost" if told["cost_usd"] is None else f"about {told['cost_usd']:.2f} USD"
        console.print(f"All {tried.episodes_in_all:,} episodes: about {told['requests']:,.0f} requests, {cost} "
                      f"(from {tried.episodes} episodes; retries not foreseen)")  # fmt: skip
