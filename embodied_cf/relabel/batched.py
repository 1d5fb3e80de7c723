"""Rounds of batches before a run: every question that its episodes ask is answered, or known to have no answer."""

from collections.abc import Sequence

from embodied_cf.datasets.shards import Broken, Record, read_shard
from embodied_cf.errors import BudgetError, RecordError, VlmError
from embodied_cf.relabel.shard_work import Desk, ShardJob
from embodied_cf.vlm.access import AccessError
from embodied_cf.vlm.batch import BatchAsker


async def answer_first(jobs: Sequence[ShardJob], desk: Desk, batch: BatchAsker) -> None:
    """Carry the episodes of some shards through the pipeline again and again, a round of batches between.

    A round answers every question that depends on no open one, so that there are as many as questions build on one
    another (describe, summarise, filter, propose, and repairs), however many episodes there are. One episode is in
    memory at a time.
    Raises BudgetError, AccessError: the same run again goes on with what was sent.
    """
    await batch.collect()  # what an earlier process left open
    waiting = await _pass(jobs, desk, batch, None)
    while waiting:
        await batch.collect()
        waiting = await _pass(jobs, desk, batch, waiting)
    batch.settle()


async def _pass(jobs: Sequence[ShardJob], desk: Desk, batch: BatchAsker, only: set[str] | None) -> set[str]:
    """Put the questions of all episodes, or of some; return those that wait for an answer."""
    waiting = set()
    for job in jobs:
        for record in read_shard(job.shard.path, job.file_format):
            name = f"{job.episode_prefix}{record.index:05d}"
            if isinstance(record, Broken) or record.index >= job.limit or (only is not None and name not in only):
                continue
            before = batch.waiting
            await _ask(record, name, desk)
            if batch.waiting > before:
                waiting.add(name)
    return waiting


async def _ask(record: Record, name: str, desk: Desk) -> None:
    try:
        await desk.pipeline.relabel(desk.reader.read(record.data, name))
    except (BudgetError, AccessError):
        raise
    except (RecordError, VlmError):
        pass  # the run itself meets it again, and quarantines the episode with the reason
