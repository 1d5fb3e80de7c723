"""Labels that an arm needs and `embodied-cf relabel` does not make: rows derived from what an episode holds.

A row of kind `counterfactual` supervises its first frame alone, with its own chunk. That is what `decision` and
`matched` rows are made of, though what they say was really done.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np

from embodied_cf.datasets.contract import Episode, Labels
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.files import exclusive
from embodied_cf.datasets.motion import future_chunks, track_of
from embodied_cf.datasets.randomness import generator
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.relabel.build import Setting, build_pipeline, survey
from embodied_cf.relabel.engine_local import Recipe, relabel_in_processes
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.output import Output
from embodied_cf.relabel.pipeline import Pipeline, Relabelled
from embodied_cf.relabel.provenance import Provenance
from embodied_cf.relabel.runner import header
from embodied_cf.relabel.shard_work import Desk, ShardJob, relabel_shards


def write_labels(options: RelabelOptions, recipe: Recipe) -> None:
    """Add the label set of a recipe to a dataset, or finish what was interrupted, as `relabel` does."""
    dataset, output = open_dataset(options.dataset), Output(options.out)
    shards = dataset.shards()
    setting = survey(dataset, load_spec(None, dataset.path), shards, options)
    pipeline = recipe(setting)
    with exclusive(output.path.with_name(f".{output.path.name}.lock")):
        output.claim(header(setting, options, shards, pipeline.provenance.stages), dataset.path)
        if not output.complete:
            jobs = [
                ShardJob(shard, dataset.file_format, output.path / shard.name, output.part(shard),
                         dataset.episode_id(shard, 0).removesuffix("00000"), sys.maxsize)
                for shard in shards if not output.done(shard)
            ]  # fmt: skip
            if options.workers > 1:
                relabel_in_processes(jobs, setting, options, recipe, _unheard)
            else:
                asyncio.run(relabel_shards(jobs, Desk(setting.reader, pipeline, options.label_set), _unheard))
            body = setting.body
            output.finish(dataset, shards, options.label_set, body.chunk_length, body.chunk_dimensions)
        output.tidy()


def _unheard(episodes: int, steps: int) -> None:
    del episodes, steps


@dataclass(frozen=True)
class Rows:
    """N rows of one kind before they are labels. Chunks as in `datasets.contract.Labels`."""

    kind: str
    start: Sequence[int]
    end: Sequence[int] | None
    """None for rows that end with their chunks."""
    instruction: Sequence[str]
    action: np.ndarray
    """(n, h, a)"""
    mask: np.ndarray
    """(n, h)"""
    told: Sequence[int] | None = None
    """Steps at which robots were told; None where each row begins."""

    def labels(self, source: str) -> Labels:
        """Return them as labels of one source."""
        count, start = len(self.instruction), np.array(self.start, np.int32)
        end = start + self.mask.sum(axis=1).astype(np.int32) if self.end is None else np.array(self.end, np.int32)
        return Labels(
            (self.kind,) * count, start, end, tuple(self.instruction), ("",) * count, self.action.astype(np.float32),
            self.mask.astype(bool), np.ones(count, np.float32), (source,) * count,
            start if self.told is None else np.array(self.told, np.int32),
        )  # fmt: skip


Derive = Callable[[Episode, Embodiment, np.random.Generator], Rows]


def _nothing(episode: Episode, body: Embodiment, rng: np.random.Generator) -> Rows:
    del episode, rng
    return Rows("hindsight", (), (), (), *no_chunks(body))


def no_chunks(body: Embodiment) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((0, body.chunk_length, body.chunk_dimensions)), np.zeros((0, body.chunk_length), bool)


@dataclass(frozen=True)
class Derived(Pipeline):
    """Makes labels from what an episode holds, by one function and no stages."""

    derive: Derive = _nothing

    async def relabel(self, episode: Episode) -> Relabelled:
        """Return the labels of one episode."""
        rows = self.derive(episode, self.body, generator(self.seed, episode.episode_id, "derived"))
        labels = rows.labels(self.provenance.of(rows.kind, "", "derived"))
        return Relabelled(labels, ("",) * len(episode), (), Counter(steps=len(episode)))


def derived(options: RelabelOptions, derive: Derive, identity: dict[str, object]) -> Recipe:
    """Return the recipe of a function; `identity` says which function it is, and with which settings."""
    return partial(_derived, options=options, derive=derive, identity=identity)


def _derived(setting: Setting, options: RelabelOptions, derive: Derive, identity: dict[str, object]) -> Derived:
    base = build_pipeline(setting, replace(options, captioner="motion", synthesizer="primitive"))
    parts = {item.name: getattr(base, item.name) for item in fields(Pipeline)}
    return Derived(**{**parts, "provenance": Provenance(identity)}, derive=derive)


def decision_rows(episode: Episode, body: Embodiment, rng: np.random.Generator) -> Rows:
    """Return what hindsight says of frames at which a decision is made: the first, and where a row begins."""
    del rng
    labels = episode.labels["labels"]
    begins = np.unique([0, *labels.start[[kind != "counterfactual" for kind in labels.kind]].tolist()])
    told = [row for row, kind in enumerate(labels.kind) if kind == "hindsight"]
    pairs = [(step, row) for step in begins.tolist() for row in told if labels.start[row] <= step <= labels.end[row]]
    return _really_done(episode, body, labels, pairs)


def matched_rows(episode: Episode, body: Embodiment, rng: np.random.Generator) -> Rows:
    """Return for each counterfactual row what was really done at its frame, under words that hindsight has for it.

    Where several hold one is drawn; where no hindsight does, the words of the atomic command; else there is no row.
    """
    labels = episode.labels["labels"]
    stands = np.array([kind == "hindsight" for kind in labels.kind], bool)  # where it ends, too
    pairs = []
    for step in labels.start[[kind == "counterfactual" for kind in labels.kind]].tolist():
        holds = np.flatnonzero((labels.start <= step) & (step < labels.end + stands)).tolist()
        options = [[row for row in holds if labels.kind[row] == kind] for kind in ("hindsight", "atomic")]
        rows = options[0] or options[1]
        if rows:
            pairs.append((step, rows[int(rng.integers(len(rows)))]))
    return _really_done(episode, body, labels, pairs)


def _really_done(episode: Episode, body: Embodiment, labels: Labels, pairs: list[tuple[int, int]]) -> Rows:
    """Return a row with its own chunk for each (step, row of the labels), told when that one was; after what hindsight
    says, robots stand.
    """
    pairs = [(step, row) for step, row in pairs if step < len(episode) - 1]
    step, row = np.array(pairs, np.int64).reshape(-1, 2).T
    end = np.minimum(labels.end[row].astype(np.int64), len(episode) - 1)
    chunk, mask = future_chunks(track_of(episode, body), body, step, end)
    mask |= np.array([labels.kind[one] == "hindsight" for one in row.tolist()], bool)[:, None]
    words = [labels.instruction[one] for one in row.tolist()]
    return Rows("counterfactual", step.tolist(), None, words, chunk, mask, labels.told[row].tolist())


def told_rows(episode: Episode, body: Embodiment, rng: np.random.Generator) -> Rows:
    """Return the dataset's own texts, and nothing else, as hindsight."""
    del rng
    last = len(episode) - 1
    spans = [(span.start, min(span.end, last), span.text) for span in episode.language if span.text]
    spans = [span for span in spans if span[0] < span[1]]
    start, end = (np.array([span[part] for span in spans], np.int64) for part in (0, 1))
    chunk, mask = future_chunks(track_of(episode, body), body, start, end)
    return Rows("hindsight", start.tolist(), end.tolist(), [span[2] for span in spans], chunk, mask)
