"""From waypoint chunks to what the drive understands: pure pursuit over the chunk's points at their timing."""

import numpy as np
from jaxtyping import Bool, Float, Float64

from embodied_cf.envs.state import MAX_SPEED, MAX_TURN, PERIOD_S
from embodied_cf.language.predicate_geometry import in_frame, out_of_frame

LOOKAHEAD_M = 0.3
"""The first waypoint at least so far away is aimed at, or else the one furthest away."""
STILL_M = 0.02
"""A chunk that stays this near is a stop."""
TURNING_SPEED = 0.12
"""Of the tightest arc, m/s: waypoints cannot show a turn on the spot, so the robot never needs one."""


def follow(chunk: Float[np.ndarray, "b h 2"], mask: Bool[np.ndarray, "b h"]) -> Float64[np.ndarray, "b 2"]:
    """Return (v m/s, w rad/s) that drives along each chunk for one control period.

    chunk: (x, y) m in the robot's frame now; row i is due (i + 1) * PERIOD_S from now, where mask is set. The robot
    takes the arc through the waypoint ahead (Coulter 1992, CMU-RI-TR-92-01), timed to be there when it is due, slower
    where the arc is too tight. A waypoint behind is turned to on the tightest arc. No waypoint further off than
    STILL_M is a stop: (0, 0). (0.25, 0) in one period is 1 m/s straight on: (1, 0).
    """
    points = np.where(mask[..., None], chunk, 0.0).astype(np.float64)
    distance = np.hypot(points[..., 0], points[..., 1])
    at = _ahead(distance)
    rows = np.arange(len(points))
    x, y, away = points[rows, at, 0], points[rows, at, 1], np.maximum(distance[rows, at], 1e-9)
    half = np.arctan2(y, x)
    curvature = 2 * np.sin(half) / away
    speed = away / np.maximum(np.sinc(half / np.pi), 1e-9) / ((at + 1) * PERIOD_S)
    tight = np.where(y < 0, -1.0, 1.0) * MAX_TURN / TURNING_SPEED
    curvature = np.where(x <= 0, tight, np.clip(curvature, -abs(tight), abs(tight)))
    speed = np.minimum(speed, np.minimum(MAX_SPEED, MAX_TURN / np.maximum(np.abs(curvature), 1e-9)))
    speed = np.where(x <= 0, TURNING_SPEED, speed)
    going = (distance.max(axis=1, initial=0.0) > STILL_M)[:, None]
    return np.where(going, np.stack([speed, speed * curvature], axis=1), 0.0)


def _ahead(distance: Float64[np.ndarray, "b h"]) -> np.ndarray:
    """Return the row to aim at: the first at LOOKAHEAD_M or beyond, or else the furthest."""
    return np.argmax(np.minimum(distance, LOOKAHEAD_M), axis=1)


def seen_from(
    chunk: Float[np.ndarray, "b h 2"], origin: Float64[np.ndarray, "b 3"], pose: Float64[np.ndarray, "b 3"]
) -> Float64[np.ndarray, "b h 2"]:
    """Return a chunk that was given in the frame of `origin` (x, y m, yaw rad) in the frame of `pose`."""
    return in_frame(pose, out_of_frame(origin, chunk))


def pose_from(origin: Float64[np.ndarray, "b 3"], pose: Float64[np.ndarray, "b 3"]) -> Float64[np.ndarray, "b 3"]:
    """Return poses (x, y m, yaw rad, not wrapped) in the frame of origins."""
    place = in_frame(origin, pose[:, None, :2])[:, 0]
    return np.concatenate([place, pose[:, 2:] - origin[:, 2:]], axis=1)
