"""Shard tasks on this machine: one after the other, or in a pool of processes."""

import asyncio
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from embodied_cf.errors import WorkerError
from embodied_cf.relabel.build import Setting
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.pipeline import Pipeline
from embodied_cf.relabel.shard_work import Desk, Progress, ShardJob, relabel_shards

Recipe = Callable[[Setting], Pipeline]
"""Makes the pipeline that works on shards; can be sent to other processes."""


def relabel_in_processes(
    jobs: Sequence[ShardJob], setting: Setting, options: RelabelOptions, recipe: Recipe, progress: Progress
) -> None:
    """Work through the shards in up to `options.workers` processes; each makes a pipeline by the recipe and finishes
    its shards in place. Raises WorkerError if one is killed."""
    context = multiprocessing.get_context("spawn")
    told = (setting, options.label_set, recipe)
    with ProcessPoolExecutor(min(options.workers, len(jobs)), context, _prepare, told) as pool:
        try:
            for future in as_completed([pool.submit(_in_worker, job) for job in jobs]):
                progress(*future.result())
        except BrokenProcessPool as error:
            raise WorkerError(
                "a worker process was killed",
                remedy="If memory ran out, give fewer --workers. Run the same command again: finished shards are kept.",
            ) from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


async def do_shard(job: ShardJob, desk: Desk) -> tuple[int, int]:
    """Relabel one shard and return (episodes, steps)."""
    done = [0, 0]

    def count(episodes: int, steps: int) -> None:
        done[0] += episodes
        done[1] += steps

    await relabel_shards([job], desk, count)
    return done[0], done[1]


_DESK: list[Desk] = []
"""A worker process's own desk, set once when it starts."""


def _prepare(setting: Setting, label_set: str, recipe: Recipe) -> None:
    _DESK.append(Desk(setting.reader, recipe(setting), label_set))


def _in_worker(job: ShardJob) -> tuple[int, int]:
    return asyncio.run(do_shard(job, _DESK[0]))
