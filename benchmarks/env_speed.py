"""Environment steps per second of one core: 64 environments with 64x64 images, driven by random actions."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from embodied_cf.envs.motion.branch import branch
from embodied_cf.envs.navigation import NavigationVectorEnv
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.setting import Setting
from embodied_cf.envs.state import Noise

TASKS = 64
"""Made before the clock starts: an episode of random actions is short, and a task takes long to make."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--envs", type=int, default=64)
    arguments = parser.parse_args()
    steps, seconds = (10, 1.0) if arguments.quick else (50, 5.0)
    result = {}
    for people, name in (((0, 2), "few people"), ((3, 6), "social")):
        for control in ("velocity", "chunk"):
            env = NavigationVectorEnv(arguments.envs, control=control, people=people, pool=TASKS)
            for number in range(TASKS):
                env.setting.task(number)
            env.reset(seed=0)
            result[f"step, {control}, {name}"] = arguments.envs * rate(stepping(env, steps), steps, seconds)
        result[f"  its frames alone, {name}"] = arguments.envs * rate(drawing(env), 1, seconds)
        result[f"  its dynamics alone, {name}"] = arguments.envs * rate(moving(env), 40, seconds)
    setting, seeds = Setting(), iter(range(10_000))
    result["tasks made"] = rate(lambda: setting.new_task(next(seeds)), 1, seconds)
    print(f"{arguments.envs} environments, 64x64, rooms; per second of one core's time")
    for name, value in result.items():
        print(f"{name:36} {value:10,.0f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def rate(work: Callable[[], object], units: int, seconds: float) -> float:
    """Return units of work per second of processor time: the median of three runs after one to warm up."""
    work()
    rates = []
    for _ in range(3):
        started, done = time.process_time(), 0
        while time.process_time() - started < seconds / 3:
            work()
            done += units
        rates.append(done / (time.process_time() - started))
    return float(np.median(rates))


def stepping(env: NavigationVectorEnv, steps: int) -> Callable[[], object]:
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(steps)]
    return lambda: [env.step(action) for action in actions]


def drawing(env: NavigationVectorEnv) -> Callable[[], object]:
    now, camera = env.episodes, Camera(64, 64)
    return lambda: render(now.worlds, now.state, camera)


def moving(env: NavigationVectorEnv) -> Callable[[], object]:
    now, noise = env.episodes, env.noise
    first = Noise(noise.slip[:, :40], noise.person[:, :40])
    actions = np.random.default_rng(0).uniform(-1, 1, (env.num_envs, 40, 2))
    return lambda: branch(now.worlds, now.state, actions, first)


if __name__ == "__main__":
    main()
