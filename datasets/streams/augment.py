"""Changes to a batch that keep it true: each says exactly what it does to image, action and instruction.

Samples of one observation in a batch are changed alike, and so are the frames of a sample's history: what differs
between them stays what was said. All chance comes from the generator that is passed in.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from embodied_cf.datasets.batch import Batch
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.spec import CameraModel
from embodied_cf.datasets.streams.reader import FrameReader
from embodied_cf.errors import SpecError, UsageError
from embodied_cf.language.vocabulary import mirror_text

_GREY = np.array([0.299, 0.587, 0.114])
"""Luminance of RGB (ITU-R BT.601)."""


ABOUT = 1.5
"""rad: a chunk that turns further turns about."""
_MOVES_M = 1e-3


@dataclass(frozen=True)
class View:
    """What the batches of a stream have in common."""

    body: Embodiment
    camera: CameraModel | None
    """None if it is unknown, or not the same everywhere."""
    reader: FrameReader | None = None
    """Who has read the frames, so that batches hold what it said instead of pixels."""

    def refuse_read(self, what: str) -> None:
        """Raise UsageError if there are no pixels to change."""
        if self.reader is not None:
            raise UsageError(
                "frames are read beforehand, their pixels are gone", where=what, remedy=f"Leave {what} out."
            )


@runtime_checkable
class Augmentation(Protocol):
    """A random change to a batch."""

    def check(self, view: View) -> None:
        """Raise SpecError or UsageError if it has no exact meaning for such batches."""

    def texts(self, text: str) -> tuple[str, ...]:
        """Return what an instruction can become."""

    def __call__(self, batch: Batch, rng: np.random.Generator, view: View) -> Batch: ...


class _KeepsTexts:
    def texts(self, text: str) -> tuple[str, ...]:
        return (text,)


@dataclass(frozen=True)
class RandomCrop(_KeepsTexts):
    """Pad each side by `pixels`, repeating the edge, and cut the frame's size out anywhere (arXiv 2004.13649).

    That moves the picture by up to `pixels` each way. The action stays: keep the move small against the robot's
    accuracy, or use HorizontalShift, which corrects it.
    """

    pixels: int = 4

    def check(self, view: View) -> None:
        view.refuse_read("RandomCrop")
        if self.pixels < 0:
            raise UsageError(f"pixels {self.pixels} is negative", where="RandomCrop")

    def __call__(self, batch: Batch, rng: np.random.Generator, view: View) -> Batch:
        del view
        down, right = (_per_observation(batch, rng.integers(-self.pixels, self.pixels + 1, len(batch))) for _ in "yx")
        return replace(batch, image=moved(batch.image, down, right))


@dataclass(frozen=True)
class ColourJitter(_KeepsTexts):
    """Multiply brightness, then contrast, then saturation by 1 + a uniform number in ±the value given.

    Contrast is the distance from the mean grey of the present frame, saturation that from the pixel's own grey. The
    three together are one affine map of RGB, rounded and clipped once.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def check(self, view: View) -> None:
        view.refuse_read("ColourJitter")
        if not all(0 <= value <= 1 for value in (self.brightness, self.contrast, self.saturation)):
            raise UsageError("values must be in [0, 1]", where="ColourJitter")

    def __call__(self, batch: Batch, rng: np.random.Generator, view: View) -> Batch:
        del view
        reach = np.array([self.brightness, self.contrast, self.saturation])
        factors = _per_observation(batch, 1 + reach * rng.uniform(-1, 1, (len(batch), 3)))
        return replace(batch, image=recoloured(batch.image, factors))


@dataclass(frozen=True)
class HorizontalShift(_KeepsTexts):
    """Turn the camera a little: move the picture by up to `pixels` to either side and turn the chunk to match.

    A robot turned left by d sees the world move right by f tan d pixels, with f the focal length in pixels of the
    frame, and finds every target turned right by d: row (x, y) becomes (x cos d + y sin d, y cos d - x sin d). For the
    picture this is exact at the centre of a level camera and an approximation towards its sides. The edge is repeated
    where nothing was seen. Only for robots that drive, and only with a camera model.
    """

    pixels: int = 4

    def check(self, view: View) -> None:
        view.refuse_read("HorizontalShift")
        if self.pixels < 0:
            raise UsageError(f"pixels {self.pixels} is negative", where="HorizontalShift")
        if view.body.kind != "nav":
            raise UsageError(
                f"embodiment {view.body.name!r} does not turn with its camera",
                where="HorizontalShift",
                remedy="Use RandomCrop.",
            )
        if view.camera is None:
            raise SpecError(
                "no camera model that all sources share, so a shift cannot be told in metres",
                where="HorizontalShift",
                remedy="Add [camera_model] to the spec, or use RandomCrop.",
            )

    def __call__(self, batch: Batch, rng: np.random.Generator, view: View) -> Batch:
        self.check(view)
        assert view.camera is not None
        right = _per_observation(batch, rng.integers(-self.pixels, self.pixels + 1, len(batch)))
        return turned(batch, right, view.camera)


@dataclass(frozen=True)
class Mirror:
    """Exchange left and right, in image, action and instruction together. Only for robots that drive.

    Observations at which some chunk turns about stay as they are: whoever looks round for what is not in view turns to
    a side that no image tells.
    """

    probability: float = 0.5

    def check(self, view: View) -> None:
        if not 0 <= self.probability <= 1:
            raise UsageError(f"probability {self.probability} is not in [0, 1]", where="Mirror")
        if not view.body.mirrors:
            raise UsageError(
                f"embodiment {view.body.name!r} has no mirror image",
                where="Mirror",
                remedy="Leave Mirror out: only robots that drive can be mirrored.",
            )

    def texts(self, text: str) -> tuple[str, ...]:
        return (text, mirror_text(text))

    def __call__(self, batch: Batch, rng: np.random.Generator, view: View) -> Batch:
        self.check(view)
        chosen = _per_observation(batch, rng.random(len(batch)) < self.probability)
        which = chosen & ~np.isin(batch.observation, batch.observation[_turns_about(batch)])
        return mirrored(batch, which, view.reader)


def _turns_about(batch: Batch) -> Bool[np.ndarray, " b"]:
    """Return which chunks end in a direction that is further than ABOUT from where they began."""
    way = np.diff(batch.action[..., :2], axis=1, prepend=0.0)
    moves = batch.mask & (np.hypot(way[..., 0], way[..., 1]) > _MOVES_M)
    last = np.where(moves, np.arange(way.shape[1]), 0).max(axis=1)
    end = way[np.arange(len(way)), last]
    return np.abs(np.arctan2(end[:, 1], end[:, 0])) > ABOUT


def _per_observation(batch: Batch, values: np.ndarray) -> np.ndarray:
    """Return, for each sample, the value of the first sample of its observation."""
    _, first, which = np.unique(batch.observation, return_index=True, return_inverse=True)
    return values[first[which]]


def moved(
    image: UInt8[np.ndarray, "b t h w 3"], down: Int64[np.ndarray, " b"], right: Int64[np.ndarray, " b"]
) -> UInt8[np.ndarray, "b t h w 3"]:
    """Return the pictures moved by whole pixels, edges repeated."""
    height, width = image.shape[2:4]
    y, x = (int(np.abs(way).max(initial=0)) for way in (down, right))
    padded = np.pad(image, ((0, 0), (0, 0), (y, y), (x, x), (0, 0)), "edge")
    out = np.empty_like(image)
    for sample, (dy, dx) in enumerate(zip(down.tolist(), right.tolist(), strict=True)):
        out[sample] = padded[sample, :, y - dy : y - dy + height, x - dx : x - dx + width]
    return out


def recoloured(
    image: UInt8[np.ndarray, "b t h w 3"], factors: Float64[np.ndarray, "b 3"]
) -> UInt8[np.ndarray, "b t h w 3"]:
    """Return the pictures with brightness, contrast and saturation multiplied by factors."""
    import cv2

    out = np.empty_like(image)
    for sample, (brightness, contrast, saturation) in enumerate(factors.tolist()):
        frames = image[sample].reshape(-1, *image.shape[3:])  # (t, h, w, 3) -> (t h, w, 3): one picture, t high
        grey = float(np.array(cv2.mean(image[sample, -1])[:3]) @ _GREY)
        linear = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * _GREY)
        offset = np.full((3, 1), (1 - contrast) * brightness * grey)
        out[sample] = cv2.transform(frames, np.hstack([linear, offset])).reshape(image.shape[1:])
    return out


def turned(batch: Batch, right: Int64[np.ndarray, " b"], camera: CameraModel) -> Batch:
    """Return a batch as seen by a robot turned left until the picture has moved `right` by so many pixels.

    >>> # 90 degrees wide, 64 pixels: f = 32, so 32 pixels are 45 degrees and (1, 0) becomes (0.71, -0.71)
    """
    focal = batch.image.shape[3] / 2 / math.tan(math.radians(camera.horizontal_fov_deg) / 2)
    angle = np.arctan(right / focal)
    image = moved(batch.image, np.zeros_like(right), right)
    place = _rotated(batch.odometry[..., :2], -angle)
    odometry = np.concatenate([place, batch.odometry[..., 2:]], axis=-1)
    return replace(batch, image=image, action=_rotated(batch.action, -angle), odometry=odometry)


def _rotated(action: Float32[np.ndarray, "b k 2"], angle: Float64[np.ndarray, " b"]) -> Float32[np.ndarray, "b k 2"]:
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y = action[..., 0], action[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1).astype(np.float32)


def mirrored(batch: Batch, which: Bool[np.ndarray, " b"], reader: FrameReader | None = None) -> Batch:
    """Return a batch with the chosen samples seen in a mirror."""
    image, action, odometry = batch.image.copy(), batch.action.copy(), batch.odometry.copy()
    if reader is None:
        _flip(image, which)
    else:
        image[which] = reader.mirrored(image[which].reshape(-1, reader.width)).reshape(-1, *image.shape[1:])
    action[which, :, 1] *= -1
    odometry[which, :, 1:] *= -1
    said = zip(batch.instruction, which.tolist(), strict=True)
    return replace(
        batch,
        image=image,
        action=action,
        odometry=odometry,
        instruction=tuple(mirror_text(text) if flip else text for text, flip in said),
    )


def _flip(image: UInt8[np.ndarray, "b t h w 3"], which: Bool[np.ndarray, " b"]) -> None:
    import cv2

    for sample in np.flatnonzero(which).tolist():
        for frame in image[sample]:
            frame[:] = cv2.flip(frame, 1)
