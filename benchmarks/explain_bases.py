"""Train the base policies of benchmarks/counterpol.py: `python -m benchmarks.explain_bases [ID …]` (extra sb3).

Writes benchmarks/counterpol_bases/ID.safetensors, about 20 kB each. Minutes per policy on one core; BipedalWalker
about a quarter of an hour. Seeds are fixed, but a policy is the same bit by bit only on the same machine and versions.
"""

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from embodied_cf.explain.checkpoints import load_policy, save_policy

BASES = Path(__file__).parent / "counterpol_bases"


@dataclass(frozen=True)
class Recipe:
    """How one policy is trained with stable-baselines3."""

    algorithm: type[A2C] | type[PPO]
    phases: tuple[int, ...]
    """Environment steps after which training pauses for an evaluation, which draws random numbers, too."""
    lanes: int
    settings: dict[str, Any] = field(default_factory=dict)


RECIPES = {
    "CartPole-v1": Recipe(A2C, (20_000, 30_000), 8),
    "Acrobot-v1": Recipe(A2C, (50_000, 60_000, 75_000), 8),
    "Pendulum-v1": Recipe(PPO, (20_000, 30_000), 4, {"gamma": 0.9, "learning_rate": 1e-3, "n_steps": 256}),
    "LunarLander-v3": Recipe(A2C, (100_000, 150_000), 8),
    "BipedalWalker-v3": Recipe(PPO, (150_000,), 4, {"gamma": 0.999, "n_steps": 512, "clip_range": 0.18}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--out", type=Path, default=BASES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.env:
        train(name, RECIPES[name], arguments.out)


def train(name: str, recipe: Recipe, out: Path) -> None:
    envs = make_vec_env(name, recipe.lanes, seed=0)
    model = recipe.algorithm("MlpPolicy", envs, seed=0, device="cpu", **recipe.settings)
    for at, phase in enumerate(recipe.phases):
        model.learn(phase - sum(recipe.phases[:at][-1:]), reset_num_timesteps=False)
        for greedy in (False, True):
            judges = make_vec_env(name, 10, seed=99)
            mean, deviation = evaluate_policy(model, judges, 40, deterministic=greedy, warn=False)
            print(f"{name} {phase} steps, {'likeliest' if greedy else 'drawn'} actions: {mean:.4g}, sd {deviation:.3g}")
    with tempfile.TemporaryDirectory() as directory:
        model.save(f"{directory}/model.zip")
        save_policy(load_policy(f"{directory}/model.zip"), out / f"{name}.safetensors")


if __name__ == "__main__":
    main()
