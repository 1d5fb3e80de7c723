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
    out, kills, standing = tmp_path / "out", 0, set()
    # some more where a fast machine is between the same shards again and again
    while kills < KILLS or (len(standing) <= 3 and kills < 2 * KILLS):
        # at any stage: starting, between two shards, inside one, writing the metadata, tidying up
        more = rng.randint(0, 3)
        extra_s = rng.uniform(0.0, 0.05 if more else 1.0)
        if _run_and_kill(_command(shards, out, workers), out, _parts(out) + more, extra_s):
            kills += 1
            standing.add(_parts(out))
        else:
            assert _digest(out) == undisturbed
            out = tmp_path / f"out{kills}"
    subprocess.run(_command(shards, out, workers), check=True, capture_output=True)
    assert _digest(out) == undisturbed
    assert len(standing) > 3, "the kills fell at different stages of the work"
