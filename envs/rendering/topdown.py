"""A scene from above, for people to read: north (+y) is up, east (+x) is right."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from embodied_cf.envs.rendering.catalogue_people import SHIRT, wardrobe
from embodied_cf.envs.scene import COLOUR_RGB, RADIUS_M, Scene
from embodied_cf.envs.state import PERSON_RADIUS_M, ROBOT_RADIUS_M, State
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import COLOURS, KINDS

Colour = tuple[int, int, int]
Path = np.ndarray
"""(t, 2 or more): x, y m first."""

_FINER = 3
"""Drawn so many times larger, then reduced: smooth edges."""
_MARGIN_M = 0.4
_INK, _ROBOT = (30, 30, 34), (0, 170, 190)
PATH_RGB: tuple[Colour, ...] = ((0, 120, 220), (225, 85, 0), (0, 150, 90), (190, 30, 140), (120, 90, 40))
"""Colours of the paths, in turn."""


def _ring(radius: float, x: float = 0.0, y: float = 0.0, points: int = 24, ripple: float = 0.0) -> np.ndarray:
    angle = np.arange(points) * (2 * math.pi / points)
    out = radius * (1 + ripple * np.cos(8 * angle))
    return np.stack([x + out * np.cos(angle), y + out * np.sin(angle)], axis=1)


def _block(x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


_MAIN, _DARK, _PALE, _LEAF = "main", "dark", "pale", "leaf"
_GLYPHS: dict[str, tuple[tuple[str, np.ndarray], ...]] = {
    "chair": ((_MAIN, _block(-0.65, 0.65, -0.65, 0.65)), (_DARK, _block(-0.8, -0.45, -0.7, 0.7))),
    "table": ((_MAIN, _block(-0.85, 0.85, -0.52, 0.52)), (_PALE, _block(-0.6, 0.6, -0.3, 0.3))),
    "box": (
        (_MAIN, _block(-0.72, 0.72, -0.68, 0.68)),
        (_DARK, _block(-0.72, 0.72, -0.12, 0.12)),
        (_DARK, _block(-0.12, 0.12, -0.68, 0.68)),
    ),
    "cone": ((_DARK, _block(-0.7, 0.7, -0.7, 0.7)), (_MAIN, _ring(0.6)), (_PALE, _ring(0.36)), (_MAIN, _ring(0.2))),
    "barrel": ((_MAIN, _ring(0.95)), (_DARK, _ring(0.7)), (_MAIN, _ring(0.58))),
    "plant": ((_MAIN, _ring(1.0)), (_LEAF, _ring(0.62, points=64, ripple=0.22))),
    "tree": ((_MAIN, _ring(1.5, points=96, ripple=0.08)), (_PALE, _ring(0.5, 0.4, 0.4)), (_DARK, _ring(0.3))),
    "bin": (
        (_MAIN, _block(-0.7, 0.7, -0.65, 0.65)),
        (_DARK, _block(-0.7, -0.3, -0.65, 0.65)),
        (_PALE, _ring(0.25, 0.2)),
    ),
    "ball": ((_MAIN, _ring(1.0)), (_PALE, _ring(0.3, 0.35, 0.35))),
    "lamp": ((_MAIN, _ring(1.0, points=96, ripple=0.18)), (_PALE, _ring(0.5))),
}  # fmt: skip


@dataclass(frozen=True)
class _Canvas:
    image: UInt8[np.ndarray, "h w 3"]
    origin: Float64[np.ndarray, " 2"]
    """World place of the lower left corner."""
    scale: float
    """Pixels per metre."""

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return places in the world (n, 2) as whole pixels, y down."""
        moved = (np.asarray(points, np.float64)[:, :2] - self.origin) * self.scale
        return np.round(np.stack([moved[:, 0], self.image.shape[0] - moved[:, 1]], axis=1)).astype(np.int32)

    def area(self, points: np.ndarray, colour: Colour, edge: Colour | None = None) -> None:
        cv2.fillPoly(self.image, [self.pixels(points)], colour, cv2.LINE_AA)
        if edge is not None:
            self.line(points, edge, 0.025, closed=True)

    def line(self, points: np.ndarray, colour: Colour, width_m: float, closed: bool = False) -> None:
        thick = max(_FINER, round(width_m * self.scale))
        cv2.polylines(self.image, [self.pixels(points)], closed, colour, thick, cv2.LINE_AA)


def draw_map(
    scene: Scene, size: int, paths: Sequence[Path] = (), state: State | None = None
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw walls, doors, objects, people, robot and paths in size x size pixels, RGB.

    Robot and people stand where `state` (of this one world) says, else at their starts. Paths take PATH_RGB in
    turn, with a dot at their end. Raises UsageError for a size under 16 or a state of other than one world.
    """
    if size < 16:
        raise UsageError(f"a map of {size} pixels shows nothing", remedy="Ask for 16 or more.")
    if state is not None and len(state) != 1:
        raise UsageError(f"a map shows one world and the state has {len(state)}", remedy="Pass state.take([row]).")
    canvas = _canvas(scene, size * _FINER)
    for row in range(len(scene.walls)):
        _draw_wall(canvas, scene, row)
    for row in range(len(scene.kind)):
        _draw_object(canvas, scene, row)
    for number, path in enumerate(paths):
        _draw_path(canvas, np.asarray(path, np.float64), PATH_RGB[number % len(PATH_RGB)])
    for row in range(len(scene.person)):
        _draw_person(canvas, scene, row, state)
    _draw_robot(canvas, scene.start if state is None else state.pose[0])
    return cv2.resize(canvas.image, (size, size), interpolation=cv2.INTER_AREA)


def _canvas(scene: Scene, pixels: int) -> _Canvas:
    """Return the bare floor, as large as holds walls, objects and start."""
    places = [scene.walls[:, :2], scene.walls[:, 2:], scene.position, scene.person, scene.start[None, :2]]
    points = np.concatenate(places)
    low, high = points.min(axis=0) - _MARGIN_M, points.max(axis=0) + _MARGIN_M
    side = float(np.max(high - low))
    floor = 0.35 * scene.floor_rgb.astype(np.float64) + 0.65 * 255
    image = np.broadcast_to(floor.astype(np.uint8), (pixels, pixels, 3)).copy()
    return _Canvas(image, (low + high) / 2 - side / 2, pixels / side)


def _draw_wall(canvas: _Canvas, scene: Scene, row: int) -> None:
    ends = scene.walls[row].reshape(2, 2)
    if scene.door_colour[row] >= 0:
        canvas.line(ends, _INK, 0.26)
        canvas.line(ends, _named(int(scene.door_colour[row])), 0.18)
        return
    tall = scene.wall_height[row] > 1.2
    canvas.line(ends, _INK if tall else _shaded(_rgb(scene.wall_rgb[row]), 0.75), 0.12 if tall else 0.08)


def _draw_object(canvas: _Canvas, scene: Scene, row: int) -> None:
    kind, colour = KINDS[scene.kind[row]], _named(int(scene.colour[row]))
    radius = RADIUS_M[kind] * scene.scale[row]
    tones = {_MAIN: colour, _DARK: _shaded(colour, 0.55), _PALE: _lightened(colour), _LEAF: (58, 128, 52)}
    edge = _INK if max(colour) > 60 else (150, 150, 150)
    for number, (tone, outline) in enumerate(_GLYPHS[kind]):
        placed = scene.position[row] + _turned(outline * radius, scene.yaw[row])
        canvas.area(placed, tones[tone], None if number else edge)


def _draw_path(canvas: _Canvas, path: np.ndarray, colour: Colour) -> None:
    if len(path):
        canvas.line(path, (255, 255, 255), 0.11)
        canvas.line(path, colour, 0.06)
        canvas.area(path[-1, :2] + _ring(0.1), colour, (255, 255, 255))


def _draw_person(canvas: _Canvas, scene: Scene, row: int, state: State | None) -> None:
    look = int(scene.person_look[row]) % len(wardrobe().bag)
    shirt = _rgb(wardrobe().rgb[look, SHIRT])
    place = scene.person[row] if state is None else state.person[0, row, :2]
    towards = scene.person_goals[row, 0] - place if state is None else state.person[0, row, 2:]
    yaw = math.atan2(towards[1], towards[0])
    shoulders = _ring(PERSON_RADIUS_M) * (0.62, 1.0)
    nose = np.array([(0.1, -0.12), (0.34, 0.0), (0.1, 0.12)])
    canvas.area(place + _turned(nose, yaw), _INK)
    canvas.area(place + _turned(shoulders, yaw), shirt, _INK)
    canvas.area(place + _ring(0.11), (60, 44, 36))


def _draw_robot(canvas: _Canvas, pose: np.ndarray) -> None:
    canvas.area(pose[:2] + _ring(ROBOT_RADIUS_M), (255, 255, 255), _INK)
    arrow = np.array([(0.24, 0.0), (-0.14, 0.16), (-0.06, 0.0), (-0.14, -0.16)])
    canvas.area(pose[:2] + _turned(arrow, pose[2]), _ROBOT, _INK)


def _turned(points: np.ndarray, yaw: float) -> np.ndarray:
    cos, sin = math.cos(yaw), math.sin(yaw)
    return points @ np.array([(cos, sin), (-sin, cos)])


def _named(colour: int) -> Colour:
    return COLOUR_RGB[COLOURS[colour]]


def _rgb(row: np.ndarray) -> Colour:
    return int(row[0]), int(row[1]), int(row[2])


def _shaded(colour: Colour, factor: float) -> Colour:
    return int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor)


def _lightened(colour: Colour) -> Colour:
    return (colour[0] + 510) // 3, (colour[1] + 510) // 3, (colour[2] + 510) // 3
