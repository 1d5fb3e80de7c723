"""The data contract: what an episode and its labels are, checked at one door.

Steps are numbered 0..T-1; ranges are half open. `action[t]` follows `observation[t]`. Images are encoded RGB
until someone looks at them. A label's action chunk starts at the robot: row i is the target for step
`start + 1 + i`, expressed in the robot frame at `start` (x forward, y left, z up; metres and radians unless
the embodiment says otherwise), cumulative, never per-step deltas, never normalised.

Example (nav): a robot that drives straight on at 0.1 m per control period has the chunk
[[0.1, 0], [0.2, 0], [0.3, 0], ...].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64, UInt8

from embodied_cf.datasets.images import decode_image
from embodied_cf.datasets.kinds import KINDS as KINDS
from embodied_cf.errors import RecordError

SCHEMA_VERSION = 1
DEFAULT_LABEL_SET = "labels"
_AS_START = np.zeros(0, np.int32)


@dataclass(frozen=True)
class EncodedImages:
    """The frames of one camera as they lie in the record; decoded when asked, bytes never touched."""

    frames: Sequence[bytes | memoryview]
    where: str = ""
    """Episode and key, for error texts."""

    def __len__(self) -> int:
        return len(self.frames)

    def decode(self, step: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return the frame at `step` as RGB. Raises RecordError if the bytes are no image."""
        return _decode(self.frames[step], f"{self.where}[{step}]")

    def decode_all(self) -> UInt8[np.ndarray, "t h w 3"]:
        """Return all frames as RGB. Raises RecordError unless they are images of one size."""
        return self.decode_steps(range(len(self)))

    def decode_steps(self, steps: Sequence[int]) -> UInt8[np.ndarray, "t h w 3"]:
        """Return some frames as RGB. Raises RecordError unless they are images of one size."""
        images = [self.decode(step) for step in steps]
        for step, image in zip(steps, images, strict=True):
            if image.shape != images[0].shape:
                sizes = f"{_size(image)} pixels among frames of {_size(images[0])}"
                remedy = "Re-export the episode or leave it out."
                raise RecordError(f"an image of {sizes}", where=f"{self.where}[{step}]", remedy=remedy)
        return np.stack(images)


def _size(image: UInt8[np.ndarray, "h w 3"]) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"


def _decode(encoded: bytes | memoryview, where: str) -> UInt8[np.ndarray, "h w 3"]:
    try:
        return decode_image(encoded)
    except ValueError as error:
        remedy = "Re-export the episode or leave it out."
        raise RecordError(f"not a readable image ({error})", where=where, remedy=remedy) from None


@dataclass(frozen=True)
class Span:
    """A text that the dataset itself gives for steps [start, end). "" is a text, not a missing one."""

    start: int
    end: int
    text: str
    source: str
    """The key it came from, such as `steps/language_instruction`."""


@dataclass(frozen=True)
class Labels:
    """N labels of one label set, columnar. See the module's text for the frame and time of `action`.

    A hindsight or atomic row holds for every t in [start, end), where the robot's real future is the target;
    its `action` is that future at `start`, masked at `end`. A counterfactual row holds at `start` only and
    `end = start + action_mask.sum()`.
    """

    kind: tuple[str, ...]
    start: Int32[np.ndarray, " n"]
    end: Int32[np.ndarray, " n"]
    instruction: tuple[str, ...]
    command: tuple[str, ...]
    """An atomic command of the embodiment, or "" where none fits."""
    action: Float32[np.ndarray, "n h a"]
    action_mask: Bool[np.ndarray, "n h"]
    score: Float32[np.ndarray, " n"]
    source: tuple[str, ...]
    """First 16 hex digits of the sha256 of the row's provenance."""
    told: Int32[np.ndarray, " n"] = field(default_factory=lambda: _AS_START)
    """Step at which the robot is told, at or before `start`: what it saw and did since then tells how much is done.
    As `start` where it is not given."""

    def __post_init__(self) -> None:
        if self.told is _AS_START:
            object.__setattr__(self, "told", self.start)
        for problem, broken in self._problems().items():
            if broken:
                raise RecordError(f"labels break the data contract: {problem}")

    def _problems(self) -> dict[str, bool]:
        counterfactual = np.array([kind == "counterfactual" for kind in self.kind], bool)
        lengths = self.action_mask.sum(axis=1)
        return {
            "columns of different length": len({len(getattr(self, f.name)) for f in fields(self)}) > 1,
            f"a kind outside {KINDS}": not set(self.kind) <= set(KINDS),
            "an empty instruction": "" in self.instruction,
            "start < 0 or end <= start": bool(np.any((self.start < 0) | (self.end <= self.start))),
            "told < 0 or told > start": bool(np.any((self.told < 0) | (self.told > self.start))),
            "a score outside [0, 1]": not bool(np.all((self.score >= 0) & (self.score <= 1))),
            "an action that is not finite": not bool(np.isfinite(self.action).all()),
            "a mask that is not a prefix": bool(np.any(self.action_mask[:, 1:] & ~self.action_mask[:, :-1])),
            "a counterfactual whose end is not start + mask.sum()": bool(
                np.any(counterfactual & (self.end != self.start + lengths))
            ),
        }

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, rows: Sequence[int] | Int64[np.ndarray, " k"] | Bool[np.ndarray, " n"]) -> "Labels":
        """Return the chosen rows, in the order given."""
        index = np.arange(len(self))[np.asarray(rows, dtype=None if len(rows) else np.int64)]
        return _valid({f.name: _take(getattr(self, f.name), index) for f in fields(self)})

    def with_score(self, score: Float32[np.ndarray, " n"]) -> "Labels":
        """Return the table with other scores in [0, 1]."""
        return Labels(**{**{f.name: getattr(self, f.name) for f in fields(self)}, "score": score})

    @staticmethod
    def unchecked(**columns: Any) -> "Labels":
        """Return a table whose columns are not checked yet: candidates on their way to `with_score`, which is."""
        return _valid(columns)

    @staticmethod
    def empty(horizon: int, dimensions: int) -> "Labels":
        """Return a label table without rows for chunks of shape (horizon, dimensions)."""
        none = np.zeros(0, np.int32)
        return Labels(
            (),
            none,
            none,
            (),
            (),
            np.zeros((0, horizon, dimensions), np.float32),
            np.zeros((0, horizon), bool),
            np.zeros(0, np.float32),
            (),
        )

    @staticmethod
    def concatenate(tables: Sequence["Labels"]) -> "Labels":
        """Return one table of all rows, in order; needs at least one table."""
        return _valid({f.name: _join([getattr(t, f.name) for t in tables]) for f in fields(Labels)})


def _valid(columns: Mapping[str, Any]) -> Labels:
    """Return rows of tables that were checked before: choosing and joining them cannot break the contract."""
    labels = object.__new__(Labels)
    for name, column in columns.items():
        object.__setattr__(labels, name, column)
    return labels


def _take(column: Any, index: np.ndarray) -> Any:
    return column[index] if isinstance(column, np.ndarray) else tuple([column[i] for i in index.tolist()])


def _join(columns: Sequence[Any]) -> Any:
    return np.concatenate(columns) if isinstance(columns[0], np.ndarray) else tuple(chain.from_iterable(columns))


@dataclass(frozen=True)
class Episode:
    """One episode. T steps; arrays keep the dtype that the dataset declares, except poses (float64)."""

    episode_id: str
    """`dataset/version/split/shard/index`: where the record stands, stable for a given dataset."""
    cameras: Mapping[str, EncodedImages]
    """Primary camera first."""
    state: Float[np.ndarray, "t s"]
    action: Float[np.ndarray, "t a"]
    action_mask: Bool[np.ndarray, " t"]
    """Where `action` is valid: RLDS says nothing of the last step's action, so a dataset decides."""
    timestamp: Float[np.ndarray, " t"]
    """Seconds since the first step."""
    pose: Float[np.ndarray, "t 3"] | None = None
    """x m, y m, yaw rad in the odometry frame, for robots that drive."""
    effector: Float[np.ndarray, "t 7"] | None = None
    """x, y, z, roll, pitch, yaw of the end effector in the base frame and the gripper (1 open, 0 closed)
    in force at t, which is the command of t-1."""
    language: tuple[Span, ...] = ()
    labels: Mapping[str, Labels] = field(default_factory=dict)
    """By label set; the default set is "labels"."""
    metadata: Mapping[str, object] = field(default_factory=dict)
    depth: Mapping[str, EncodedImages] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, array in (
            ("state", self.state),
            ("action", self.action[self.action_mask]),
            ("pose", self.pose),
            ("effector", self.effector),
            ("timestamp", self.timestamp),
        ):
            if array is not None and not np.isfinite(array).all():
                step = int(np.argwhere(~np.isfinite(array))[0, 0])
                raise RecordError(f"{key} is not finite (first at step {step})", where=self.episode_id)
        for name, images in self.cameras.items():
            if len(images) != len(self):
                raise RecordError(
                    f"camera {name} has {len(images)} frames for {len(self)} steps", where=self.episode_id
                )

    def __len__(self) -> int:
        return len(self.action)
