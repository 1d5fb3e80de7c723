"""The data that the benchmarks run on: driving logs with three JPEG cameras, about 1.06 MB per 100 steps."""

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from embodied_cf.datasets.sample import drive, wander
from embodied_cf.datasets.writer import DatasetCard, Example, write_dataset

CAMERAS = ("front", "left", "right")
SPEC = """\
name = "bench"
embodiment = "nav"
control_period_s = 0.25
position_unit = "m"
last_action_valid = true
language = ["language_instruction"]

[cameras]
front = "observation/front"
left = "observation/left"
right = "observation/right"

[columns]
state = "observation/state"
action = "action"
pose = "observation/state[0:3]"
"""


def make(directory: Path, episodes: int, steps: int = 100, shards: int = 1, image: int = 96) -> Path:
    """Write the data set, unless it is there already, and return its directory."""
    from tensorflow_datasets.core import features as tf

    if (directory / "dataset_info.json").is_file():
        return directory
    observation = {name: tf.Image(shape=(image, image, 3), encoding_format="jpeg") for name in CAMERAS}
    observation["state"] = tf.Tensor(shape=(7,), dtype=np.float32)
    step = {
        "observation": tf.FeaturesDict(observation),
        "action": tf.Tensor(shape=(2,), dtype=np.float32),
        "language_instruction": tf.Text(),
        **dict.fromkeys(("is_first", "is_last", "is_terminal"), np.bool_),
        **dict.fromkeys(("reward", "discount"), np.float32),
    }
    tree = tf.FeaturesDict({"steps": tf.Dataset(step), "episode_metadata": {"file_path": tf.Text()}})
    sources = [functools.partial(_shard, steps, image, range(k, episodes, shards)) for k in range(shards)]
    write_dataset(directory, DatasetCard("bench"), tree, {"train": sources}, {"spec.toml": SPEC})
    return directory


def _shard(steps: int, image: int, names: range) -> Iterator[Example]:
    frames = _frames(image)
    for name in names:
        yield _episode(steps, name, frames)


def _episode(steps: int, name: int, frames: list[bytes]) -> Example:
    rng = np.random.default_rng(name)
    command = wander(steps, rng)
    state = np.zeros((steps, 7), np.float32)
    state[:, :3] = drive(command, rng)
    last = np.arange(steps) == steps - 1
    observation = {camera: [frames[i] for i in rng.integers(len(frames), size=steps)] for camera in CAMERAS}
    return {
        "steps": {
            "observation": {**observation, "state": state},
            "action": command.astype(np.float32),
            "language_instruction": ["drive around the yard"] * steps,
            "is_first": np.arange(steps) == 0, "is_last": last, "is_terminal": last,
            "reward": last.astype(np.float32), "discount": np.ones(steps, np.float32),
        },
        "episode_metadata": {"file_path": f"/logs/{hashlib.sha256(str(name).encode()).hexdigest()}.bag"},
    }  # fmt: skip


def _frames(image: int) -> list[bytes]:
    """Return textured pictures that compress like camera frames: 3.5 kB at 96x96 and quality 90."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(64):
        coarse = rng.integers(0, 255, (image // 6, image // 6, 3), np.uint8)
        smooth = cv2.resize(coarse, (image, image), interpolation=cv2.INTER_CUBIC)
        pictures.append(bytes(cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]))
    return pictures
