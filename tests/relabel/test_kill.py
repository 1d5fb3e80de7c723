"""SIGKILL at any instant, then the same command again: the same bytes as if nothing had happened."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

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
    """Files of an uninterrupted run, and how long its work takes after start-up."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    started = time.monotonic()
    subprocess.run(_command(shards, out, 1), check=True, capture_output=True)
    return _digest(out), time.monotonic() - started


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_instants_the_result_is_the_same(shards, undisturbed, tmp_path, workers):
    expected, seconds = undisturbed
    rng = random.Random(workers)
    out, killed, instants = tmp_path / "out", 0, []
    while killed < KILLS:
        # from before the output exists to beyond the end, which then starts over in a fresh directory
        delay = rng.uniform(0.3, 1.0) * seconds
        process = subprocess.Popen(
            _command(shards, out, workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            instants.append(len(list((out / "labels" / "parts").glob("*.part"))) if out.exists() else -1)
            continue
        assert _digest(out) == expected
        out = tmp_path / f"out{killed}"
    subprocess.run(_command(shards, out, workers), check=True, capture_output=True)
    assert _digest(out) == expected
    assert len(set(instants)) > 1, "the kills fell at different stages of the work"
