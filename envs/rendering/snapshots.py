"""Frames from places all over many scenes, with boxes of what they show, how far all is and where the floor ends: to
learn to see."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float16, Float32, Int, UInt8

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.driving.planner import Grid
from embodied_cf.envs.layouts.scenes import make_scene
from embodied_cf.envs.rendering.raycast_shading import FLOOR
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.rendering.visible import visible_things
from embodied_cf.envs.scene import Scene, stack
from embodied_cf.envs.splits import Split
from embodied_cf.envs.state import initial_state
from embodied_cf.language.instruction import COLOURS, SEEN_KINDS


@dataclass(frozen=True)
class Snapshots:
    """F frames with N boxed objects and doors in all."""

    rgb: UInt8[np.ndarray, "f h w 3"]
    frame: Int[np.ndarray, " n"]
    """Row of `rgb` in which each object lies."""
    box: Float[np.ndarray, "n 4"]
    """x0, y0, x1, y1 around its visible part, as shares of the frame."""
    kind: Int[np.ndarray, " n"]
    """Index into SEEN_KINDS."""
    colour: Int[np.ndarray, " n"]
    pixels: Int[np.ndarray, " n"]
    floor: Float32[np.ndarray, "f w"]
    """Share of the frame's height down to where the free floor begins, in each column: below, all is floor."""
    closeness: Float16[np.ndarray, "f h w"]
    """1 / distance along the optical axis, 1/m; 0 for the sky."""


def take_snapshots(world: str, split: Split, seeds: Sequence[int], poses: int, camera: Camera) -> Snapshots:
    """Return `poses` frames of each scene, from free places and in directions drawn at random."""
    scenes = [
        moved for seed in seeds for moved in _anywhere(make_scene(world, split, seed, people=(0, 3)), seed, poses)
    ]
    frames = render(stack(scenes), initial_state(scenes), camera)
    shown = [
        visible_things(frames.segmentation[index : index + 1], scene, scene.start[None], camera)[0]
        for index, scene in enumerate(scenes)
    ]
    things = [thing for row in shown for thing in row]
    names = [thing.name.split() for thing in things]
    size = np.array([camera.width, camera.height] * 2)
    return Snapshots(
        frames.rgb,
        np.repeat(np.arange(len(scenes)), [len(row) for row in shown]),
        np.array([thing.box for thing in things]).reshape(-1, 4) / size,
        np.array([SEEN_KINDS.index(kind) for _, kind in names], np.int64),
        np.array([COLOURS.index(colour) for colour, _ in names], np.int64),
        np.array([thing.pixels for thing in things], np.int64),
        floor_lines(frames.segmentation),
        (1 / frames.depth).astype(np.float16),
    )


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
