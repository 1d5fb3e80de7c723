"""Eyes: from frames to tokens, in the light of what was said. One is learned whole, one stands on a
frozen detector."""

import functools
import hashlib
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.policies.config import NavVlaTinyConfig
from embodied_cf.policies.detector import COLOUR, KIND, STRIDE, Detector, load_detector, weights_path
from embodied_cf.policies.memory import Memory
from embodied_cf.policies.sightings import FACTS, NAMES, facts, matches

_ROWS = 3
"""Rows of cells that are read together."""
_KINDS, _COLOURS = KIND.stop - KIND.start, COLOUR.stop - COLOUR.start
_GROUPS = 8
"""Of group norm: unlike batch norm, a sample's features do not depend on its neighbours."""


class FilmBlock(nn.Module):
    """A residual block whose features are scaled and shifted by the sentence (FiLM, arXiv 1709.07871)."""

    def __init__(self, channels: int, text_width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(text_width, 2 * channels)

    def forward(self, x: Float[Tensor, "b c i j"], text: Float[Tensor, "b e"]) -> Float[Tensor, "b c i j"]:
        """Return features of the same shape."""
        scale, shift = self.film(text)[:, :, None, None].chunk(2, dim=1)
        inner = self.first(F.relu(self.norm(x)))
        return x + self.second(F.relu(inner * (1 + scale) + shift))


class Eye(nn.Module):
    """From frames to tokens of the part of the frame that is looked at."""

    def forward(self, image: UInt8[Tensor, "b t h w 3"], text: Float[Tensor, "b e"]) -> Float[Tensor, "b n d"]:
        """Return the tokens."""
        raise NotImplementedError


class LearnedEye(Eye):
    """Convolutions that learn everything, and hear what was said from early on. One token per 8x8 pixels."""

    def __init__(self, config: NavVlaTinyConfig) -> None:
        super().__init__()
        first, second, third = config.channels
        self.rows = slice(round(config.rows[0] * config.size), round(config.rows[1] * config.size))
        self.fine = nn.Conv2d(3 * config.history, first, 5, stride=2, padding=2)
        self.middle = nn.Conv2d(first, second, 3, stride=2, padding=1)
        self.middle_block = FilmBlock(second, config.text_width)
        self.coarse = nn.Conv2d(second, third, 3, stride=2, padding=1)
        self.coarse_block = FilmBlock(third, config.text_width)
        self.to_tokens = nn.Sequential(nn.GroupNorm(_GROUPS, third), nn.Conv2d(third, config.width, 1))
        places = -(-(self.rows.stop - self.rows.start) // 8) * (config.size // 8)
        self.place = nn.Parameter(0.1 * torch.randn(places, config.width))

    def forward(self, image: UInt8[Tensor, "b t h w 3"], text: Float[Tensor, "b e"]) -> Float[Tensor, "b n d"]:
        """Return the tokens, row by row."""
        x = image[:, :, self.rows].permute(0, 1, 4, 2, 3).flatten(1, 2)  # (b, t, h, w, 3) -> (b, t 3, h, w)
        x = x.float().div_(127.5).sub_(1.0).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.middle(F.relu(self.fine(x))))
        x = F.relu(self.coarse(self.middle_block(x, text)))
        x = self.to_tokens(self.coarse_block(x, text))
        return x.flatten(2).transpose(1, 2) + self.place  # (b, d, i, j) -> (b, i j, d)


class PretrainedEye(Eye):
    """What the shipped detector believes, which knows kinds, colours and distances from segmented frames of other
    layouts, where it believes what was named, and a small part that learns what matters of it for what was said: as a
    VLA stands on a vision-language model. One token for each thing that may be named, and one per column of cells,
    since a robot that drives chooses a bearing.

    Each distinct frame is seen once, however many instructions it comes with; in training on a CPU, once for all. A
    checkpoint holds a digest of the detector, and is not loaded beside another one.
    """

    detector: Tensor

    def __init__(self, config: NavVlaTinyConfig) -> None:
        super().__init__()
        self.rows = slice(round(config.rows[0] * config.size), round(config.rows[1] * config.size))
        self.register_buffer("detector", torch.tensor(detector_digest()))
        last, seen = config.channels[-1], frozen_detector().feature_channels * config.history
        self.coarse = nn.Conv2d(seen, last, 3, stride=(_ROWS, 1), padding=1)
        self.names = nn.Linear(config.text_width, NAMES * (_KINDS + _COLOURS))
        self.named = nn.Conv2d(NAMES * config.history, last, 3, stride=(_ROWS, 1), padding=1, bias=False)
        self.sighting = nn.Sequential(
            nn.Linear(NAMES * FACTS * config.history, config.width), nn.ReLU(),
            nn.Linear(config.width, NAMES * config.width),
        )  # fmt: skip
        self.film = nn.Linear(config.text_width, 2 * last)
        self.mix = nn.Conv2d(last, last, 1)
        height = -(-(self.rows.stop - self.rows.start) // (_ROWS * STRIDE))
        self.to_tokens = nn.Conv1d(last * height, config.width, 1)
        self.place = nn.Parameter(0.1 * torch.randn(config.size // STRIDE, config.width))

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *told: Any) -> None:
        known = state.get(f"{prefix}detector")
        if known is None or known.item() != self.detector.item():
            told[-1].append("its eye stands on another detector than this version ships: train it again")
        super()._load_from_state_dict(state, prefix, *told)

    def forward(self, image: UInt8[Tensor, "b t h w 3"], text: Float[Tensor, "b e"]) -> Float[Tensor, "b n d"]:
        """Return a token for each thing that may be named, then those of the columns, from left to right."""
        row, of = _distinct(image)
        seen = self._beliefs(image[row][:, :, self.rows].flatten(0, 1)).unflatten(0, (len(row), -1))
        meant = torch.sigmoid(self.names(text)).unflatten(1, (NAMES, -1)).split([_KINDS, _COLOURS], dim=2)
        matching = matches(seen[of], *meant)
        x = (
            self.named(matching.flatten(1, 2)) + self.coarse(seen.flatten(1, 2))[of]
        )  # (d, t, c, i, j) -> (b, last, i', j)
        scale, shift = self.film(text)[:, :, None, None].chunk(2, dim=1)
        x = F.relu(x + self.mix(F.relu(x * (1 + scale) + shift)))
        columns = self.to_tokens(x.flatten(1, 2)).transpose(1, 2) + self.place
        sightings = self.sighting(facts(matching, seen[of]).flatten(1)).unflatten(1, (NAMES, -1))
        return torch.cat([sightings, columns], dim=1)

    @torch.no_grad()
    def _beliefs(self, frames: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c i j"]:
        if self.training and frames.device.type == "cpu":
            return detector_memory().features(frames)
        return frozen_detector().to(frames.device).features(frames)


def _distinct(image: UInt8[Tensor, "b t h w 3"]) -> tuple[Int64[Tensor, " d"], Int64[Tensor, " b"]]:
    """Return the rows of images that differ from the one before, and for each image which of these it is."""
    new = torch.ones(len(image), dtype=torch.bool, device=image.device)
    new[1:] = (image[1:] != image[:-1]).flatten(1).any(1)
    return torch.nonzero(new)[:, 0], new.cumsum(0) - 1


@functools.cache
def frozen_detector() -> Detector:
    """Return the shipped detector, loaded once per process."""
    return load_detector().frozen()


@functools.cache
def detector_memory() -> Memory:
    """Return what training in this process has seen with the shipped detector."""
    return Memory(frozen_detector())


@functools.cache
def detector_digest() -> int:
    """Return a number that tells the shipped detector from others: 7 bytes of the sha256 of its file."""
    return int.from_bytes(hashlib.sha256(weights_path().read_bytes()).digest()[:7], "big")


def build_eye(config: NavVlaTinyConfig) -> Eye:
    """Return the eye that a configuration names."""
    return PretrainedEye(config) if config.eye == "pretrained" else LearnedEye(config)
