"""Eyes: from frames to tokens, in the light of what was said. One is learned whole, one stands on a
frozen detector."""

import functools
import math
from typing import Any

import torch
from jaxtyping import Float, Float16, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.policies.config import NavVlaTinyConfig
from embodied_cf.policies.frame_reader import detector_digest, frozen_detector
from embodied_cf.policies.memory import Memory
from embodied_cf.policies.naming import Naming
from embodied_cf.policies.text import Said, TextEncoder
from embodied_cf.policies.things import (
    FACTS,
    NAMES,
    POINT,
    TYPICAL_M,
    View,
    facts,
    matches,
    named,
    see,
    standing_about,
    view_cells,
)
from embodied_cf.policies.vla import Frames

ORIGIN = 4
"""Numbers that tell where the robot was told."""
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

    places: int
    """How many tokens."""

    def forward(
        self, image: Frames, said: Said, odometry: Float[Tensor, "b t1 3"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Return the tokens. Frames and odometry as in `datasets.batch.Batch`; None is a robot that has not moved."""
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
        self.places = -(-(self.rows.stop - self.rows.start) // 8) * (config.size // 8)
        self.place = nn.Parameter(0.1 * torch.randn(self.places, config.width))

    def forward(
        self, image: UInt8[Tensor, "b t h w 3"], said: Said, odometry: Float[Tensor, "b t1 3"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Return the tokens, row by row."""
        del odometry
        x = image[:, :, self.rows].permute(0, 1, 4, 2, 3).flatten(1, 2)  # (b, t, h, w, 3) -> (b, t 3, h, w)
        x = x.float().div_(127.5).sub_(1.0).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.middle(F.relu(self.fine(x))))
        x = F.relu(self.coarse(self.middle_block(x, said.vector)))
        x = self.to_tokens(self.coarse_block(x, said.vector))
        return x.flatten(2).transpose(1, 2) + self.place  # (b, d, i, j) -> (b, i j, d)


class PretrainedEye(Eye):
    """The things that the shipped detector finds, which knows kinds, colours and distances from segmented frames of
    other layouts, and a small part that learns what matters of them for what was said: as a VLA stands on a
    vision-language model.

    Each thing is looked at beside those that were named ("is it in the way?"), and what they say is pooled, so that
    their order and number do not matter (arXiv 1703.06114). With a history, odometry says where things are now that
    were seen before, and where the robot was told. Five tokens: the most and the sum of what things and walls say that
    are in view, the most of what any say, where those named are, and how near everything in view is.

    It looks at whole frames: the detector has learned from whole ones, and a part of one leads it astray. In training
    they are read beforehand (`policies.frame_reader`). In use each distinct frame is seen once, however many
    instructions it comes with, on a CPU also where histories show it again. A checkpoint holds a digest of the
    detector, and is not loaded beside another one.
    """

    detector: Tensor

    def __init__(self, config: NavVlaTinyConfig, text: TextEncoder) -> None:
        super().__init__()
        self.register_buffer("detector", torch.tensor(detector_digest()))
        width, history, self.size = config.width, config.history, config.size
        self.naming = Naming(text, config.text_width)
        sightings = NAMES * (FACTS + 1) * history + ORIGIN
        self.spread = math.tan(math.radians(config.field_of_view_deg) / 2)
        self.thing, self.point = nn.Linear(FACTS + NAMES, width), nn.Linear(POINT, width)
        self.beside = nn.Linear(sightings + config.text_width, width)
        self.says = nn.Linear(width, width)
        self.named = _two_layers(sightings, width)
        self.near = _two_layers(math.prod(view_cells(config.size)), width)
        self.when = nn.Parameter(0.1 * torch.randn(history, 1, width))
        self.places = 5

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *told: Any) -> None:
        known = state.get(f"{prefix}detector")
        if known is None or known.item() != self.detector.item():
            told[-1].append("its eye stands on another detector than this version ships: train it again")
        super()._load_from_state_dict(state, prefix, *told)

    def forward(
        self, image: Frames, said: Said, odometry: Float[Tensor, "b t1 3"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Return the tokens."""
        things, near = (part.unflatten(0, image.shape[:2]) for part in self._view(image.flatten(0, 1)))  # (b t, ...)
        pose = things.new_zeros(len(image), image.shape[1] + 1, 3) if odometry is None else odometry
        told, matching = facts(things, self.spread, pose[:, 1:]), matches(things, *self.naming(said))
        sightings = torch.cat([named(matching, told).flatten(1), _origin(pose[:, 0])], dim=1)
        beside = self.beside(torch.cat([sightings, said.vector], dim=1))[:, None, None] + self.when
        seen = self.says(F.relu(self.thing(torch.cat([told, matching], dim=-1)) + beside)) * (things[..., :1] > 0)
        about = self.says(F.relu(self.point(standing_about(near, self.spread, pose[:, 1:])) + beside))
        most = torch.maximum(seen.max(2).values, about.max(2).values)  # of each frame: (b, t, d)
        said_of = most[:, -1], seen[:, -1].sum(1) + about[:, -1].sum(1), most.amax(1)
        return torch.stack([*said_of, self.named(sightings), self.near(near[:, -1].flatten(1))], dim=1)

    @torch.no_grad()
    def _view(self, frames: UInt8[Tensor, "b h w 3"] | Float16[Tensor, "b m"]) -> View:
        if frames.is_floating_point():
            return View.of_row(frames.float(), self.size)
        distinct, of = _distinct(frames)
        if frames.device.type == "cpu" and len(self.when) > 1:
            return View.of_row(detector_memory().read(distinct)[of].float(), self.size)
        return View(*(part[of] for part in see(frozen_detector().to(frames.device), distinct)))


def _two_layers(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))


def _origin(pose: Float[Tensor, "b 3"]) -> Float[Tensor, "b 4"]:
    """Return where the robot was told, 5 m or a turn of a radian being about 1."""
    return torch.cat([pose[:, :2] / TYPICAL_M, torch.cos(pose[:, 2:]), torch.sin(pose[:, 2:])], dim=1)


def _distinct(frames: UInt8[Tensor, "b h w 3"]) -> tuple[UInt8[Tensor, "d h w 3"], Int64[Tensor, " b"]]:
    """Return the frames that differ from the one before, and for each frame which of these it is."""
    new = torch.ones(len(frames), dtype=torch.bool, device=frames.device)
    eight = frames.flatten(1).view(torch.int64)  # bytes at once: a side is a multiple of 8 pixels
    new[1:] = (eight[1:] != eight[:-1]).any(1)
    return frames[new], new.cumsum(0) - 1


@functools.cache
def detector_memory() -> Memory:
    """Return what was last seen with the shipped detector in this process."""
    return Memory(frozen_detector())


def build_eye(config: NavVlaTinyConfig, text: TextEncoder) -> Eye:
    """Return the eye that a configuration names, which hears of what `text` reads."""
    return PretrainedEye(config, text) if config.eye == "pretrained" else LearnedEye(config)
