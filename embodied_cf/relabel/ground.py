"""Where seen things stand: pixel to ground plane, between robot frames, and whether other frames agree."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.datasets.contract import Episode
from embodied_cf.datasets.spec import CameraModel
from embodied_cf.language.vocabulary import normalise
from embodied_cf.relabel.stages import Context, Proposals
from embodied_cf.vlm.captions import SeenObject

NEARBY_STEPS = 12
"""Frames within so many steps are asked whether they saw the thing too."""
_AGREE_M, _AGREE_SHARE = 0.6, 0.3
"""Two sightings agree if they are nearer than this, m, or than this share of the distance."""
_INSIDE = 0.85
"""Share of the half field of view within which a thing should have been seen."""
_FURTHEST_M = 8.0
"""Things further off may be missed without that meaning anything."""


def ground_point(
    pixel: Float[np.ndarray, "n 2"], camera: CameraModel, width: int, height: int
) -> Float[np.ndarray, "n 2"]:
    """Return where the rays of pixels (x right, y down) meet the ground, m forward and left; nan above the horizon.

    Worked example: a level camera at 0.6 m with 90 degrees across 64 pixels has a focal length of 32; the
    pixel (32, 48) of a 64x64 frame looks 16/32 down, so it meets the ground 0.6 / 0.5 = 1.2 m ahead.
    """
    focal = width / (2 * math.tan(math.radians(camera.horizontal_fov_deg) / 2))
    right, down = (pixel[:, 0] - width / 2) / focal, (pixel[:, 1] - height / 2) / focal
    pitch = math.radians(camera.pitch_deg)
    forward = math.cos(pitch) - down * math.sin(pitch)
    drop = math.sin(pitch) + down * math.cos(pitch)
    meets = (drop > 1e-6) & (forward > 0)
    depth = np.where(meets, camera.height_m / np.where(meets, drop, 1.0), np.nan)
    return np.stack([forward * depth, -right * depth], axis=1)


def between_frames(
    there: Float[np.ndarray, "n 3"], here: Float[np.ndarray, "n 3"], point: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 2"]:
    """Return points of the robot frames `there` in the frames `here`; both are poses in one odometry frame."""
    world = there[:, :2] + _rotated(point, there[:, 2])
    return _rotated(world - here[:, :2], -here[:, 2])


def standing_points(
    boxes: Float[np.ndarray, "n 4"], camera: CameraModel, size: tuple[int, int]
) -> Float[np.ndarray, "n 2"]:
    """Return where boxed things stand, in the robot frame of their picture: the middle of the lower edge."""
    foot = np.stack([boxes[:, [0, 2]].mean(axis=1), boxes[:, 3]], axis=1)
    return ground_point(foot, camera, *size)


def frame_size(episode: Episode) -> tuple[int, int]:
    """Return width and height of the primary camera's frames, in pixels."""
    height, width, _ = next(iter(episode.cameras.values())).decode(0).shape
    return width, height


@dataclass(frozen=True)
class GroundingCheck:
    """Cross-examines one frame's sighting by the captioner's answers for the frames around it."""

    camera: CameraModel

    def support(self, context: Context, proposals: Proposals, names: Sequence[str]) -> Float[np.ndarray, " p"]:
        """Return in [0, 1] how far other frames confirm each goal; 0.5 where none could.

        (1 + confirming) / (2 + confirming + missing): a frame that was captioned and should show the thing,
        yet does not have it, speaks against it. This is what unmasks what a model makes up frame by frame.
        """
        seen = [item for item in context.captions.objects if item.box is not None]
        steps = np.array(sorted({item.step for item in context.captions.objects}), np.int64)
        size = frame_size(context.episode)
        where = standing_points(np.array([item.box for item in seen], np.float64).reshape(-1, 4), self.camera, size)
        own = standing_points(proposals.box, self.camera, size)
        return np.array(
            [
                self._one(context, seen, where, steps, int(step), point, normalise(name))
                for step, point, name in zip(proposals.seen, own, names, strict=True)
            ]
        )

    def _one(
        self,
        context: Context,
        seen: list[SeenObject],
        where: Float[np.ndarray, "n 2"],
        steps: Int64[np.ndarray, " k"],
        step: int,
        point: Float[np.ndarray, " 2"],
        name: str,
    ) -> float:
        nearby = steps[(np.abs(steps - step) <= NEARBY_STEPS) & (steps != step)]
        here = context.track[np.full(len(nearby), step)]
        expected = between_frames(here, context.track[nearby], np.tile(point, (len(nearby), 1)))
        confirming = missing = 0
        for other, place, visible in zip(nearby.tolist(), expected, self._visible(expected), strict=True):
            found = [where[i] for i, item in enumerate(seen) if item.step == other and normalise(item.name) == name]
            if any(_near(place, candidate) for candidate in found):
                confirming += 1
            elif visible:
                missing += 1
        return (1 + confirming) / (2 + confirming + missing)

    def _visible(self, point: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
        bearing = np.abs(np.arctan2(point[:, 1], point[:, 0]))
        limit = _INSIDE * math.radians(self.camera.horizontal_fov_deg) / 2
        distance = np.hypot(*point.T)
        return (bearing <= limit) & (distance <= _FURTHEST_M) & (distance >= self.camera.height_m)


def _near(expected: Float[np.ndarray, " 2"], found: Float[np.ndarray, " 2"]) -> bool:
    gap = float(np.hypot(*(expected - found)))
    return gap <= max(_AGREE_M, _AGREE_SHARE * float(np.hypot(*expected)))


def _rotated(point: Float[np.ndarray, "n 2"], angle: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * point[:, 0] - sin * point[:, 1], sin * point[:, 0] + cos * point[:, 1]], axis=1)
