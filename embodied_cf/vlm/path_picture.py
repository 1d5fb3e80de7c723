"""The path of a robot as a picture for a model to look at: what the filter judges words against."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8

SIDE = 256
"""Pixels of a panel, square."""
_MARGIN = 24
_INK, _FAINT, _START, _END = (60, 60, 60), (215, 215, 215), (80, 160, 0), (40, 40, 220)
"""BGR: path, axes through the start, first point (green), last point (red)."""


def draw_path(track: Float[np.ndarray, "k d"], kind: Literal["nav", "arm"]) -> bytes:
    """Return a PNG of a track (see `datasets.motion.track_of`) in the frame of its first row.

    A panel from above: forward is up, left is left. An arm's has a second panel beside it: height over time,
    up is up. Both panels share one scale, in which the longest extent fills a panel.
    """
    offset = _from_start(track, kind)
    above = np.stack([-offset[:, 1], offset[:, 0]], axis=1)  # right, up
    panels = [above]
    reach = max(float(np.abs(offset).max()), 1e-9)
    if kind == "arm":
        time = np.linspace(-reach, reach, len(offset))
        panels.append(np.stack([time, offset[:, 2]], axis=1))
    picture = np.hstack([_panel(points, reach) for points in panels])
    return bytes(cv2.imencode(".png", picture)[1])


def _from_start(track: Float[np.ndarray, "k d"], kind: str) -> Float[np.ndarray, "k 3"]:
    """Return x forward, y left, z up from the first row; an arm's axes are its base's."""
    if kind == "arm":
        return track[:, :3] - track[0, :3]
    (x, y), yaw = (track[:, :2] - track[0, :2]).T, track[0, 2]
    ahead, left = np.cos(yaw) * x + np.sin(yaw) * y, np.cos(yaw) * y - np.sin(yaw) * x
    return np.stack([ahead, left, np.zeros(len(track))], axis=1)


def _panel(points: Float[np.ndarray, "k 2"], reach: float) -> UInt8[np.ndarray, "s s 3"]:
    """Draw points (right, up) within [-reach, reach]."""
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    middle = SIDE // 2
    cv2.line(picture, (middle, 0), (middle, SIDE), _FAINT)
    cv2.line(picture, (0, middle), (SIDE, middle), _FAINT)
    pixels = np.rint(middle + points * [1, -1] * (middle - _MARGIN) / reach).astype(np.int32)
    cv2.polylines(picture, [pixels[:, None]], isClosed=False, color=_INK, thickness=2)
    cv2.circle(picture, pixels[0].tolist(), 6, _START, -1)
    cv2.circle(picture, pixels[-1].tolist(), 6, _END, -1)
    return picture
