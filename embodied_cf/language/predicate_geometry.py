"""Plane geometry of the predicates, vectorised. Robot frame: x forward, y left; angles in rad."""

import numpy as np
from jaxtyping import Bool, Float64

_TINY = 1e-12


def wrap(angle: Float64[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
    """Return angles in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def cross(a: Float64[np.ndarray, "*n 2"], b: Float64[np.ndarray, "*n 2"]) -> Float64[np.ndarray, "*n"]:
    """Return a x b: positive where b points to the left of a."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def in_frame(pose: Float64[np.ndarray, "n 3"], points: Float64[np.ndarray, "n k 2"]) -> Float64[np.ndarray, "n k 2"]:
    """Return world points in the frame of a pose: (1, 1) seen from (0, 1, pi/2) is (0, -1)."""
    offset = points - pose[:, None, :2]
    cos, sin = np.cos(pose[:, 2])[:, None], np.sin(pose[:, 2])[:, None]
    return np.stack([cos * offset[..., 0] + sin * offset[..., 1], cos * offset[..., 1] - sin * offset[..., 0]], axis=-1)


def clearance(pose: Float64[np.ndarray, "n 3"], walls: Float64[np.ndarray, "n w 4"]) -> Float64[np.ndarray, "2 n"]:
    """Return the distance to the nearest wall point on the left and on the right, m; inf where there is none.

    A side reaches 45 degrees forward and back of its normal. The nearest point of such a sector is never
    hidden by another wall.
    """
    start, end = in_frame(pose, walls[..., :2]), in_frame(pose, walls[..., 2:])
    along = end - start
    foot = -(start * along).sum(axis=-1) / np.maximum((along**2).sum(axis=-1), _TINY)
    found = [_nearest_in_sector(start, along, foot, side) for side in (1.0, -1.0)]
    return np.stack(found)


def _nearest_in_sector(
    start: Float64[np.ndarray, "n w 2"], along: Float64[np.ndarray, "n w 2"], foot: Float64[np.ndarray, "n w"],
    side: float,
) -> Float64[np.ndarray, " n"]:  # fmt: skip
    low, high = np.zeros_like(foot), np.ones_like(foot)
    for edge in (1.0, -1.0):  # the part of the segment with side * y >= |x|
        inside, slope = side * start[..., 1] + edge * start[..., 0], side * along[..., 1] + edge * along[..., 0]
        bound = -inside / np.where(np.abs(slope) < _TINY, _TINY, slope)
        low, high = (
            np.where(slope >= -_TINY, np.maximum(low, bound), low),
            np.where(slope < -_TINY, np.minimum(high, bound), high),
        )
    nearest = np.clip(foot, low, np.maximum(low, high))
    point = start + nearest[..., None] * along
    return np.where(low <= high, np.hypot(point[..., 0], point[..., 1]), np.inf).min(axis=-1, initial=np.inf)


def blocked(
    origin: Float64[np.ndarray, "k 2"], target: Float64[np.ndarray, "k 2"], walls: Float64[np.ndarray, "k w 4"]
) -> Bool[np.ndarray, " k"]:
    """Return whether a wall crosses the line of sight from origin to target."""
    start, end = walls[..., :2], walls[..., 2:]
    sight = (target - origin)[:, None]
    apart = cross(sight, start - origin[:, None]) * cross(sight, end - origin[:, None]) < 0
    wall = end - start
    across = cross(wall, origin[:, None] - start) * cross(wall, target[:, None] - start) < 0
    return (apart & across).any(axis=1)
