"""Frames as small pictures inside a page: which steps to show, and a frame as a data URI."""

import base64

import numpy as np
from jaxtyping import UInt8

from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.errors import RecordError

_WIDEST = 16
"""Times its height: a frame of one row would become a wall."""


def spread_steps(count: int, wanted: int) -> list[int]:
    """Return up to `wanted` steps of 0..count-1, evenly spread, first and last included."""
    return sorted({round(at) for at in np.linspace(0, count - 1, min(count, wanted)).tolist()}) if count else []


def data_uri(frame: UInt8[np.ndarray, "h w 3"], height: int = 96) -> str:
    """Return an RGB frame as a JPEG data URI of a given height in pixels."""
    import cv2

    width = min(max(1, round(frame.shape[1] * height / frame.shape[0])), _WIDEST * height)
    method = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    small = cv2.resize(frame, (width, height), interpolation=method)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def frame_uri(images: EncodedImages, step: int, height: int = 96) -> str:
    """Return one frame of a camera as a data URI, "" if its bytes are no image."""
    try:
        return data_uri(images.decode(step), height)
    except RecordError:
        return ""
