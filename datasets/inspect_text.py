"""An inspection as text for people."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from embodied_cf.datasets.features import STEPS
from embodied_cf.datasets.health_issues import Finding
from embodied_cf.datasets.inspection_result import Inspection
from embodied_cf.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_FLAGS = {f"{STEPS}/{flag}" for flag in ("is_first", "is_last", "is_terminal")}
_WIDE = 110
"""Characters from which a line holds the quantiles too; narrower ones would break the features' names."""
_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def print_inspection(inspection: Inspection, console: "Console") -> None:
    """Print the result for people: what it is, what it holds, and last what is wrong with it."""
    from rich.text import Text

    title = f"{inspection.name} {inspection.version}"
    size = f"{inspection.episodes:,} episodes, {inspection.steps:,} steps, {inspection.file_format}"
    console.print(Text.assemble((title, "bold"), f"  {size}"))
    console.print(Text(str(inspection.path), "dim"))
    numbers = partial(_number_table, wide=console.width >= _WIDE)
    for table in (_split_table, _camera_table, numbers, _language_table, _label_table):
        filled = table(inspection)
        if filled.row_count:
            console.print()
            console.print(filled)
    console.print()
    _print_findings(inspection.findings, console)


def _table(title: str, *columns: str, numbers: Iterable[str] = ()) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _row(table: "Table", *cells: object) -> None:
    from rich.text import Text

    # Text, not markup: keys and instructions may hold brackets
    table.add_row(*(Text(printable(cell) if isinstance(cell, str) else f"{cell:,}") for cell in cells))


def _split_table(inspection: Inspection) -> "Table":
    table = _table("Splits", "split", numbers=("shards", "promised", "read", "broken", "steps"))
    for part in inspection.splits:
        _row(table, part.name, part.shards, part.promised, part.episodes, part.broken, part.steps)
    return table


def _camera_table(inspection: Inspection) -> "Table":
    table = _table("Cameras", "camera", "size", numbers=("frames", "decoded", "blank", "undecodable"))
    for camera in inspection.cameras:
        sizes = ", ".join(f"{height}x{width}" for height, width, _ in camera.sizes)
        _row(table, camera.key.removeprefix(f"{STEPS}/"), sizes, camera.frames, camera.decoded, camera.blank,
             camera.undecodable)  # fmt: skip
    return table


def _number_table(inspection: Inspection, wide: bool) -> "Table":
    quantiles = ("q01", "q99") if wide else ()
    table = _table("Numbers", "feature", numbers=("mean", "std", "min", *quantiles, "max", "zeros"))
    for column in inspection.numbers:
        if column.key in _FLAGS:
            continue
        name = column.key.removeprefix(f"{STEPS}/")
        between = (column.q01, column.q99) if wide else ()
        rows = zip(column.mean, column.std, column.minimum, *between, column.maximum, column.zeros, strict=True)
        for index, (*values, zeros) in enumerate(rows):
            label = f"{name} (all)" if column.pooled else f"{name}[{index}]" if len(column.mean) > 1 else name
            _row(table, label, *(f"{value:.4g}" for value in values), f"{zeros:.0%}")
    return table


def _language_table(inspection: Inspection) -> "Table":
    table = _table("Language", "feature", "most frequent", numbers=("episodes",))
    for language in inspection.language:
        name = language.key.removeprefix(f"{STEPS}/")
        told = f"{name}: {language.distinct:,} different, {language.empty_steps:,} of {language.steps:,} steps empty"
        for text, episodes in language.frequent[:8] or (("", 0),):
            _row(table, told, text, episodes)
            told = ""
    return table


def _label_table(inspection: Inspection) -> "Table":
    table = _table("Labels", "set", "kinds", "instructions per step", numbers=("different instructions",))
    for labels in inspection.label_sets:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in labels.kinds.items())
        balance = ", ".join(f"{many}: {steps:,}" for many, steps in labels.balance)
        _row(table, labels.name, kinds, balance, labels.instructions)
    return table


def _print_findings(findings: tuple[Finding, ...], console: "Console") -> None:
    from rich.padding import Padding
    from rich.text import Text

    if not findings:
        console.print(Text("No health warning.", "bold green"))
    for found in findings:
        style = _STYLES[found.severity]
        console.print(Text.assemble((f"{found.code} {found.issue.name}", style), f"  {found.amount}"))
        lines = [found.issue.meaning, *found.details, f"first: {found.place}" * bool(found.place), found.issue.remedy]
        console.print(Padding(Text("\n".join(filter(None, lines))), (0, 0, 1, 5), expand=False))
