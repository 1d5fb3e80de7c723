"""Demonstrations: the expert carries out one instruction an episode, and the instruction stands beside the frames.

Policies are told chains part by part, and so is who demonstrates one: beside each frame stands the part that it is at.

Written like the logs of `embodied-cf collect`, with what no robot knows, so that `oracle` can label these states too.
Episodes in which the expert failed are left out. At the end it stands for as long as a chunk lasts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from embodied_cf.datasets.images import encode_jpeg
from embodied_cf.datasets.privileged import FEATURE, encode
from embodied_cf.datasets.randomness import generator, number
from embodied_cf.datasets.writer import DatasetCard, Example, write_dataset
from embodied_cf.envs.driving.expert import CHUNK, Expert
from embodied_cf.envs.episodes import LONGEST
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.motion.tracking import pose_from
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.rendering.visible import visible_things
from embodied_cf.envs.scene import stack
from embodied_cf.envs.scene_json import to_json
from embodied_cf.envs.state import HIT_OBJECT, HIT_PERSON, PERIOD_S, State, draw_noise, initial_state
from embodied_cf.envs.tasks import Task, make_task
from embodied_cf.evaluate.rollout import PIXELS
from embodied_cf.language.grammar import phrase
from embodied_cf.language.instruction import TIME_LIMIT_S, Chain, Family, family

_SHARD = 25


@dataclass(frozen=True)
class Demonstrations:
    """How many, and of what; families take turns."""

    world: str
    families: tuple[Family, ...]
    episodes: int
    seed: int = 0

    def task(self, index: int) -> Task:
        """Return the task of an episode."""
        kind = self.families[index % len(self.families)]
        return make_task(self.world, kind, "train", number(self.seed, "demonstration", self.world, str(index)) >> 65)


def demonstrate(directory: Path, plan: Demonstrations) -> None:
    """Write the demonstrations, or finish what was interrupted."""
    starts = range(0, plan.episodes, _SHARD)
    shards = [partial(_shard, plan, range(at, min(at + _SHARD, plan.episodes))) for at in starts]
    card = DatasetCard(f"demonstrations_{plan.world}", description=f"An expert in {plan.world}.", recipe=repr(plan))
    spec = (resources.files("embodied_cf.datasets") / "specs" / "simulator.toml").read_text("utf-8")
    write_dataset(directory, card, _features(), {"train": shards}, {"spec.toml": spec})


def _features() -> Any:
    from tensorflow_datasets.core import features as tf

    image = tf.Image(shape=(PIXELS, PIXELS, 3), encoding_format="jpeg")
    step = {
        "observation": {"image": image, "pose": tf.Tensor(shape=(3,), dtype=np.float32)},
        "action": tf.Tensor(shape=(2,), dtype=np.float32),
        **dict.fromkeys(("is_first", "is_last", "is_terminal"), np.bool_),
        **dict.fromkeys(("reward", "discount"), np.float32),
        "language_instruction": tf.Text(),
    }
    return tf.FeaturesDict({"steps": tf.Dataset(step), "episode_metadata": {FEATURE: tf.Text()}})


def _shard(plan: Demonstrations, indices: range) -> Iterator[Example]:
    tasks = [plan.task(index) for index in indices]
    states, actions, part, length = _drive(tasks)
    for row, task in enumerate(tasks):
        if count := length[row]:
            words = _words(task, part[:count, row])
            yield _example(task, [state.take([row]) for state in states[:count]], actions[:count, row], words)


def _words(task: Task, part: np.ndarray) -> list[str]:
    """Return what is said at each step; part (t,) is how many clauses were done by then."""
    if not isinstance(task.instruction, Chain):
        return [task.text] * len(part)
    rng = generator(task.seed, "demonstration", "words")
    said = [phrase(clause, rng, False) for clause in task.instruction.parts]
    return [said[min(at, len(said) - 1)] for at in part.tolist()]


def _drive(tasks: Sequence[Task]) -> tuple[list[State], np.ndarray, np.ndarray, np.ndarray]:
    """Return T + 1 states, actions (t, b, 2) float32, the clause that each step is of (t, b), and the steps of each
    episode, 0 for those that failed.
    """
    scenes = [task.scene for task in tasks]
    worlds, state = stack(scenes), initial_state(scenes)
    expert = Expert.by(scenes, [task.instruction for task in tasks], [task.routes for task in tasks])
    limit = np.array([TIME_LIMIT_S[family(task.instruction)] / PERIOD_S for task in tasks])
    noise = draw_noise([task.seed for task in tasks], LONGEST + CHUNK)
    states, actions, clause = [state], list[np.ndarray](), list[np.ndarray]()
    ended, crashed = np.full(len(tasks), -1), np.zeros(len(tasks), bool)
    for at in range(int(limit.max()) + CHUNK):
        action = expert.act(state).astype(np.float32)  # the robot does what the log says: replaying it is exact
        ended = np.where((ended < 0) & expert.progress.tracker.done, at, ended)
        if (ended >= 0).all() and at >= ended.max() + CHUNK:
            break
        state = step(worlds, state, action.astype(np.float64), noise.at(at))
        crashed |= (ended < 0) & ((state.hit & (HIT_OBJECT | HIT_PERSON)) > 0)
        states.append(state)
        actions.append(action)
        clause.append(expert.progress.tracker.clause)
    good = expert.progress.tracker.success & ~crashed & (ended >= 0) & (ended <= limit)
    return states, np.stack(actions), np.stack(clause), np.where(good, np.minimum(ended + CHUNK, len(actions)), 0)


def _example(task: Task, states: Sequence[State], action: np.ndarray, words: list[str]) -> Example:
    count, camera = len(states), Camera(PIXELS, PIXELS)
    columns = {item.name: np.concatenate([getattr(state, item.name) for state in states]) for item in fields(State)}
    frames, pose = render(stack([task.scene]).take([0] * count), State(**columns), camera), columns["pose"]
    at = np.arange(count)
    steps = {
        "observation": {
            "image": [encode_jpeg(image) for image in frames.rgb],
            "pose": pose_from(np.broadcast_to(pose[0], pose.shape), pose).astype(np.float32),
        },
        "action": action,
        "is_first": at == 0,
        "is_last": at == count - 1,
        "is_terminal": at == count - 1,
        "reward": np.zeros(count, np.float32),
        "discount": np.ones(count, np.float32),
        "language_instruction": words,
    }
    seen = visible_things(frames.segmentation, task.scene, pose, camera)
    return {"steps": steps, "episode_metadata": {FEATURE: encode(to_json(task.scene), task.seed, seen)}}
