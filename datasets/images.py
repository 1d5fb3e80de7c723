"""Frames into bytes."""

import numpy as np
from jaxtyping import UInt8

_JPEG_QUALITY = 90


def encode_jpeg(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return an RGB frame as JPEG; equal frames give equal bytes."""
    import cv2

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1])
