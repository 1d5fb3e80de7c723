"""What `embodied-cf collect` shows a person."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from embodied_cf.datasets.files import write_json
from embodied_cf.datasets.tfdata import import_tfds
from embodied_cf.envs.collect import CollectOptions, collect
from embodied_cf.envs.registration import FEW, SOCIAL, TABLETOP, WORLDS
from embodied_cf.errors import UsageError

_PEOPLE = {"": FEW, "-Social": SOCIAL}
ENVIRONMENTS = {
    f"EmbodiedCF/{world}{suffix}-v0": (world.lower(), people) for world in WORLDS for suffix, people in _PEOPLE.items()
} | {TABLETOP: ("tabletop", (0, 0))}
"""Environments that have collectors: id to (world, least and most people)."""


def run_collect(env: str, out: Path, options: CollectOptions, json_path: Path | None) -> int:
    """Collect with a progress bar; return the exit code. World and people of `options` are set by the environment."""
    if env not in ENVIRONMENTS:
        raise UsageError(
            f"no collector for environment {env!r}",
            remedy=f"There are: {', '.join(ENVIRONMENTS)}. To log a policy of your own in any environment, "
            "use embodied_cf.envs.rollouts.write_rollouts.",
        )
    world, people = ENVIRONMENTS[env]
    wanted = replace(options, world=world, people=people)
    console = Console(stderr=True)
    columns = (TextColumn("collecting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    import_tfds()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=wanted.episodes)
        (_tables if env == TABLETOP else collect)(out, wanted, lambda: bar.advance(task))
    console.print(f"{out}: {wanted.episodes} episodes of {world}", highlight=False)
    words = "" if env == TABLETOP else " --captioner scene --synthesizer goal"
    console.print(f"Next: embodied-cf relabel {out} OUT{words}", highlight=False)
    if json_path is not None:
        write_json(json_path, {"env": env, "out": str(out), **asdict(wanted)})
    return 0


def _tables(out: Path, options: CollectOptions, told: Callable[[], None]) -> None:
    from embodied_cf.envs.rollouts import Plan
    from embodied_cf.envs.tabletop.collect import collect_tables

    plan = Plan(options.episodes, options.seed, options.episodes_per_shard, max_steps=options.steps, says=False)
    collect_tables(out, plan, options.split, options.size, options.bias, told)
