"""Batches from a mixture of sources: deterministic, resumable, sharded, and instructions varied per observation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32

from embodied_cf.datasets.batch import Batch
from embodied_cf.datasets.contract import KINDS
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.randomness import generator
from embodied_cf.datasets.streams.augment import Augmentation, View
from embodied_cf.datasets.streams.build import Frames
from embodied_cf.datasets.streams.cache import Progress, silent
from embodied_cf.datasets.streams.draw import Drawn, Gatherer, draw
from embodied_cf.datasets.streams.mixed import Mixed, mix
from embodied_cf.datasets.streams.reader import FrameReader
from embodied_cf.datasets.streams.schedule import Schedule
from embodied_cf.datasets.streams.sources import Source
from embodied_cf.errors import UsageError

_CHUNKS = 4096


@dataclass(frozen=True)
class Stream:
    """Batches drawn from relabelled datasets.

    A sample is drawn in three steps: a source by weight, a kind of label by weight, an observation that has such a
    label (each once before any comes again), and one of its labels at random. Labels thus compete within their
    observation: one with twelve counterfactuals is seen as often as one with a single one. To weigh label sets, name
    a dataset once per set.

    Opening a stream raises the named errors of what does not fit, and builds caches that are not there yet.
    """

    sources: tuple[Source, ...]
    size: tuple[int, int]
    """Height and width of the frames."""
    batch_size: int
    """Samples per step, over all ranks."""
    seed: int = 0
    history: int = 0
    """Frames before the present one, none from before the robot was told."""
    stride: int = 1
    """Steps between frames of the history."""
    kinds: Mapping[str, float] | None = None
    """Share of each kind; None for as much as there are observations with labels of that kind."""
    per_observation: int = 1
    """How many samples of a batch show the same observation with different instructions. Where it has too few, other
    observations fill the batch; the shares of the kinds stay what they are."""
    augment: tuple[Augmentation, ...] = ()
    holdout: float = 0.05
    """Share of the episodes kept for validation, chosen by their ids alone."""
    part: Literal["train", "heldout"] = "train"
    cache: Path | None = None
    """Where decoded frames lie; None for beside the dataset, or the personal cache where that is read-only."""
    reader: FrameReader | None = None
    """A frozen network that reads frames beforehand: batches hold what it says instead of pixels."""
    progress: Progress = silent

    def __post_init__(self) -> None:
        unknown = set(self.kinds or ()) - set(KINDS)
        wrong = {
            "no source is named": not self.sources,
            f"unknown kinds {', '.join(sorted(unknown))} (known: {', '.join(KINDS)})": bool(unknown),
            "kinds need weights of 0 or more, and one above": self.kinds is not None
            and (min(self.kinds.values(), default=-1) < 0 or not sum(self.kinds.values()) > 0),
            f"batch_size {self.batch_size} is not a multiple of per_observation {self.per_observation}, both 1 or more":
            min(self.batch_size, self.per_observation) < 1 or self.batch_size % self.per_observation > 0,
            f"history {self.history} is negative": self.history < 0,
            f"stride {self.stride} is not 1 or more": self.stride < 1,
            f"holdout {self.holdout} is not in [0, 1)": not 0 <= self.holdout < 1,
        }  # fmt: skip
        problems = [problem for problem, holds in wrong.items() if holds]
        if problems:
            raise UsageError("; ".join(problems), where="stream")
        view = self.view  # opens the sources
        for augmentation in self.augment:
            augmentation.check(view)

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind: a worker process opens the cache again, which takes milliseconds."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def _mixed(self) -> Mixed:
        return mix(
            self.sources, Frames(self.size, self.reader), self.kinds, self.holdout, self.part, self.cache, self.progress
        )

    @property
    def embodiment(self) -> Embodiment:
        """The body that all sources share."""
        return self._mixed.body

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """(K, A) of `Batch.action`."""
        return self.embodiment.chunk_length, self.embodiment.chunk_dimensions

    @property
    def view(self) -> View:
        """What augmentations may rely on."""
        return View(self.embodiment, self._mixed.camera, self.reader)

    @cached_property
    def instructions(self) -> tuple[str, ...]:
        """Every distinct text that a batch can hold, sorted."""
        texts = set(self._mixed.said)
        for augmentation in self.augment:
            texts |= {said for text in texts for said in augmentation.texts(text)}
        return tuple(sorted(texts))

    @property
    def fingerprint(self) -> str:
        """Of the datasets and of what is taken from them, not of size, seed, weights or augmentation."""
        return self._mixed.fingerprint

    @property
    def left_out(self) -> tuple[str, ...]:
        """What could not be read, one text per record."""
        return self._mixed.left_out

    @property
    def observations(self) -> int:
        """How many distinct observations there are."""
        return self._mixed.observations

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which as many samples are drawn as there are observations, at least one."""
        return max(1, self.observations // self.batch_size)

    def heldout(self) -> "Stream":
        """Return the stream of the episodes kept for validation, not augmented. Raises DatasetError if none are."""
        return replace(self, part="heldout", augment=())

    def batches(self, epoch: int, start_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Return the batches of an epoch from `start_step` on, or one rank's share of each.

        Every rank gets `batch_size / world` samples per step; which samples a step holds depends on neither.
        Arrays are numpy: `torch.from_numpy` and `jax.numpy.asarray` take them as they are.
        """
        if not 0 <= rank < world or self.batch_size % (world * self.per_observation):
            raise UsageError(
                f"rank {rank} of {world} cannot have an equal share of batches of {self.batch_size}",
                where="stream",
                remedy=f"Make batch_size a multiple of {world * self.per_observation}.",
            )
        share = self.batch_size // world
        steps = range(start_step, self.steps_per_epoch)
        return (self._batch(epoch, step, slice(rank * share, (rank + 1) * share)) for step in steps)

    def chunks(self) -> Iterator[tuple[Float32[np.ndarray, "b k a"], Bool[np.ndarray, "b k"]]]:
        """Yield every chunk that can be drawn, with its mask, once: what statistics are computed from."""
        pools = self._mixed.pools
        for pool, (first, last) in enumerate(zip(pools.first[:-1].tolist(), pools.first[1:].tolist(), strict=True)):
            table = self._mixed.tables[int(pools.source[pool])]
            labels = np.diff(pools.offset[first : last + 1])
            frame = np.repeat(pools.frame[first:last], labels)
            row = pools.row[pools.offset[first] : pools.offset[last]]
            for at in range(0, len(row), _CHUNKS):
                yield table.chunks(row[at : at + _CHUNKS], frame[at : at + _CHUNKS])

    @cached_property
    def _schedule(self) -> Schedule:
        return Schedule(
            self.steps_per_epoch,
            self.batch_size,
            self.per_observation,
            self.seed,
            self._mixed.shares,
            self._mixed.pools.sizes,
        )

    @cached_property
    def _gatherer(self) -> Gatherer:
        return Gatherer(self._mixed, self.history, self.stride)

    def _drawn(self, epoch: int, step: int) -> Drawn:
        return draw(self._mixed.pools, self._schedule.slots(epoch).at(step), self.per_observation)

    def _batch(self, epoch: int, step: int, part: slice) -> Batch:
        batch = self._gatherer.batch(self._drawn(epoch, step).take(part))
        for place, augmentation in enumerate(self.augment):
            purpose = ("augment", str(place), str(epoch), str(step), str(part.start))
            batch = augmentation(batch, generator(self.seed, *purpose), self.view)
        return batch
