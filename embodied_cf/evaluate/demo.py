"""The whole story on one machine: logs without language, labels, two policies, and which of them listens.

Robots drive about in rooms, always to the nearest thing, and nobody says a word. From these logs one policy learns
what was done (`hindsight`), another what could have been told at each moment (`embodied-cf`): same logs, same network,
same number of steps. Both then drive the same new episodes. Interrupted, the same call goes on.
"""

import math
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any

import torch
from rich.console import Console

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.collect import CollectOptions, collect
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.load import load
from embodied_cf.evaluate.record import Record
from embodied_cf.evaluate.report import write_report
from embodied_cf.evaluate.run import Plan, evaluate
from embodied_cf.evaluate.suites import parse_suite
from embodied_cf.evaluate.summary import CHANCE, NONE, SHUFFLED, compare, summarise
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel
from embodied_cf.train.command import make_trainer, plan_of
from embodied_cf.train.options import TrainOptions
from embodied_cf.train.run import Run

OURS, THEIRS = "embodied-cf", "hindsight"
ARMS: Mapping[str, tuple[float, float, float]] = {OURS: (0, 0, 1), THEIRS: (1, 0, 0)}
"""Shares of hindsight, atomic and counterfactual samples that each policy is trained on."""
LOOK_ROUND = 0.3
"""Share of the observations at which a thing out of view is told of."""
REPORT = "report.html"
_CONTROLS = (NONE, SHUFFLED, CHANCE)
Watch = Callable[[str, int, int], None]
"""Hears of a stage's name, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class DemoPlan:
    """How large the demonstration is."""

    steps: int
    """Of training, for each policy."""
    episodes: int = 200
    """Driven by each policy, under each control."""
    logs: int = 400
    """Logged episodes to learn from."""
    seed: int = 0

    @staticmethod
    def of(minutes: float, seed: int) -> "DemoPlan":
        """Return the plan that takes about so many minutes on two cores. Raises UsageError unless that is above 0."""
        if not 0 < minutes < math.inf:
            raise UsageError(f"--minutes {minutes} is no time", remedy="10 is the default.")
        return DemoPlan(steps=max(10, round(220 * minutes)), seed=seed)


@dataclass(frozen=True)
class Story:
    """What came of it."""

    records: Mapping[str, tuple[Record, ...]]
    """By policy."""
    summary: dict[str, Any]
    """`arms.<name>.success` and the rest of each policy's numbers, and `gain`, on the same episodes."""


def tell(out: Path, plan: DemoPlan, watch: Watch) -> Story:
    """Collect, relabel, train, evaluate and report into a directory, or finish what was interrupted."""
    logs, labelled = out / "logs" / "1.0.0", out / "labelled" / "1.0.0"
    _collect(logs, plan, watch)
    _relabel(logs, labelled, plan, watch)
    records = _race(out, labelled, plan, watch)
    arms = {name: summarise(found, generator(plan.seed, "summary", name))["all"] for name, found in records.items()}
    summary = {"arms": arms, "gain": compare(records[OURS], records[THEIRS])["all"]}
    write_report(out / REPORT, records)
    return Story(records, summary)


def _collect(logs: Path, plan: DemoPlan, watch: Watch) -> None:
    done = 0

    def told() -> None:
        nonlocal done
        done += 1
        watch("collect", done, plan.logs)

    if not (logs / "dataset_info.json").is_file():
        collect(logs, CollectOptions("rooms", plan.logs, plan.seed, bias=1.0), told)
    watch("collect", plan.logs, plan.logs)


def _relabel(logs: Path, labelled: Path, plan: DemoPlan, watch: Watch) -> None:
    done = 0

    def told(episodes: int, steps: int) -> None:
        nonlocal done
        done += episodes
        watch("relabel", done, plan.logs)

    relabel(
        RelabelOptions(
            logs,
            labelled,
            captioner="scene",
            synthesizer="goal",
            seed=plan.seed,
            families=("object",),
            command_share=0.1,
            per_observation=8,
            look_round=LOOK_ROUND,
            workers=2,
        ),
        told,
    )
    watch("relabel", plan.logs, plan.logs)


def _race(out: Path, labelled: Path, plan: DemoPlan, watch: Watch) -> dict[str, tuple[Record, ...]]:
    """Train and evaluate the policies side by side, each in a process of its own."""
    context = multiprocessing.get_context("spawn")  # torch and numba do not survive a fork
    with context.Manager() as manager, ProcessPoolExecutor(len(ARMS), context) as pool:
        heard = manager.Queue()
        work = {name: pool.submit(_arm, name, out, labelled, plan, partial(_tell, heard)) for name in ARMS}
        while not all(future.done() for future in work.values()) or not heard.empty():
            try:
                watch(*heard.get(timeout=0.2))
            except Empty:
                continue
        return {name: future.result() for name, future in work.items()}


def _tell(heard: Any, stage: str, done: int, total: int) -> None:
    heard.put((stage, done, total))


def _arm(name: str, out: Path, labelled: Path, plan: DemoPlan, watch: Watch) -> tuple[Record, ...]:
    """Train one policy and let it drive.

    It sees one frame: who goes to a thing needs no memory, which would take as long again. What was done ends with a
    stop, though the robots drove on: who never saw one could not do what is asked, and the comparison would flatter.
    """
    torch.set_num_threads(1)
    run = Run(out / name)
    weights = ",".join(str(weight) for weight in ARMS[name])
    fixed = ("data.per_observation=4", "model.history=1", f"seed={plan.seed}")
    settings = (f"schedule.steps={plan.steps}", f"data.kind_weights={weights}", *fixed)
    options = TrainOptions(
        run.path, (str(labelled),), preset="seeing", set=settings, stop_at_end=True, resume=run.exists
    )
    with run.held():
        training = plan_of(options, run)
        trainer = make_trainer(training, run, options.resume, Console(quiet=True))
        if not options.resume:
            run.begin(training, overwrite=False)
        trainer.fit(plan.steps, run, lambda progress: watch(f"train {name}", progress.step, plan.steps))
    return _driven(name, out, run, plan, watch)


def _driven(name: str, out: Path, run: Run, plan: DemoPlan, watch: Watch) -> tuple[Record, ...]:
    evaluation, done = Plan(name, parse_suite("rooms/object/dev"), plan.episodes, plan.seed, _CONTROLS), 0

    def told(what: str, drives: int) -> None:
        nonlocal done
        done += drives
        watch(f"evaluate {name}", done, evaluation.drives)

    return evaluate(load(str(run.path)), evaluation, out / f"{name}-evaluation", told)


def stages(plan: DemoPlan) -> Sequence[str]:
    """Return the names of all stages, in their order."""
    return ["collect", "relabel", *(f"{what} {name}" for what in ("train", "evaluate") for name in ARMS)]
