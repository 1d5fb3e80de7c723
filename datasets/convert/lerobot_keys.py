"""Which LeRobot feature is which RLDS feature, both ways, and what is remembered beside the data.

`observation.images.front` is `steps/observation/images/front`; dots are folders. LeRobot's own counters
(frame, episode, row) follow from the order of the steps and are not stored twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embodied_cf.datasets.convert.checked_json import parse, read_json
from embodied_cf.datasets.convert.lerobot_info import LeRobotFeature
from embodied_cf.datasets.features import STEPS
from embodied_cf.errors import DatasetError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features.feature import FeatureConnector

COUNTERS = ("frame_index", "episode_index", "index", "task_index")
LANGUAGE_COLUMNS = ("language_persistent", "language_events")
"""Lists of rows (role, content, style, ...), kept as JSON texts."""
MEMORY = "lerobot.json"
_RENAMED = {"next.reward": "reward", "next.done": "is_terminal"}
_TAKEN = ("is_first", "is_last", "language_instruction")
"""Step keys that the conversion writes itself."""


@dataclass(frozen=True)
class Memory:
    """lerobot.json beside converted RLDS: what the way back needs and RLDS has no place for."""

    codebase_version: str
    fps: float
    features: dict[str, LeRobotFeature]
    keys: dict[str, str]
    """LeRobot feature to RLDS key."""
    tasks: list[str] = field(default_factory=list)
    robot_type: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def read_memory(directory: Path) -> Memory | None:
    """Return what was remembered, None if the dataset never was a LeRobot set."""
    path = directory / MEMORY
    return parse(Memory, read_json(path), path) if path.is_file() else None


def rlds_keys(features: Mapping[str, LeRobotFeature]) -> dict[str, str]:
    """Return the RLDS key of each LeRobot feature that is stored. Raises DatasetError if two want the same."""
    names = [name for name in features if name not in COUNTERS]
    keys = {name: f"{STEPS}/{_RENAMED.get(name) or _folders(name, names)}" for name in names}
    twice = sorted(name for name, key in keys.items() if list(keys.values()).count(key) > 1)
    taken = sorted(name for name, key in keys.items() if key.removeprefix(f"{STEPS}/") in _TAKEN)
    if twice or taken:
        raise DatasetError(f"features {', '.join(twice or taken)} cannot be told from others or from RLDS' own keys")
    return keys


def _folders(name: str, names: Sequence[str]) -> str:
    """Dots as folders; beside `action`, which is no folder then, `action.gripper` is `action_gripper`."""
    parents = [other for other in names if name.startswith(f"{other}.")]
    if not parents:
        return name.replace(".", "/")
    parent = min(parents, key=len)
    return f"{parent.replace('.', '/')}_{name.removeprefix(f'{parent}.').replace('.', '_')}"


def lerobot_name(key: str) -> str:
    """Return the LeRobot feature that a step key of a dataset of other origin becomes."""
    plain = key.removeprefix(f"{STEPS}/")
    back = {rlds: name for name, rlds in _RENAMED.items()}
    return back.get(plain) or plain.replace("/", ".")


def stored_shape(feature: LeRobotFeature) -> tuple[int, ...]:
    """Return the shape of one row; LeRobot writes plain numbers as (1,)."""
    return () if feature.shape == (1,) else feature.shape


def tfds_feature(name: str, feature: LeRobotFeature, image_format: str) -> "FeatureConnector":
    """Return the TFDS feature of one LeRobot feature. float64 is stored as bytes, which keeps all its digits."""
    from tensorflow_datasets.core import features as tf

    doc = f"LeRobot {name}" + (f" {feature.names}." if feature.names else ".")
    if feature.dtype == "video":
        return tf.Image(shape=feature.image_shape, encoding_format=image_format, doc=doc)
    if feature.dtype == "image":
        return tf.Image(shape=feature.image_shape, doc=doc)
    shape = stored_shape(feature)
    if feature.dtype in ("string", "language"):
        return tf.Tensor(shape=shape, dtype=np.str_, doc=doc) if shape else tf.Text(doc=doc)
    try:
        dtype = np.dtype(feature.dtype)
    except TypeError as error:
        raise DatasetError(f"feature {name} has the unknown dtype {feature.dtype!r}") from error
    if dtype.kind not in "biuf":
        raise DatasetError(f"feature {name} has dtype {feature.dtype!r}, which RLDS cannot store")
    encoding = tf.Encoding.BYTES if dtype == np.float64 else tf.Encoding.NONE
    return tf.Tensor(shape=shape, dtype=dtype.type, encoding=encoding, doc=doc)
