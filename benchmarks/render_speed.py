"""Rendering rooms with 12 composed objects and 4 people, 64 worlds at once, beside MiniWorld at the same size.

Both are counted in frames per CPU second (all threads of the process), on one thread, the best of several rounds.
Ours draws RGB, depth and segmentation; MiniWorld draws RGB of its furnished room (`MiniWorld-ThreeRooms-v0` with 12
objects added). It is not a dependency: name a Python that has it with --miniworld-python.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SIZES = (64, 96, 224)
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--miniworld-python", default=sys.executable)
    parser.add_argument("--child", choices=["miniworld"])
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps({size: miniworld_rate(size, 1 if arguments.quick else 3) for size in SIZES}))
        return
    result = {"ours": ours(2 if arguments.quick else 15), "miniworld": theirs(arguments)}
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def ours(rounds: int) -> dict[str, float]:
    """Return frames per CPU second by size, and the seconds of the first call in this process."""
    from embodied_cf.envs.rendering.render import Camera, render
    from embodied_cf.envs.scene import stack
    from embodied_cf.envs.state import initial_state

    scenes = [standard_scene(seed) for seed in range(BATCH)]
    worlds, state = stack(scenes), initial_state(scenes)
    begun = time.process_time()
    render(worlds, state, Camera(64, 64))
    rates = {"first_call_s": time.process_time() - begun}
    for size in SIZES:
        camera = Camera(size, size)
        rates[str(size)] = BATCH / best(lambda camera=camera: render(worlds, state, camera), rounds)
    return rates


def best(job: Callable[[], object], rounds: int) -> float:
    """Return the least CPU time of a job, s: other work on the machine only ever adds."""
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        job()
        times.append(time.process_time() - begun)
    return min(times)


def standard_scene(seed: int):  # type: ignore[no-untyped-def]
    """Return a room of 10 m a side with three inner walls, 12 objects and 4 people; the robot stands in it."""
    import numpy as np

    from embodied_cf.datasets.randomness import generator
    from embodied_cf.envs.scene import Scene
    from embodied_cf.language.instruction import COLOURS, KINDS

    rng = generator(seed, "standard scene")
    corners = [(-5.0, -5.0), (5.0, -5.0), (5.0, 5.0), (-5.0, 5.0)]
    outer = [(*corners[side], *corners[(side + 1) % 4]) for side in range(4)]
    walls = np.array([*outer, (-5.0, 1.5, -2.0, 1.5), (1.0, -5.0, 1.5, -2.0), (2.0, 3.0, 5.0, 2.5)])
    angle, away = rng.uniform(-math.pi, math.pi, 16), rng.uniform(1.0, 4.5, 16)
    place = np.stack([away * np.cos(angle), away * np.sin(angle)], axis=1)
    return Scene(
        family="rooms",
        walls=walls,
        wall_height=np.full(len(walls), 2.6),
        wall_style=(np.arange(len(walls)) % 5).astype(np.int32),
        wall_rgb=rng.integers(120, 230, (len(walls), 3)).astype(np.uint8),
        door_colour=np.full(len(walls), -1, np.int32),
        floor_style=int(rng.integers(4)),
        floor_rgb=np.array((150, 120, 90), np.uint8),
        ceiling_style=1,
        ceiling_rgb=np.array((225, 225, 220), np.uint8),
        ceiling_height=2.6,
        light=np.array([0.55, 0.45, 0.7, 0.9]),
        kind=rng.integers(len(KINDS), size=12).astype(np.int32),
        colour=rng.integers(len(COLOURS), size=12).astype(np.int32),
        position=place[:12],
        yaw=rng.uniform(-math.pi, math.pi, 12),
        scale=np.ones(12),
        person=place[12:],
        person_goals=np.zeros((4, 1, 2)),
        person_speed=np.full(4, 1.0),
        person_look=np.arange(4, dtype=np.int32),
        start=np.array((0.0, 0.0, rng.uniform(-math.pi, math.pi))),
    )


def theirs(arguments: argparse.Namespace) -> dict[str, float]:
    """Return MiniWorld's frames per CPU second by size; empty where it or its GL libraries are absent."""
    command = [arguments.miniworld_python, __file__, "--child", "miniworld"]
    done = subprocess.run(command + ["--quick"] * arguments.quick, capture_output=True, text=True, env=one_thread())
    if done.returncode:
        print(f"MiniWorld does not run here: {done.stderr.strip().splitlines()[-1]}")
        return {}
    rates: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return rates


def one_thread() -> dict[str, str]:
    return dict(os.environ, LP_NUM_THREADS="0", OMP_NUM_THREADS="1")


def miniworld_rate(size: int, rounds: int) -> float:
    """Return frames per CPU second of MiniWorld; runs in a Python of its own."""
    import pyglet

    pyglet.options["headless"] = True  # must be set before miniworld opens a window
    import gymnasium
    import miniworld  # noqa: F401
    from miniworld.entity import COLOR_NAMES, Ball, Box, MeshEnt

    env = gymnasium.make("MiniWorld-ThreeRooms-v0", obs_width=size, obs_height=size).unwrapped
    env.reset(seed=0)
    meshes = ("office_chair", "barrel", "cone", "tree", "office_desk", "duckie")
    for number in range(12):
        colour = sorted(COLOR_NAMES)[number % len(COLOR_NAMES)]
        things = (Box(colour), Ball(colour), MeshEnt(meshes[number % len(meshes)], height=0.8))
        env.place_entity(things[number % 3]).randomize(env.params.no_random(), env.np_random)

    def turn() -> None:
        for _ in range(100):
            env.agent.dir += 0.1
            env.render_obs()

    turn()
    return 100 / best(turn, rounds)


def show(result: dict[str, dict[str, float]]) -> None:
    mine, other = result["ours"], result["miniworld"]
    print(f"first call in this process: {mine['first_call_s']:.1f} CPU s (compiling, unless kept from before)")
    print(f"{'size':>8} {'ours f/cpu-s':>14} {'MiniWorld':>11} {'ratio':>7}")
    for size in map(str, SIZES):
        beside = f"{other[size]:11.0f} {mine[size] / other[size]:6.1f}x" if other else f"{'absent':>11}"
        print(f"{size + 'x' + size:>8} {mine[size]:14.0f} {beside}")
    if not other:
        print("MiniWorld or its GL libraries are absent: --miniworld-python PATH names a Python that has it")


if __name__ == "__main__":
    main()
