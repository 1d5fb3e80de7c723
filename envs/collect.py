"""Simulator logs as RLDS: robots that know no language drive about, and everything that they saw is written down.

One shard is one batch: its episodes run side by side. What a shard holds depends on (options, seed, shard) alone,
so an interrupted collection resumes and ends with the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from embodied_cf.datasets.images import encode_jpeg
from embodied_cf.datasets.privileged import FEATURE, encode
from embodied_cf.datasets.randomness import generator, number
from embodied_cf.datasets.writer import DatasetCard, Example, write_dataset
from embodied_cf.envs.driving.collectors import Collector
from embodied_cf.envs.layouts.scenes import make_scene
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.motion.tracking import pose_from
from embodied_cf.envs.rendering.render import Camera, Frames, render
from embodied_cf.envs.rendering.visible import visible_things
from embodied_cf.envs.scene import Scene, stack
from embodied_cf.envs.scene_json import to_json
from embodied_cf.envs.splits import as_split
from embodied_cf.envs.state import State, draw_noise, initial_state
from embodied_cf.errors import UsageError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict

_SHORTEST = 0.6
"""Episodes are between this share of the longest length and that length."""


@dataclass(frozen=True)
class CollectOptions:
    """What to collect. Episodes are `world/split/seed/index`; each has its own layout."""

    world: str
    episodes: int
    seed: int = 0
    split: str = "train"
    bias: float = 0.8
    """How strongly the robot prefers to drive to the nearest object; 1: always."""
    steps: int = 60
    """Longest episode, in steps of 0.25 s; lengths vary down to 60 % of it."""
    size: int = 144
    """Pixels a side."""
    people: tuple[int, int] = (0, 2)
    """Least and most people in a scene."""
    episodes_per_shard: int = 25

    def __post_init__(self) -> None:
        for name in ("episodes", "episodes_per_shard", "size"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)} is less than 1")
        if self.steps < 2:
            raise UsageError(f"--steps {self.steps}: an episode has at least 2")
        if not 0 <= self.bias <= 1:
            raise UsageError(f"--bias {self.bias} is not in [0, 1]")
        as_split(self.split)  # refuses an unknown one before anything is written


@dataclass(frozen=True)
class _Log:
    """What happened to B robots: T + 1 instants, T actions."""

    states: tuple[State, ...]
    action: Float32[np.ndarray, "b t 2"]


def collect(directory: Path, options: CollectOptions, told: Callable[[], None] = lambda: None) -> None:
    """Write the episodes with their spec.toml, or finish an interrupted collection; `told` hears of each episode.

    Raises OutputError if the directory holds something else, or what other options began.
    """
    shards = [partial(_shard, options, index, told) for index in range(_shards(options))]
    card = DatasetCard(
        f"embodied_cf_{options.world}",
        description=f"Simulated robots that drive about in {options.world} and know no language. Made by "
        f"embodied-cf collect: split {options.split}, seed {options.seed}, bias {options.bias}.",
        recipe=repr(options),
    )
    spec = (resources.files("embodied_cf.datasets") / "specs" / "simulator.toml").read_text("utf-8")
    write_dataset(directory, card, features_of(options.size), {"train": shards}, {"spec.toml": spec})


def episodes(options: CollectOptions) -> Iterator[Example]:
    """Yield the episodes that `collect` writes, in its order."""
    for index in range(_shards(options)):
        yield from _shard(options, index, lambda: None)


def features_of(size: int) -> "FeaturesDict":
    """Return the feature tree of the episodes; frames have `size` pixels a side."""
    from tensorflow_datasets.core import features as tf

    step = {
        "observation": {
            "image": tf.Image(shape=(size, size, 3), encoding_format="jpeg"),
            "pose": tf.Tensor(shape=(3,), dtype=np.float32, doc="Odometry since the start: x m, y m, yaw rad."),
        },
        "action": tf.Tensor(shape=(2,), dtype=np.float32, doc="What the drive was told: speed m/s, turn rate rad/s."),
        "reward": np.float32,
        "discount": np.float32,
        "is_first": np.bool_,
        "is_last": np.bool_,
        "is_terminal": np.bool_,
        "language_instruction": tf.Text(doc="Empty: the robot was told nothing."),
    }
    about = {
        "episode_id": tf.Text(),
        "world": tf.Text(),
        "split": tf.Text(doc="Which layouts and names: train, dev or test."),
        FEATURE: tf.Text(doc="What no robot knows (JSON): scene, seed of chance, what frames show. See the docs."),
    }
    return tf.FeaturesDict({"steps": tf.Dataset(step), "episode_metadata": about})


def _shards(options: CollectOptions) -> int:
    return -(-options.episodes // options.episodes_per_shard)


def _shard(options: CollectOptions, shard: int, told: Callable[[], None]) -> Iterator[Example]:
    """Run one shard's episodes side by side and yield them one by one."""
    first = shard * options.episodes_per_shard
    rows = range(first, min(first + options.episodes_per_shard, options.episodes))
    names = [f"{options.world}/{options.split}/{options.seed}/{index:06d}" for index in rows]
    seeds = [number(options.seed, name) >> 64 for name in names]
    scenes = [make_scene(options.world, options.split, seed, options.people) for seed in seeds]
    log = _drive(scenes, seeds, rows, options)
    camera = Camera(options.size, options.size)
    for row, (name, seed, scene) in enumerate(zip(names, seeds, scenes, strict=True)):
        shortest = max(2, int(_SHORTEST * options.steps))
        length = int(generator(seed, "length").integers(shortest, options.steps + 1))
        frames = _film(scene, [state.take([row]) for state in log.states[:length]], camera)
        yield _example(options, name, seed, scene, log, row, frames, camera)
        told()


def _drive(scenes: Sequence[Scene], seeds: Sequence[int], rows: Sequence[int], options: CollectOptions) -> _Log:
    worlds, state = stack(scenes), initial_state(scenes)
    noise = draw_noise(seeds, options.steps)
    collector = Collector.of(scenes, options.seed, rows, options.bias)
    states, actions = [state], []
    for at in range(options.steps - 1):
        # the log holds float32, and the robot does what the log says: replaying it is exact
        actions.append(collector.act(state).astype(np.float32))
        state = step(worlds, state, actions[-1].astype(np.float64), noise.at(at))
        states.append(state)
    actions.append(collector.act(state).astype(np.float32))
    return _Log(tuple(states), np.stack(actions, axis=1))


def _film(scene: Scene, states: Sequence[State], camera: Camera) -> Frames:
    columns = {item.name: np.concatenate([getattr(state, item.name) for state in states]) for item in fields(State)}
    return render(stack([scene]).take([0] * len(states)), State(**columns), camera)


def _example(
    options: CollectOptions, name: str, seed: int, scene: Scene, log: _Log, row: int, frames: Frames, camera: Camera
) -> Example:
    length = len(frames.rgb)
    pose = np.stack([state.pose[row] for state in log.states[:length]])
    first, last = np.zeros(length, bool), np.zeros(length, bool)
    first[0], last[-1] = True, True
    return {
        "steps": {
            "observation": {
                "image": [encode_jpeg(image) for image in frames.rgb],
                "pose": pose_from(np.broadcast_to(pose[0], pose.shape), pose).astype(np.float32),
            },
            "action": log.action[row, :length],
            "reward": np.zeros(length, np.float32),
            "discount": np.ones(length, np.float32),
            "is_first": first,
            "is_last": last,
            "is_terminal": np.zeros(length, bool),
            "language_instruction": [""] * length,
        },
        "episode_metadata": {
            "episode_id": name,
            "world": options.world,
            "split": options.split,
            FEATURE: encode(to_json(scene), seed, visible_things(frames.segmentation, scene, pose, camera)),
        },
    }
