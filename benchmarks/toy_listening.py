"""Does training on counterfactual labels make a policy listen? The smallest world in which that can be asked.

Scenes of `benchmarks.toy`: three posts of different colours in one image. Observational labels say which post the
expert drove to, always the nearest; with counterfactual labels each image carries all three instructions with their
chunks. Same scenes, same network (`nav-vla-tiny`, smaller), same number of steps and samples. Counted on other scenes:
told to go to a post that is not the nearest, does the policy head for it? Deaf, it does in a third of all scenes at
most.

    python -m benchmarks.toy_listening [--seeds 0 1 2] [--steps 500] [--json FILE]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.toy import CLEAR, TIED, Scenes, Toy, followed, scenes
from embodied_cf.policies.config import NavVlaTinyConfig
from embodied_cf.train.config import ScheduleConfig, TrainConfig, ValidationConfig, load_preset
from embodied_cf.train.run import Plan, Run
from embodied_cf.train.trainer import Trainer

ARMS = {"observational": (0,), "counterfactual": (0, 1, 2)}
"""Posts that are told of each scene, nearest first."""
WORLDS = {"clear": CLEAR, "tied": TIED}
STEPS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for row in cells(arguments.seeds[:1] if arguments.quick else arguments.seeds, arguments.steps):
        rows.append(row)
        print(row, flush=True)
    for name in WORLDS:
        gains = [row["gain"] for row in rows if row["world"] == name]
        print(f"{name}: gain {np.mean(gains):+.3f}, each {', '.join(f'{gain:+.3f}' for gain in gains)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def cells(seeds: list[int], steps: int) -> Iterator[dict[str, object]]:
    """Yield what both arms do in each world, seed by seed (of scenes, weights and order)."""
    for name, distances in WORLDS.items():
        for seed in seeds:
            train, test = (
                scenes(count, 2 * seed + part, distances=distances) for count, part in ((1200, 1), (1000, 2))
            )
            started = time.process_time()
            arms = {arm: followed_when_told(train, test, told, steps, seed) for arm, told in ARMS.items()}
            yield {"world": name, "seed": seed, **arms, "gain": arms["counterfactual"] - arms["observational"],
                   "cpu_seconds_per_arm": round((time.process_time() - started) / 2, 1)}  # fmt: skip


def followed_when_told(train: Scenes, test: Scenes, told: tuple[int, ...], steps: int, seed: int) -> float:
    """Train on what is told of the scenes; return the share of other scenes where a further post is headed for."""
    config = configuration(steps, seed)
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Path(scratch) / "run")
        run.begin(Plan(config, ()), overwrite=True)
        policy = Trainer.new(config, Toy(train, told, seed=seed), None).fit(steps, run)
    return float(np.mean([followed(policy, test, post) for post in (1, 2)]))


def configuration(steps: int, seed: int) -> TrainConfig:
    """Return a run of 20 s: small network, nothing looked at or saved on the way."""
    config = load_preset("tiny")
    return replace(
        config,
        model=NavVlaTinyConfig(size=32, channels=(8, 16, 32), width=32, layers=2, text_width=64),
        schedule=ScheduleConfig(steps=steps, warmup=20, rate=3e-3),
        loss=replace(config.loss, instruction_dropout=0.0),
        validation=ValidationConfig(every=10**6),
        save_every=10**6,
        seed=seed,
    )


if __name__ == "__main__":
    main()
