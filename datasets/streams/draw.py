"""From a schedule's slots to labels of observations, and from those to a batch."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from jaxtyping import Float16, Float32, Int32, Int64, UInt8

from embodied_cf.datasets.batch import Batch
from embodied_cf.datasets.motion import odometry
from embodied_cf.datasets.streams.mixed import Mixed
from embodied_cf.datasets.streams.pools import Pools
from embodied_cf.datasets.streams.schedule import Slots


@dataclass(frozen=True)
class Drawn:
    """Which label of which observation, for B samples."""

    source: Int64[np.ndarray, " b"]
    frame: Int64[np.ndarray, " b"]
    row: Int32[np.ndarray, " b"]
    kind: UInt8[np.ndarray, " b"]
    instruction: Int32[np.ndarray, " b"]

    def take(self, part: slice) -> "Drawn":
        """Return some of the samples."""
        return Drawn(*(getattr(self, field.name)[part] for field in fields(self)))


def draw(pools: Pools, slots: Slots, together: int) -> Drawn:
    """Choose a label for each slot.

    A slot has a pool and an observation of its own, but slots that stand together look for a label of their pool at
    the observation of the first of them, one that says what none of the others says; only where there is none they
    keep to their own observation.
    """
    pool = slots.pool.astype(np.int64)
    entry = pools.first[pool] + slots.entry
    label = _chosen(pools, entry, slots.chance)
    groups = (-1, together)
    for place in range(1, together):  # the reshaped entries and labels are views, written to in place
        _share(pools, pool.reshape(groups), entry.reshape(groups), label.reshape(groups),
               slots.chance.reshape(groups), place)  # fmt: skip
    return Drawn(pools.source[pool], pools.frame[entry], pools.row[label], pools.kind[pool], pools.instruction[label])


def _chosen(pools: Pools, entry: Int64[np.ndarray, " b"], chance: Float32[np.ndarray, " b"]) -> Int64[np.ndarray, " b"]:
    low = pools.offset[entry]
    return low + (chance * (pools.offset[entry + 1] - low)).astype(np.int64)


def _share(
    pools: Pools,
    pool: Int64[np.ndarray, "g m"],
    entry: Int64[np.ndarray, "g m"],
    label: Int64[np.ndarray, "g m"],
    chance: Float32[np.ndarray, "g m"],
    place: int,
) -> None:
    """Move the slots at `place` of each group to the observation of the first, where it has something new to say."""
    shown = pools.frame[entry[:, 0]]
    at, open_ = pools.find(pool[:, place], shown)
    low, count = pools.offset[at], pools.offset[at + 1] - pools.offset[at]
    first = (chance[:, place] * count).astype(np.int64)
    said = np.where(pools.frame[entry[:, :place]] == shown[:, None], pools.instruction[label[:, :place]], -1)
    for attempt in range(int(count[open_].max(initial=0))):
        candidate = low + (first + attempt) % count
        new = (pools.instruction[candidate][:, None] != said).all(axis=1)
        chosen = open_ & (attempt < count) & new
        label[chosen, place], entry[chosen, place] = candidate[chosen], at[chosen]
        open_ = open_ & ~chosen


@dataclass(frozen=True)
class Gatherer:
    """Fetches what was drawn from the caches."""

    mixed: Mixed
    history: int
    stride: int = 1

    @cached_property
    def _texts(self) -> np.ndarray:
        return np.array(self.mixed.texts, object)

    def batch(self, drawn: Drawn) -> Batch:
        """Return the batch."""
        shape = (len(drawn.row), self.mixed.body.chunk_length, self.mixed.body.chunk_dimensions)
        action, mask, score = np.zeros(shape, np.float32), np.zeros(shape[:2], bool), np.zeros(shape[0], np.float32)
        past = np.zeros((shape[0], self.history + 2, 3), np.float32)
        for source, own in self._by_source(drawn):
            table, frame = self.mixed.tables[source], drawn.frame[own]
            action[own], mask[own] = table.chunks(drawn.row[own], frame)
            score[own] = table.score[drawn.row[own]]
            if table.body.kind == "nav":
                told = table.told[drawn.row[own]][:, None]
                past[own] = odometry(table.cache.track[np.concatenate([told, self._steps(told, frame)], axis=1)])
        return Batch(
            image=self._images(drawn),
            instruction=tuple(self._texts[drawn.instruction].tolist()),
            action=action,
            mask=mask,
            kind=drawn.kind,
            score=score,
            odometry=past,
            observation=self.mixed.first_observation[drawn.source] + drawn.frame,
        )

    def _by_source(self, drawn: Drawn) -> list[tuple[int, np.ndarray | slice]]:
        if len(self.mixed.tables) == 1:
            return [(0, slice(None))]
        return [(source, np.flatnonzero(drawn.source == source)) for source in np.unique(drawn.source).tolist()]

    def _images(self, drawn: Drawn) -> UInt8[np.ndarray, "b t h w 3"] | Float16[np.ndarray, "b t m"]:
        frames = self.mixed.tables[0].cache.frames
        image = np.empty((len(drawn.row), self.history + 1, *frames.shape[1:]), frames.dtype)
        for source, own in self._by_source(drawn):
            cache, told = self.mixed.tables[source].cache, self.mixed.tables[source].told[drawn.row[own]]
            steps = self._steps(told[:, None], drawn.frame[own])
            if isinstance(own, slice):
                np.take(cache.frames, steps, axis=0, out=image, mode="clip")  # "raise" would copy twice
            else:
                image[own] = cache.frames[steps]
        return image

    def _steps(self, told: Int64[np.ndarray, "b 1"], frame: Int64[np.ndarray, " b"]) -> Int64[np.ndarray, "b t"]:
        return np.maximum(frame[:, None] - self.stride * np.arange(self.history, -1, -1), told)
