"""Scenes as JSON, number for number: a scene read back is equal to the one written."""

from dataclasses import fields
from typing import Any, get_type_hints

import numpy as np

from embodied_cf.envs.scene import Scene
from embodied_cf.errors import DatasetError

_DTYPES: dict[str, type] = {
    "walls": np.float64, "wall_height": np.float64, "wall_style": np.int32, "wall_rgb": np.uint8,
    "door_colour": np.int32, "floor_rgb": np.uint8, "ceiling_rgb": np.uint8, "light": np.float64, "kind": np.int32,
    "colour": np.int32, "position": np.float64, "yaw": np.float64, "scale": np.float64, "person": np.float64,
    "person_goals": np.float64, "person_speed": np.float64, "person_look": np.int32, "start": np.float64,
}  # fmt: skip
_ROWS = {"walls": 4, "wall_rgb": 3, "position": 2, "person": 2}


def to_json(scene: Scene) -> dict[str, Any]:
    """Return a JSON-able mapping of a scene's columns."""
    values = {item.name: getattr(scene, item.name) for item in fields(scene)}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def from_json(columns: dict[str, Any]) -> Scene:
    """Return the scene of a mapping that `to_json` made. Raises DatasetError if columns are missing or unknown."""
    odd = sorted(columns.keys() ^ get_type_hints(Scene).keys())
    if odd:
        raise DatasetError(f"a scene whose columns {', '.join(odd)} are missing or unknown")
    return Scene(**{name: _column(name, value) for name, value in columns.items()})


def _column(name: str, value: Any) -> Any:
    if name not in _DTYPES:
        return value
    column: np.ndarray = np.array(value, _DTYPES[name])
    if name == "person_goals" and not len(column):
        return column.reshape(0, 2, 2)
    return column.reshape(-1, _ROWS[name]) if name in _ROWS else column
