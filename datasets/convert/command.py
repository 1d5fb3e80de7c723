"""What `embodied-cf convert` shows a person."""

from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.run import convert
from embodied_cf.datasets.files import write_json
from embodied_cf.datasets.tfdata import import_tfds


def run_convert(options: ConvertOptions, json_path: Path | None) -> int:
    """Convert while counting on the screen; return the exit code."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    import_tfds()
    with Progress(*columns, console=console, transient=not console.is_terminal) as bar:
        task = bar.add_task("converting", total=None)
        count = [0, 0]

        def advance(episodes: int, steps: int) -> None:
            count[:] = count[0] + episodes, count[1] + steps
            bar.update(task, description=f"converting: {count[0]:,} episodes, {count[1]:,} steps")

        done = convert(options, advance)
    lines = [f"{done.out}: {done.episodes:,} episodes, {done.steps:,} steps", *(f"  {note}" for note in done.notes)]
    if done.left_out:
        lines.append(f"  {done.left_out:,} episodes break the data contract and are left out")
    if options.to == "rlds":
        lines.append(f"Next: look over {done.out / 'spec.toml'}, then embodied-cf relabel {done.out} OUT")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    if json_path is not None:
        write_json(json_path, {**asdict(done), "out": str(done.out)})
    return 3 if done.left_out else 0
