"""One shard: read, relabel, append, write; everything or nothing."""

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.episodes import EpisodeReader
from embodied_cf.datasets.files import json_line
from embodied_cf.datasets.label_store import encode_labels
from embodied_cf.datasets.rlds import Shard
from embodied_cf.datasets.shards import Broken, Hasher, Record, ShardWriter, read_shard
from embodied_cf.errors import BudgetError, EmbodiedError, RecordError, VlmError
from embodied_cf.relabel.output import JOINED, write_part
from embodied_cf.relabel.pipeline import Pipeline, Relabelled
from embodied_cf.vlm.access import AccessError


@dataclass(frozen=True)
class ShardJob:
    """What to do with one shard."""

    shard: Shard
    file_format: str
    target: Path
    part: Path
    episode_prefix: str
    """Episode ids are this and the record's index."""
    limit: int
    """Records to take at most."""


@dataclass(frozen=True)
class Desk:
    """What a worker needs for every shard."""

    reader: EpisodeReader
    pipeline: Pipeline
    label_set: str
    window: int = 1
    """Episodes in work at once: more than one when a model is asked."""


@dataclass
class _Tally:
    """What the shard's line in the manifest will say."""

    labels: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    record_sha256: list[str] = field(default_factory=list)
    dropped: list[dict[str, object]] = field(default_factory=list)
    lines: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in JOINED})
    sources: set[str] = field(default_factory=set)


Progress = Callable[[int, int], None]
"""Told of (episodes, steps) done since the last call."""


async def relabel_shards(jobs: list[ShardJob], desk: Desk, progress: Progress) -> list[dict[str, object]]:
    """Work through shards in order, keeping `desk.window` episodes in flight across their borders.

    Returns the manifest rows. Raises OutputError if the disk fails, BudgetError if a budget is spent,
    AccessError if the model's server is closed to us: finished shards stay, the one in work leaves no trace.
    """
    rows = []
    results = _in_order(_tasks(jobs), desk)
    try:
        for job in jobs:
            rows.append(await _write_shard(job, results, desk, progress))
    finally:
        await results.aclose()
    return rows


def _tasks(jobs: list[ShardJob]) -> Iterator[tuple[ShardJob, Record | Broken | str]]:
    """Yield every record of every job, and after a job's last one the sha256 of its source file."""
    for job in jobs:
        digest = hashlib.sha256()
        for record in _records(job, digest):
            yield job, record
        yield job, digest.hexdigest()


def _records(job: ShardJob, digest: Hasher) -> Iterator[Record | Broken]:
    """Yield a shard's records up to the limit, and a `Broken` for those that the metadata promises in vain."""
    found, rest_lost = 0, False
    for record in read_shard(job.shard.path, job.file_format, digest):
        found, rest_lost = record.index + 1, isinstance(record, Broken) and record.rest_lost
        if record.index < job.limit:
            yield record
    if found < min(job.shard.records, job.limit) and not rest_lost:
        promised = f"dataset_info.json promises {job.shard.records} records"
        yield Broken(found, f"the file ends before it, though {promised}", rest_lost=True)


Item = tuple[Record | Broken | str, bytes, Relabelled | None, str]
"""What was read, the bytes to append to it, its labels, and why it is quarantined."""


async def _in_order(tasks: Iterator[tuple[ShardJob, Record | Broken | str]], desk: Desk) -> AsyncGenerator[Item, None]:
    """Yield finished items in reading order, with up to `desk.window` of them under way."""
    if desk.window == 1:
        for job, record in tasks:
            yield await _item(job, record, desk)
        return
    flying: deque[asyncio.Task[Item]] = deque()
    try:
        for job, record in tasks:
            flying.append(asyncio.create_task(_item(job, record, desk)))
            if len(flying) >= desk.window:
                yield await flying.popleft()
        while flying:
            yield await flying.popleft()
    except BudgetError:
        # what is already asked and paid for may still be answered, and then lies in the cache for the next run
        await asyncio.gather(*flying, return_exceptions=True)
        raise
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


async def _item(job: ShardJob, record: Record | Broken | str, desk: Desk) -> Item:
    if not isinstance(record, Record):
        return record, b"", None, ""
    episode_id = f"{job.episode_prefix}{record.index:05d}"
    steps, problem = 0, ""
    try:
        episode = desk.reader.read(record.data, episode_id)
        steps = len(episode)
        result = await desk.pipeline.relabel(episode)
    except (BudgetError, AccessError):
        raise
    except (RecordError, VlmError) as error:
        result = desk.pipeline.unlabelled(steps or _steps(record.data, desk, episode_id))
        problem = str(error)
    addition = encode_labels(desk.label_set, result.labels, result.step_texts)
    return record, addition, result, problem


def _steps(record: bytes, desk: Desk, episode_id: str) -> int:
    try:
        return Columns(record, desk.reader.features, episode_id).steps
    except EmbodiedError:
        return 0


async def _write_shard(
    job: ShardJob, results: AsyncIterator[Item], desk: Desk, progress: Progress
) -> dict[str, object]:
    tally, source = _Tally(), ""
    with ShardWriter(job.target, job.file_format) as writer:
        async for read, addition, result, problem in results:
            if isinstance(read, str):
                source = read
                break
            if isinstance(read, Broken):
                tally.dropped.append({"index": read.index, "problem": read.problem, "rest_lost": read.rest_lost})
                continue
            assert result is not None
            writer.write(read.data, addition)
            _note(tally, f"{job.episode_prefix}{read.index:05d}", read, result, problem)
            progress(1, len(result.step_texts))
    return _commit(job, tally, writer, source, desk)


def _note(tally: _Tally, episode_id: str, record: Record, result: Relabelled, problem: str) -> None:
    tally.record_sha256.append(hashlib.sha256(record.data).hexdigest())
    tally.labels += len(result.labels)
    tally.counts.update(result.counts)
    tally.sources.update(result.labels.source)
    tally.lines["rejected"] += [json_line({"episode": episode_id, **vars(row)}) for row in result.rejected]
    if problem:
        tally.lines["quarantine"].append(json_line({"episode": episode_id, "reason": problem}))


def _commit(job: ShardJob, tally: _Tally, writer: ShardWriter, source: str, desk: Desk) -> dict[str, object]:
    """Write the part, which makes the shard count as done, and return its row of the manifest."""
    row: dict[str, object] = {
        "shard": job.shard.name,
        "split": job.shard.split,
        "index": job.shard.index,
        "label_set": desk.label_set,
        "sha256_in": source,
        "sha256_out": writer.sha256,
        "records": writer.records,
        "num_bytes": writer.num_bytes,
        "labels": tally.labels,
        "dropped": tally.dropped,
        "quarantined": len(tally.lines["quarantine"]),
        "rejected": len(tally.lines["rejected"]),
        "counts": dict(sorted(tally.counts.items())),
        "record_sha256": tally.record_sha256,
    }
    tally.lines["provenance"] = list(desk.pipeline.provenance.lines(tally.sources))
    write_part(job.part, row, tally.lines)
    return row
