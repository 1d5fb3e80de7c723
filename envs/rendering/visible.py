"""What each frame shows, told from its segmentation: which objects and doors, in which box, by how many pixels."""

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from embodied_cf.datasets.privileged import Visible, VisibleThing
from embodied_cf.envs.rendering.render import DOOR, FIRST_OBJECT, Camera
from embodied_cf.envs.scene import Scene

_SPARE = 0.02
"""Share of its width by which a door may seem wider: pixels at its edges belong to it too."""


def names_of(scene: Scene) -> tuple[str, ...]:
    """Return "colour kind" of each thing: objects in their order, then doors, as `Scene.surroundings` has them."""
    seen = scene.surroundings()
    return tuple(f"{colour} {kind}" for colour, kind in zip(seen.colour, seen.kind, strict=True))


def visible_things(
    segmentation: UInt8[np.ndarray, "t h w"], scene: Scene, pose: Float64[np.ndarray, "t 3"], camera: Camera
) -> Visible:
    """Return the objects and doors that each frame of one scene shows; `pose` is where the robot was."""
    frames: list[list[VisibleThing]] = [[] for _ in segmentation]
    doors = _doors(scene, pose, camera)
    for row, name in enumerate(names_of(scene)):
        door = row - len(scene.kind)
        shown = segmentation == FIRST_OBJECT + row if door < 0 else (segmentation == DOOR) & (doors == door)[:, None]
        pixels = shown.sum(axis=(1, 2))
        box = bounding_boxes(shown)
        for step in np.flatnonzero(pixels).tolist():
            x0, y0, x1, y1 = box[step].tolist()
            frames[step].append(
                VisibleThing(row, name, (float(x0), float(y0), float(x1), float(y1)), int(pixels[step]))
            )
    return tuple(tuple(frame) for frame in frames)


def _doors(scene: Scene, pose: Float64[np.ndarray, "t 3"], camera: Camera) -> Int64[np.ndarray, "t w"]:
    """Return which door each column of each frame meets first, -1 for none: segmentation does not tell them apart."""
    walls = scene.walls[scene.door_colour >= 0]
    if not len(walls):
        return np.full((len(pose), camera.width), -1)
    focal = camera.width / (2 * np.tan(np.radians(camera.horizontal_fov_deg) / 2))
    yaw = pose[:, 2, None] - np.arctan((np.arange(camera.width) + 0.5 - camera.width / 2) / focal)
    ray = np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)[:, :, None]  # (t, w, 1, 2)
    begin, along = walls[:, :2] - pose[:, None, None, :2], walls[:, 2:] - walls[:, :2]
    turned = _cross(ray, along)
    turned = np.where(np.abs(turned) < 1e-9, 1e-9, turned)
    distance, share = _cross(begin, along) / turned, _cross(begin, ray) / turned
    met = np.where((distance > 0) & (share >= -_SPARE) & (share <= 1 + _SPARE), distance, np.inf)
    return np.where(np.isfinite(met).any(axis=2), met.argmin(axis=2), -1)


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]


def bounding_boxes(mask: Bool[np.ndarray, "t h w"]) -> Int64[np.ndarray, "t 4"]:
    """Return x0, y0, x1, y1 (exclusive) around the true pixels of each mask; of no meaning where none is."""
    _, height, width = mask.shape
    columns, rows = np.any(mask, axis=1), np.any(mask, axis=2)
    low = (columns.argmax(axis=1), rows.argmax(axis=1))
    high = (width - columns[:, ::-1].argmax(axis=1), height - rows[:, ::-1].argmax(axis=1))
    return np.stack([*low, *high], axis=1)
