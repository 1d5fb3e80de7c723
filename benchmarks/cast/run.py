"""One cell: train, drive, and say in one line what came of it. Interrupted, the same call goes on."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.cast.arm import Arm
from benchmarks.cast.arms import ARMS
from benchmarks.cast.cells import REACHED, Cell, Line
from benchmarks.cast.data import Means, alone, sources
from benchmarks.cast.drivers import DRIVERS
from embodied_cf.evaluate.ledger import revision
from embodied_cf.evaluate.load import load
from embodied_cf.evaluate.otherwise import drive_otherwise
from embodied_cf.evaluate.record import Record, Sight
from embodied_cf.evaluate.run import BATCH, Plan, evaluate
from embodied_cf.evaluate.sight import sight_of
from embodied_cf.evaluate.statistics import rate
from embodied_cf.evaluate.suites import Suite
from embodied_cf.evaluate.summary import CHANCE, NONE, SHUFFLED
from embodied_cf.policies.config import DeviceName
from embodied_cf.policies.devices import device_of
from embodied_cf.policies.vla import VlaPolicy
from embodied_cf.train.command import make_trainer
from embodied_cf.train.config import change, load_preset
from embodied_cf.train.run import LOG, Run, refuse_other_plan
from embodied_cf.train.run import Plan as Training

SIGHT_CODES: Mapping[Sight, str] = {"nearest": "n", "far": "f", "unseen": "u"}
SETTINGS = ("data.per_observation=4",)
"""Of training, for all arms: those of the demonstration."""
Watch = Callable[[str], None]


def make(cell: Cell, means: Means, watch: Watch) -> Line:
    """Train and evaluate a cell; return its line of the results."""
    arm, started = ARMS[cell.arm], time.monotonic()
    seconds: dict[str, float] = {}

    def done(stage: str) -> None:
        nonlocal started
        seconds[stage] = round(time.monotonic() - started, 1)
        started = time.monotonic()

    validation: list[Line] = []
    if arm.trained:
        plan = Training(configuration(arm, cell, means.device), sources(arm, cell, means))
        done("data")
        validation = train(run_of(arm, cell, means.work), plan, watch)
        done("train")
        outcomes = drive(arm, cell, means, watch)
    else:
        outcomes = drive_expert(cell)
    done("evaluate")
    about = {"cell": cell.to_json(), "command": cell.command, "when": datetime.now(UTC).isoformat(timespec="seconds")}
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{_accelerator(means.device)}"
    shown = {"success": successes(outcomes), "outcomes": outcomes, "validation": validation}
    return {**about, "machine": machine, "revision": revision(), "seconds": seconds, **shown}


def run_of(arm: Arm, cell: Cell, work: Path) -> Run:
    """Return the run of a cell's training, which arms that only differ in how they drive share."""
    return Run(work / "cells" / replace(cell, arm=arm.trained_as or arm.name).name / "run")


def _accelerator(name: DeviceName) -> str:
    device = device_of(name)
    return f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""


def configuration(arm: Arm, cell: Cell, device: DeviceName = "cpu") -> Any:
    """Return the configuration of an arm's training."""
    fixed = (*SETTINGS, f"schedule.steps={cell.steps}", f"seed={cell.seed}", f"device={device}", *arm.settings)
    return change(load_preset(cell.scope.preset), fixed)


def train(run: Run, plan: Training, watch: Watch) -> list[Line]:
    """Train, or go on with an earlier try; return what validations found."""
    torch.set_num_threads(plan.config.threads)
    with run.held():
        resume, steps = run.exists, plan.config.schedule.steps
        if resume:
            refuse_other_plan(run.plan(), plan)
        trainer = make_trainer(plan, run, resume, Console(quiet=True))
        if not resume:
            run.begin(plan, overwrite=False)
        trainer.fit(steps, run, lambda progress: watch(f"train {progress.step}/{steps}"))
    lines = [json.loads(line) for line in (run.path / LOG).read_text("utf-8").splitlines()]
    return [{"step": line["step"], **line["validation"]} for line in lines if "validation" in line]


def drive(arm: Arm, cell: Cell, means: Means, watch: Watch) -> dict[str, dict[str, str]]:
    """Let the policy of a cell drive under each control; what chance gives is found once for all cells of a seed."""
    work, scope, suite = means.work, cell.scope, Suite(cell.scope.places)
    directory, loaded = work / "cells" / cell.name, load(str(run_of(arm, cell, work).path))
    if isinstance(loaded, VlaPolicy):
        loaded.model.to(device_of(means.device))
    policy = DRIVERS[arm.driver](loaded) if arm.driver else loaded
    plan = Plan(cell.arm, suite, scope.episodes, cell.seed, (NONE, SHUFFLED))
    records = evaluate(policy, plan, directory / "evaluation", lambda told, drives: watch(f"evaluate {told}"))
    known = work / "chance" / replace(cell, arm=CHANCE, bias=None, steps=0).name
    chance = replace(plan, policy=CHANCE, controls=(CHANCE,))  # no policy takes part
    with alone(known.with_name(f".{known.name}.lock")):
        records += evaluate(policy, chance, known, lambda told, drives: watch(f"evaluate {told}"))
    return outcomes_of(records, cell)


def outcomes_of(records: Iterable[Record], cell: Cell) -> dict[str, dict[str, str]]:
    """Return by world/family what became of each episode, in order: `sight` (n nearest, f far, u unseen), for each
    control 1 for success, 0 for none, . where the control is not defined, and `reached`, 1 also where all but the stop
    came true."""
    found = {("/".join(one.cell), one.control, one.seed): one for one in records}
    table = {}
    for place, seeds in Suite(cell.scope.places).seeds(cell.seed, cell.scope.episodes):
        plain = [found[str(place), NONE, seed] for seed in seeds]
        row = {"sight": "".join(SIGHT_CODES[one.sight] for one in plain)}
        row[REACHED] = "".join("01"[one.success or bool(one.measures.get("oracle_success"))] for one in plain)
        for control in (NONE, SHUFFLED, CHANCE):
            tried = [found.get((str(place), control, seed)) for seed in seeds]
            row[control] = "".join("." if one is None else "01"[one.success] for one in tried)
        table[f"{place.world}/{place.family}"] = row
    return table


def drive_expert(cell: Cell) -> dict[str, dict[str, str]]:
    """Let the expert carry out what is asked; it is told nothing else, so there are no controls."""
    table = {}
    for place, seeds in Suite(cell.scope.places).seeds(cell.seed, cell.scope.episodes):
        success, sight = "", ""
        for first in range(0, len(seeds), BATCH):
            tasks = [place.task(seed) for seed in seeds[first : first + BATCH]]
            done = drive_otherwise(tasks, [task.instruction for task in tasks]).final.success
            success += "".join("01"[one] for one in done.astype(int).tolist())
            sight += "".join(SIGHT_CODES[sight_of(task)] for task in tasks)
        table[f"{place.world}/{place.family}"] = {"sight": sight, NONE: success}
    return table


def successes(outcomes: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, object]]:
    """Return the share of successes by world/family, with its 95 % interval and count."""
    return {
        name: rate(np.array([one == "1" for one in row[NONE]], bool)).plain("rate") for name, row in outcomes.items()
    }
