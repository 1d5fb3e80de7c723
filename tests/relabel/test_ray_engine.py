"""Relabelling on Ray: the same bytes as on this machine, whatever dies; and what is refused."""

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import makers
import pytest

from embodied_cf import __version__
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.errors import ClusterError, MissingLibraryError, UsageError
from embodied_cf.relabel.build import survey
from embodied_cf.relabel.options import RelabelOptions, VlmOptions
from embodied_cf.relabel.output import Output
from embodied_cf.relabel.runner import relabel

SHARDS, EPISODES, STEPS = 12, 3, 150
QUIET = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}

CLUSTER = '''
"""Two nodes of one CPU; one is killed while both have a shard in work. What happened is printed as JSON."""
import json, os, signal, sys, threading, time
from pathlib import Path

from ray.cluster_utils import Cluster

from embodied_cf.errors import ClusterError
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel

source, out, other = map(Path, sys.argv[1:])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
doomed = cluster.add_node(num_cpus=1)
engine = f"ray:{cluster.address}"
told = {"killed": False, "lost": 0}
finished = threading.Event()


def attempts():
    return list((out / "labels" / "parts").glob("attempt-*"))


def writers(node):
    """Processes of the node that have a file of an attempt open."""
    raylet = node.all_processes["raylet"][0].process.pid
    for listed in Path(f"/proc/{raylet}/task").glob("*/children"):
        for worker in listed.read_text().split():
            if any("/attempt-" in os.path.realpath(file) for file in Path(f"/proc/{worker}/fd").iterdir()):
                yield int(worker)


def kill():
    while not finished.is_set():
        for worker in writers(doomed):
            os.kill(worker, signal.SIGSTOP)
            if worker in writers(doomed):  # it stands in the middle of a shard
                cluster.remove_node(doomed, allow_graceful=False)
                os.kill(worker, signal.SIGKILL)
                told["killed"] = True
                return
            os.kill(worker, signal.SIGCONT)
        time.sleep(0.005)


def progress(episodes, steps):
    told["lost"] = len(attempts())  # at the last call, only what nobody finished is left


killer = threading.Thread(target=kill, daemon=True)
killer.start()
relabel(RelabelOptions(source, out, engine=engine), progress)
finished.set()
killer.join()
try:
    relabel(RelabelOptions(source, other, engine=engine, gpus_per_task=0.5))
except ClusterError as error:
    told["gpu"] = str(error)
cluster.shutdown()
print(json.dumps(told))
'''


def _digest(out):
    """Hash of every file by name, report files aside: they hold times."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith("report.")
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return makers.driving(tmp_path_factory.mktemp("ray") / "1.0.0", shards=SHARDS, episodes=EPISODES, steps=STEPS)


@pytest.fixture(scope="module")
def local(source, tmp_path_factory):
    """Files that the local engine writes."""
    out = tmp_path_factory.mktemp("local") / "out"
    command = [sys.executable, "-m", "embodied_cf", "relabel", str(source), str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return _digest(out)


def test_a_node_killed_in_the_middle_leaves_the_bytes_of_the_local_engine(source, local, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", CLUSTER, str(source), str(out), str(tmp_path / "other")]
    done = subprocess.run(command, capture_output=True, text=True, env=QUIET)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["killed"]
    assert told["lost"] >= 1, "a shard was in work on the node that died"
    assert _digest(out) == local
    assert told["gpu"].endswith("the cluster has too few GPUs for --gpus-per-task.")
    assert not (tmp_path / "other").exists()


def test_the_command_starts_a_ray_of_its_own_and_ends_it(source, local, tmp_path):
    out = tmp_path / "out"
    # relative paths: workers stand elsewhere
    command = [sys.executable, "-m", "embodied_cf", "relabel", os.path.relpath(source, tmp_path), "out"]
    done = subprocess.run(
        [*command, "--engine", "ray", "--json", "told.json"], capture_output=True, text=True, env=QUIET, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert _digest(out) == local
    assert json.loads((tmp_path / "told.json").read_text())["episodes"] == EPISODES * SHARDS


def _job_and_order(source, out):
    """The first shard's job in a claimed output directory, and what its task is told."""
    from embodied_cf.relabel.runner import _job

    dataset, options = open_dataset(source), RelabelOptions(source, out, engine="ray")
    setting = survey(dataset, load_spec(None, dataset.path), dataset.shards(), options)
    output = Output(out)
    output.claim({}, source)
    return _job(dataset.shards()[0], setting, options, output), (setting, options, None)


async def _already(attempt):
    return attempt


def test_a_shard_done_twice_is_there_once(source, local, tmp_path):
    from embodied_cf.relabel.engine_ray import _attempt, _settle

    job, order = _job_and_order(source, tmp_path / "out")
    first, second = (_attempt(job, __version__, order) for _ in range(2))
    assert first.directory != second.directory
    assert not job.target.exists(), "a task alone puts nothing into place"
    for attempt in (first, second):
        done = asyncio.run(_settle(_already(attempt), job))
        assert (done.episodes, done.steps) == (EPISODES, EPISODES * STEPS)
        assert hashlib.sha256(job.target.read_bytes()).hexdigest() == local[job.shard.name]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([job.shard.name, "labels"])
    assert sorted(path.name for path in job.part.parent.iterdir()) == sorted(["run.json", job.part.name])


def test_what_goes_through_ray_holds_no_image(source, tmp_path):
    from ray import cloudpickle

    from embodied_cf.relabel.engine_ray import _attempt

    job, order = _job_and_order(source, tmp_path / "out")
    sent = sum(len(cloudpickle.dumps(value)) for value in (job, order, _attempt(job, __version__, order)))
    assert sent < job.shard.path.stat().st_size / 5


def test_a_node_without_the_files_or_with_another_version_says_so(source, tmp_path):
    from embodied_cf.relabel.engine_ray import _attempt, _settle

    job, order = _job_and_order(source, tmp_path / "out")
    away = replace(job, shard=replace(job.shard, directory=tmp_path / "not_here"))
    with pytest.raises(ClusterError, match=r"not_here/\S+: node \S+ does not see it\. .* that all nodes share"):
        _attempt(away, __version__, order)
    with pytest.raises(ClusterError, match=r"has embodied-cf \S+, the driver 9\.9\. Install the same version"):
        _attempt(job, "9.9", order)
    attempt = _attempt(job, __version__, order)
    elsewhere = replace(attempt, directory=tmp_path / "other_disk")
    with pytest.raises(ClusterError, match="other_disk/part: this machine does not see it"):
        asyncio.run(_settle(_already(elsewhere), job))
    assert not job.part.exists()


def test_without_ray_the_remedy_is_named(source, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "embodied_cf.relabel.engine_ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingLibraryError, match=r"ray is not installed\. pip install 'embodied-cf\[ray\]'"):
        relabel(RelabelOptions(source, tmp_path / "out", engine="ray"))


def test_the_local_engine_loads_no_ray(source, tmp_path):
    code = (
        "import sys; from pathlib import Path; from embodied_cf.relabel.runner import relabel;"
        "from embodied_cf.relabel.options import RelabelOptions;"
        "relabel(RelabelOptions(Path(sys.argv[1]), Path(sys.argv[2]), limit=1)); print('ray' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1] == "False"


def test_an_address_where_nobody_answers_is_refused_at_once(source, tmp_path, capfd):
    from embodied_cf.cli import main

    with socket.socket() as taken:  # bound, not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SystemExit) as left:
            main(["relabel", str(source), str(tmp_path / "out"), "--engine", f"ray:{address}"])
    assert left.value.code == 2
    told = " ".join(capfd.readouterr().err.split())
    assert f"{address}: no Ray cluster can be joined" in told
    assert "ray start --head" in told


def test_a_port_that_does_not_speak_ray_is_given_up(source, tmp_path, monkeypatch):
    from embodied_cf.relabel import engine_ray

    monkeypatch.setattr(engine_ray, "_JOIN_S", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = f"ray:127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ClusterError, match="no answer in 3 s"):
            relabel(RelabelOptions(source, tmp_path / "out", engine=engine))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"engine": "spark"}, r"--engine 'spark' is unknown. Give local, ray, ray:auto or ray:HOST:PORT"),
        ({"engine": "ray:"}, "is unknown"),
        ({"engine": "ray:head"}, "is unknown"),
        ({"engine": "ray:ray://head:10001"}, "is unknown"),
        ({"engine": "ray:head:6379", "workers": 2}, "a cluster has CPUs of its own"),
        ({"engine": "ray", "gpus_per_task": -1.0}, "neither a share of one GPU nor a whole number"),
        ({"engine": "ray", "gpus_per_task": 1.5}, "--gpus-per-task 1.5 is neither"),
        ({"gpus_per_task": 0.5}, "Add --engine ray"),
        ({"engine": "ray", "captioner": "openai", "vlm": VlmOptions(max_requests=9)}, "kept by one process"),
        ({"engine": "ray", "captioner": "openai", "vlm": VlmOptions(max_cost=1.0)}, "take --engine local"),
    ],
)
def test_options_that_contradict_each_other(tmp_path, given, told):
    with pytest.raises(UsageError, match=told):
        RelabelOptions(tmp_path, tmp_path / "out", **given)


@pytest.mark.parametrize(
    ("engine", "address"),
    [("local", None), ("ray", None), ("ray:auto", "auto"), ("ray:head:6379", "head:6379"),
     ("ray:[::1]:6379", "[::1]:6379")],
)  # fmt: skip
def test_the_address_of_an_engine(tmp_path, engine, address):
    assert RelabelOptions(tmp_path, tmp_path / "out", engine=engine).ray_address == address
