"""Statistics as LeRobot keeps them: of each episode, and of the whole set from those of its episodes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

Stats = dict[str, Any]
"""min, max, mean, std, count and quantiles, as nested lists."""
_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
FRAMES = 16
"""Frames of an episode that picture statistics rest on."""


def number_stats(values: np.ndarray) -> Stats:
    """Return the statistics of (T, ...) numbers over time; rows with NaN or infinity are left out."""
    rows = values.reshape(len(values), -1).astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    shape = values.shape[1:] or (1,)
    return _stats(rows if len(rows) else np.zeros((1, rows.shape[1])), shape, len(rows))


def picture_stats(images: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Stats:
    """Return the statistics of each channel, in [0, 1], shape (3, 1, 1)."""
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(np.float64) / 255
    return _stats(pixels, (3, 1, 1), len(images))


def sampled(steps: int) -> list[int]:
    """Return the steps whose frames are looked at."""
    return np.unique(np.linspace(0, steps - 1, FRAMES).astype(int)).tolist()


def _stats(rows: Float[np.ndarray, "n d"], shape: Sequence[int], count: int) -> Stats:
    found = {"min": rows.min(axis=0), "max": rows.max(axis=0), "mean": rows.mean(axis=0), "std": rows.std(axis=0)}
    found |= dict(zip(_QUANTILES, np.quantile(rows, list(_QUANTILES.values()), axis=0), strict=True))
    return {**{key: value.reshape(shape).tolist() for key, value in found.items()}, "count": [count]}


def joined(parts: Sequence[Stats]) -> Stats:
    """Return the statistics of a whole from those of its episodes.

    Minimum, maximum, mean and spread are exact; quantiles are the episodes' quantiles averaged by length, as
    LeRobot joins them.
    """
    # an episode without a finite row stands there with zeros, which are nobody's minimum
    parts = [part for part in parts if part["count"][0]] or parts
    count = np.array([part["count"][0] for part in parts], np.float64)
    weight = count / count.sum() if count.sum() else np.full(len(count), 1 / len(count))

    def averaged(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.tensordot(weight, np.stack(values), axes=1)

    column = {key: [np.array(part[key], np.float64) for part in parts] for key in parts[0] if key != "count"}
    mean = averaged(column["mean"])
    variance = averaged([std**2 + (own - mean) ** 2 for std, own in zip(column["std"], column["mean"], strict=True)])
    whole = {"min": np.min(column["min"], axis=0), "max": np.max(column["max"], axis=0), "mean": mean}
    whole |= {"std": np.sqrt(variance), **{key: averaged(column[key]) for key in _QUANTILES}}
    return {**{key: value.tolist() for key, value in whole.items()}, "count": [int(count.sum())]}
