"""JSON that others wrote: read with errors that name file, line and key."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic

from embodied_cf.errors import DatasetError


def parse(kind: Any, raw: object, where: object) -> Any:
    """Return a dataclass, or what else pydantic checks, from JSON values.

    Raises DatasetError naming each key that does not fit.
    """
    try:
        return pydantic.TypeAdapter(kind).validate_python(raw)
    except pydantic.ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise DatasetError(problems, where=where) from None


def read_json(path: Path) -> Any:
    """Return a JSON file's value. Raises DatasetError if it is absent or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError("no such file", where=path, remedy="Copy the whole dataset.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"not a readable JSON file ({error})", where=path) from error


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON lines file. Raises DatasetError naming the line that is none."""
    if not path.is_file():
        raise DatasetError("no such file", where=path, remedy="Copy the whole dataset.")
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line.decode("utf-8"))
                assert isinstance(row, dict)
            except (ValueError, AssertionError, RecursionError) as error:
                raise DatasetError("not a JSON object", where=f"{path}, line {number}") from error
            yield row
