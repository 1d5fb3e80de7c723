"""Where seen things stand: pixel to ground plane, and between robot frames."""

import math

import numpy as np
from jaxtyping import Float

from embodied_cf.datasets.contract import Episode
from embodied_cf.datasets.spec import CameraModel

RADIUS_M = (0.3, 0.7)
"""Least and largest radius of a thing's circle: thin legs need room too, and a wide crown is above the robot."""


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


def to_world(there: Float[np.ndarray, "n 3"], point: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Return points of the robot frames `there` in the odometry frame."""
    return there[:, :2] + _rotated(point, there[:, 2])


def from_world(here: Float[np.ndarray, "n 3"], point: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Return points of the odometry frame in the robot frames `here`."""
    return _rotated(point - here[:, :2], -here[:, 2])


def standing_points(
    boxes: Float[np.ndarray, "n 4"], camera: CameraModel, size: tuple[int, int]
) -> Float[np.ndarray, "n 2"]:
    """Return where boxed things stand, in the robot frame of their picture: the middle of the lower edge."""
    foot = np.stack([boxes[:, [0, 2]].mean(axis=1), boxes[:, 3]], axis=1)
    return ground_point(foot, camera, *size)


def standing_circles(
    boxes: Float[np.ndarray, "n 4"], camera: CameraModel, size: tuple[int, int]
) -> Float[np.ndarray, "n 3"]:
    """Return the circles on the ground that boxed things stand in: centre in the robot frame of the picture, radius, m.

    The lower edge shows the near side, at distance n; a circle whose half width is the share t of its distance has
    the radius n t / (1 - t), here kept within RADIUS_M. 0.3 m half width at 3 m: t = 0.1, so 2.7 m away in front.
    """
    near = standing_points(boxes, camera, size)
    away = np.maximum(np.hypot(near[:, 0], near[:, 1]), 1e-9)
    focal = size[0] / (2 * math.tan(math.radians(camera.horizontal_fov_deg) / 2))
    bearing = np.clip(near[:, 0] / away, 0.2, 1.0)
    share = np.clip((boxes[:, 2] - boxes[:, 0]) / (2 * focal) * bearing, 0.0, 0.9)
    radius = np.clip(away * share / (1 - share), *RADIUS_M)
    return np.concatenate([near * (1 + radius / away)[:, None], radius[:, None]], axis=1)


def frame_size(episode: Episode) -> tuple[int, int]:
    """Return width and height of the primary camera's frames, in pixels."""
    height, width, _ = next(iter(episode.cameras.values())).decode(0).shape
    return width, height


def _rotated(point: Float[np.ndarray, "n 2"], angle: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * point[:, 0] - sin * point[:, 1], sin * point[:, 0] + cos * point[:, 1]], axis=1)
