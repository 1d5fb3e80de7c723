"""Plane geometry of the predicates, vectorised. Robot frame: x forward, y left; angles in rad."""

import numpy as np
from jaxtyping import Bool, Float, Float64

_TINY = 1e-12
_LEFT_THEN_RIGHT = np.array([True, False])[:, None, None]


def wrap(angle: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Return angles in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def length(vector: Float64[np.ndarray, "... 2"]) -> Float64[np.ndarray, "..."]:
    """Return the lengths of vectors; ten times as fast as hypot, which guards against overflow."""
    return np.sqrt(vector[..., 0] * vector[..., 0] + vector[..., 1] * vector[..., 1])


def cross(a: Float64[np.ndarray, "... 2"], b: Float64[np.ndarray, "... 2"]) -> Float64[np.ndarray, "..."]:
    """Return a x b: positive where b points to the left of a."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def dot(a: Float64[np.ndarray, "... 2"], b: Float64[np.ndarray, "... 2"]) -> Float64[np.ndarray, "..."]:
    """Return the scalar products of vectors."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1]


def in_frame(pose: Float64[np.ndarray, "n 3"], points: Float64[np.ndarray, "n k 2"]) -> Float64[np.ndarray, "n k 2"]:
    """Return world points in the frame of a pose: (1, 1) seen from (0, 1, pi/2) is (0, -1)."""
    offset = points - pose[:, None, :2]
    cos, sin = np.cos(pose[:, 2])[:, None], np.sin(pose[:, 2])[:, None]
    return np.stack([cos * offset[..., 0] + sin * offset[..., 1], cos * offset[..., 1] - sin * offset[..., 0]], axis=-1)


def out_of_frame(pose: Float64[np.ndarray, "n 3"], points: Float[np.ndarray, "n k 2"]) -> Float64[np.ndarray, "n k 2"]:
    """Return points given in the frame of a pose in the world: (0, -1) from (0, 1, pi/2) is (1, 1)."""
    cos, sin = np.cos(pose[:, 2])[:, None], np.sin(pose[:, 2])[:, None]
    turned = np.stack(
        [cos * points[..., 0] - sin * points[..., 1], sin * points[..., 0] + cos * points[..., 1]], axis=-1
    )
    return pose[:, None, :2] + turned


def clearance(pose: Float64[np.ndarray, "n 3"], walls: Float64[np.ndarray, "n w 4"]) -> Float64[np.ndarray, "2 n"]:
    """Return the distance to the nearest wall point on the left and on the right, m; inf where there is none.

    A side reaches 45 degrees forward and back of its normal. The nearest point of such a sector is never
    hidden by another wall. Pose (0, 0, 0) and the wall (-1, 2, 1, 2) give (2, inf).
    """
    x, y, across, along = _segments(pose, walls)
    foot = -(x * across + y * along) / np.maximum(across * across + along * along, _TINY)
    # where the segment meets the diagonals y = x and y = -x, as a share of its length; a side's sector lies past
    # such a root where the segment rises into it, and before it otherwise: (2, n, w)
    (root, past), (other, beyond) = _root(y - x, along - across), _root(y + x, along + across)
    low = np.maximum(np.maximum(np.where(past, root, 0.0), np.where(beyond, other, 0.0)), 0.0)
    high = np.minimum(np.minimum(np.where(past, 1.0, root), np.where(beyond, 1.0, other)), 1.0)
    share = np.minimum(np.maximum(foot, low), high)
    near_x, near_y = x + share * across, y + share * along
    square = np.where(low <= high, near_x * near_x + near_y * near_y, np.inf)
    return np.sqrt(square.min(axis=-1, initial=np.inf))


def _segments(pose: np.ndarray, walls: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Starts of the walls in the robot's frame, and their extents there."""
    cos, sin = np.cos(pose[:, 2])[:, None], np.sin(pose[:, 2])[:, None]
    dx, dy = walls[..., 0] - pose[:, 0, None], walls[..., 1] - pose[:, 1, None]
    ex, ey = walls[..., 2] - walls[..., 0], walls[..., 3] - walls[..., 1]
    return cos * dx + sin * dy, cos * dy - sin * dx, cos * ex + sin * ey, cos * ey - sin * ex


def _root(value: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rising = slope > -_TINY
    return -value / np.where(np.abs(slope) < _TINY, _TINY, slope), rising == _LEFT_THEN_RIGHT


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
