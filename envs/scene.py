"""A scene is data: walls, objects, people, looks and a start. Many scenes stack into `Worlds` for batched work.

World frame: x, y in metres, yaw in radians counterclockwise from +x, heights in metres above the floor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int32, UInt8

from embodied_cf.errors import UsageError
from embodied_cf.language.columns import Columns
from embodied_cf.language.instruction import COLOURS, DOOR, KINDS
from embodied_cf.language.surroundings import Surroundings

WALL_STYLES = ("plaster", "brick", "panel", "concrete", "tiles", "hedge", "fence", "door", "window")
FLOOR_STYLES = ("wood", "carpet", "tiles", "concrete", "grass", "gravel", "paving")
CEILING_STYLES = ("sky", "plain", "panels")
DOOR_STYLE = WALL_STYLES.index("door")
MAX_WALLS, MAX_OBJECTS, MAX_PEOPLE, MAX_GOALS = 64, 16, 6, 4
COLOUR_RGB: dict[str, tuple[int, int, int]] = {
    "red": (205, 38, 38), "orange": (240, 125, 20), "yellow": (235, 205, 40), "green": (40, 150, 60),
    "blue": (40, 85, 205), "purple": (135, 55, 165), "white": (238, 238, 232), "black": (38, 38, 42),
}  # fmt: skip
RADIUS_M: dict[str, float] = {
    "chair": 0.36, "table": 0.55, "box": 0.42, "cone": 0.32, "barrel": 0.34, "plant": 0.34, "tree": 0.35,
    "bin": 0.32, "ball": 0.32, "lamp": 0.3,
}  # fmt: skip
"""Radius of the circle that an object keeps the robot out of, at scale 1."""

Count: TypeAlias = Int32[np.ndarray, " b"]


@dataclass(frozen=True)
class Scene:
    """One place. W walls, O objects, P people with G goals each."""

    family: str
    """rooms, corridors or courtyard."""
    walls: Float64[np.ndarray, "w 4"]
    """Segments x0, y0, x1, y1 at any angle; doors are closed and are walls of style door."""
    wall_height: Float64[np.ndarray, " w"]
    wall_style: Int32[np.ndarray, " w"]
    """Index into WALL_STYLES."""
    wall_rgb: UInt8[np.ndarray, "w 3"]
    door_colour: Int32[np.ndarray, " w"]
    """Index into COLOURS for doors, -1 for other walls."""
    floor_style: int
    floor_rgb: UInt8[np.ndarray, " 3"]
    ceiling_style: int
    """Index into CEILING_STYLES; 0 is open sky."""
    ceiling_rgb: UInt8[np.ndarray, " 3"]
    """Of the ceiling, or of the sky at the zenith."""
    ceiling_height: float
    light: Float64[np.ndarray, " 4"]
    """Ambient share in [0, 1], strength of the directed light, its azimuth and elevation (rad)."""
    kind: Int32[np.ndarray, " o"]
    """Index into KINDS."""
    colour: Int32[np.ndarray, " o"]
    """Index into COLOURS."""
    position: Float64[np.ndarray, "o 2"]
    yaw: Float64[np.ndarray, " o"]
    scale: Float64[np.ndarray, " o"]
    person: Float64[np.ndarray, "p 2"]
    """Where people start."""
    person_goals: Float64[np.ndarray, "p g 2"]
    """Places that each visits in turn, for ever."""
    person_speed: Float64[np.ndarray, " p"]
    """Preferred walking speed, m/s."""
    person_look: Int32[np.ndarray, " p"]
    """Seed of clothes and build."""
    start: Float64[np.ndarray, " 3"]
    """Pose of the robot."""

    def __post_init__(self) -> None:
        for name, limit in (("walls", MAX_WALLS), ("position", MAX_OBJECTS), ("person", MAX_PEOPLE)):
            if len(getattr(self, name)) > limit:
                raise UsageError(f"a scene has {len(getattr(self, name))} rows of {name}, and at most {limit} fit")

    @property
    def radius(self) -> Float64[np.ndarray, " o"]:
        """Radius that each object keeps the robot out of, m."""
        return np.array([RADIUS_M[KINDS[kind]] for kind in self.kind.tolist()], np.float64) * self.scale

    def surroundings(self) -> Surroundings:
        """Return the scene as language sees it: objects in their order, then doors."""
        doors = np.flatnonzero(self.door_colour >= 0)
        middle = (self.walls[doors, :2] + self.walls[doors, 2:]) / 2
        half_width = np.hypot(*(self.walls[doors, 2:] - self.walls[doors, :2]).T) / 2
        return Surroundings(
            tuple(KINDS[kind] for kind in self.kind.tolist()) + (DOOR,) * len(doors),
            tuple(COLOURS[colour] for colour in (*self.colour.tolist(), *self.door_colour[doors].tolist())),
            np.concatenate([self.position, middle]),
            np.concatenate([self.radius, half_width]),
            self.walls,
            self.start,
        )


@dataclass(frozen=True)
class Worlds(Columns):
    """B scenes in arrays of fixed size (MAX_WALLS and so on), unused rows zero. Column names as in `Scene`."""

    walls: Float64[np.ndarray, "b w 4"]
    wall_height: Float64[np.ndarray, "b w"]
    wall_style: Int32[np.ndarray, "b w"]
    wall_rgb: UInt8[np.ndarray, "b w 3"]
    floor_style: Int32[np.ndarray, " b"]
    floor_rgb: UInt8[np.ndarray, "b 3"]
    ceiling_style: Int32[np.ndarray, " b"]
    ceiling_rgb: UInt8[np.ndarray, "b 3"]
    ceiling_height: Float64[np.ndarray, " b"]
    light: Float64[np.ndarray, "b 4"]
    kind: Int32[np.ndarray, "b o"]
    colour: Int32[np.ndarray, "b o"]
    position: Float64[np.ndarray, "b o 2"]
    yaw: Float64[np.ndarray, "b o"]
    scale: Float64[np.ndarray, "b o"]
    radius: Float64[np.ndarray, "b o"]
    person_goals: Float64[np.ndarray, "b p g 2"]
    person_speed: Float64[np.ndarray, "b p"]
    person_look: Int32[np.ndarray, "b p"]
    num_walls: Count
    num_objects: Count
    num_people: Count

    def __len__(self) -> int:
        return len(self.num_walls)


_PADDED = {"walls": MAX_WALLS, "wall_height": MAX_WALLS, "wall_style": MAX_WALLS, "wall_rgb": MAX_WALLS,
           "kind": MAX_OBJECTS, "colour": MAX_OBJECTS, "position": MAX_OBJECTS, "yaw": MAX_OBJECTS,
           "scale": MAX_OBJECTS, "radius": MAX_OBJECTS, "person_goals": MAX_PEOPLE, "person_speed": MAX_PEOPLE,
           "person_look": MAX_PEOPLE}  # fmt: skip


def stack(scenes: Sequence[Scene]) -> Worlds:
    """Return the scenes side by side; needs at least one. Goals are padded by repeating each person's last one."""
    columns = {
        name: np.stack([_padded(_column(scene, name), size) for scene in scenes]) for name, size in _PADDED.items()
    }
    plain = ("floor_style", "floor_rgb", "ceiling_style", "ceiling_rgb", "ceiling_height", "light")
    columns |= {name: np.stack([_as_array(getattr(scene, name)) for scene in scenes]) for name in plain}
    counts = {"num_walls": "walls", "num_objects": "position", "num_people": "person"}
    columns |= {name: np.array([len(getattr(scene, of)) for scene in scenes], np.int32) for name, of in counts.items()}
    return Worlds(**columns)


def _column(scene: Scene, name: str) -> np.ndarray:
    column = getattr(scene, name)
    if name != "person_goals":
        return column
    if not len(column):
        return np.zeros((0, MAX_GOALS, 2))
    return np.concatenate([column, np.repeat(column[:, -1:], MAX_GOALS - column.shape[1], axis=1)], axis=1)


def _padded(column: np.ndarray, size: int) -> np.ndarray:
    padded = np.zeros((size, *column.shape[1:]), column.dtype)
    padded[: len(column)] = column
    return padded


def _as_array(value: object) -> np.ndarray:
    return np.asarray(value, np.int32 if isinstance(value, int) else None)
