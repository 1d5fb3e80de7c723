"""The labels of one source as a table, and which observations each of them supervises."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt8

from embodied_cf.datasets.contract import KINDS
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.motion import future_chunks
from embodied_cf.datasets.randomness import number
from embodied_cf.datasets.streams.cache import Cache
from embodied_cf.datasets.streams.sources import Source

COUNTERFACTUAL, HINDSIGHT = KINDS.index("counterfactual"), KINDS.index("hindsight")


@dataclass(frozen=True)
class Pool:
    """Which labels each observation has. Those of observation i are `row[offset[i] : offset[i + 1]]`."""

    frame: Int64[np.ndarray, " m"]
    """Frames of the cache, rising."""
    offset: Int64[np.ndarray, " bounds"]
    row: Int32[np.ndarray, " p"]


@dataclass(frozen=True)
class Table:
    """The N labels of a source that pass its filters; steps are frames of its cache."""

    body: Embodiment
    cache: Cache
    start: Int64[np.ndarray, " n"]
    end: Int64[np.ndarray, " n"]
    told: Int64[np.ndarray, " n"]
    instruction: Int32[np.ndarray, " n"]
    """Index into `cache.texts`."""
    kind: UInt8[np.ndarray, " n"]
    score: Float32[np.ndarray, " n"]
    label_set: UInt8[np.ndarray, " n"]
    """Index into `sets`."""
    origin: Int32[np.ndarray, " n"]
    """Row in that label set."""
    sets: tuple[str, ...]
    stops: bool = False
    """Whether robots stand where hindsight rows end."""

    def __len__(self) -> int:
        return len(self.kind)

    def pool(self, kind: int) -> Pool:
        """Return the observations that labels of a kind supervise.

        Hindsight and atomic rows hold at every step of [start, end), hindsight rows also at `end` if robots stop there,
        counterfactual rows at `start` only.
        """
        rows = np.flatnonzero(self.kind == kind).astype(np.int32)
        if kind == COUNTERFACTUAL:
            row, frame = rows, self.start[rows]
        else:
            length = self.end[rows] - self.start[rows] + self._stop_at(rows)
            row = np.repeat(rows, length)
            past = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
            frame = self.start[row] + past
        order = np.argsort(frame, kind="stable")
        distinct, offset = np.unique(frame[order], return_index=True)
        return Pool(distinct, np.append(offset, len(row)).astype(np.int64), row[order])

    def chunks(
        self, row: Int32[np.ndarray, " b"], frame: Int64[np.ndarray, " b"]
    ) -> tuple[Float32[np.ndarray, "b k a"], Bool[np.ndarray, "b k"]]:
        """Return what labels demand at frames: the real future there, or a counterfactual's own chunk."""
        shape = (len(row), self.body.chunk_length, self.body.chunk_dimensions)
        action, mask = np.zeros(shape, np.float32), np.zeros(shape[:2], bool)
        factual = self.kind[row] != COUNTERFACTUAL
        at, end = frame[factual], self.end[row[factual]]
        action[factual], done = future_chunks(self.cache.track, self.body, at, end)
        mask[factual] = done | self._stop_at(row[factual])[:, None]  # chunks stand where they are masked
        for index, name in enumerate(self.sets):
            own = ~factual & (self.label_set[row] == index)
            labels, origin = self.cache.labels[name], self.origin[row[own]]
            action[own], mask[own] = labels.action[origin], labels.mask[origin]
        return action, mask

    def _stop_at(self, row: Int32[np.ndarray, " b"]) -> Bool[np.ndarray, " b"]:
        """Return for which labels robots stand where they end."""
        return (self.kind[row] == HINDSIGHT) & self.stops


def make_table(source: Source, body: Embodiment, cache: Cache, episodes: Bool[np.ndarray, " e"]) -> Table:
    """Return the labels of the chosen episodes that pass the source's filters."""
    parts = [_kept(source, cache, name, index, episodes) for index, name in enumerate(source.label_sets)]
    joined = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
    return Table(body, cache, sets=source.label_sets, stops=source.stop_at_end, **joined)


def _kept(source: Source, cache: Cache, name: str, index: int, episodes: np.ndarray) -> dict[str, np.ndarray]:
    labels = cache.labels[name]
    kinds = [KINDS.index(kind) for kind in source.kinds or KINDS]
    holds = (labels.kind == COUNTERFACTUAL) | (labels.end > labels.start)  # somewhere before the last step
    keep = episodes[labels.episode] & (labels.score >= source.min_score) & np.isin(labels.kind, kinds)
    rows = np.flatnonzero(keep & holds)
    first = cache.first[labels.episode[rows]]
    return {
        "start": first + labels.start[rows],
        "end": first + labels.end[rows],
        "told": first + labels.told[rows],
        "instruction": labels.instruction[rows],
        "kind": labels.kind[rows],
        "score": labels.score[rows],
        "label_set": np.full(len(rows), index, np.uint8),
        "origin": rows.astype(np.int32),
    }


def held_out(episodes: tuple[str, ...], share: float) -> Bool[np.ndarray, " e"]:
    """Return which episodes are kept for validation: a function of their ids, not of seed or order.

    Above a share of 0 at least one is, unless there is only one; below 1 at least one is not.
    """
    place = np.array([number(0, "holdout", name) / 2**128 for name in episodes])
    held = place < share
    if share > 0 and len(episodes) > 1:
        held[np.argmin(place)] = True
    if held.all() and share < 1:
        held[np.argmax(place)] = False
    return held
