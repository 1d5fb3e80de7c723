"""Output directories that are made part by part: what is done stays done when the process dies."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embodied_cf.datasets.files import disk_errors, exclusive, write_json
from embodied_cf.errors import OutputError

_FOLDER = ".parts"


@dataclass(frozen=True)
class Parts:
    """The finished parts of an output directory, each with a JSON value that says how it went."""

    folder: Path

    def result(self, part: str) -> Any:
        """Return the value of a finished part, None if it is not finished."""
        done = self.folder / f"{part}.json"
        return json.loads(done.read_text("utf-8")) if done.is_file() else None

    def finish(self, part: str, value: Any) -> None:
        """Note that a part is done; its files must be whole on disk."""
        write_json(self.folder / f"{part}.json", value)


@contextmanager
def parts(directory: Path, recipe: Mapping[str, Any]) -> Iterator[Parts]:
    """Claim a directory for what `recipe` (JSON values) makes, alone; after the block it is complete.

    Raises OutputError if the directory holds something else, or what another recipe began.
    """
    folder = directory / _FOLDER
    if directory.is_dir() and any(directory.iterdir()) and not folder.is_dir():
        raise OutputError("the directory is not empty", where=directory, remedy="Choose another output directory.")
    with disk_errors(directory):
        folder.mkdir(parents=True, exist_ok=True)
    lock, standing = folder / "lock", folder / "recipe.json"
    with exclusive(lock):
        _same_recipe(directory, standing, recipe)
        yield Parts(folder)
        with disk_errors(folder):
            for left in folder.iterdir():
                if left not in (lock, standing):
                    left.unlink()
            standing.unlink()  # last: without it the directory is complete
    with suppress(OSError):  # another process may be looking whether there is anything to do
        folder.rmdir()


def _same_recipe(directory: Path, standing: Path, recipe: Mapping[str, Any]) -> None:
    # again, now that nobody else is here: the process before may have completed it
    if not standing.is_file() and any(item.name != _FOLDER for item in directory.iterdir()):
        raise OutputError("the directory is not empty", where=directory, remedy="Choose another output directory.")
    if standing.is_file() and json.loads(standing.read_text("utf-8")) != recipe:
        raise OutputError(
            "the directory holds another unfinished dataset",
            where=directory,
            remedy="Finish it with the options it began with, or choose another output directory.",
        )
    write_json(standing, recipe)
