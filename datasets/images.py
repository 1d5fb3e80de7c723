"""Frames into bytes, and to the size that a policy sees."""

import numpy as np
from jaxtyping import UInt8

_JPEG_QUALITY = 90


def encode_jpeg(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return an RGB frame as JPEG; equal frames give equal bytes."""
    import cv2

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1])


def resized(image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return a frame at (height, width) by area interpolation: the one way to a policy's size, in training and use."""
    if image.shape[:2] == size:
        return image
    import cv2

    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def encode_png(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return an RGB frame as PNG, which keeps every pixel."""
    import cv2

    return bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])
