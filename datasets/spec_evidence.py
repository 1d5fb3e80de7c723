"""What a guess of a spec rests on: the first episodes, read as far as they can be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.episode_view import EpisodeView, is_action, view_episode
from embodied_cf.datasets.features import STEPS
from embodied_cf.datasets.rlds import RldsDataset
from embodied_cf.datasets.shards import Record, read_shard
from embodied_cf.errors import DatasetError, RecordError

_EPISODES = 64
"""Episodes that the guess rests on."""


@dataclass(frozen=True)
class Evidence:
    """What the guess is made from: the first episodes, read as far as they can be."""

    dataset: RldsDataset
    episodes: Sequence[EpisodeView]

    def runs(self, key: str) -> list[Float[np.ndarray, "t d"]]:
        """Return a numeric feature of each episode that holds it, (T, D)."""
        found = [view.numbers[key] for view in self.episodes if key in view.numbers]
        return [np.nan_to_num(values.reshape(len(values), -1).astype(np.float64)) for values in found]

    def values(self, key: str) -> Float[np.ndarray, "n d"]:
        """Return a numeric feature of all episodes, steps joined."""
        return np.concatenate(self.runs(key))

    def widths(self) -> dict[str, int]:
        """Return the numeric per-step features that are neither flags nor rewards, with their dimensions."""
        keys = {key for view in self.episodes for key, values in view.numbers.items() if values.dtype.kind == "f"}
        rest = sorted(key for key in keys if key not in (f"{STEPS}/reward", f"{STEPS}/discount"))
        return {key: self.values(key).shape[1] for key in rest}


def first_episodes(dataset: RldsDataset) -> list[EpisodeView]:
    """Return the episodes to look at. Raises DatasetError if none can be read."""
    views: list[EpisodeView] = []
    for columns in _readable(dataset):
        view = view_episode(columns, dataset.features)
        if view.steps:
            views.append(view)
        if len(views) == _EPISODES:
            break
    if not views:
        raise DatasetError("no readable episode to guess a spec from", where=dataset.path)
    return views


def _readable(dataset: RldsDataset) -> Iterator[Columns]:
    for shard in dataset.shards():
        for record in read_shard(shard.path, dataset.file_format):
            if isinstance(record, Record):
                try:
                    yield Columns(record.data, dataset.features, dataset.episode_id(shard, record.index))
                except RecordError:
                    continue


def observed_features(evidence: Evidence) -> dict[str, int]:
    """Return the numeric features that are neither action nor embedding, with their dimensions."""
    return {key: width for key, width in evidence.widths().items() if not is_action(key) and "embedding" not in key}


def relative(key: str) -> str:
    """Return a per-step feature's key as a spec writes it."""
    return key.removeprefix(f"{STEPS}/")
