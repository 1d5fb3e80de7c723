"""Type and size of an encoded image, from its head alone: what it will take to decode, before anything is decoded."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

MOST_PIXELS = 1 << 26
"""8192 x 8192. A few kilobytes of PNG may claim 60000 x 60000 pixels, which would take 10 GB."""
_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

Buffer = bytes | memoryview
Size = Callable[[Buffer], tuple[int, int]]
"""Width and height that a head tells."""


@dataclass(frozen=True)
class ImageHead:
    """What the head of an encoded image says."""

    mime: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""


def read_head(data: Buffer) -> ImageHead:
    """Return type and size of a PNG, JPEG, BMP, GIF or WebP.

    Raises ValueError for anything else, a head that breaks off, no pixels or more than `MOST_PIXELS`.
    """
    start = bytes(data[:16])
    for magic, mime, size in _FORMATS:
        if start.startswith(magic):
            return _checked(mime, *_read(size, data))
    raise ValueError("an image is neither PNG nor JPEG nor BMP, GIF, WebP")


def _read(size: Size, data: Buffer) -> tuple[int, int]:
    try:
        return size(data)
    except (struct.error, IndexError):
        raise ValueError("an image breaks off within its head") from None


def _checked(mime: str, width: int, height: int) -> ImageHead:
    if not 0 < width * height <= MOST_PIXELS:
        raise ValueError(f"an image of {width} x {height} pixels, not of 1 to {MOST_PIXELS}")
    return ImageHead(mime, width, height)


def _png(data: Buffer) -> tuple[int, int]:
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _jpeg(data: Buffer) -> tuple[int, int]:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _JPEG_SIZE_MARKERS:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    raise IndexError


def _bmp(data: Buffer) -> tuple[int, int]:
    width, height = struct.unpack("<ii", data[18:26])
    return width, abs(height)  # rows from top to bottom have a negative one


def _gif(data: Buffer) -> tuple[int, int]:
    width, height = struct.unpack("<HH", data[6:10])
    return width, height


def _webp(data: Buffer) -> tuple[int, int]:
    """https://developers.google.com/speed/webp/docs/riff_container: lossy, lossless and extended files."""
    kind = bytes(data[12:16])
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    bits = int.from_bytes(struct.unpack("5s", data[21:26])[0], "little")
    if kind == b"VP8L":
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    low = struct.unpack("6s", data[24:30])[0]
    return int.from_bytes(low[:3], "little") + 1, int.from_bytes(low[3:], "little") + 1


_FORMATS: tuple[tuple[bytes, str, Size], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png", _png),
    (b"\xff\xd8\xff", "image/jpeg", _jpeg),
    (b"BM", "image/bmp", _bmp),
    (b"GIF8", "image/gif", _gif),
    (b"RIFF", "image/webp", _webp),
)
