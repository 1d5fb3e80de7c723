"""What training costs on a machine: time of a step, memory, time of a decision, for each network.

    python -m benchmarks.training_cost --device cuda --json docs/results/training_cost.json
    python -m benchmarks.training_cost --device cuda --only hf --base models/SmolVLM-500M-Instruct

Logs of rooms are made and labelled here, each case trains on them in a process of its own, and its last checkpoint is
loaded and asked. Without --base, pretrained models have random weights of the published shapes (`random_vlms`): that
costs the same, and what they learn means nothing. Cases that stand in the JSON already are not done again.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmarks.presets import labelled
from benchmarks.random_vlms import SIZES, save_vlm
from embodied_cf.policies.checkpoint import load_policy
from embodied_cf.policies.contract import Observation
from embodied_cf.policies.kept import trained_parameters
from embodied_cf.policies.vla import VlaPolicy
from embodied_cf.train.command import make_trainer, plan_of
from embodied_cf.train.options import TrainOptions
from embodied_cf.train.run import Run
from embodied_cf.train.trainer import Progress, Trainer

WARM = 5
"""Steps, and decisions, that are made before time is taken."""
RECOMPUTE = "model.recompute=True"


@dataclass(frozen=True)
class Case:
    """A preset with changes, and the pretrained model that it builds on, if any."""

    preset: str
    settings: tuple[str, ...] = ()
    base: str = ""
    """One of `random_vlms.SIZES`, or a directory."""


CASES = {
    "tiny": Case("tiny"),
    "tiny, bf16": Case("tiny", ("optimiser.precision=bf16",)),
    **{base: Case("hf", (), base) for base in SIZES},
    **{f"{base}, recomputed": Case("hf", (RECOMPUTE,), base) for base in SIZES},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--episodes", type=int, default=12, help="logged")
    parser.add_argument("--only", nargs="+", help=f"of {', '.join(CASES)}; hf with --base")
    parser.add_argument("--base", type=Path, help="directory of a pretrained model, for the case hf")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--in-this-process", action="store_true", help="one case, whose row is printed")
    told = parser.parse_args()
    if told.steps < WARM + 2:
        parser.error(f"--steps {told.steps} leaves none to take the time of: {WARM} are made before")
    cases = {"hf": Case("hf", (), str(told.base))} if told.base else CASES
    for name in {*(told.only or ())} - {*cases}:
        parser.error(f"no case {name}; there are {', '.join(cases)}")
    with tempfile.TemporaryDirectory() as scratch:
        work = told.work or Path(scratch)
        data = labelled("rooms", told.episodes, work)
        if told.in_this_process:
            (name,) = told.only
            print(json.dumps(measured(cases[name], data, work, told.steps, told.device)))
        else:
            each(told.only or list(cases), told, work)


def each(names: list[str], told: argparse.Namespace, work: Path) -> None:
    """Measure cases, each in a process that begins with nothing on the device."""
    rows = json.loads(told.json.read_text()) if told.json and told.json.exists() else {}
    for name in names:
        if name in rows:
            continue
        given = ("--device", told.device, "--steps", str(told.steps), "--episodes", str(told.episodes))
        base = ("--base", str(told.base)) if told.base else ()
        command = ("-m", "benchmarks.training_cost", "--in-this-process", "--only", name, "--work", str(work))
        done = subprocess.run([sys.executable, *command, *given, *base], check=True, stdout=subprocess.PIPE, text=True)
        said = "python " + shlex.join(("-m", "benchmarks.training_cost", "--only", name, *given, *base))
        rows[name] = {"command": said, **json.loads(done.stdout.splitlines()[-1])}
        print(name, rows[name], flush=True)
        if told.json:
            told.json.write_text(json.dumps(rows, indent=2) + "\n")


def measured(case: Case, data: Path, work: Path, steps: int, device: str) -> dict[str, object]:
    """Train, save, load and ask; return what it took."""
    base = based(case, work, device)
    settings = (*case.settings, *((f"model.base={base}",) if base else ()), f"device={device}")
    options = TrainOptions(work / "run", (str(data),), preset=case.preset, set=settings, overwrite=True)
    trainer, losses, seconds = trained(options, steps)
    peak = round(torch.cuda.max_memory_allocated() / 2**30, 2) if device == "cuda" else None
    policy, batch = load_policy(options.out, device=device), trainer.config.data.batch
    return {
        "preset": case.preset,
        "settings": case.settings,
        "base": Path(base).name,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(device),
        "steps": steps,
        "batch": batch,
        "parameters": sum(value.numel() for value in trainer.model.parameters()),
        "trained": trained_parameters(trainer.model),
        "seconds_a_step": round(seconds, 4),
        "samples_a_second": round(batch / seconds, 1),
        "peak_gib": peak,
        "checkpoint_mb": round(sum(file.stat().st_size for file in (options.out / "last").iterdir()) / 1e6, 1),
        "decision_ms": {str(count): round(1e3 * deciding(policy, count), 2) for count in (1, 16)},
        "loss": [round(statistics.mean(part), 4) for part in (losses[:5], losses[-5:])],
    }


def trained(options: TrainOptions, steps: int) -> tuple[Trainer, list[float], float]:
    """Return what was trained, the loss of each step, and the median time of one, s, data included."""
    run = Run(options.out)
    plan = plan_of(options, run)
    trainer = make_trainer(plan, run, False, Console(stderr=True))
    run.begin(plan, overwrite=True)
    losses, ticks = list[float](), list[float]()

    def watch(now: Progress) -> None:
        losses.append(now.losses["imitation"])
        ticks.append(time.perf_counter())

    trainer.fit(steps, run, watch)
    return trainer, losses, statistics.median(np.diff(ticks)[WARM:])


def based(case: Case, work: Path, device: str) -> str:
    """Return the directory of the pretrained model of a case, made if it is one of random weights."""
    if case.base not in SIZES:
        return case.base
    folder = work / case.base
    if not (folder / "preprocessor_config.json").exists():  # the last to be written
        save_vlm(SIZES[case.base], folder, torch.bfloat16, device)
    return str(folder)


def deciding(policy: VlaPolicy, count: int, times: int = 20) -> float:
    """Return the median time, s, of a decision about `count` observations at once."""
    rng, (height, width), model = np.random.default_rng(0), policy.camera, policy.model.card.model
    image = rng.integers(0, 256, (count, model.history, height, width, 3), np.uint8)
    odometry = np.zeros((count, model.history + 1, 3), np.float32) if policy.needs_odometry else None
    told, taken = ("go to the red post",) * count, list[float]()
    for _ in range(WARM + times):
        started = time.perf_counter()
        policy.act(Observation(image, odometry=odometry), told, rng)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[WARM:])


def machine(device: str) -> str:
    """Return what was computed on."""
    card = f", {torch.cuda.get_device_name()}" if device == "cuda" else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{card}; torch {torch.__version__}"


if __name__ == "__main__":
    main()
