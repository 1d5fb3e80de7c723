"""All tables of a mixture as one: whom to ask for an observation's labels of a kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8

from embodied_cf.datasets.contract import KINDS
from embodied_cf.datasets.streams.sources import Source
from embodied_cf.datasets.streams.table import Table
from embodied_cf.errors import UsageError


@dataclass(frozen=True)
class Pools:
    """The pools of all sources, one per (source, kind), end to end: M observations and P labels in all.

    `key` is rising, so that an observation is found in another pool by search.
    """

    source: Int64[np.ndarray, " pools"]
    kind: UInt8[np.ndarray, " pools"]
    first: Int64[np.ndarray, " firsts"]
    """Where each pool's observations begin."""
    frame: Int64[np.ndarray, " m"]
    key: Int64[np.ndarray, " m"]
    """pool * `stride` + frame."""
    stride: int
    offset: Int64[np.ndarray, " bounds"]
    row: Int32[np.ndarray, " p"]
    """Labels by observation: rows of the source's table."""
    instruction: Int32[np.ndarray, " p"]
    """What each of them says, numbered over all sources."""

    def find(
        self, pool: Int64[np.ndarray, " b"], frame: Int64[np.ndarray, " b"]
    ) -> tuple[Int64[np.ndarray, " b"], Bool[np.ndarray, " b"]]:
        """Return where frames stand in pools, and whether they do."""
        key = pool * self.stride + frame
        at = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return at, self.key[at] == key

    @property
    def sizes(self) -> tuple[int, ...]:
        """Observations per pool."""
        return tuple(np.diff(self.first).tolist())


def make_pools(
    tables: Sequence[Table], numbering: Sequence[Int32[np.ndarray, "_"]], kinds: Sequence[Sequence[int]]
) -> Pools:
    """Join the pools of each table's `kinds`; `numbering` takes a table's own texts to those of all."""
    named = [(source, kind) for source, found in enumerate(kinds) for kind in found]
    pools = [tables[source].pool(kind) for source, kind in named]
    frame = np.concatenate([pool.frame for pool in pools])
    stride = max(len(table.cache.frames) for table in tables)
    sizes = np.array([len(pool.frame) for pool in pools])
    labels = np.cumsum([0, *(len(pool.row) for pool in pools)])
    said = [
        numbering[source][tables[source].instruction[pool.row]] for (source, _), pool in zip(named, pools, strict=True)
    ]
    return Pools(
        source=np.array([source for source, _ in named], np.int64),
        kind=np.array([kind for _, kind in named], np.uint8),
        first=np.cumsum([0, *sizes]).astype(np.int64),
        frame=frame,
        key=np.repeat(np.arange(len(pools)), sizes) * stride + frame,
        stride=stride,
        offset=np.concatenate(
            [*(pool.offset[:-1] + at for pool, at in zip(pools, labels.tolist(), strict=False)), labels[-1:]]
        ),
        row=np.concatenate([pool.row for pool in pools]),
        instruction=np.concatenate(said),
    )


def kinds_drawn(
    sources: Sequence[Source], tables: Sequence[Table], weights: Mapping[str, float] | None
) -> list[list[int]]:
    """Return for each source the kinds that are drawn from it.

    Raises UsageError for a kind that no source has, and for a source that has none of those wanted.
    """
    present = [set(np.unique(table.kind).tolist()) for table in tables]
    wanted = [KINDS.index(kind) for kind in KINDS if weights is None or weights.get(kind, 0) > 0]
    for kind in [*(weights or {}), *(kind for source in sources for kind in source.kinds or ())]:
        if not any(KINDS.index(kind) in found for found in present):
            raise UsageError(
                f"no label of kind {kind!r}",
                where=", ".join(str(source.directory) for source in sources),
                remedy=_remedy(set().union(*present)),
            )
    for source, found in zip(sources, present, strict=True):
        if not found & set(wanted):
            raise UsageError(
                f"no label of the kinds asked for has a score of {source.min_score} or more",
                where=source.directory,
                remedy=_remedy(found) if found else "Lower the minimal score, or name other kinds or label sets.",
            )
    return [[kind for kind in wanted if kind in found] for found in present]


def _remedy(found: set[int]) -> str:
    names = ", ".join(KINDS[kind] for kind in sorted(found)) or "none"
    return f"Kinds that pass the filters: {names}; `embodied-cf labels list` counts what there is."
