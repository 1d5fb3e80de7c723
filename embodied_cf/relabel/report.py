"""The report of a relabel run: `OUT/labels/report.json` for machines, `report.html` for people.

The page is one file without any reference to the network. It looks at a seeded sample of episodes of the
labelled dataset, never at all of them, so its cost does not grow with the dataset. A reader marks labels there
and saves `decisions.jsonl`, one JSON object per marked label, which `embodied-cf labels filter --decisions`
applies:

    {"episode": "bridge_dataset/1.0.0/train/00000/00007", "label_set": "labels", "kind": "counterfactual",
     "start": 3, "end": 11, "instruction": "move left", "command": "move_left", "decision": "reject"}

`decision` is `accept` or `reject`; `episode` counts records of the *labelled* dataset.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from embodied_cf import __version__
from embodied_cf.datasets.contract import KINDS, SCHEMA_VERSION, Episode
from embodied_cf.datasets.episodes import EpisodeReader
from embodied_cf.datasets.files import write_json, write_text
from embodied_cf.datasets.randomness import generator
from embodied_cf.datasets.rlds import RldsDataset, Shard, open_dataset
from embodied_cf.datasets.shards import read_at
from embodied_cf.datasets.spec import DatasetSpec
from embodied_cf.errors import RecordError
from embodied_cf.relabel.balance import LanguageBalance, Observation, language_balance, observe
from embodied_cf.relabel.build import Setting
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.output import Output
from embodied_cf.relabel.pipeline import Relabelled
from embodied_cf.relabel.report_counts import count_run
from embodied_cf.relabel.report_page import render
from embodied_cf.relabel.report_views import Branch, EpisodeView, Viewer

SHOWN = 12
"""Episodes that the page shows."""
SAMPLED = 60
"""Episodes that language balance looks at."""
_OBSERVATIONS = 600
_SHARDS = 16
"""The sample comes from so many shards, picked at random, which bounds the files that are opened."""
_USER_INFO = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True)
class _Sample:
    """What was looked at of the labelled dataset."""

    episodes: int
    views: tuple[EpisodeView, ...]
    balance: LanguageBalance | None


def write_report(
    output: Output,
    setting: Setting,
    options: RelabelOptions,
    *,
    usage: Mapping[str, object] | None,
    timing: Mapping[str, float],
) -> None:
    """Write report.json and report.html of a complete run.

    `usage` is `Usage.summary()` of the captioner's client, None if no model was asked; `timing` holds what the
    caller measured, such as `seconds` and `steps_per_second`. Both reports are written anew on every call.
    """
    dataset = open_dataset(output.path)
    sample = _sample(dataset, setting, options)
    numbers = _numbers(output, dataset, setting, options, sample, usage, timing)
    write_json(output.labels / "report.json", numbers)
    page = render("report.html.j2", setting, sample.views, numbers=numbers, run=_run_name(output))
    write_text(output.labels / "report.html", page)


def preview_html(
    episodes: Sequence[tuple[Episode, Relabelled]],
    setting: Setting,
    options: RelabelOptions,
    *,
    forecast: Mapping[str, object],
    count: int = 10,
) -> str:
    """Return the page of a dry run: `count` labels with pictures, and the forecast's numbers by name."""
    viewer = _viewer(setting, options)
    rng = generator(options.seed, "preview")
    views = [_preview(viewer, *episodes[at], row) for at, row in _picked(episodes, count, rng)]
    return render("preview.html.j2", setting, views, forecast=forecast, options=_options(options))


def _sample(dataset: RldsDataset, setting: Setting, options: RelabelOptions) -> _Sample:
    rng = generator(options.seed, "report")
    picked = _records(dataset, rng)
    shown = set(picked[:SHOWN])
    steps = max(1, _OBSERVATIONS // max(1, len(picked)))
    viewer = _viewer(setting, options)
    views: list[EpisodeView] = []
    observations: list[Observation] = []
    episodes = 0
    for place, episode in _episodes(dataset, setting.spec, sorted(picked)):
        episodes += 1
        segments, labels = viewer.segments(episode), episode.labels[options.label_set]
        chosen = np.sort(rng.permutation(len(episode) - 1)[:steps]).tolist()
        observations += observe(episode, labels, segments, viewer.track(episode), chosen)
        if place in shown:
            views.append(viewer.episode(episode, labels, segments))
    return _Sample(episodes, tuple(views), language_balance(observations, rng))


def _records(dataset: RldsDataset, rng: np.random.Generator) -> list[tuple[str, int, int]]:
    """Return (split, shard, record) of up to SAMPLED records in random order, every record of a shard as likely.

    Not the first ones: a dataset that nobody shuffled begins with one scene or one task.
    """
    shards = [shard for shard in dataset.shards() if shard.records]
    some = [shards[at] for at in rng.permutation(len(shards))[:_SHARDS].tolist()]
    ends = np.cumsum([shard.records for shard in some], dtype=np.int64)
    picked = rng.permutation(ends[-1] if len(ends) else 0)[:SAMPLED]
    where = np.searchsorted(ends, picked, side="right")
    return [
        (some[shard].split, some[shard].index, int(at) - int(ends[shard]) + some[shard].records)
        for shard, at in zip(where.tolist(), picked.tolist(), strict=True)
    ]


def _episodes(
    dataset: RldsDataset, spec: DatasetSpec, places: Sequence[tuple[str, int, int]]
) -> Iterator[tuple[tuple[str, int, int], Episode]]:
    """Yield the episodes at some places, one in memory at a time; unreadable ones and single steps are left out."""
    reader = EpisodeReader(dataset.features, spec)
    for shard in dataset.shards():
        wanted = [at for split, index, at in places if (split, index) == (shard.split, shard.index)]
        for record in read_at(shard.path, dataset.file_format, wanted) if wanted else ():
            episode = _read(reader, dataset, shard, record.index, record.data)
            if episode is not None and len(episode) > 1:
                yield (shard.split, shard.index, record.index), episode


def _read(reader: EpisodeReader, dataset: RldsDataset, shard: Shard, index: int, data: bytes) -> Episode | None:
    try:
        return reader.read(data, dataset.episode_id(shard, index))
    except RecordError:
        return None  # it is in the quarantine list, with its reason


def _viewer(setting: Setting, options: RelabelOptions) -> Viewer:
    return Viewer(setting, options.label_set, options.segmenter, not options.no_frames)


def _numbers(
    output: Output,
    dataset: RldsDataset,
    setting: Setting,
    options: RelabelOptions,
    sample: _Sample,
    usage: Mapping[str, object] | None,
    timing: Mapping[str, float],
) -> dict[str, Any]:
    balance = asdict(sample.balance) if sample.balance else None
    return {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "dataset": {"name": dataset.name, "version": dataset.version, "spec": setting.spec.name},
        "label_set": options.label_set,
        **count_run(output, setting.dataset.path),
        "sampled_episodes": sample.episodes,
        "language_balance": balance,
        "usage": None if usage is None else dict(usage),
        "timing": dict(timing),
        "options": _options(options),
    }


def _options(options: RelabelOptions) -> dict[str, Any]:
    """Return the options as JSON-able data, without user names and passwords in URLs."""
    text = json.dumps(asdict(options), default=str)
    plain: dict[str, Any] = json.loads(_USER_INFO.sub("//", text))
    return plain


def _run_name(output: Output) -> str:
    """Return what a reader's marks are stored under, the same for every report of a run."""
    with open(output.manifest, "rb") as file:
        return hashlib.sha256(file.readline()).hexdigest()[:16]


def _picked(
    episodes: Sequence[tuple[Episode, Relabelled]], count: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Return (episode, label row) of up to `count` random labels: the kinds in turn, counterfactuals twice."""
    left: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
    for at, (_, result) in enumerate(episodes):
        for row, kind in enumerate(result.labels.kind):
            left[kind].append((at, row))
    for rows in left.values():
        rng.shuffle(rows)
    turns = (*KINDS, "counterfactual")
    rounds = [left[kind].pop() for _ in range(count) for kind in turns if left[kind]]
    return sorted(rounds[:count])


def _preview(viewer: Viewer, episode: Episode, result: Relabelled, row: int) -> EpisodeView:
    """Return a view that shows a single label at its first frame."""
    segments = viewer.segments(episode)
    label = viewer.labels(episode, result.labels, [row])
    step = label[0].names.start
    branch = Branch(viewer.picture(episode, step), segments.commands_at(np.array([step]))[0], label)
    return EpisodeView(episode.episode_id, len(episode), viewer.told(episode), (), (), (), (branch,))
