"""A run's directory: its configuration, its log, its checkpoints, and who may write there.

RUN/config.json          what the run is a function of
RUN/log.jsonl            one line per step and per validation
RUN/step-0000500/        a checkpoint: the policy, and `train_state.*` to go on from
RUN/last                 link to the newest
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import pydantic
from pydantic import ConfigDict

from embodied_cf.datasets.files import (
    atomic_directory,
    disk_errors,
    exclusive,
    json_line,
    lock_beside,
    write_json,
    write_text,
)
from embodied_cf.datasets.streams import Source
from embodied_cf.datasets.tables import STRICT
from embodied_cf.errors import CheckpointError, OutputError, UsageError
from embodied_cf.train.config import TrainConfig

CONFIG, LOG, LAST = "config.json", "log.jsonl", "last"


@dataclass(frozen=True)
class Plan:
    """What a run is a function of."""

    config: TrainConfig
    sources: tuple[Source, ...]
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True)
class Run:
    """A run's directory."""

    path: Path

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / CONFIG).is_file()

    @property
    def last(self) -> Path | None:
        """The newest checkpoint."""
        return self.path / LAST if (self.path / LAST).is_dir() else None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from writing here."""
        with exclusive(lock_beside(self.path)):
            yield

    def refuse(self, overwrite: bool) -> None:
        """Raise OutputError if something is here already, unless it is a run that may be overwritten."""
        if self.exists and not overwrite:
            raise OutputError("a run is here already", where=self.path, remedy="Use --resume or --overwrite.")
        if self.path.exists() and not self.exists and any(self.path.iterdir()):
            raise OutputError("neither empty nor a run", where=self.path, remedy="Choose another --out.")

    def begin(self, plan: Plan, overwrite: bool) -> None:
        """Begin a run, in place of an earlier one. Raises OutputError as `refuse` does."""
        self.refuse(overwrite)
        with disk_errors(self.path):
            if self.path.exists():
                shutil.rmtree(self.path)
            self.path.mkdir(parents=True)
        table = {"config": asdict(plan.config), "sources": [_plain(source) for source in plan.sources]}
        write_json(self.path / CONFIG, table)

    def plan(self) -> Plan:
        """Return what the run that is here does. Raises CheckpointError if there is none."""
        try:
            return pydantic.TypeAdapter(Plan).validate_json((self.path / CONFIG).read_bytes())
        except (OSError, pydantic.ValidationError) as error:
            remedy = "Leave --resume out to begin a run."
            raise CheckpointError(f"no run to resume ({error})", where=self.path, remedy=remedy) from None

    def has(self, step: int) -> bool:
        """Whether the newest checkpoint is that of a step."""
        return self.last is not None and self.last.resolve().name == _name(step)

    def log(self, line: Mapping[str, object]) -> None:
        """Append a line to the log."""
        with disk_errors(self.path / LOG), open(self.path / LOG, "a", encoding="utf-8") as file:
            file.write(json_line(line))

    def rewind_log(self, step: int) -> None:
        """Forget lines after a step: a run that was killed goes on from its last checkpoint."""
        path = self.path / LOG
        if path.is_file():
            lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if _step(line) <= step]
            write_text(path, "".join(lines))

    @contextmanager
    def checkpoint(self, step: int) -> Iterator[Path]:
        """Give a folder to fill; afterwards it is the last checkpoint, and earlier ones are removed."""
        name = _name(step)
        if (self.path / name).exists():  # killed before it was linked
            with disk_errors(self.path):
                shutil.rmtree(self.path / name)
        with atomic_directory(self.path / name) as folder:
            yield folder
        with disk_errors(self.path):
            link = self.path / f".{LAST}"
            link.unlink(missing_ok=True)
            link.symlink_to(name)
            os.replace(link, self.path / LAST)
            for other in self.path.glob("step-*"):
                if other.name != name:
                    shutil.rmtree(other)


class Bystander(Run):
    """A run's directory as every process but the first sees it: read, never written."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Leave the lock to the first process."""
        yield

    def refuse(self, overwrite: bool) -> None:
        """Leave it to the first process."""

    def begin(self, plan: Plan, overwrite: bool) -> None:
        """Leave it to the first process."""

    def has(self, step: int) -> bool:
        """Nothing is left to save."""
        return True

    def log(self, line: Mapping[str, object]) -> None:
        """Leave it to the first process."""

    def rewind_log(self, step: int) -> None:
        """Leave it to the first process."""


def _name(step: int) -> str:
    return f"step-{step:07d}"


def _step(line: str) -> float:
    """Return a log line's step; infinity for a line that was cut off."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return float("inf")


def refuse_other_plan(stored: Plan, asked: Plan) -> None:
    """Raise UsageError, naming every difference, unless the plans are the same."""
    was, wanted = dict(_flat(asdict(stored))), dict(_flat(asdict(asked)))
    differences = [
        f"{name} was {was.get(name)!r} and is asked to be {wanted.get(name)!r}"
        for name in {**was, **wanted}
        if was.get(name) != wanted.get(name)
    ]
    if differences:
        raise UsageError(
            "--resume cannot change a run: " + "; ".join(differences),
            remedy="Leave these options out, or begin another run.",
        )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else key)
    else:
        yield name.removeprefix("config."), value


def _plain(source: Source) -> dict[str, object]:
    return {**asdict(source), "directory": str(source.directory)}
