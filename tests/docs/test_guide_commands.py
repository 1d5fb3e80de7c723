"""The guide's commands do what the guide says: each page's blocks are run in their order, with smaller numbers.

Quick start is run once; every other page begins with a copy of what it left, and with some data of "one's own".
"""

import contextlib
import html
import io
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import gnm_maker
import guide_blocks as guide
import lerobot_maker
import makers
import pytest

from embodied_cf.cli import main

START = "docs/index.md"
SMALLER = {"--episodes": "3", "--steps": "20", "--minutes": "0.1", "--search": "1", "--samples": "2", "--draws": "0"}


@pytest.fixture(scope="module")
def worker():
    """A process without the tests' own hooks and filters."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module")
def started(tmp_path_factory, worker):
    """A directory in which Quick start was followed."""
    place = tmp_path_factory.mktemp("guide") / "started"
    place.mkdir()
    follow(START, place, worker)
    return place


@pytest.fixture
def place(started, tmp_path):
    """A copy of it, with data of one's own: datasets, a LeRobot set, GNM folders, decisions on a report."""
    place = tmp_path / "place"
    shutil.copytree(started, place, symlinks=True)
    makers.driving(place / "my_robot" / "1.0.0", shards=1)
    (place / "my_robot" / "1.0.0" / "spec.toml").unlink()
    makers.arm(place / "my_arm" / "1.0.0", shards=1)
    lerobot_maker.v30(place / "so100_cubes")
    gnm_maker.write_gnm(place / "gnm_logs")
    decide(place / "rooms_cf" / "1.0.0" / "labels" / "report.html", place / "decisions.jsonl")
    return place


def decide(report, out):
    """Reject the first label of a report, as its page would."""
    record = json.loads(html.unescape(re.search(r'data-record="([^"]*)"', report.read_text("utf-8"))[1]))
    out.write_text(json.dumps({**record, "decision": "reject"}) + "\n")


def follow(page, place, worker):
    """Run a page's blocks. A block that is marked is left out, or stopped as soon as it says something."""
    for block in guide.blocks(page):
        where = f"{page}:{block.line}"
        if block.file:
            (place / block.file).write_text(block.text, "utf-8")
        elif block.language == "python" and not block.mark:
            _expect(0, worker.submit(run_python, block.text, place).result(), where)
        elif block.language == "bash" and block.mark == "Runs until it is stopped":
            _run_until_it_speaks(block, place)
        elif block.language == "bash" and not block.mark:
            for command in guide.commands(block):
                _expect(
                    command.expected, worker.submit(run_command, command, place).result(), f"{where}: {command.text}"
                )


def _expect(code, done, where):
    assert done[0] == code, f"{where}: ended with {done[0]}\n{done[1][-3000:]}"


def run_command(command, place):
    """Return exit code and output of a command of ours, run here; libraries are then loaded once for all of them."""
    if not command.arguments:
        done = subprocess.run(["bash", "-c", command.text], cwd=place, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr
    arguments = guide.Command(smaller(command.text)).arguments
    return _captured(lambda: main(arguments), place, importable="PYTHONPATH=." in command.text)


def run_python(text, place):
    """Return exit code and output of a block of Python, run here."""
    return _captured(lambda: exec(compile(text, "block", "exec"), {"__name__": "__main__"}), place, importable=True)


def _captured(call, place, importable):
    os.chdir(place)
    before, said = list(sys.path), io.StringIO()
    sys.path[:] = [str(place), *before] if importable else before
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            call()
        code = 0
    except SystemExit as left:
        code = left.code
    except Exception:
        said.write(traceback.format_exc())
        code = 1
    finally:
        sys.path[:] = before
    return code, said.getvalue()


def smaller(text):
    """Return a command with smaller numbers after the options that say how much."""
    return re.sub(r"(--[a-z]+) ([\d.]+)", lambda found: f"{found[1]} {SMALLER.get(found[1], found[2])}", text)


def _environment():
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(guide.ROOT), "COLUMNS": "100"}


def _run_until_it_speaks(block, place):
    (command,) = guide.commands(block)
    text = re.sub(r"--port \d+", "--port 0", command.text)
    running = subprocess.Popen(["bash", "-c", f"exec {text}"], cwd=place, env=_environment(), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    said = running.stdout.readline()
    running.terminate()
    rest, _ = running.communicate()
    assert "http://" in said, f"{block.page}:{block.line}: {said}{rest}"


def test_quick_start(started):
    assert (started / "runs" / "rooms" / "last").exists()


@pytest.mark.parametrize("page", [page for page in guide.guide_pages() if page != START])
def test_page(page, place, worker):
    follow(page, place, worker)


def test_smaller_numbers():
    shown = "embodied-cf collect --episodes 400 --seed 7 --out rooms/1.0.0"
    assert smaller(shown) == "embodied-cf collect --episodes 3 --seed 7 --out rooms/1.0.0"


def test_a_command_that_fails_is_noticed(tmp_path, worker):
    for command in (guide.Command("embodied-cf inspect nowhere"), guide.Command("false")):
        with pytest.raises(AssertionError, match=r"some\.md:1: ended with [12]"):
            _expect(0, worker.submit(run_command, command, tmp_path).result(), "some.md:1")
    with pytest.raises(AssertionError, match="no such name"):
        _expect(0, worker.submit(run_python, "raise NameError('no such name')", tmp_path).result(), "some.md:2")


@pytest.mark.parametrize("page", guide.guide_pages())
def test_every_command_is_run_or_marked(page):
    """A command in a block of another language would escape both."""
    escaped = [block for block in guide.blocks(page) if block.language not in ("bash", "python")]
    for block in escaped:
        assert not re.search(r"^(\$ )?embodied-cf \w", block.text, re.MULTILINE), f"{page}:{block.line}"
    assert any(not block.mark for block in guide.blocks(page) if block.language == "bash"), f"{page} runs nothing"
