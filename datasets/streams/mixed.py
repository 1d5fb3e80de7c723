"""The sources of a mixture opened together, with the shares of their pools."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32, Int64

from embodied_cf.datasets.contract import KINDS
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.spec import CameraModel
from embodied_cf.datasets.streams.build import Frames
from embodied_cf.datasets.streams.cache import Cache, Progress, open_cache
from embodied_cf.datasets.streams.pools import Pools, kinds_drawn, make_pools
from embodied_cf.datasets.streams.sources import OpenSource, Source, open_source
from embodied_cf.datasets.streams.table import Table, held_out, make_table
from embodied_cf.errors import DatasetError, SpecError


@dataclass(frozen=True)
class Mixed:
    """What a stream draws from."""

    body: Embodiment
    camera: CameraModel | None
    """The camera model, if all sources share one."""
    tables: tuple[Table, ...]
    pools: Pools
    shares: tuple[tuple[float, ...], ...]
    """Of each source's pools."""
    first_observation: Int64[np.ndarray, " sources"]
    """Number of the observation at frame 0; equal for sources that are the same dataset."""
    texts: tuple[str, ...]
    said: tuple[str, ...]
    """Those texts that a label says which can be drawn."""
    observations: int
    fingerprint: str
    left_out: tuple[str, ...]


def mix(
    sources: tuple[Source, ...],
    frames: Frames,
    kinds: Mapping[str, float] | None,
    holdout: float,
    part: str,
    directory: Path | None,
    progress: Progress,
) -> Mixed:
    """Open all sources. Raises the named errors of whatever does not fit."""
    opened = [open_source(source) for source in sources]
    _check_bodies(opened)
    caches = _caches(opened, frames, directory, progress)
    tables = [
        make_table(one.source, one.body, cache, _part(one, cache, holdout, part))
        for one, cache in zip(opened, caches, strict=True)
    ]
    drawn = kinds_drawn(sources, tables, kinds)
    texts, numbering = _number_texts(caches)
    pools = make_pools(tables, numbering, drawn)
    first = _first_observations(caches)
    return Mixed(
        body=opened[0].body,
        camera=_common_camera(opened),
        tables=tuple(tables),
        pools=pools,
        shares=_shares(sources, drawn, pools, kinds),
        first_observation=first,
        texts=texts,
        said=tuple(texts[i] for i in np.unique(pools.instruction).tolist()),
        observations=len(np.unique(np.repeat(first[pools.source], pools.sizes) + pools.frame)),
        fingerprint=_fingerprint(opened, holdout),
        left_out=tuple(dict.fromkeys(text for cache in caches for text in cache.left_out)),
    )


def _check_bodies(opened: Sequence[OpenSource]) -> None:
    for one in opened[1:]:
        if one.body != opened[0].body:
            raise SpecError(
                f"embodiment {opened[0].body.name!r} and {one.body.name!r} do not go together",
                where=f"{opened[0].dataset.path} and {one.dataset.path}",
                remedy="Mix datasets whose action chunks mean the same, and train one policy per embodiment.",
            )


def _caches(opened: Sequence[OpenSource], frames: Frames, directory: Path | None, progress: Progress) -> list[Cache]:
    """Open each dataset's cache, once for sources that are the same dataset."""
    made: dict[str, Cache] = {}
    for one in opened:
        if one.fingerprint not in made:
            made[one.fingerprint] = open_cache(one, frames, directory, progress)
    return [made[one.fingerprint] for one in opened]


def _part(one: OpenSource, cache: Cache, holdout: float, part: str) -> Bool[np.ndarray, " e"]:
    """Return the episodes of a source that the stream is of."""
    split = one.source.split
    chosen = np.array([split in (None, name.split("/")[-3]) for name in cache.episodes])
    held = np.zeros(len(chosen), bool)
    held[chosen] = held_out(tuple(np.array(cache.episodes)[chosen].tolist()), holdout)
    if part == "train":
        return chosen & ~held
    if not held.any():
        raise DatasetError(
            f"nothing is held out of {chosen.sum()} labelled episodes at holdout {holdout}",
            where=one.dataset.path,
            remedy="Hold out a share of at least two episodes, or train without: --set data.holdout=0.",
        )
    return held


def _common_camera(opened: Sequence[OpenSource]) -> CameraModel | None:
    models = [one.spec.camera_model for one in opened]
    return models[0] if all(model == models[0] for model in models) else None


def _number_texts(caches: Sequence[Cache]) -> tuple[tuple[str, ...], list[Int32[np.ndarray, "_"]]]:
    numbers: dict[str, int] = {}
    numbering = [
        np.array([numbers.setdefault(text, len(numbers)) for text in cache.texts], np.int32) for cache in caches
    ]
    return tuple(numbers), numbering


def _first_observations(caches: Sequence[Cache]) -> Int64[np.ndarray, " sources"]:
    starts: dict[int, int] = {}
    total = 0
    for cache in caches:
        if id(cache) not in starts:
            starts[id(cache)] = total
            total += len(cache.frames)
    return np.array([starts[id(cache)] for cache in caches], np.int64)


def _shares(
    sources: Sequence[Source], drawn: Sequence[Sequence[int]], pools: Pools, kinds: Mapping[str, float] | None
) -> tuple[tuple[float, ...], ...]:
    """Return each pool's share: the source's weight, divided among its kinds."""
    sizes, shares = iter(pools.sizes), []
    for source, found in zip(sources, drawn, strict=True):
        weights = [float(size) if kinds is None else kinds[KINDS[kind]] for kind, size in zip(found, sizes)]  # noqa: B905
        shares.append(tuple(source.weight * weight / sum(weights) for weight in weights))
    return tuple(shares)


def _fingerprint(opened: Sequence[OpenSource], holdout: float) -> str:
    taken = [
        (one.fingerprint, one.source.kinds, one.source.label_sets, one.source.min_score, one.source.split, holdout)
        + ("stop_at_end",) * one.source.stop_at_end
        for one in opened
    ]
    return hashlib.sha256(repr(taken).encode()).hexdigest()[:16]
