"""What `embodied-cf collect` shows a person."""

from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from embodied_cf.datasets.files import write_json
from embodied_cf.envs.collect import CollectOptions, collect
from embodied_cf.envs.registration import SOCIAL, WORLDS
from embodied_cf.errors import UsageError

_PEOPLE = {"": (0, 2), "-Social": SOCIAL}
ENVIRONMENTS = {
    f"EmbodiedCF/{world}{suffix}-v0": (world.lower(), people) for world in WORLDS for suffix, people in _PEOPLE.items()
}
"""Environments that have collectors: id to (world, least and most people)."""


def run_collect(env: str, out: Path, options: dict, json_path: Path | None) -> int:
    """Collect with a progress bar; return the exit code. `options` are those of `CollectOptions` but world, people."""
    if env not in ENVIRONMENTS:
        raise UsageError(
            f"no collector for environment {env!r}",
            remedy=f"There are: {', '.join(ENVIRONMENTS)}. To log a policy of your own in any environment, "
            "use embodied_cf.envs.rollouts.write_rollouts.",
        )
    world, people = ENVIRONMENTS[env]
    wanted = CollectOptions(world=world, people=people, **options)
    console = Console(stderr=True)
    columns = (
        TextColumn("collecting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=wanted.episodes)
        collect(out, wanted, lambda: bar.advance(task))
    console.print(f"{out}: {wanted.episodes} episodes of {world}", highlight=False)
    console.print(f"Next: embodied-cf relabel {out} {out}-cf --captioner scene --synthesizer goal", highlight=False)
    if json_path is not None:
        write_json(json_path, {"env": env, "out": str(out), **asdict(wanted)})
    return 0
