"""Paths that metadata names: filled in without Python's format language, and never outside the dataset."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from embodied_cf.errors import DatasetError

_FIELD = re.compile(r"\{(\w+)(?::0(\d)d)?\}")


def fill(root: Path, template: str, values: Mapping[str, str | int]) -> Path:
    """Return `root` / template with its fields, such as {episode_index:06d}, filled in.

    Raises DatasetError for an unknown field and for a path that leaves `root`.
    """

    def field(match: re.Match) -> str:
        if match[1] not in values:
            raise DatasetError(f"path template {template!r} has the unknown field {match[1]!r}", where=root)
        return str(values[match[1]]).zfill(int(match[2] or 0))

    return inside(root, _FIELD.sub(field, template))


def inside(root: Path, name: str) -> Path:
    """Return `root` / name. Raises DatasetError if that leaves `root`; links that the user made are followed."""
    relative = os.path.normpath(name)
    if os.path.isabs(relative) or relative.split(os.sep)[0] == os.pardir or "\0" in name:
        raise DatasetError(f"path {name!r} points outside the dataset", where=root)
    return root / relative
