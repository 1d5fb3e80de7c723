"""Output directories when the disk fails, when two want them, when one dies: whole or not at all, and resumable."""

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys

import makers
import numpy as np
import pytest

from embodied_cf import cli
from embodied_cf.datasets import files
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.files import exclusive, lock_beside
from embodied_cf.datasets.label_edit import drop_set
from embodied_cf.datasets.parts import parts
from embodied_cf.datasets.shards import ShardWriter
from embodied_cf.errors import OutputError
from embodied_cf.evaluate import run as evaluation
from embodied_cf.evaluate.record import Record
from embodied_cf.evaluate.run import Plan, evaluate
from embodied_cf.evaluate.suites import parse_suite
from embodied_cf.policies.contract import ActionChunk
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel
from embodied_cf.train.run import Run


class Still:
    """Stands still."""

    camera, history, embodiment = (16, 24), 1, load_embodiment("nav")

    def act(self, observation, instruction, rng):
        count = len(observation)
        return ActionChunk(np.zeros((count, 8, 2), np.float32), np.ones((count, 8), bool))


PLAN = Plan("still", parse_suite("rooms/object/dev", (0, 0)), 2)


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code


def digest(out):
    """Hash of every file by name, report files aside: they hold times."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*")) if path.is_file() and not path.name.startswith("report.")
    }  # fmt: skip


@pytest.fixture(scope="module")
def driving(tmp_path_factory):
    """The least that has two shards."""
    return makers.driving(tmp_path_factory.mktemp("driving") / "1.0.0", shards=2, episodes=1, steps=16)


@pytest.fixture(scope="module")
def whole(driving, tmp_path_factory):
    """A relabelled set and its files."""
    out = tmp_path_factory.mktemp("whole") / "out"
    relabel(RelabelOptions(driving, out, None))
    return out, digest(out)


@pytest.fixture
def failing(monkeypatch):
    """Let a function of a module fail at its nth call, and at all calls after that, until told otherwise."""
    patches = pytest.MonkeyPatch()

    def fail(module, name, code, first):
        left, honest = [first], getattr(module, name)

        def call(*arguments, **options):
            left[0] -= 1
            if left[0] <= 0:
                raise OSError(code, os.strerror(code))
            return honest(*arguments, **options)

        patches.setattr(module, name, call)

    yield fail, patches.undo
    patches.undo()


def _halves(out):
    return [path.name for path in out.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize(
    ("first", "code", "told"),
    [(1, errno.ENOSPC, "No space left on device"), (6, errno.EDQUOT, "quota exceeded"), (14, errno.EIO, "put error")],
)
def test_relabelling_on_a_disk_that_fails(driving, whole, tmp_path, capsys, failing, first, code, told):
    """Whichever sync fails: one message, exit code 2, nothing half written; the same command then ends as ever."""
    fail, mend = failing
    fail(os, "fsync", code, first)
    out = tmp_path / "out"
    assert command("relabel", driving, out) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "cannot write" in message
    assert told in message
    assert "Traceback" not in message
    assert _halves(out) == []
    mend()
    assert command("relabel", driving, out) == 0
    assert digest(out) == whole[1]


@pytest.mark.parametrize(("name", "first"), [("replace", 3), ("mkdir", 1)])
def test_relabelling_on_a_disk_that_takes_no_names(driving, whole, tmp_path, capsys, failing, name, first):
    fail, mend = failing
    fail(os, name, errno.EDQUOT, first)
    out = tmp_path / "out"
    assert command("relabel", driving, out) == 2
    assert "The quota is full" in " ".join(capsys.readouterr().err.split())
    assert _halves(out) == []
    mend()
    assert command("relabel", driving, out) == 0
    assert digest(out) == whole[1]


def test_the_directory_that_one_stands_in(driving, whole, tmp_path, capsys, monkeypatch):
    """`.` has no name to lay a lock beside it under; and what is replaced as a whole must not be where one stands."""
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    assert command("labels", "drop", whole[0], ".") == 2
    assert "it is the working directory, which would be replaced" in " ".join(capsys.readouterr().err.split())
    assert command("relabel", driving, ".", "--dry-run", "--limit", 1) == 0
    assert (tmp_path / "out.dry-run.html").is_file()
    assert command("relabel", driving, ".") == 0
    assert digest(tmp_path / "out") == whole[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.dry-run.html"]
    assert command("labels", "drop", whole[0], "/") == 2


def _read_only(patch, below):
    """Let the tree below a folder refuse every write, as a file system that is mounted so does (root may else)."""
    honest = {name: getattr(os, name) for name in ("mkdir", "replace", "open", "unlink", "symlink")}

    def refusing(name):
        def call(path, *rest, **options):
            if str(path).startswith(str(below)) and not (name == "open" and not (rest and rest[0] & os.O_ACCMODE)):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return honest[name](path, *rest, **options)

        return call

    for name in honest:
        patch.setattr(os, name, refusing(name))

    def opened(path, mode="r", *rest, **options):
        if str(path).startswith(str(below)) and set(mode) & set("wax+"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return open(path, mode, *rest, **options)

    patch.setattr(files, "open", opened, raising=False)
    patch.setattr(io, "open", opened)  # pathlib's


@pytest.mark.parametrize(
    "verb",
    [
        lambda driving, whole, out: ("relabel", driving, out),
        lambda driving, whole, out: ("labels", "drop", whole, out, "--label-set", "labels"),
        lambda driving, whole, out: ("train", "--data", whole, "--out", out, "--preset", "tiny-debug"),
        lambda driving, whole, out: ("evaluate", f"{__name__}:Still", "--suite", "rooms/object/dev", "--out", out),
        lambda driving, whole, out: ("collect", "--episodes", 1, "--out", out),
        lambda driving, whole, out: ("convert", whole, out, "--to", "gnm"),
        lambda driving, whole, out: ("inspect", driving, "--html", out),
    ],
    ids=["relabel", "labels", "train", "evaluate", "collect", "convert", "inspect"],
)
def test_a_read_only_place_is_named(driving, whole, tmp_path, capsys, monkeypatch, verb):
    sys.modules.setdefault(__name__, sys.modules[Still.__module__])
    (tmp_path / "read_only").mkdir()
    arguments = verb(driving, whole[0], tmp_path / "read_only" / "out")
    with monkeypatch.context() as patch:
        _read_only(patch, tmp_path / "read_only")
        assert command(*arguments) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "cannot write (Read-only file system). The file system is read-only; choose another output" in message
    assert list((tmp_path / "read_only").iterdir()) == []


DRIVEN = Record("rooms", "object", "dev", 0, "none", "go to the red chair", "go to the red chair", "nearest", "success",
                True, 1.0, 40, 0, 0, 5.0, 4.0)  # fmt: skip


@pytest.mark.parametrize("first", [1, 4])
def test_an_evaluation_on_a_full_disk_goes_on(tmp_path, failing, monkeypatch, first):
    monkeypatch.setattr(evaluation, "_driven", lambda *_: [DRIVEN])
    fail, mend = failing
    fail(os, "fsync", errno.ENOSPC, first)
    with pytest.raises(OutputError, match=r"cannot write \(No space left on device\). Free space and run the same"):
        evaluate(Still(), PLAN, tmp_path / "out")
    assert not (tmp_path / "out" / "episodes.jsonl").exists()
    assert _halves(tmp_path) == []
    mend()
    evaluate(Still(), PLAN, tmp_path / "whole")
    evaluate(Still(), PLAN, tmp_path / "out")
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


@pytest.mark.parametrize("first", [1, 2])
def test_a_checkpoint_on_a_full_disk_leaves_the_one_before(tmp_path, failing, first):
    run = Run(tmp_path / "run")
    run.path.mkdir()
    with run.checkpoint(1) as folder:
        files.write_text(folder / "weights", "one")
    fail, mend = failing
    fail(os, "fsync", errno.ENOSPC, first)
    with pytest.raises(OutputError, match="No space left on device"), run.checkpoint(2) as folder:
        files.write_text(folder / "weights", "two")
    assert (run.last / "weights").read_text() == "one"
    mend()
    with run.checkpoint(2) as folder:
        files.write_text(folder / "weights", "two")
    assert (run.last / "weights").read_text() == "two"
    assert sorted(path.name for path in run.path.iterdir()) == ["last", "step-0000002"]


_SMALL = """
import resource, sys
from pathlib import Path
from embodied_cf.datasets.shards import ShardWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with ShardWriter(Path(sys.argv[1]), "array_record") as writer:
        for size in range(int(sys.argv[2])):
            writer.write(bytes(range(256)) * 1000 + size.to_bytes(4, "big"))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_an_array_record_on_a_full_disk_is_named(tmp_path):
    """The library of that format raises errors of its own."""
    with ShardWriter(tmp_path / "fine", "array_record") as writer:
        writer.write(b"x")
    shard = tmp_path / "shard"
    done = subprocess.run([sys.executable, "-c", _SMALL, shard, "500"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"OutputError {shard}: cannot write (write() failed: File too large"), done
    assert [path.name for path in tmp_path.iterdir()] == ["fine"]


_HOLD = """
import sys, time
from pathlib import Path
from embodied_cf.datasets.files import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def _held_elsewhere(lock):
    process = subprocess.Popen([sys.executable, "-c", _HOLD, lock], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def _uses(driving, whole, out):
    """Each verb that writes a directory, with the lock that it takes."""
    return {
        "relabel": (lock_beside(out), lambda: relabel(RelabelOptions(driving, out, None))),
        "labels": (lock_beside(out), lambda: drop_set(whole, out, "labels")),
        "train": (lock_beside(out), lambda: Run(out).held().__enter__()),
        "evaluate": (out / ".lock", lambda: evaluation._held(out, PLAN).__enter__()),
        "collect and convert": (out / ".parts" / "lock", lambda: parts(out, {"recipe": 1}).__enter__()),
    }


@pytest.mark.parametrize("verb", ["relabel", "labels", "train", "evaluate", "collect and convert"])
def test_two_who_want_one_directory_exclude_each_other(driving, whole, tmp_path, verb):
    """The second gets an error at once; a lock whose holder was killed binds nobody, though its file lies there."""
    lock, use = _uses(driving, whole[0], tmp_path / "out")[verb]
    process = _held_elsewhere(lock)
    try:
        with pytest.raises(OutputError, match=r"another run is writing here\. Wait for it, or choose another output"):
            use()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert lock.is_file()
        use()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with pytest.raises(OutputError, match="No locks available"), exclusive(tmp_path / "lock"):
        raise AssertionError("nobody holds it")


def test_who_comes_late_does_not_begin_a_finished_directory_anew(tmp_path):
    """The second looked before the first was done, and takes the lock after it."""
    out = tmp_path / "out"
    with parts(out, {"recipe": 1}) as state:
        (out / "data").write_text("whole")
        state.finish("part", 1)
    (out / ".parts").mkdir()
    for recipe in (1, 2):
        with pytest.raises(OutputError, match="the directory is not empty"), parts(out, {"recipe": recipe}):
            raise AssertionError("it is complete")
    assert (out / "data").read_text() == "whole"


def test_killed_while_it_tidied_up_it_is_done_again_or_done(tmp_path):
    out = tmp_path / "out"
    (out / ".parts").mkdir(parents=True)
    (out / ".parts" / "recipe.json").write_text(json.dumps({"recipe": 1}))
    (out / "data").write_text("whole")
    with parts(out, {"recipe": 1}) as state:
        assert state.result("part") is None
    assert [path.name for path in out.iterdir()] == ["data"]


def test_out_of_memory_is_a_message(whole, monkeypatch, capsys):
    def exhaust(dataset):
        raise MemoryError

    monkeypatch.setattr("embodied_cf.datasets.label_edit.summarise_sets", exhaust)
    assert command("labels", "list", whole[0]) == 2
    assert capsys.readouterr().err.startswith("embodied-cf: not enough memory")
