"""Frames into bytes and back, and to the size that a policy sees."""

import numpy as np
from jaxtyping import UInt8

from embodied_cf.datasets.image_head import read_head

_JPEG_QUALITY = 90


def encode_jpeg(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return an RGB frame as JPEG; equal frames give equal bytes."""
    import cv2

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1])


def decode_image(data: bytes | memoryview) -> UInt8[np.ndarray, "h w 3"]:
    """Return an encoded image as RGB. Raises ValueError for what is none, is damaged, or claims too many pixels."""
    import cv2  # costs more to import than all the rest here, and many runs look at no pixel

    read_head(data)
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f"the decoder refuses it ({str(error).strip()})") from None
    if bgr is None:
        raise ValueError("the decoder cannot read it")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


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
