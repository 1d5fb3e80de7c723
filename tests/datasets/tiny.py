"""Small healthy driving logs, to be broken one thing at a time."""

import json
from pathlib import Path

import cv2
import numpy as np

from embodied_cf.datasets.metadata import write_features
from embodied_cf.datasets.shards import ShardWriter

STEPS = 6
TEXTS = ("go to the red post", "turn left")


def picture(seed: int, size: int = 16) -> bytes:
    blocks = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    return bytes(cv2.imencode(".png", np.kron(blocks, np.ones((size // 4, size // 4, 1), np.uint8)))[1])


def flat_picture() -> bytes:
    return bytes(cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1])


def tiny_features(**changes):
    """The feature tree of `tiny_episode`; `changes` replace or (None) remove features of the step."""
    from tensorflow_datasets.core import features as tf

    observation = {
        "image": tf.Image(shape=(16, 16, 3), encoding_format="png"),
        "pose": tf.Tensor(shape=(3,), dtype=np.float32, doc="Odometry, [2x position, 1x yaw]."),
    }
    step = {
        "observation": observation,
        "action": tf.Tensor(shape=(2,), dtype=np.float32),
        "language_instruction": tf.Text(),
        **dict.fromkeys(("reward", "discount"), np.float32),
        **dict.fromkeys(("is_first", "is_last", "is_terminal"), np.bool_),
    }
    kept = {key: value for key, value in {**step, **changes}.items() if value is not None}
    return tf.FeaturesDict({"steps": tf.Dataset(kept), "episode_metadata": {"has_image": np.bool_}})


def tiny_episode(seed: int, steps: int = STEPS):
    """A robot that drives straight on, 0.1 m per step, with everything as it should be."""
    at = np.arange(steps)
    pose = np.stack([0.1 * at, np.zeros(steps), np.full(steps, 0.01 * seed)], axis=1)
    last = at == steps - 1
    return {
        "steps": {
            "observation": {"image": [picture(100 * seed + i) for i in range(steps)], "pose": pose.astype(np.float32)},
            "action": np.stack([0.4 + 0.01 * at, 0.1 * np.sin(at + seed)], axis=1).astype(np.float32),
            "language_instruction": [TEXTS[seed % 2]] * steps,
            "reward": last.astype(np.float32),
            "discount": np.ones(steps, np.float32),
            "is_first": at == 0,
            "is_last": last,
            "is_terminal": last.copy(),
        },
        "episode_metadata": {"has_image": True},
    }


def write_records(directory: Path, records, tree, promised: int | None = None) -> Path:
    """Write records as one shard of a dataset called `tiny`."""
    name = "tiny-train.tfrecord-00000-of-00001"
    directory.mkdir(parents=True)
    with ShardWriter(directory / name, "tfrecord") as writer:
        for record in records:
            writer.write(record)
    write_features(tree, directory)
    split = {
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}", "name": "train",
        "numBytes": str(writer.num_bytes), "shardLengths": [str(len(records) if promised is None else promised)],
    }  # fmt: skip
    info = {"name": "tiny", "version": "1.0.0", "fileFormat": "tfrecord", "splits": [split]}
    (directory / "dataset_info.json").write_text(json.dumps(info))
    return directory
