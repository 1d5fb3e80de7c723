"""SIGKILL at any instant, then the same command again: the same bytes as if nothing had happened."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import makers
import pytest

from embodied_cf.errors import WorkerError
from embodied_cf.relabel import runner
from embodied_cf.relabel.options import RelabelOptions

KILLS = 20


def _command(source, out, workers):
    return [sys.executable, "-m", "embodied_cf", "relabel", source, out, "--workers", str(workers)]


def _digest(out):
    """Hash of every file by name, report files aside: they hold times."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith("report.")
    }


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return makers.driving(tmp_path_factory.mktemp("kill") / "1.0.0", shards=8, episodes=12, steps=40)


@pytest.fixture(scope="module")
def undisturbed(shards, tmp_path_factory):
    """Files of an uninterrupted run."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    subprocess.run(_command(shards, out, 1), check=True, capture_output=True)
    return _digest(out)


def _die(setting):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_told_of(tmp_path, monkeypatch):
    """As the system does when memory runs out."""
    source = makers.driving(tmp_path / "1.0.0", shards=2, episodes=1, steps=16)
    monkeypatch.setattr(runner, "partial", lambda *_, **__: _die)
    with pytest.raises(WorkerError, match=r"a worker process was killed\. If memory ran out, give fewer --workers"):
        runner.relabel(RelabelOptions(source, tmp_path / "out", workers=2))


def _parts(out):
    return len(list((out / "labels" / "parts").glob("*.part")))


def _run_and_kill(command, out, parts, extra_s):
    """Kill the run `extra_s` seconds after it has finished `parts` shards. Return whether it still ran."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, start_new_session=True, **quiet)
    while process.poll() is None and _parts(out) < parts and not (out / "labels" / "manifest.jsonl").exists():
        time.sleep(0.002)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=extra_s)
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return running


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_instants_the_result_is_the_same(shards, undisturbed, tmp_path, workers):
    rng = random.Random(workers)
    out, kills = tmp_path / "out", 0
    while kills < KILLS:
        # at any stage: starting, between two shards, inside one, writing the metadata, tidying up
        more = rng.randint(0, 3)
        extra_s = rng.uniform(0.0, 0.05 if more else 1.0)
        if _run_and_kill(_command(shards, out, workers), out, _parts(out) + more, extra_s):
            kills += 1
        else:
            assert _digest(out) == undisturbed
            out = tmp_path / f"out{kills}"
    subprocess.run(_command(shards, out, workers), check=True, capture_output=True)
    assert _digest(out) == undisturbed


MORTAL = """
import os, signal, sys
from pathlib import Path
from embodied_cf.cli import main

def relabel(out):
    sys.argv[1:] = ["relabel", source, out]
    try:
        main()
    except SystemExit as end:
        assert not end.code

source, warm, out, *lives = sys.argv[1:]
relabel(warm)  # everything is imported once, for all the children
for life in map(int, lives):
    if child := os.fork():
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print("end", died, len(list(Path(out).glob("labels/parts/*.part"))), flush=True)
        continue
    replace = os.replace
    def mortal(*names, **options):
        global life
        if not life:
            os.kill(os.getpid(), signal.SIGKILL)
        life -= 1
        replace(*names, **options)
    os.replace = mortal
    relabel(out)
    os._exit(0)
"""


def test_killed_between_any_two_renamings_the_result_is_the_same(shards, undisturbed, tmp_path):
    """Where instants are left to chance, a busy machine meets the same few again and again; this meets them all."""
    # a shard and its part are two renamings; all of finishing is done again by the next run
    lives = [0, *[1, 2] * 8, *range(13)]
    command = [sys.executable, "-c", MORTAL, shards, tmp_path / "warm", tmp_path / "out", *map(str, lives)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    ends = [tuple(map(int, line.split()[1:])) for line in told.stdout.splitlines() if line.startswith("end ")]
    assert {died for died, _ in ends[:-1]} == {-signal.SIGKILL}
    assert ends[-1][0] == 0
    assert {parts for _, parts in ends} == set(range(9)), "the kills fell after each of the shards"
    assert _digest(tmp_path / "out") == undisturbed
