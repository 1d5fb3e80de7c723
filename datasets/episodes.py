"""From a record to an Episode: the one door through which data enters the contract."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np
from jaxtyping import Float

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import EncodedImages, Episode, Span
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.features import STEPS, Features
from embodied_cf.datasets.label_store import decode_labels, set_names
from embodied_cf.datasets.rlds import RldsDataset
from embodied_cf.datasets.spec import Column, DatasetSpec
from embodied_cf.errors import RecordError

_IMAGE_STARTS = frozenset({b"\xff\xd8", b"\x89P", b"BM", b"RI", b"GI"})
"""First bytes of JPEG, PNG, BMP, WebP and GIF. Whoever looks at a frame decodes it and finds finer faults."""


@dataclass(frozen=True)
class EpisodeReader:
    """Reads the records of one dataset by its spec. Small and picklable: workers get a copy."""

    features: Features
    spec: DatasetSpec

    def __post_init__(self) -> None:
        self.spec.check(self.features)

    def read(self, record: bytes, episode_id: str) -> Episode:
        """Return the episode. Raises RecordError that names the key if its data breaks the contract."""
        columns = Columns(record, self.features, episode_id)
        steps = columns.steps
        if steps == 0:
            raise RecordError("an episode of zero steps", where=episode_id, remedy="Leave it out.")
        action = self._numbers(columns, "action", steps)
        valid = np.ones(steps, bool)
        valid[-1] = self.spec.last_action_valid
        return Episode(
            episode_id=episode_id,
            cameras={name: self._images(columns, key, steps) for name, key in self.spec.cameras.items()},
            state=self._numbers(columns, "state", steps),
            action=action,
            action_mask=valid,
            timestamp=self._timestamp(columns, steps),
            pose=self._pose(columns, steps),
            effector=self._effector(columns, steps),
            language=tuple(self._spans(columns, steps)),
            labels={name: decode_labels(columns, name) for name in set_names(self.features)},
            metadata=self._metadata(columns),
        )

    def read_track(self, record: bytes, episode_id: str, body: Embodiment) -> Float[np.ndarray, "t d"]:
        """Return only the motion of an episode (see `datasets.motion.track_of`), for passes over the numbers."""
        columns = Columns(record, self.features, episode_id)
        steps = columns.steps
        read = self._pose if body.kind == "nav" else self._effector
        track = read(columns, steps) if steps else None
        if track is None or not np.isfinite(track).all():
            raise RecordError("no usable motion", where=episode_id)
        return track

    def _pose(self, columns: Columns, steps: int) -> np.ndarray | None:
        return self._numbers(columns, "pose", steps).astype(np.float64) if "pose" in self.spec.columns else None

    def _numbers(self, columns: Columns, role: str, steps: int) -> np.ndarray:
        column = self.spec.column(role)
        if column is None:
            return np.zeros((steps, 0), np.float32)
        values = columns.array(column.key)
        if len(values) != steps:
            raise RecordError(f"{column.key} has {len(values)} rows for {steps} steps", where=columns.where)
        return _part(values, column, columns.where)

    def _images(self, columns: Columns, key: str, steps: int) -> EncodedImages:
        frames = _Frames(columns, f"{STEPS}/{key}", steps)
        if key == next(iter(self.spec.cameras.values())):
            frames.check()
        return EncodedImages(frames, f"{columns.where} {key}")

    def _timestamp(self, columns: Columns, steps: int) -> np.ndarray:
        if "timestamp" not in self.spec.columns:
            return np.arange(steps) * self.spec.control_period_s
        stamps = self._numbers(columns, "timestamp", steps).astype(np.float64).ravel()
        return stamps - stamps[0]

    def _effector(self, columns: Columns, steps: int) -> np.ndarray | None:
        if "effector_position" not in self.spec.columns:
            return None
        roles = ("effector_position", "effector_rotation")
        parts = [self._numbers(columns, role, steps).astype(np.float64) for role in roles]
        return np.concatenate([*parts, self._gripper(columns, steps)[:, None]], axis=1)

    def _gripper(self, columns: Columns, steps: int) -> np.ndarray:
        """Return the gripper in force at each step: a command takes effect one step later."""
        if "gripper_command" not in self.spec.columns:
            return np.clip(self._numbers(columns, "gripper_state", steps)[:, 0].astype(np.float64), 0, 1)
        command = np.clip(self._numbers(columns, "gripper_command", steps)[:, 0].astype(np.float64), 0, 1)
        return np.concatenate([command[:1], command[:-1]])

    def _spans(self, columns: Columns, steps: int) -> Iterator[Span]:
        for key in self._language_keys(columns):
            if not key.startswith(f"{STEPS}/"):
                yield from (Span(0, steps, text, key) for text in columns.texts(key) if self._says(text))
                continue
            values = columns.array(key)
            slots = len(values[0]) if values and isinstance(values[0], list) else 1
            for slot in range(slots):
                texts = [bytes(value[slot] if isinstance(value, list) else value) for value in values]
                yield from (span for span in _runs(texts, key) if self._says(span.text))

    def _language_keys(self, columns: Columns) -> list[str]:
        keys = [key for key in columns_of(self.features) if columns.has(key)]
        return [
            key for pattern in self.spec.language for key in keys if fnmatchcase(key.removeprefix(f"{STEPS}/"), pattern)
        ]

    def _says(self, text: str) -> bool:
        return text != self.spec.language_padding

    def _metadata(self, columns: Columns) -> dict[str, object]:
        keys = [key for key, leaf in self.features.items() if not leaf.per_step and not key.startswith("labels")]
        return {key: _plain(columns.array(key)) for key in keys if columns.has(key)}


class _Frames(Sequence[memoryview]):
    """The encoded frames of a camera, found in the record when someone asks for the first of them.

    Only the primary camera is checked at once; a run that looks at no pixel need not search for the rest.
    """

    def __init__(self, columns: Columns, key: str, steps: int) -> None:
        self._columns, self._key, self._steps = columns, key, steps

    @cached_property
    def _frames(self) -> Sequence[memoryview]:
        frames = self._columns.images(self._key)
        if len(frames) != self._steps:
            problem = f"{self._key} has {len(frames)} frames for {self._steps} steps"
            raise RecordError(problem, where=self._columns.where)
        return frames

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step):  # type: ignore[no-untyped-def]
        return self._frames[step]

    def check(self) -> None:
        """Raise RecordError at the first frame that does not begin like an image."""
        odd = [step for step, frame in enumerate(self._frames) if bytes(frame[:2]) not in _IMAGE_STARTS]
        if odd:
            raise RecordError(
                f"{self._key} is not a readable image (first at step {odd[0]})",
                where=self._columns.where,
                remedy="Re-export the episode or leave it out.",
            )


def columns_of(features: Features) -> list[str]:
    """Return the keys of the text features, in order of name."""
    return sorted(key for key, leaf in features.items() if leaf.role == "text" and not key.startswith("labels"))


def read_episodes(dataset: RldsDataset, spec: DatasetSpec, split: str | None = None) -> Iterator[Episode]:
    """Yield a dataset's episodes in order, one in memory at a time. Raises RecordError at a broken one.

    >>> for episode in read_episodes(open_dataset(path), load_spec("bridge"), "train"):  # doctest: +SKIP
    ...     frame = episode.cameras["primary"].decode(0)
    """
    reader = EpisodeReader(dataset.features, spec)
    for episode_id, record in dataset.records(split):
        yield reader.read(record, episode_id)


def _part(values: np.ndarray | list, column: Column, where: str) -> np.ndarray:
    if not isinstance(values, np.ndarray):
        raise RecordError(f"{column.key} is ragged or text, not one array", where=where)
    array = values.reshape(len(values), -1)
    stop = column.stop if column.stop is not None else array.shape[1]
    if stop > array.shape[1]:
        raise RecordError(
            f"{column.key} has {array.shape[1]} numbers per step, not {stop}",
            where=where,
            remedy="Correct the slice in the spec.",
        )
    return array[:, column.start or 0 : stop]


def _runs(texts: list[bytes], key: str) -> Iterator[Span]:
    start = 0
    for at in range(1, len(texts) + 1):
        if at == len(texts) or texts[at] != texts[start]:
            yield Span(start, at, texts[start].decode("utf-8", errors="replace"), key)
            start = at


def _plain(value: object) -> object:
    if isinstance(value, memoryview):
        return bytes(value).decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray):
        return value.item() if value.ndim == 0 else value
    if isinstance(value, list):
        return [_plain(item) for item in value] if len(value) != 1 else _plain(value[0])
    return value
