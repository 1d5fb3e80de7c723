"""Walls with their looks, and the ground between them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32, UInt8

from embodied_cf.envs import geometry
from embodied_cf.envs.scene import COLOUR_RGB, DOOR_STYLE, WALL_STYLES
from embodied_cf.language.instruction import COLOURS

DOOR_WIDTH_M = 1.0
_DOOR_HEIGHT_M = 2.1


@dataclass(frozen=True)
class Walls:
    """W walls; columns as in `Scene`."""

    segment: Float64[np.ndarray, "w 4"]
    height: Float64[np.ndarray, " w"]
    style: Int32[np.ndarray, " w"]
    rgb: UInt8[np.ndarray, "w 3"]
    door_colour: Int32[np.ndarray, " w"]

    @staticmethod
    def of(segment: Float[np.ndarray, "w 4"], height: float, style: str, rgb: tuple[int, int, int]) -> "Walls":
        """Return walls that look alike."""
        count = len(segment)
        return Walls(
            np.asarray(segment, np.float64),
            np.full(count, height),
            np.full(count, WALL_STYLES.index(style), np.int32),
            np.tile(np.array(rgb, np.uint8), (count, 1)),
            np.full(count, -1, np.int32),
        )

    def take(self, rows: Sequence[int] | Bool[np.ndarray, " w"]) -> "Walls":
        """Return the chosen walls."""
        index = np.arange(len(self.segment))[np.asarray(rows)]
        columns = (self.segment, self.height, self.style, self.rgb, self.door_colour)
        return Walls(*(column[index] for column in columns))

    def without(self, row: int) -> "Walls":
        """Return the walls but one."""
        return self.take(np.arange(len(self.segment)) != row)


def joined(*parts: Walls) -> Walls:
    """Return the walls of all parts."""
    names = ("segment", "height", "style", "rgb", "door_colour")
    return Walls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def opened(walls: Walls, row: int, start: float, width: float) -> Walls:
    """Return the walls with an opening cut into one: `width` m from `start` m along it."""
    begin, unit, length = _along(walls.segment[row])
    ends = np.array([[*begin, *(begin + start * unit)], [*(begin + (start + width) * unit), *walls.segment[row, 2:]]])
    kept = np.array([start > 1e-6, start + width < length - 1e-6])
    pieces = replace(walls.take([row, row]), segment=ends)
    return joined(walls.without(row), pieces.take(kept))


def with_door(walls: Walls, row: int, start: float, colour: int) -> Walls:
    """Return the walls with a closed door of a colour set into one, `start` m along it."""
    begin, unit, _ = _along(walls.segment[row])
    leaf = np.array([[*(begin + start * unit), *(begin + (start + DOOR_WIDTH_M) * unit)]])
    height = min(_DOOR_HEIGHT_M, float(walls.height[row]))
    door = Walls(
        leaf,
        np.array([height]),
        np.array([DOOR_STYLE], np.int32),
        np.array([COLOUR_RGB[COLOURS[colour]]], np.uint8),
        np.array([colour], np.int32),
    )
    return joined(opened(walls, row, start, DOOR_WIDTH_M), door)


def hang_doors(walls: Walls, rng: np.random.Generator, count: int, rows: Sequence[int] | None = None) -> Walls:
    """Return the walls with up to `count` doors of different colours in walls (of `rows`) long enough for one."""
    colours = rng.permutation(len(COLOURS))[:count]
    hosts = walls.segment if rows is None else walls.segment[list(rows)]
    chosen = rng.permutation(np.flatnonzero(_lengths(hosts) > DOOR_WIDTH_M + 1.2))[:count]
    for host, colour in zip(hosts[chosen], colours, strict=False):
        row = int(np.flatnonzero((walls.segment == host).all(axis=1))[0])
        room = float(_lengths(host[None])[0]) - DOOR_WIDTH_M - 1.0
        walls = with_door(walls, row, 0.5 + float(rng.uniform(0.0, room)), int(colour))
    return walls


@dataclass(frozen=True)
class FloorPlan:
    """Walls and the ground between them."""

    walls: Walls
    grounds: tuple[Float64[np.ndarray, "_ 2"], ...]
    """Polygons in which things may stand; they may overlap."""
    holes: tuple[Float64[np.ndarray, "_ 2"], ...] = ()
    """Polygons in which nothing may stand."""
    clear: Float64[np.ndarray, "c 2"] = field(default_factory=lambda: np.zeros((0, 2)))
    """Middles of openings, to be kept free."""

    def contains(self, point: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
        """Return which points lie on ground and in no hole."""
        on_ground = np.any([geometry.inside(point, polygon) for polygon in self.grounds], axis=0)
        in_hole = np.zeros(len(point), bool)
        for hole in self.holes:
            in_hole |= geometry.inside(point, hole)
        return on_ground & ~in_hole

    def sample(self, rng: np.random.Generator, count: int) -> Float64[np.ndarray, "n 2"]:
        """Return `count` or fewer points of the ground, evenly spread over its polygons' bounding boxes."""
        areas = np.array([abs(geometry.area(polygon)) for polygon in self.grounds])
        which = rng.choice(len(areas), count, p=areas / areas.sum())
        low = np.array([polygon.min(axis=0) for polygon in self.grounds])[which]
        high = np.array([polygon.max(axis=0) for polygon in self.grounds])[which]
        point = low + rng.random((count, 2)) * (high - low)
        return point[self.contains(point)]

    def turned(self, angle: float) -> "FloorPlan":
        """Return the plan turned counterclockwise around the origin."""
        matrix = geometry.rotation(angle)
        segment = (self.walls.segment.reshape(-1, 2) @ matrix.T).reshape(-1, 4)
        return FloorPlan(
            replace(self.walls, segment=segment),
            tuple(polygon @ matrix.T for polygon in self.grounds),
            tuple(polygon @ matrix.T for polygon in self.holes),
            self.clear @ matrix.T,
        )


def _along(segment: Float[np.ndarray, " 4"]) -> tuple[np.ndarray, np.ndarray, float]:
    along = segment[2:] - segment[:2]
    length = float(np.hypot(*along))
    return segment[:2], along / length, length


def _lengths(segment: Float[np.ndarray, "w 4"]) -> Float[np.ndarray, " w"]:
    return np.hypot(*(segment[:, 2:] - segment[:, :2]).T)
