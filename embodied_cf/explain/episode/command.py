"""What `embodied-cf explain episode` shows a person."""

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from embodied_cf.datasets.files import check_writable, write_json
from embodied_cf.envs.tasks import Task, make_task
from embodied_cf.evaluate.load import load
from embodied_cf.evaluate.past import check_execute
from embodied_cf.explain.episode.explanation import EpisodeExplanation, explain_episode
from embodied_cf.explain.episode.replay import record
from embodied_cf.explain.episode.text import sentences
from embodied_cf.explain.episode.wheel import PolicyDriver
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.options import EpisodeOptions, TaskOptions
from embodied_cf.policies.contract import Policy


@dataclass(frozen=True)
class EpisodeOutputs:
    """Files to write; None writes none."""

    json: Path | None = None
    html: Path | None = None
    picture: Path | None = None


def run_episode(policy: str, task: TaskOptions, options: EpisodeOptions, search: int, outputs: EpisodeOutputs) -> int:
    """Explain the first failure among `search` seeds, print and write; return the exit code."""
    check_writable(outputs.json, outputs.html, outputs.picture)
    driving, console = load(policy), Console(stderr=True)
    check_execute(driving, options.execute)
    with console.status("looking for an episode that fails"):
        found, driver = _first_failure(driving, task, options, search)
    with console.status("trying everything otherwise"):
        told = explain_episode(found, driver, options)
    for line in sentences(told):
        console.print(line)
    _write(told, policy, task, outputs)
    return 0


def task_of(options: TaskOptions) -> Task:
    """Make the task. Raises UsageError for names that there are not."""
    return make_task(options.world, options.family, options.split, options.seed, options.people)


def _first_failure(
    policy: Policy, options: TaskOptions, choice: EpisodeOptions, search: int
) -> tuple[Task, PolicyDriver]:
    for seed in range(options.seed, options.seed + search):
        task = task_of(replace(options, seed=seed))
        driver = PolicyDriver(policy, task.text, choice.execute, seed)
        if not record(task, driver, choice.execute).success:
            return task, driver
    raise ReplayError(f"no episode fails from seed {options.seed} to {seed}: there is nothing to explain",
                      remedy="Choose another --seed, or a larger --search.")  # fmt: skip


def _write(told: EpisodeExplanation, policy: str, task: TaskOptions, outputs: EpisodeOutputs) -> None:
    if outputs.json:
        where = {"policy": policy, "world": task.world, "family": task.family, "split": task.split}
        write_json(outputs.json, where | {"text": sentences(told)} | told.to_json())
    if outputs.html:
        from embodied_cf.explain.episode.page import write_episode_page

        write_episode_page(told, policy, outputs.html)
    if outputs.picture:
        from embodied_cf.explain.episode.picture import write_picture

        write_picture(told, outputs.picture)
