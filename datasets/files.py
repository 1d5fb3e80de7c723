"""Files that are there whole or not at all, and the errors of a disk told in plain words."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from embodied_cf.errors import OutputError

_LINE = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False)
_REMEDIES = {
    errno.ENOSPC: "Free space and run the same command again: finished shards are kept.",
    errno.EDQUOT: "The quota is full; free space and run the same command again: finished shards are kept.",
    errno.EROFS: "The file system is read-only; choose another output directory.",
    errno.EACCES: "Check the permissions of the directory.",
    errno.EPERM: "Check the permissions of the directory.",
}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn OSError of the block into an OutputError that names the path and the remedy."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        remedy = _REMEDIES.get(error.errno or 0, "Check the directory and run the same command again.")
        raise OutputError(f"cannot write ({reason})", where=path, remedy=remedy) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; after the block it is synced to disk and renamed to `path`.

    If the block raises, the temporary file is removed and `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def move(source: Path, target: Path) -> None:
    """Rename a file that is whole and synced to `target`, replacing what stands there."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)
        _sync(target.parent)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give a temporary directory beside `path`, renamed to it after the block; removed if the block raises.

    Raises OutputError if `path` exists and is not an empty directory.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError("the directory is not empty", where=path, remedy="Choose another output directory.")
    if path.is_dir() and path.samefile(os.curdir):
        # whoever works there would be left in a directory that is gone
        raise OutputError("it is the working directory, which would be replaced", where=path,
                          remedy="Name a directory that does not exist yet.")  # fmt: skip
    temporary = beside(path, ".{}.tmp")
    with disk_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if path.is_dir():
                path.rmdir()
            os.replace(temporary, path)
            _sync(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def check_writable(*paths: Path | None) -> None:
    """Raise OutputError if one of the files that are to be written cannot be: better now than after hours of work."""
    for path in paths:
        if path is None:
            continue
        # what lies between is made when it is written; nothing lies above /
        above = next((it for it in path.absolute().parents if it.exists()), path)
        wrong = errno.EISDIR if path.is_dir() else 0 if os.access(above, os.W_OK) else errno.EACCES
        wrong = wrong if above.is_dir() else errno.ENOTDIR
        if wrong:
            with disk_errors(path):
                raise OSError(wrong, "")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write a JSON file atomically, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def json_line(value: object) -> str:
    """Return a value as one line of JSON with sorted keys: equal values are equal bytes."""
    return _LINE.encode(value) + "\n"


def append_line(path: Path, value: object) -> None:
    """Add a line of JSON to a file, whole, though several processes may write."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json_line(value))


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, removed afterwards; a second holder, in any process, gets an OutputError at once."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w")  # noqa: SIM115 (closed below)
    with file:
        with disk_errors(path):  # a file system may have no locks
            alone = _locked(file, path)
        if not alone:
            raise OutputError(
                "another run is writing here",
                where=path.parent,
                remedy="Wait for it, or choose another output directory.",
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def beside(directory: Path, name: str) -> Path:
    """Return a file beside an output directory that may not exist yet; `{}` in its name is the directory's.

    A path such as `.` or `..` ends in no name; the directory that it leads to has one.
    """
    whole = directory.resolve() if directory.name in ("", os.pardir) else directory
    return whole.parent / name.format(whole.name)


def refuse_inside(source: Path, out: Path) -> None:
    """Raise OutputError if `out` is the source that is read, or lies inside it."""
    here, there = out.resolve(), source.resolve()
    if here == there or there in here.parents:
        raise OutputError(
            "the output directory is the source, or lies inside it",
            where=out,
            remedy="The source is never written to; choose another directory.",
        )


def lock_beside(directory: Path) -> Path:
    """Return the lock file of an output directory that may not exist yet; whatever verb writes there takes it."""
    return beside(directory, ".{}.lock")


def _locked(file: IO[str], path: Path) -> bool:
    """Take the lock. A file whose holder removed it since it was opened locks nobody out, so it does not count."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
