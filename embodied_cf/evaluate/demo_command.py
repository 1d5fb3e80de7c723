"""What `embodied-cf demo` shows."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from embodied_cf.datasets.files import write_json
from embodied_cf.datasets.tfdata import import_tfds
from embodied_cf.evaluate.command import points, score, share
from embodied_cf.evaluate.demo import OURS, REPORT, THEIRS, DemoPlan, Story, stages, tell

_LEARNT = {
    OURS: "what could have been told at each moment",
    THEIRS: "what was done",
}
OWN_DATA = """\
Your own data (any RLDS dataset that TFDS wrote; nothing of it is modified):
  embodied-cf inspect  DATASET/1.0.0 --suggest-spec my_spec.toml   # a first guess of what is where: look it over
  embodied-cf relabel  DATASET/1.0.0 OUT --spec my_spec.toml
  embodied-cf train    --data OUT --out RUN"""


def run_demo(out: Path, minutes: float, seed: int, json_path: Path | None) -> int:
    """Tell the story with progress bars, then in one table; return the exit code."""
    console, plan = Console(stderr=True), DemoPlan.of(minutes, seed)
    done, left = (MofNCompleteColumn(), TimeElapsedColumn()), TimeRemainingColumn()
    columns = (TextColumn("{task.description:24}"), BarColumn(), *done, left)
    import_tfds()
    with Progress(*columns, console=console) as bar:
        tasks = {name: bar.add_task(name, total=None, start=False) for name in stages(plan)}
        begun = set[str]()

        def watch(stage: str, done: int, total: int) -> None:
            if stage not in begun:
                bar.start_task(tasks[stage])
                begun.add(stage)
            bar.update(tasks[stage], completed=done, total=total)

        story = tell(out, plan, watch)
    _show(story, out, plan, console)
    if json_path is not None:
        write_json(json_path, story.summary)
    return 0


def _show(story: Story, out: Path, plan: DemoPlan, console: Console) -> None:
    console.print(
        f"\nRobots drove about for {plan.logs} episodes, always to the nearest thing; nobody told them anything. Two "
        f"policies learnt from it and were then told where to go in {plan.episodes} new episodes:\n",
        highlight=False,
    )
    table = Table("policy", "learnt", "went there, %", "told of another thing, %", "listens (0-1)")
    for name, arm in story.summary["arms"].items():
        told_other = share(arm["controls"]["shuffled"]["success"])
        table.add_row(name, _LEARNT[name], share(arm["success"]), told_other, score(arm["following"]))
    console.print(table)
    console.print(f"Gain: [bold]{points(story.summary['gain'])} points[/bold] (95 % interval, same episodes)")
    console.print(f"\nLook at [bold]{out / REPORT}[/bold]\n\n{OWN_DATA}", soft_wrap=True, highlight=False)
