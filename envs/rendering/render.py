"""What robots see: RGB, depth and segmentation of many worlds at once.

The camera stands above the robot's centre, level, and looks ahead; pixels are square. Pixel (column c, row r) looks
through (c + 0.5, r + 0.5). Pictures depend on their world, state and camera only, not on the rest of the batch.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from embodied_cf.envs.rendering import catalogue, catalogue_people, raycast, raycast_things, textures
from embodied_cf.envs.rendering.raycast_shading import CEILING, DOOR, FLOOR, SKY, WALL
from embodied_cf.envs.rendering.raycast_things import FIRST_OBJECT, FIRST_PERSON
from embodied_cf.envs.scene import CEILING_STYLES, COLOUR_RGB, DOOR_STYLE, FLOOR_STYLES, WALL_STYLES, Worlds
from embodied_cf.envs.state import State
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import KINDS

__all__ = ["CEILING", "DOOR", "FIRST_OBJECT", "FIRST_PERSON", "FLOOR", "SKY", "WALL", "Camera", "Frames", "render"]


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera; raises UsageError for what cannot be built."""

    width: int
    height: int
    horizontal_fov_deg: float = 90.0
    height_m: float = 0.6

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise UsageError(f"a picture of {self.width}x{self.height} pixels has none")
        if not 1.0 <= self.horizontal_fov_deg <= 170.0:
            raise UsageError(f"a horizontal field of view of {self.horizontal_fov_deg} degrees is not in [1, 170]")
        if not self.height_m > 0:
            raise UsageError(f"a camera height of {self.height_m} m is not above the floor")

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.width / (2 * math.tan(math.radians(self.horizontal_fov_deg) / 2))


@dataclass(frozen=True)
class Frames:
    """B pictures."""

    rgb: UInt8[np.ndarray, "b h w 3"]
    depth: Float32[np.ndarray, "b h w"]
    """Metres along the optical axis (not along the ray), inf for sky."""
    segmentation: UInt8[np.ndarray, "b h w"]
    """SKY, FLOOR, CEILING, WALL, DOOR, FIRST_OBJECT + object row, FIRST_PERSON + person row."""


class _Columns(NamedTuple):
    """The columns of `Worlds` that are drawn, as the kernels take them."""

    walls: np.ndarray
    wall_height: np.ndarray
    wall_style: np.ndarray
    wall_rgb: np.ndarray
    floor_style: np.ndarray
    floor_rgb: np.ndarray
    ceiling_style: np.ndarray
    ceiling_rgb: np.ndarray
    ceiling_height: np.ndarray
    light: np.ndarray
    kind: np.ndarray
    colour: np.ndarray
    position: np.ndarray
    yaw: np.ndarray
    scale: np.ndarray
    radius: np.ndarray
    person_look: np.ndarray
    num_walls: np.ndarray
    num_objects: np.ndarray
    num_people: np.ndarray


class _Colours(NamedTuple):
    named: Float64[np.ndarray, "colours 3"]
    fixed: Float64[np.ndarray, "roles 3"]


def render(worlds: Worlds, state: State, camera: Camera, threads: int = 1) -> Frames:
    """Draw what each robot sees. `threads` > 1 shares the batch out; the pictures are the same bytes."""
    count = _checked(worlds, state, camera, threads)
    shape = (count, camera.height, camera.width)
    frames = Frames(np.empty((*shape, 3), np.uint8), np.empty(shape, np.float32), np.empty(shape, np.uint8))
    columns = _Columns(*(np.ascontiguousarray(getattr(worlds, name)) for name in _Columns._fields))
    moving = [np.ascontiguousarray(part) for part in (state.pose, state.person, state.person_phase)]
    closed, lights = np.empty((count, camera.width)), np.empty((count, 5))
    pictures = (frames.rgb, frames.depth, frames.segmentation, closed, lights)
    lens, (texture, *looks) = raycast.Lens(float(camera.focal), float(camera.height_m)), _looks()

    def draw(first: int, last: int) -> None:
        memory = raycast.scratch(camera.height, camera.width, worlds.walls.shape[1])
        raycast.draw_backgrounds(first, last, columns, moving[0], *pictures, memory, lens, texture)
        raycast_things.draw_things(first, last, columns, *moving, *pictures, np.empty((16, 3)), lens, *looks)

    edges = [count * part // threads for part in range(threads + 1)]
    if threads == 1:
        draw(0, count)
    else:
        # The kernel runs without the global lock, so plain threads share it; unlike numba's own they survive a fork.
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(draw, edges[:-1], edges[1:]))
    return frames


def _checked(worlds: Worlds, state: State, camera: Camera, threads: int) -> int:
    if len(worlds) != len(state):
        raise UsageError(f"{len(worlds)} worlds and {len(state)} states cannot be drawn together")
    if threads < 1:
        raise UsageError(f"{threads} threads cannot draw; ask for 1 or more")
    lowest = np.min(worlds.ceiling_height, where=worlds.ceiling_style != 0, initial=math.inf)
    if camera.height_m >= lowest:
        raise UsageError(f"a camera at {camera.height_m} m is not below a ceiling at {lowest} m")
    return len(worlds)


@lru_cache(maxsize=1)
def _looks() -> tuple[Any, ...]:
    """Return textures, catalogues and colours, as the kernels take them."""
    texel = textures.textures()
    texture = raycast.Texture(
        texel.ravel(),
        textures.second_colours(),
        textures.level_offsets(),
        np.array([style in textures.STRETCHED for style in WALL_STYLES]),
        texel.shape[1],
        textures.TILE / textures.TILE_M,
        len(WALL_STYLES),
        len(WALL_STYLES) + len(FLOOR_STYLES),
        DOOR_STYLE,
    )
    assert len(texel) == len(WALL_STYLES) + len(FLOOR_STYLES) + len(CEILING_STYLES)
    colours = _Colours(np.array([*COLOUR_RGB.values()], np.float64), np.array(catalogue.FIXED_RGB, np.float64))
    parts = catalogue.table((*(catalogue.PARTS[kind] for kind in KINDS), catalogue_people.BODY))
    return texture, parts, catalogue_people.wardrobe(), colours
