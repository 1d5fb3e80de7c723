"""Policies whose causes are known, because they were planted: what explanations of inputs are tested against.

They see pixels and hear words as any policy does; none knows the scene.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8

from embodied_cf.datasets.embodiment import Embodiment, load_embodiment
from embodied_cf.envs.scene import COLOUR_RGB
from embodied_cf.language.instruction import COLOURS
from embodied_cf.language.phrasing import COLOUR_WORDS
from embodied_cf.policies.contract import ActionChunk, Observation
from embodied_cf.relabel.synthesize import arcs

_LENGTH_M = 1.6
_ALIKE, _SATURATED, _FEWEST = 0.985, 0.45, 10
"""Least cosine between a pixel and a named colour, least saturation, and pixels in 96 x 96 that count as a sight."""


@dataclass(frozen=True)
class Planted:
    """Base of the planted policies: bearings (rad, left is positive; nan: nothing seen) become arcs."""

    camera: tuple[int, int] = (96, 96)
    history: int = 1

    @cached_property
    def embodiment(self) -> Embodiment:
        """A robot that drives."""
        return load_embodiment("nav")

    def act(self, observation: Observation, instruction: tuple[str, ...], rng: np.random.Generator) -> ActionChunk:
        """Return an arc towards what is wanted; stand still where nothing is."""
        wanted = zip(observation.image[:, -1], instruction, strict=True)
        return self.arc(np.array([self.bearing(image, told) for image, told in wanted]))

    def arc(self, bearing: Float64[np.ndarray, " b"]) -> ActionChunk:
        """Return what leads there."""
        length = np.where(np.isnan(bearing), 0.0, _LENGTH_M)
        chunk = arcs(length, 2 * np.nan_to_num(bearing), self.embodiment.chunk_length)
        return ActionChunk(chunk, np.ones(chunk.shape[:2], bool))

    def bearing(self, image: UInt8[np.ndarray, "h w 3"], told: str) -> float:
        """Return where to."""
        raise NotImplementedError


@dataclass(frozen=True)
class ColourSeeker(Planted):
    """Drives to whatever has one colour, and hears nothing: the planted cause is that colour in the image."""

    colour: str = "red"

    def bearing(self, image: UInt8[np.ndarray, "h w 3"], told: str) -> float:
        return towards(image, self.colour)


@dataclass(frozen=True)
class Listener(Planted):
    """Drives to whatever has the colour that it is told, of whatever kind: causes are that colour and its word."""

    def bearing(self, image: UInt8[np.ndarray, "h w 3"], told: str) -> float:
        said = [name for name in COLOURS if any(re.search(rf"\b{word}\b", told) for word in COLOUR_WORDS[name].all)]
        return towards(image, said[0]) if said else float("nan")


@dataclass(frozen=True)
class SideTaker(Planted):
    """Goes to the side that it is told, with its eyes shut: the planted cause is the word."""

    def bearing(self, image: UInt8[np.ndarray, "h w 3"], told: str) -> float:
        words = told.split()
        return 0.5 if "left" in words else -0.5 if "right" in words else 0.0


@dataclass(frozen=True)
class CornerReader(Planted):
    """Turns by how bright one patch of the image is: a spurious cue, and the cause is that region."""

    corner: tuple[int, int] = field(default=(0, 0))
    """Row and column of the patch, of eight each."""

    def bearing(self, image: UInt8[np.ndarray, "h w 3"], told: str) -> float:
        side = image.shape[0] // 8
        row, column = (part * side for part in self.corner)
        return 1.0 - float(image[row : row + side, column : column + side].mean()) / 64.0


@dataclass(frozen=True)
class Wavering(Planted):
    """Does what another planted policy does, give or take chance: that chance is no cause."""

    of: Planted | None = None
    """None goes straight on, whatever it sees or hears."""
    spread: float = 0.3
    """rad, standard deviation."""

    def act(self, observation: Observation, instruction: tuple[str, ...], rng: np.random.Generator) -> ActionChunk:
        """Return an arc that is drawn."""
        wanted = zip(observation.image[:, -1], instruction, strict=True)
        bearing = np.array([self.of.bearing(image, told) if self.of else 0.0 for image, told in wanted])
        return self.arc(bearing + self.spread * rng.normal(size=len(bearing)))


def towards(image: UInt8[np.ndarray, "h w 3"], colour: str) -> float:
    """Return the bearing of the pixels of a colour, rad, in a camera of 90 degrees; nan if there are too few."""
    _, columns = np.nonzero(looks(image, colour))
    if len(columns) < _FEWEST:
        return float("nan")
    half = image.shape[1] / 2
    return float(np.arctan2(half - columns.mean() - 0.5, half))


def looks(image: UInt8[np.ndarray, "h w 3"], colour: str) -> Bool[np.ndarray, "h w"]:
    """Return which pixels have a saturated named colour, in whatever light."""
    pixel = image.astype(np.float32)
    named: Float[np.ndarray, " 3"] = np.array(COLOUR_RGB[colour], np.float32)
    cosine = pixel @ named / np.maximum(np.linalg.norm(pixel, axis=-1) * np.linalg.norm(named), 1e-6)
    high, low = pixel.max(axis=-1), pixel.min(axis=-1)
    return (cosine >= _ALIKE) & (high - low >= _SATURATED * high) & (high >= 40)
