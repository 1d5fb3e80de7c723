"""The gallery, contact sheets of objects, people and worlds: `python -m embodied_cf.envs.rendering.gallery DIR`."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from embodied_cf.envs.rendering import gallery_worlds
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.scene import Scene, stack
from embodied_cf.envs.state import initial_state
from embodied_cf.language.instruction import COLOURS, KINDS

DISTANCE_M = 2.0
_SIDES = tuple(math.pi + side * math.pi / 4 for side in range(8))
_SHOWN = ("red", "green", "orange", "orange", "blue", "purple", "green", "blue", "yellow", "purple")
"""Colour of each kind on the sheets that show sides."""


def booth(kind: int = 0, colour: int = 0, yaw: float = 0.0, objects: int = 1, people: int = 0, look: int = 0) -> Scene:
    """Return a plain room of 8 m a side with one object or one person DISTANCE_M before the camera."""
    corners = np.array([(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)])
    place = np.array([(DISTANCE_M, 0.0)])
    return Scene(
        family="rooms",
        walls=np.concatenate([corners, np.roll(corners, -1, axis=0)], axis=1),
        wall_height=np.full(4, 2.6),
        wall_style=np.zeros(4, np.int32),
        wall_rgb=np.tile(np.array((205, 198, 184), np.uint8), (4, 1)),
        door_colour=np.full(4, -1, np.int32),
        floor_style=0,
        floor_rgb=np.array((160, 130, 100), np.uint8),
        ceiling_style=1,
        ceiling_rgb=np.array((225, 225, 220), np.uint8),
        ceiling_height=2.6,
        light=np.array([0.55, 0.45, 2.2, 0.9]),
        kind=np.full(objects, kind, np.int32),
        colour=np.full(objects, colour, np.int32),
        position=np.repeat(place, objects, axis=0),
        yaw=np.full(objects, yaw),
        scale=np.ones(objects),
        person=np.repeat(place, people, axis=0),
        person_goals=np.zeros((people, 1, 2)),
        person_speed=np.ones(people),
        person_look=np.full(people, look, np.int32),
        start=np.zeros(3),
    )


def object_sides(size: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return all KINDS, one a row, from 8 sides in pictures of size x size."""
    scenes = [booth(kind, COLOURS.index(_SHOWN[kind]), yaw) for kind in range(len(KINDS)) for yaw in _SIDES]
    return sheet(render(stack(scenes), initial_state(scenes), Camera(size, size)).rgb, 8)


def object_colours(size: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return all KINDS, one a row, in all COLOURS."""
    scenes = [booth(kind, colour, _SIDES[0] + 0.6) for kind in range(len(KINDS)) for colour in range(len(COLOURS))]
    return sheet(render(stack(scenes), initial_state(scenes), Camera(size, size)).rgb, len(COLOURS))


def people_walking(size: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return 6 looks, one a row, walking in 8 directions."""
    scenes = [booth(objects=0, people=1, look=look) for look in range(6) for _ in _SIDES]
    state = initial_state(scenes)
    person, phase = state.person.copy(), state.person_phase.copy()
    heading = np.tile(_SIDES, 6)
    person[:, 0, 2], person[:, 0, 3], phase[:, 0] = np.cos(heading), np.sin(heading), np.arange(len(heading)) * 1.1
    return sheet(render(stack(scenes), replace(state, person=person, person_phase=phase), Camera(size, size)).rgb, 8)


def sheet(frames: UInt8[np.ndarray, "n h w 3"], columns: int) -> UInt8[np.ndarray, "sh sw 3"]:
    """Return frames in rows of `columns`, two white pixels apart; the last row must be full."""
    _, height, width, _ = frames.shape
    apart = np.pad(frames, ((0, 0), (0, 2), (0, 2), (0, 0)), constant_values=255)
    rows = apart.reshape(-1, columns, height + 2, width + 2, 3)
    return rows.transpose(0, 2, 1, 3, 4).reshape(-1, columns * (width + 2), 3)


def main() -> None:
    """Write the sheets into the directory that the command line names."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    sheets = {
        "objects_64.png": object_sides(64),
        "objects_224.jpg": object_sides(224),
        "colours_64.png": object_colours(64),
        "people_128.jpg": people_walking(128),
        "worlds_224.jpg": gallery_worlds.worlds(224),
        "maps.png": gallery_worlds.maps(360),
        "social.jpg": gallery_worlds.social(200),
        "tabletop.jpg": gallery_worlds.table(240),
    }
    for name, picture in sheets.items():
        png = name.endswith("png")
        options = [cv2.IMWRITE_PNG_COMPRESSION, 9] if png else [cv2.IMWRITE_JPEG_QUALITY, 88]
        cv2.imwrite(str(out / name), picture[..., ::-1], options)


if __name__ == "__main__":
    main()
