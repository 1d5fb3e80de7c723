"""TOML files into frozen dataclasses, with errors that name the file and the key."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from embodied_cf.errors import SpecError

Row = TypeVar("Row")
STRICT = pydantic.ConfigDict(extra="forbid", strict=False)
"""Goes into a dataclass as `__pydantic_config__`: a misspelt key is an error."""


def load_table(kind: type[Row], name_or_path: str, shipped: str) -> Row:
    """Return a dataclass from a shipped table's name (`bridge`) or a user's TOML file (`./mine.toml`).

    `shipped` is the folder beside this module that holds the shipped tables.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        folder = resources.files("embodied_cf.datasets") / shipped
        names = sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))
        if name_or_path not in names:
            raise SpecError(
                f"no shipped table {name_or_path!r}",
                where=shipped,
                remedy=f"Use one of {', '.join(names)}, or name a .toml file.",
            )
        path = Path(str(folder / f"{name_or_path}.toml"))
    return parse_table(kind, _read(path), str(path))


def parse_table(kind: type[Row], table: dict[str, Any], where: str) -> Row:
    """Return a dataclass from a parsed table. Raises SpecError naming each key that does not fit."""
    try:
        return pydantic.TypeAdapter(kind).validate_python(table)
    except pydantic.ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'table'}: {item['msg']}" for item in error.errors())
        raise SpecError(problems, where=where, remedy="See docs/specs.md for the keys.") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError("no such file", where=path) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"not a readable TOML file ({error})", where=path) from error
