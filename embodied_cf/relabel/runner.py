"""The resumable run: every shard on its own, atomically, in as many processes as wanted."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from embodied_cf import __version__
from embodied_cf.datasets.contract import SCHEMA_VERSION
from embodied_cf.datasets.files import exclusive, lock_beside
from embodied_cf.datasets.label_store import set_key
from embodied_cf.datasets.rlds import RldsDataset, Shard, open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.errors import UsageError
from embodied_cf.relabel.asking import asking
from embodied_cf.relabel.build import Setting, build_pipeline, survey
from embodied_cf.relabel.engine_local import relabel_in_processes
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.output import Output
from embodied_cf.relabel.report import write_report
from embodied_cf.relabel.shard_work import Desk, Progress, ShardJob, relabel_shards

_IDENTITY = ("split", "label_set", "seed", "per_observation", "limit")
_WORK_BEFORE_WORKERS = 2
"""Shards below which starting processes costs more than it saves."""


@dataclass(frozen=True)
class RunResult:
    """What a finished run did. `timing` is the only part that differs between equal runs."""

    out: str
    shards: int
    resumed_shards: int
    episodes: int
    steps: int
    labels: int
    dropped_records: int
    quarantined_episodes: int
    timing: dict[str, float]
    usage: dict[str, object] | None = None
    """Requests, tokens and cost of the model that was asked."""

    @property
    def exit_code(self) -> int:
        """0, or 3 if something had to be left out."""
        return 3 if self.dropped_records or self.quarantined_episodes else 0


def relabel(options: RelabelOptions, progress: Progress = lambda episodes, steps: None) -> RunResult:
    """Relabel a dataset into `options.out`, or resume or confirm an earlier run of the same options.

    Raises an EmbodiedError that names what is wrong and the remedy. Killed at any instant, the same call
    again finishes the work with the same bytes.
    """
    if options.engine == "local":
        return _relabel(options, progress)
    from embodied_cf.relabel.engine_ray import on_ray

    with on_ray(options) as everywhere:
        return _relabel(everywhere, progress)


def _relabel(options: RelabelOptions, progress: Progress) -> RunResult:
    started = time.monotonic()
    dataset = open_dataset(options.dataset)
    shards = dataset.shards(options.split)
    spec = load_spec(options.spec, dataset.path)
    _refuse_existing_set(dataset, options.label_set)
    setting = survey(dataset, spec, shards, options)
    output = Output(options.out)
    with exclusive(lock_beside(output.path)):
        resumed, usage = asyncio.run(_run(shards, setting, options, output, progress))
        seconds = time.monotonic() - started
        result = _summed(output, resumed, seconds, usage)
        write_report(output, setting, options, usage=usage, timing=result.timing)
    return result


async def _run(
    shards: Sequence[Shard], setting: Setting, options: RelabelOptions, output: Output, progress: Progress
) -> tuple[int, dict[str, object] | None]:
    """Do the shards that are left and finish; return how many were done before, and what asking cost."""
    async with asking(options) as model:
        pipeline = build_pipeline(setting, options, model)
        output.claim(header(setting, options, shards, pipeline.provenance.stages), setting.dataset.path)
        left = [] if output.complete else [shard for shard in shards if not output.done(shard)]
        jobs = [_job(shard, setting, options, output) for shard in left]
        if options.engine != "local":
            from embodied_cf.relabel.engine_ray import relabel_on_ray

            await relabel_on_ray(jobs, setting, options, model, progress)
        elif options.workers == 1 or model is not None or len(jobs) < _WORK_BEFORE_WORKERS:
            window = 1 if model is None else options.vlm.concurrency
            desk = Desk(setting.reader, pipeline, options.label_set, window)
            if model is not None and model.batch is not None:
                from embodied_cf.relabel.batched import answer_first  # loads the HTTP libraries

                await answer_first(jobs, desk, model.batch)
            await relabel_shards(jobs, desk, progress)
        else:
            relabel_in_processes(jobs, setting, options, partial(build_pipeline, options=options), progress)
        if not output.complete:
            body = setting.body
            output.finish(setting.dataset, shards, options.label_set, body.chunk_length, body.chunk_dimensions)
        output.tidy()
        return len(shards) - len(left), None if model is None else model.usage


def header(
    setting: Setting, options: RelabelOptions, shards: Sequence[Shard], stages: Mapping[str, object]
) -> dict[str, Any]:
    """Return what makes two runs the same: everything that the output is a function of, and nothing else."""
    profile = setting.profile
    return {
        "tool": "embodied-cf",
        "version": __version__,
        "schema_version": SCHEMA_VERSION,
        "dataset": {
            "name": setting.dataset.name,
            "version": setting.dataset.version,
            "shards": {shard.name: shard.path.stat().st_size for shard in shards},
        },
        "spec": asdict(setting.spec),
        "embodiment": asdict(setting.body),
        "profile": {
            "step": profile.scale.step,
            "turn": profile.scale.turn,
            "low": profile.low.tolist(),
            "high": profile.high.tolist(),
            "episodes": profile.episodes,
        },
        "stages": stages,
        **{name: getattr(options, name) for name in _IDENTITY},
    }


def _refuse_existing_set(dataset: RldsDataset, name: str) -> None:
    key = set_key(name)
    if any(feature.startswith(f"{key}/") for feature in dataset.features):
        raise UsageError(
            f"the dataset already has a label set {name!r}",
            where=dataset.path,
            remedy="Add another one with --label-set NAME, or drop it with `embodied-cf labels drop`.",
        )


def _job(shard: Shard, setting: Setting, options: RelabelOptions, output: Output) -> ShardJob:
    dataset = setting.dataset
    before = sum(other.records for other in dataset.shards(shard.split)[: shard.index])
    # not what dataset_info.json promises: if a file holds more, nothing of it is left behind
    limit = sys.maxsize if options.limit is None else max(0, options.limit - before)
    prefix = dataset.episode_id(shard, 0).removesuffix("00000")
    target = output.path / shard.name
    return ShardJob(shard, dataset.file_format, target, output.part(shard), prefix, limit)


def _summed(output: Output, resumed: int, seconds: float, usage: dict[str, object] | None) -> RunResult:
    rows = list(output.rows())
    steps = _total(rows, lambda row: row["counts"].get("steps", 0))
    return RunResult(
        str(output.path),
        len(rows),
        resumed,
        _total(rows, lambda row: row["records"]),
        steps,
        _total(rows, lambda row: row["labels"]),
        _total(rows, lambda row: len(row["dropped"])),
        _total(rows, lambda row: row["quarantined"]),
        {"seconds": round(seconds, 3), "steps_per_second": round(steps / seconds, 1)},
        usage,
    )


def _total(rows: Iterable[dict[str, Any]], value: Callable[[dict[str, Any]], int]) -> int:
    return sum(value(row) for row in rows)
