"""Folders of GNM trajectories (`0.jpg`, `1.jpg`, ..., `traj_data.pkl`) into RLDS, images byte by byte.

Source of the layout: robodhruv/visualnav-transformer, README, "Data processing".
"""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.datasets.convert.branches import step_actions
from embodied_cf.datasets.convert.cards import card_files, licence_of
from embodied_cf.datasets.convert.gnm_pickle import load_arrays
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.result import Converted, Progress, shards_of
from embodied_cf.datasets.convert.rlds_target import dataset_name, step_flags
from embodied_cf.datasets.features import STEPS
from embodied_cf.datasets.writer import DatasetCard, Example, ShardSource, write_dataset
from embodied_cf.errors import DatasetError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict

PICKLE = "traj_data.pkl"
ARRAYS = "episode_metadata/gnm_arrays"
"""How the pickle's arrays were stored, as JSON: dtype and shape, and the content of those that no pose holds."""
_FRAME = re.compile(r"(0|[1-9]\d*)\.jpg")
_SAID = (
    "Converted from GNM trajectories by embodied-cf. Images are byte by byte the same; `observation/pose` holds "
    "position and yaw with all their digits, `observation/state` the same from the first position on, in 32 bits. "
    "`action` is the way to the next pose in the robot's frame, in metres."
)
_SPEC = """\
# Written by embodied-cf convert. GNM folders do not say how much time lies between two frames: check it.
name = "{name}"
embodiment = "nav"
control_period_s = {period}
position_unit = "m"
last_action_valid = false
language = ["language_instruction"]
language_padding = "" # GNM has no language

[cameras]
primary = "observation/image"

[columns]
state = "observation/state"
action = "action"
pose = "observation/pose"
"""


@dataclass(frozen=True)
class Trajectory:
    """One folder that is whole: as many frames as poses."""

    name: str
    """Path from the root."""
    folder: Path
    frames: int
    size: int
    """Bytes of all frames."""


def gnm_to_rlds(options: ConvertOptions, progress: Progress) -> Converted:
    """Convert; run again to resume. Raises DatasetError naming the trajectory that is not whole."""
    found = find_trajectories(options.source)
    runs = shards_of([trajectory.size for trajectory in found])
    shards: list[ShardSource] = [partial(_examples, found[run.start : run.stop], progress) for run in runs]
    licence = licence_of(options.source)
    name = dataset_name(options.name, options.source)
    card = DatasetCard(name, description=_SAID, licence=licence, recipe=str(options.source.resolve()))
    spec = _SPEC.format(name=name, period=options.control_period_s)
    files = {**card_files(options.source, _SAID), "spec.toml": spec}
    write_dataset(options.out, card, _tree(_one_size(found)), {"train": shards}, files)
    return Converted(options.out, len(found), sum(trajectory.frames for trajectory in found))


def find_trajectories(root: Path) -> list[Trajectory]:
    """Return every trajectory below `root`, by name. Raises DatasetError if one misses a frame."""
    folders = sorted(path.parent for path in root.glob(f"**/{PICKLE}"))
    if not folders:
        raise DatasetError(f"no folder with {PICKLE}", where=root)
    return [_trajectory(root, folder) for folder in folders]


def _trajectory(root: Path, folder: Path) -> Trajectory:
    numbered = {int(match[1]): path for path in folder.iterdir() if (match := _FRAME.fullmatch(path.name))}
    missing = next((at for at in range(len(numbered)) if at not in numbered), None)
    if missing is not None:
        raise DatasetError(f"frame {missing}.jpg is missing", where=folder, remedy="Copy the trajectory again.")
    size = sum(path.stat().st_size for path in numbered.values())
    return Trajectory(str(folder.relative_to(root)), folder, len(numbered), size)


def _one_size(found: Sequence[Trajectory]) -> tuple[int | None, int | None]:
    """Return height and width of all images, None where trajectories differ; first frames are looked at."""
    shapes = {
        EncodedImages([(one.folder / "0.jpg").read_bytes()], str(one.folder)).decode(0).shape
        for one in found
        if one.frames
    }
    return next(iter(shapes))[:2] if len(shapes) == 1 else (None, None)


def _tree(size: tuple[int | None, int | None]) -> "FeaturesDict":
    from tensorflow_datasets.core import features as tf

    exact = tf.Tensor(shape=(3,), dtype=np.float64, encoding=tf.Encoding.BYTES, doc="x m, y m, yaw rad: odometry.")
    state = "x m, y m from the first position on, yaw rad."
    step = {
        "observation": {
            "image": tf.Image(shape=(*size, 3), encoding_format="jpeg"),
            "pose": exact,
            "state": tf.Tensor(shape=(3,), dtype=np.float32, doc=state),
        },
        "action": tf.Tensor(shape=(2,), dtype=np.float32, doc="x m, y m of the next pose in the robot's frame."),
        "reward": np.float32,
        "discount": np.float32,
        **dict.fromkeys(("is_first", "is_last", "is_terminal"), np.bool_),
        "language_instruction": tf.Text(doc="Empty: GNM has no language."),
    }
    arrays = tf.Text(doc="dtype and shape of the arrays in traj_data.pkl, as JSON.")
    episode = {"episode_id": tf.Text(), "file_path": tf.Text(), "gnm_arrays": arrays}
    return tf.FeaturesDict({STEPS: tf.Dataset(step), "episode_metadata": episode})


def _examples(trajectories: Sequence[Trajectory], progress: Progress) -> Iterator[Example]:
    for trajectory in trajectories:
        yield _example(trajectory)
        progress(1, trajectory.frames)


def _example(trajectory: Trajectory) -> Example:
    arrays = load_arrays(trajectory.folder / PICKLE)
    pose = _poses(arrays, trajectory)
    state = pose - [*pose[0, :2], 0]
    return {
        STEPS: {
            "observation": {
                "image": [(trajectory.folder / f"{at}.jpg").read_bytes() for at in range(trajectory.frames)],
                "pose": pose,
                "state": state.astype(np.float32),
            },
            "action": step_actions(pose),
            **step_flags(trajectory.frames),
            "language_instruction": [""] * trajectory.frames,
        },
        "episode_metadata": {
            "episode_id": trajectory.name,
            "file_path": trajectory.name,
            "gnm_arrays": json.dumps({name: _noted(name, array) for name, array in arrays.items()}),
        },
    }


def _poses(arrays: dict[str, np.ndarray], trajectory: Trajectory) -> Float[np.ndarray, "t 3"]:
    absent = [name for name in ("position", "yaw") if name not in arrays]
    if absent:
        raise DatasetError(f"no array {' and no '.join(absent)}", where=trajectory.folder / PICKLE)
    position, yaw = arrays["position"].astype(np.float64), arrays["yaw"].astype(np.float64)
    count = trajectory.frames
    if position.shape != (count, 2) or yaw.size != count or not count:
        raise DatasetError(
            f"{count} frames for positions of shape {position.shape} and {yaw.size} yaws",
            where=trajectory.folder,
            remedy="Copy the trajectory again, or leave it out.",
        )
    return np.concatenate([position, yaw.reshape(count, 1)], axis=1)


def _noted(name: str, array: np.ndarray) -> dict[str, Any]:
    noted = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if name in ("position", "yaw"):
        return noted
    return {**noted, "data": base64.b64encode(array.tobytes()).decode()}
