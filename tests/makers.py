"""Datasets that tests make for themselves: driving logs, and an arm whose records err as real ones do."""

import functools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from embodied_cf.datasets.sample import SampleSize, write_sample
from embodied_cf.datasets.writer import DatasetCard, Example, write_dataset

TEXTS = ("put the cup into the sink", "turn the lever to the front", "open the drawer")


def driving(directory: Path, shards: int = 3, episodes: int = 3, steps: int = 24, seed: int = 0) -> Path:
    """Write the project's own sample (nav, one camera, spec.toml beside it)."""
    write_sample(directory, SampleSize(shards, episodes, steps, 32), seed)
    return directory


def arm(directory: Path, shards: int = 2, episodes: int = 4, steps: int = 20, file_format: str = "tfrecord") -> Path:
    """Write arm logs with the keys of the Bridge spec and the faults of real data.

    is_last is never true, has_image_0 is false although pictures are there, image_3 is blank, feature texts
    contradict their shapes.
    """
    write_dataset(directory, DatasetCard("arm_logs", file_format=file_format), arm_features(), {
        "train": [functools.partial(_arm_episodes, episodes, steps, shard) for shard in range(shards)]
    })  # fmt: skip
    return directory


def arm_features():
    from tensorflow_datasets.core import features as tf

    image = {f"image_{k}": tf.Image(shape=(32, 32, 3), encoding_format="jpeg", doc="Camera.") for k in range(4)}
    state = tf.Tensor(shape=(7,), dtype=np.float32, doc="Robot state, [7x robot joint angles, 2x gripper position].")
    step = {
        "observation": {**image, "state": state},
        "action": tf.Tensor(shape=(7,), dtype=np.float32, doc="[7x joint velocities, 2x gripper velocities]."),
        "language_instruction": tf.Text(), "language_embedding": tf.Tensor(shape=(8,), dtype=np.float32),
        "reward": np.float32, "discount": np.float32, "is_first": np.bool_, "is_last": np.bool_,
        "is_terminal": np.bool_,
    }  # fmt: skip
    metadata = {"file_path": tf.Text(), "episode_id": np.int32, "has_image_0": np.bool_, "has_language": np.bool_}
    return tf.FeaturesDict({"steps": tf.Dataset(step), "episode_metadata": metadata})


def _arm_episodes(episodes: int, steps: int, shard: int) -> Iterator[Example]:
    for index in range(episodes):
        yield arm_episode(steps, 100 * shard + index)


def arm_episode(steps: int, seed: int) -> Example:
    """Return an episode that moves along one axis at a time, turns, and works its gripper."""
    rng = np.random.default_rng(seed)
    delta = np.zeros((steps, 6))
    for start in range(0, steps, 5):
        axis = int(rng.integers(6))
        delta[start : start + 5, axis] = rng.choice([-1, 1]) * (0.01 if axis < 3 else 0.08)
    pose = np.array([0.3, 0.0, 0.15, 0.0, 0.0, 0.0]) + np.cumsum(delta, axis=0) - delta
    gripper = (np.arange(steps) < rng.integers(5, max(6, steps))).astype(float)
    state = np.concatenate([pose, gripper[:, None]], axis=1)
    frames = [[_frame(rng) if k < 3 else _encoded(np.zeros((32, 32, 3), np.uint8)) for _ in range(steps)]
              for k in range(4)]  # fmt: skip
    zeros = np.zeros(steps, bool)
    return {
        "steps": {
            "observation": {**{f"image_{k}": frames[k] for k in range(4)}, "state": state.astype(np.float32)},
            "action": np.concatenate([delta, gripper[:, None]], axis=1).astype(np.float32),
            "language_instruction": [TEXTS[seed % len(TEXTS)]] * steps,
            "language_embedding": rng.standard_normal((steps, 8)).astype(np.float32),
            "reward": np.zeros(steps, np.float32), "discount": np.ones(steps, np.float32),
            "is_first": np.arange(steps) == 0, "is_last": zeros, "is_terminal": zeros,
        },
        "episode_metadata": {"file_path": f"/logs/{seed}", "episode_id": seed, "has_image_0": False,
                             "has_language": True},
    }  # fmt: skip


def _frame(rng: np.random.Generator) -> bytes:
    return _encoded(np.kron(rng.integers(0, 255, (4, 4, 3), np.uint8), np.ones((8, 8, 1), np.uint8)))


def _encoded(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", image)[1])
