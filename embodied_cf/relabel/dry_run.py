"""What a run would do, without doing it: requests and cost forecast, and labels to look at."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from embodied_cf.datasets.contract import Episode
from embodied_cf.datasets.files import beside, write_text
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.shards import Broken, read_shard
from embodied_cf.datasets.spec import load_spec
from embodied_cf.errors import EmbodiedError, RecordError, VlmError
from embodied_cf.relabel.asking import asking
from embodied_cf.relabel.build import Setting, build_pipeline, survey
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.pipeline import Pipeline, Relabelled
from embodied_cf.relabel.report import preview_html

DEFAULT_EPISODES = 5
SHOWN = 10
Labelled = list[tuple[Episode, Relabelled]]


@dataclass(frozen=True)
class DryRunResult:
    """What was tried, and what all of it would cost; forecasts are None where no model is asked."""

    episodes: int
    episodes_in_all: int
    labels: list[dict[str, object]]
    """The first labels; those of a model are left out, since nobody asked it."""
    forecast: dict[str, object] | None
    forecast_for_all: dict[str, object] | None
    preview: str
    """Page that shows the labels with pictures."""


def dry_run(options: RelabelOptions) -> DryRunResult:
    """Label the first episodes in memory, write one page beside OUT, and ask no model anything."""
    dataset = open_dataset(options.dataset)
    shards = dataset.shards(options.split)
    setting = survey(dataset, load_spec(options.spec, dataset.path), shards, options)
    episodes = list(islice(_readable(setting, options), options.limit or DEFAULT_EPISODES))
    forecast = asyncio.run(_forecast(setting, options, episodes))
    shown = asyncio.run(_label(build_pipeline(setting, replace(options, captioner="motion")), episodes))
    in_all = sum(shard.records for shard in shards)
    for_all = None if forecast is None else _scaled(forecast, in_all / max(1, len(episodes)))
    page = beside(options.out, "{}.dry-run.html")
    write_text(page, preview_html(shown, setting, options, count=SHOWN, forecast=for_all or {}))
    return DryRunResult(len(episodes), in_all, _first(shown), forecast, for_all, str(page))


def _readable(setting: Setting, options: RelabelOptions) -> Iterator[Episode]:
    dataset = setting.dataset
    for shard in dataset.shards(options.split):
        for record in read_shard(shard.path, dataset.file_format):
            if isinstance(record, Broken):
                continue
            try:
                yield setting.reader.read(record.data, dataset.episode_id(shard, record.index))
            except RecordError:
                continue


async def _forecast(setting: Setting, options: RelabelOptions, episodes: list[Episode]) -> dict[str, object] | None:
    async with asking(options) as model:
        if model is None:
            return None
        await _label(build_pipeline(setting, options, model), episodes)
        assert model.forecast is not None
        return model.forecast.summary()


async def _label(pipeline: Pipeline, episodes: list[Episode]) -> Labelled:
    """Label episodes less those that a run would quarantine. Raises what is wrong with them if that leaves none."""
    labelled: Labelled = []
    problem: EmbodiedError | None = None
    for episode in episodes:
        try:
            labelled.append((episode, await pipeline.relabel(episode)))
        except (RecordError, VlmError) as error:
            problem = error
    if problem is not None and not labelled:
        raise problem
    return labelled


def _scaled(forecast: dict[str, object], factor: float) -> dict[str, object]:
    return {key: value * factor if isinstance(value, int | float) else value for key, value in forecast.items()}


def _first(labelled: Labelled) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {
            "episode": episode.episode_id,
            "kind": labels.kind[row],
            "start": int(labels.start[row]),
            "end": int(labels.end[row]),
            "instruction": labels.instruction[row],
            "command": labels.command[row],
            "score": round(float(labels.score[row]), 3),
        }
        for episode, result in labelled
        for labels in [result.labels]
        for row in range(len(labels))
    ]
    return rows[:: max(1, len(rows) // SHOWN)][:SHOWN]
