"""Frames from places all over many scenes, with boxes of what they show and where the floor ends: to learn to see."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.driving.planner import Grid
from embodied_cf.envs.layouts.scenes import make_scene
from embodied_cf.envs.rendering.raycast_shading import FLOOR
from embodied_cf.envs.rendering.render import FIRST_OBJECT, Camera, render
from embodied_cf.envs.rendering.visible import bounding_boxes
from embodied_cf.envs.scene import Scene, stack
from embodied_cf.envs.splits import Split
from embodied_cf.envs.state import initial_state


@dataclass(frozen=True)
class Snapshots:
    """F frames with N boxed objects in all."""

    rgb: UInt8[np.ndarray, "f h w 3"]
    frame: Int[np.ndarray, " n"]
    """Row of `rgb` in which each object lies."""
    box: Float[np.ndarray, "n 4"]
    """x0, y0, x1, y1 around its visible part, as shares of the frame."""
    kind: Int[np.ndarray, " n"]
    colour: Int[np.ndarray, " n"]
    pixels: Int[np.ndarray, " n"]
    floor: Float32[np.ndarray, "f w"]
    """Share of the frame's height down to where the free floor begins, in each column: below, all is floor."""


def take_snapshots(world: str, split: Split, seeds: Sequence[int], poses: int, camera: Camera) -> Snapshots:
    """Return `poses` frames of each scene, from free places and in directions drawn at random."""
    scenes = [
        moved for seed in seeds for moved in _anywhere(make_scene(world, split, seed, people=(0, 3)), seed, poses)
    ]
    frames = render(stack(scenes), initial_state(scenes), camera)
    shown = [_objects(frames.segmentation[index], scene) for index, scene in enumerate(scenes)]
    count = [len(rows) for rows, _, _ in shown]
    kind = [scene.kind[rows] for scene, (rows, _, _) in zip(scenes, shown, strict=True)]
    colour = [scene.colour[rows] for scene, (rows, _, _) in zip(scenes, shown, strict=True)]
    size = np.array([camera.width, camera.height] * 2)
    box, pixels = (np.concatenate([part[index] for part in shown]) for index in (1, 2))
    frame = np.repeat(np.arange(len(scenes)), count)
    return Snapshots(frames.rgb, frame, box / size, np.concatenate(kind), np.concatenate(colour), pixels,
                     floor_lines(frames.segmentation))  # fmt: skip


def floor_lines(segmentation: UInt8[np.ndarray, "f h w"]) -> Float32[np.ndarray, "f w"]:
    """Return where the unbroken floor begins that reaches up from the lower edge, as a share of the height."""
    run = np.cumprod(segmentation[:, ::-1] == FLOOR, axis=1).sum(axis=1)
    return (1 - run / segmentation.shape[1]).astype(np.float32)


def _anywhere(scene: Scene, seed: int, poses: int) -> list[Scene]:
    """Return the scene with the robot at random free places; most look at an object."""
    rng = generator(seed, "snapshots")
    grid = Grid.of(scene)
    free = grid.centres[grid.free]
    place = free[rng.integers(len(free), size=poses)]
    target = scene.position[rng.integers(len(scene.position), size=poses)]
    towards = np.arctan2(*(target - place).T[::-1]) + rng.uniform(-0.7, 0.7, poses)
    yaw = np.where(rng.random(poses) < 0.75, towards, rng.uniform(-np.pi, np.pi, poses))
    return [replace(scene, start=np.array([*at, angle])) for at, angle in zip(place, yaw.tolist(), strict=True)]


def _objects(segmentation: UInt8[np.ndarray, "h w"], scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of the visible objects, their boxes in pixels, and their pixel counts."""
    mask = segmentation == FIRST_OBJECT + np.arange(len(scene.kind))[:, None, None]
    pixels = mask.sum(axis=(1, 2))
    rows = np.flatnonzero(pixels)
    return rows, bounding_boxes(mask)[rows], pixels[rows]
