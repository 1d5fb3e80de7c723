"""A small RLDS dataset that the project makes itself: a robot that wanders among coloured posts.

It stands in for data that a stranger has not brought yet: first-person pictures, odometry, no labels. The
pictures are drawn with the camera model of the spec that is written beside them, so pixels and metres agree.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from embodied_cf.datasets.images import encode_jpeg
from embodied_cf.datasets.randomness import generator
from embodied_cf.datasets.spec import CameraModel
from embodied_cf.datasets.writer import DatasetCard, Example, write_dataset

PERIOD_S = 0.25
CAMERA = CameraModel(horizontal_fov_deg=90.0, height_m=0.6, pitch_deg=0.0)
COLOURS = {
    "red": (205, 45, 40),
    "green": (45, 150, 65),
    "blue": (45, 85, 200),
    "yellow": (235, 200, 45),
    "purple": (135, 60, 160),
    "orange": (235, 125, 30),
}
SPEC = """\
# Written with the data: how to read it.
name = "posts"
embodiment = "nav"
control_period_s = 0.25
position_unit = "m"
last_action_valid = true
language = ["language_instruction"]

[cameras]
primary = "observation/image"

[columns]
state = "observation/pose"
action = "action"
pose = "observation/pose"

[camera_model]
horizontal_fov_deg = 90.0
height_m = 0.6
pitch_deg = 0.0
"""
_STEP_M = 0.12
_MANNERS = ((1.0, 0.0), (1.0, 0.13), (1.0, -0.13), (1.0, 0.05), (1.0, -0.05), (0.0, 0.0), (0.0, 0.2))
"""(share of full speed, rad per step) of what the robot does for a while; it prefers to drive on."""
_PREFERENCE = np.array([0.36, 0.13, 0.13, 0.13, 0.13, 0.08, 0.04])
_POST_RADIUS_M, _POST_HEIGHT_M = 0.2, 1.1


@dataclass(frozen=True)
class SampleSize:
    """How much to make."""

    shards: int = 4
    episodes_per_shard: int = 6
    steps: int = 40
    image: int = 96
    """Pixels, square."""


def write_sample(directory: Path, size: SampleSize = SampleSize(), seed: int = 0) -> None:
    """Write the dataset with its spec.toml. Same seed and size, same bytes; resumes if interrupted."""
    from tensorflow_datasets.core import features as tf

    step = {
        "observation": {
            "image": tf.Image(shape=(size.image, size.image, 3), encoding_format="jpeg"),
            "pose": tf.Tensor(shape=(3,), dtype=np.float32, doc="Odometry x m, y m, yaw rad."),
        },
        "action": tf.Tensor(shape=(2,), dtype=np.float32, doc="Forward speed m/s, yaw rate rad/s."),
        "reward": np.float32,
        "discount": np.float32,
        "is_first": np.bool_,
        "is_last": np.bool_,
        "is_terminal": np.bool_,
        "language_instruction": tf.Text(doc="What the operator noted; often nothing."),
    }
    tree = tf.FeaturesDict({"steps": tf.Dataset(step), "episode_metadata": {"episode_id": tf.Text()}})
    card = DatasetCard("posts", "1.0.0", "A robot wanders among coloured posts. Made by embodied-cf.")
    shards = [partial(_episodes, size, seed, index) for index in range(size.shards)]
    write_dataset(directory, card, tree, {"train": shards}, {"spec.toml": SPEC})


def _episodes(size: SampleSize, seed: int, shard: int) -> Iterator[Example]:
    for index in range(size.episodes_per_shard):
        name = f"posts-{shard:03d}-{index:03d}"
        yield _episode(size, generator(seed, name), name)


def _episode(size: SampleSize, rng: np.random.Generator, name: str) -> Example:
    command = wander(size.steps, rng)
    pose = drive(command, rng)
    posts, colours = _posts(pose, rng)
    flags = np.zeros(size.steps, bool)
    first, last = flags.copy(), flags.copy()
    first[0], last[-1] = True, True
    return {
        "steps": {
            "observation": {
                "image": [encode_jpeg(draw(at, posts, colours, size.image)) for at in pose],
                "pose": pose.astype(np.float32),
            },
            "action": (command * [_STEP_M, 1.0] / PERIOD_S).astype(np.float32),
            "reward": np.zeros(size.steps, np.float32),
            "discount": np.ones(size.steps, np.float32),
            "is_first": first,
            "is_last": last,
            "is_terminal": flags,
            "language_instruction": ["drive around" if rng.random() < 0.5 else ""] * size.steps,
        },
        "episode_metadata": {"episode_id": name},
    }


def wander(steps: int, rng: np.random.Generator) -> Float[np.ndarray, "t 2"]:
    """Return (share of full speed, rad per step) for every step."""
    command = np.zeros((steps, 2))
    at = 0
    while at < steps:
        length = int(rng.integers(5, 12))
        command[at : at + length] = _MANNERS[rng.choice(len(_MANNERS), p=_PREFERENCE)]
        at += length
    return command


def drive(command: Float[np.ndarray, "t 2"], rng: np.random.Generator) -> Float[np.ndarray, "t 3"]:
    """Return the poses (m, m, rad) of carrying out (share of full speed, rad per step) with 5 % slip."""
    slip = 1.0 + 0.05 * rng.standard_normal(command.shape)
    pose = np.zeros((len(command), 3))
    for step in range(1, len(command)):
        speed, turn = command[step - 1] * slip[step - 1]
        heading = pose[step - 1, 2] + turn / 2
        move = speed * _STEP_M
        pose[step] = pose[step - 1] + [move * math.cos(heading), move * math.sin(heading), turn]
    return pose


def _posts(pose: Float[np.ndarray, "t 3"], rng: np.random.Generator) -> tuple[Float[np.ndarray, "p 2"], list[str]]:
    """Return places (m) and colours of posts around the path, none on it and no colour twice."""
    names = [str(name) for name in rng.permutation(list(COLOURS))[: rng.integers(3, 6)]]
    places: list[np.ndarray] = []
    while len(places) < len(names):
        at = pose[rng.integers(len(pose)), :2] + rng.uniform(-4.0, 4.0, 2)
        apart = all(np.hypot(*(at - other)) > 1.0 for other in places)
        if apart and np.hypot(*(pose[:, :2] - at).T).min() > 0.7:
            places.append(at)
    return np.array(places), names


def draw(
    pose: Float[np.ndarray, " 3"], posts: Float[np.ndarray, "p 2"], colours: list[str], size: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Return what the camera sees at a pose: floor, sky, and the posts that stand in view, near ones last."""
    image = _backdrop(size)
    focal = size / 2 / math.tan(math.radians(CAMERA.horizontal_fov_deg) / 2)
    offset = posts - pose[:2]
    forward = math.cos(pose[2]) * offset[:, 0] + math.sin(pose[2]) * offset[:, 1]
    left = -math.sin(pose[2]) * offset[:, 0] + math.cos(pose[2]) * offset[:, 1]
    for index in np.argsort(-forward):
        depth = float(forward[index])
        if depth > 0.3:
            _draw_post(image, focal / depth, size / 2 - focal * float(left[index]) / depth, COLOURS[colours[index]])
    return image


def _backdrop(size: int) -> UInt8[np.ndarray, "h w 3"]:
    rows = np.linspace(0, 1, size)[:, None, None]
    sky, floor = np.array([196, 214, 232]) + 40 * rows, np.array([150, 142, 128]) - 50 * (1 - rows)
    image = np.where(rows < 0.5, sky, floor)
    return np.broadcast_to(image, (size, size, 3)).astype(np.uint8)


def _draw_post(image: UInt8[np.ndarray, "h w 3"], scale: float, column: float, colour: tuple[int, int, int]) -> None:
    size = len(image)
    top, bottom = (size / 2 + scale * (CAMERA.height_m - at) for at in (_POST_HEIGHT_M, 0.0))
    half = scale * _POST_RADIUS_M
    columns = np.arange(max(0, math.ceil(column - half)), min(size, math.floor(column + half) + 1))
    if not len(columns):
        return
    # a cylinder is darker towards its edges
    shade = 0.55 + 0.45 * np.sqrt(np.clip(1 - ((columns - column) / max(half, 1e-6)) ** 2, 0, 1))
    rows = slice(max(0, math.ceil(top)), min(size, math.floor(bottom) + 1))
    image[rows, columns] = (shade[:, None] * np.array(colour)).astype(np.uint8)
