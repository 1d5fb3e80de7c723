"""One evaluated episode: what was asked, what was told, what became of it. One JSON line each."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pydantic

from embodied_cf.datasets.files import json_line, write_text
from embodied_cf.errors import DatasetError

Ending = Literal["success", "wrong stop", "collision", "time"]
"""How it ended: as asked; by standing where it was not asked, or doing what was not asked; by hitting an object or a
person; when the time was up."""
Sight = Literal["nearest", "far", "unseen"]
"""Where the thing named first is at the start: the nearest thing in the field of view, another one in it, outside."""


@dataclass(frozen=True)
class Record:
    """Of one episode under one control."""

    world: str
    family: str
    split: str
    seed: int
    """Of layout, task, wording and chance: equal seeds of a cell are the same episode for any policy."""
    control: str
    """What was changed; `none` for the plain evaluation. See `evaluate.controls`."""
    instruction: str
    """What is judged, in canonical words."""
    told: str
    """What the policy was told."""
    sight: Sight
    ending: Ending
    success: bool
    progress: float
    """Share of the instruction carried out, in [0, 1]."""
    steps: int
    """Control periods of 0.25 s."""
    collisions: int
    wall_contacts: int
    travelled: float
    """Length of the way, m."""
    shortest: float
    """Length of the rehearsed way, m."""
    measures: dict[str, float] = field(default_factory=dict)
    """Path measures by name; see `evaluate.metrics`."""
    path: tuple[tuple[float, float, float], ...] = ()
    """Poses x m, y m, yaw rad in the world, one per control period."""

    @property
    def cell(self) -> tuple[str, str, str]:
        """World, family and split."""
        return self.world, self.family, self.split


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records as JSON lines, all or nothing."""
    write_text(path, "".join(json_line(asdict(record)) for record in records))


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file. Raises DatasetError if there is none, or with the line that is no record."""
    if not path.is_file():
        raise DatasetError("no records of episodes", where=path, remedy="Name the --out of a finished evaluation.")
    reader: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(Record)
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield reader.validate_json(line)
            except pydantic.ValidationError as error:
                remedy = "Delete the line, or the directory, and evaluate again."
                told = f"no record of an episode ({error})"
                raise DatasetError(told, where=f"{path}:{number}", remedy=remedy) from None
