"""Shard tasks on Ray: on this machine, or on a cluster whose nodes share a file system with the driver.

A task reads its shard by path and writes into a directory of its own, `OUT/labels/parts/attempt-*`; what goes
through Ray is the run's setting, once, and for each shard its job and (episodes, steps): no record, no image.
The driver alone touches what counts: it moves a finished attempt's shard and then its part into place. A task
that ran twice, because its node died or only seemed to, thus leaves one shard, and the same bytes.
"""

import asyncio
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embodied_cf import __version__
from embodied_cf.datasets.files import move
from embodied_cf.errors import ClusterError, MissingLibraryError
from embodied_cf.relabel.asking import Asking, asking
from embodied_cf.relabel.build import Setting, build_pipeline
from embodied_cf.relabel.engine_local import do_shard
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.shard_work import Desk, Progress, ShardJob
from embodied_cf.vlm.cache import Cache
from embodied_cf.vlm.usage import Usage

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as error:
    raise MissingLibraryError("ray is not installed", remedy="pip install 'embodied-cf[ray]'") from error

from embodied_cf.relabel.ray_cache import shared_cache

_RETRIES = 5
"""Times that a shard is begun anew because its node or process died."""
_STORE_BYTES = 100 << 20
"""Object store of a Ray that we start: settings and counts are small."""
_REACH_S, _JOIN_S = 10.0, 60.0
"""Seconds until a cluster's port must answer, and until a driver must be admitted."""
_JOIN = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')"


Order = tuple[Setting, RelabelOptions, Cache | None]
"""What every task is told; the cache is there if a model is asked."""


@dataclass(frozen=True)
class Attempt:
    """A shard and its part as a task left them, not yet in their place."""

    directory: Path
    episodes: int = 0
    steps: int = 0
    usage: Usage | None = None
    """What asking a model cost, if one was asked."""

    @property
    def shard(self) -> Path:
        """The shard, whole and synced."""
        return self.directory / "shard"

    @property
    def part(self) -> Path:
        """Its part (`output.write_part`)."""
        return self.directory / "part"


@contextmanager
def on_ray(options: RelabelOptions) -> Iterator[RelabelOptions]:
    """Connect to the Ray that the options name, and give options whose paths hold on every node.

    A process that is connected already stays so. Raises ClusterError within about a minute if there is no
    such Ray, or if it has no GPU for tasks that want one.
    """
    ours = not ray.is_initialized()
    if ours:
        _connect(options)
    try:
        if ray.cluster_resources().get("GPU", 0) < options.gpus_per_task:
            raise ClusterError("the cluster has too few GPUs for --gpus-per-task", where=options.engine)
        yield options.absolute()
    finally:
        if ours:
            ray.shutdown()


def _connect(options: RelabelOptions) -> None:
    address = options.ray_address
    if address is None:
        _start(options.workers)
        return
    if address != "auto":
        _reach(address)
    _try_to_join(address)
    ray.init(address, log_to_driver=False, logging_level=logging.ERROR)


def _start(cpus: int) -> None:
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_worker_niceness"):
        os.environ.setdefault(name, "0")  # a Ray of ours reports to nobody, and its work is the run's own
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init("local", num_cpus=cpus, object_store_memory=_STORE_BYTES, **quiet)
    except Exception as error:  # a bare one where a busy machine starts its processes too slowly
        raise ClusterError(
            f"Ray does not start on this machine ({error})", remedy="Run again, or take --engine local."
        ) from error


def _reach(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except OSError as error:
        raise _no_cluster(address, str(error)) from error


def _try_to_join(address: str) -> None:
    """Join in a process that can be stopped: `ray.init` waits for minutes on whatever does not speak Ray."""
    try:
        joined = subprocess.run([sys.executable, "-c", _JOIN, address], capture_output=True, text=True, timeout=_JOIN_S)
    except subprocess.TimeoutExpired:
        raise _no_cluster(address, f"no answer in {_JOIN_S:.0f} s") from None
    if joined.returncode:
        raise _no_cluster(address, (joined.stderr.strip().splitlines() or ["it ended without a word"])[-1])


def _no_cluster(address: str, reason: str) -> ClusterError:
    return ClusterError(
        f"no Ray cluster can be joined ({reason})",
        where=address,
        remedy="Give the address that `ray start --head` printed, on a machine that `ray start` made part of it.",
    )


async def relabel_on_ray(
    jobs: Sequence[ShardJob], setting: Setting, options: RelabelOptions, model: Asking | None, progress: Progress
) -> None:
    """Work through the shards as Ray tasks, as many at once as there is room for.

    If the run asks a model, every task asks for itself, `--concurrency` requests at once; the answers are kept in
    the one file, and what they cost is counted in `model`. Raises what a task raised, or ClusterError if a shard's
    task died again and again: finished shards stay.
    """
    for left in {left for job in jobs for left in job.part.parent.glob("attempt-*")}:  # of a driver that was killed
        shutil.rmtree(left, ignore_errors=True)
    order: Order = (setting, options, None if model is None else shared_cache(model.client.options))
    told = ray.put(order)
    task = ray.remote(num_cpus=1, num_gpus=options.gpus_per_task, max_retries=_RETRIES)(_attempt)
    tasks = [task.remote(job, __version__, told) for job in jobs]
    try:
        for done in asyncio.as_completed([_settle(*pair) for pair in zip(tasks, jobs, strict=True)]):
            attempt = await done
            progress(attempt.episodes, attempt.steps)
            if model is not None and attempt.usage is not None:
                model.client.usage.add(attempt.usage)
    except BaseException:
        for unfinished in tasks:
            ray.cancel(unfinished, force=True)
        raise


async def _settle(task: Awaitable[Attempt], job: ShardJob) -> Attempt:
    """Wait for a shard's task and put what it wrote into place."""
    try:
        attempt = await task
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:
        raise ClusterError(
            f"the shard's task died {_RETRIES + 1} times ({type(error).__name__})",
            where=job.shard.name,
            remedy="Look at the nodes' memory and logs, then run the same command again: finished shards are kept.",
        ) from error
    if not attempt.part.is_file():
        raise _not_shared(attempt.part, "this machine")
    move(attempt.shard, job.target)
    move(attempt.part, job.part)
    attempt.directory.rmdir()
    return attempt


def _attempt(job: ShardJob, version: str, order: Order) -> Attempt:
    """Relabel one shard into a new directory, in a worker process of some node."""
    _check_node(job, version)
    attempt = Attempt(Path(tempfile.mkdtemp(prefix="attempt-", dir=job.part.parent)))
    return asyncio.run(_relabel(replace(job, target=attempt.shard, part=attempt.part), attempt, *order))


async def _relabel(
    job: ShardJob, attempt: Attempt, setting: Setting, options: RelabelOptions, cache: Cache | None
) -> Attempt:
    async with asking(options, cache) as model:
        window = 1 if model is None else options.vlm.concurrency
        desk = Desk(setting.reader, build_pipeline(setting, options, model), options.label_set, window)
        episodes, steps = await do_shard(job, desk)
        return replace(attempt, episodes=episodes, steps=steps, usage=None if model is None else model.client.usage)


def _check_node(job: ShardJob, version: str) -> None:
    node = f"node {socket.gethostname()}"
    if version != __version__:
        raise ClusterError(
            f"{node} has embodied-cf {__version__}, the driver {version}",
            remedy="Install the same version everywhere: the bytes depend on it.",
        )
    for path in (job.shard.path, job.part.parent):
        if not path.exists():
            raise _not_shared(path, node)


def _not_shared(path: Path, machine: str) -> ClusterError:
    return ClusterError(
        f"{machine} does not see it",
        where=path,
        remedy="Dataset and output must lie on a file system that all nodes share, under the same paths.",
    )
