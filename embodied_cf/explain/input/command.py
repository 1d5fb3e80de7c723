"""What `embodied-cf explain input` shows a person."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from embodied_cf.datasets.files import check_writable, write_json
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.load import load
from embodied_cf.explain.episode.command import task_of
from embodied_cf.explain.episode.replay import asked_at, record
from embodied_cf.explain.episode.wheel import PolicyDriver
from embodied_cf.explain.input.asking import View
from embodied_cf.explain.input.concepts import ConceptEffect, concept_effects
from embodied_cf.explain.input.explanation import InputExplanation, explain_input
from embodied_cf.explain.input.text import sentences
from embodied_cf.explain.options import InputOptions, TaskOptions
from embodied_cf.policies.contract import Policy


@dataclass(frozen=True)
class InputOutputs:
    """Files to write; None writes none."""

    json: Path | None = None
    html: Path | None = None


def run_input(
    policy: str, task: TaskOptions, decision: int, views: int, options: InputOptions, outputs: InputOutputs
) -> int:
    """Explain one view, and concepts over `views` of them; print and write; return the exit code."""
    if views < 1 or decision < 0:
        raise UsageError(f"views is at least 1 and decision at least 0, got {views} and {decision}")
    check_writable(outputs.json, outputs.html)
    driving, console = load(policy), Console(stderr=True)
    with console.status("asking what-ifs"):
        seen = list(_views(driving, task, decision, views))
        told = [explain_input(driving, view, options, seed=task.seed) for view in seen]
    concepts = concept_effects(told)
    for line in sentences(told[0]):
        console.print(line)
    if views > 1:
        _print(concepts, console)
    _write(told[0], concepts, driving, policy, outputs)
    return 0


def _views(policy: Policy, options: TaskOptions, decision: int, count: int) -> Iterator[View]:
    for seed in range(options.seed, options.seed + count):
        task = task_of(replace(options, seed=seed))
        driver = PolicyDriver(policy, task.text, seed=seed)
        recording = record(task, driver)
        if count == 1 and decision >= recording.decisions:
            raise UsageError(
                f"no decision {decision}: the episode has {recording.decisions}",
                where=task.text,
                remedy="--decision counts from 0.",
            )
        asked = asked_at(recording, driver, min(decision, recording.decisions - 1))
        yield View.of(task.scene, [recording.trail.take([at]) for at in asked.clock.tolist()], asked.words)


def _print(concepts: tuple[ConceptEffect, ...], console: Console) -> None:
    table = Table("concept", "views", "mean effect (m)", "actions changed")
    for it in concepts:
        table.add_row(it.concept, str(it.views), f"{it.moved:.3f} ± {it.error:.3f}", f"{100 * it.changed:.1f} %")
    console.print(table)


def _write(
    told: InputExplanation, concepts: tuple[ConceptEffect, ...], driving: Policy, policy: str, outputs: InputOutputs
) -> None:
    if outputs.json:
        plain: dict[str, Any] = {"policy": policy, "text": sentences(told)} | told.to_json()
        write_json(outputs.json, plain | {"concepts": [_plain(it) for it in concepts]})
    if outputs.html:
        from embodied_cf.explain.input.page import write_input_page

        write_input_page(told, concepts, driving, policy, outputs.html)


def _plain(effect: ConceptEffect) -> dict[str, Any]:
    """Return an effect for JSON, which has no nan."""
    return asdict(effect) | {"error": effect.error if effect.views > 1 else None}
