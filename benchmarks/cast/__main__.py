"""Who follows instructions after training on the same logs? All arms, biases, budgets and seeds, cell by cell.

    python -m benchmarks.cast --list                        # the plan, what is done, how long the rest may take
    python -m benchmarks.cast                               # go on with it; start it once more for the second core
    python -m benchmarks.cast --only hindsight embodied-cf --bias 1 --budgets double --seeds 0 --families object
    python -m benchmarks.cast --ablations --episodes 100    # what each part of embodied-cf is worth, one seed
    python -m benchmarks.cast --table                       # only write the tables anew

Each finished cell appends one line to docs/results/cast.jsonl, with the outcome of every episode, and rewrites
docs/results/cast.md. What stands there is not done again; a cell that was killed goes on where it was. Datasets, runs
and evaluations lie in --work and are not made again either: after a change of code that they depend on, name another.
Without --bias, --budgets and --seeds the whole plan is done (`cells.planned`), with any of them every combination of
what is named (else bias 1, budget double, seeds 0 1 2).
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import get_args

from benchmarks.cast.arms import ARMS
from benchmarks.cast.cells import BUDGETS, Cell, Line, Scope, ablated, budget, combined, planned, read
from benchmarks.cast.data import Means
from benchmarks.cast.run import make
from benchmarks.cast.table import write_tables
from embodied_cf.datasets.files import append_line, exclusive
from embodied_cf.errors import EmbodiedError, OutputError, UsageError
from embodied_cf.evaluate.ledger import LEDGER, note_look
from embodied_cf.language.instruction import FAMILIES
from embodied_cf.policies.config import DeviceName

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "docs" / "results" / "cast.jsonl"
STEP_S, DRIVE_S = 0.16, 0.25
"""Guesses until a line says better: one step of training, one driven episode, on one shared core."""


def main(arguments: Sequence[str] | None = None) -> None:
    told = parser().parse_args(arguments)
    try:
        cells = asked(told)
    except UsageError as error:
        raise SystemExit(str(error)) from None
    if told.list:
        show(cells, told.results)
        return
    if not told.table:
        for cell in cells:
            _do(cell, Means(told.work, told.workers, told.device), told.results)
    write_tables(told.results)


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    scope = Scope()
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", type=Path, default=Path("cast-work"), help="scratch directory, some GB")
    options.add_argument("--workers", type=int, default=1, help="processes that make labels")
    options.add_argument("--device", choices=get_args(DeviceName), default="cpu", help="what trains and drives")
    options.add_argument("--results", type=Path, default=RESULTS)
    options.add_argument("--list", action="store_true", help="show the cells and do nothing")
    options.add_argument("--ablations", action="store_true", help="the cells of what each part is worth, not the plan")
    options.add_argument("--table", action="store_true", help="write the tables and do nothing else")
    options.add_argument(
        "--only", nargs="+", choices=list(ARMS), default=list(ARMS), metavar="ARM", help=", ".join(ARMS)
    )
    options.add_argument("--bias", nargs="+", type=float, help="of the collector: share of legs to the nearest thing")
    options.add_argument("--budgets", nargs="+", help=f"{', '.join(BUDGETS)}, or numbers of steps")
    options.add_argument("--seeds", nargs="+", type=int, help="of training")
    options.add_argument("--worlds", nargs="+", default=scope.worlds)
    options.add_argument("--families", nargs="+", default=FAMILIES)
    options.add_argument("--split", default=scope.split, help="test: a line goes to the ledger, too")
    options.add_argument("--episodes", type=int, default=scope.episodes, help="of each world, family and control")
    options.add_argument("--logs", type=int, default=scope.logs, help="logged episodes of each world")
    options.add_argument("--preset", default=scope.preset, help="of training")
    return options


def asked(told: argparse.Namespace) -> list[Cell]:
    """Return the cells that options ask for. Raises UsageError for unknown names and for what is out of range."""
    worlds, families = tuple(told.worlds), tuple(told.families)
    scope = Scope(worlds, families, told.split, told.episodes, told.logs, told.preset)
    if told.ablations:
        return [cell for cell in ablated(scope) if cell.arm in told.only]
    if not (told.bias or told.budgets or told.seeds):
        return [cell for cell in planned(scope) if cell.arm in told.only]
    steps = [budget(text) for text in told.budgets or ("double",)]
    arms = [name for name in ARMS if name in told.only]
    return combined(scope, arms, told.bias or (1.0,), steps, (0, 1, 2) if told.seeds is None else told.seeds)


def _do(cell: Cell, means: Means, results: Path) -> None:
    """Do a cell, unless it is done or another process is at it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(means.work / "cells" / f".{cell.name}.claim"))
        except OutputError:
            print(f"{cell.arm}, seed {cell.seed}: another process is at it", flush=True)
            return
        if cell not in {done for done, _ in read(results)}:
            _finish(cell, means, results)


def _finish(cell: Cell, means: Means, results: Path) -> None:
    print(f"{cell.arm}, bias {cell.bias}, {cell.steps} steps, seed {cell.seed}", flush=True)
    try:
        line = make(cell, means, _Told())
    except EmbodiedError as error:
        raise SystemExit(f"{cell.name}: {error}") from error
    append_line(results, line)
    if cell.scope.split == "test":
        note_look(results.with_name(LEDGER.name), line["cell"], line["success"])
    write_tables(results)
    shown = " ".join(f"{name} {part['rate']:.0%}" for name, part in line["success"].items())
    print(f"  {shown}; {sum(line['seconds'].values()):.0f} s", flush=True)


class _Told:
    """Prints now and then what is going on."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, what: str) -> None:
        if time.monotonic() - self._last > 60:
            self._last = time.monotonic()
            print(f"  {what}", flush=True)


def show(cells: Sequence[Cell], results: Path) -> None:
    """Print each cell with its state, and how long those may take that are left."""
    lines, left = dict(read(results)), 0.0
    for cell in cells:
        if cell in lines:
            state = f"done {lines[cell]['when']}"
        else:
            seconds = estimate(cell, lines)
            left += seconds
            state = f"about {seconds / 60:.0f} min"
        print(f"{cell.arm:16} bias {cell.bias!s:4} {cell.steps:6} steps  seed {cell.seed}  {state}")
    print(
        f"{len(cells)} cells, {sum(cell in lines for cell in cells)} done; about {left / 3600:.1f} h left on one core"
    )


def estimate(cell: Cell, lines: dict[Cell, Line]) -> float:
    """Return the seconds that a cell may take, judged by those that are done; making datasets is not counted."""
    trained = [line["seconds"]["train"] / one.steps for one, line in lines.items() if one.steps]
    driven = [line["seconds"]["evaluate"] / _drives(one) for one, line in lines.items()]
    step, drive = median(trained or [STEP_S]), median(driven or [DRIVE_S])
    return cell.steps * step + _drives(cell) * drive


def _drives(cell: Cell) -> int:
    return len(cell.scope.places) * cell.scope.episodes * (2 if ARMS[cell.arm].trained else 1)


if __name__ == "__main__":
    main()
