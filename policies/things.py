"""A frame thing by thing, as a detector sees it, and where in it the things are that a sentence names.

Policies that look at objects instead of pixels learn manipulation from fewer demonstrations (arXiv 2210.03094).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.language.instruction import COLOURS, DOOR, SEEN_KINDS
from embodied_cf.policies import detector

NAMES = 4
"""Things that a sentence may name."""
MOST = 12
"""Things of a frame that are told of."""
REACH = slice(3, 7)
KIND = slice(8, 8 + len(SEEN_KINDS))
COLOUR = slice(KIND.stop, KIND.stop + len(COLOURS))
_THING = COLOUR.stop
"""Numbers that a view tells of a thing."""
_CLOSE, _DOOR = 7, KIND.start + SEEN_KINDS.index(DOOR)
FACTS = 16
"""Numbers that `facts` tells of a thing."""
ROWS = 3
"""Rows of cells of which the nearest is told."""
BEARINGS, POINT = 12, 3
"""Directions in which it is told what stands there, and numbers that tell it."""
_EYE_LEVEL = (1 / 3, 1 / 2)
"""Part of the frame's height, down to the horizon: what stands there and no floor."""
_UNLIKELY = 0.02
"""Chance of a thing's middle that counts as none."""
_LEAST = 1e-3
_FAR_M, TYPICAL_M = 10.0, 5.0
_SHARP = 4
"""Power by which the things that match best outweigh others."""


class View(NamedTuple):
    """What a detector sees in frames."""

    things: Float[Tensor, "b n f"]
    """Of the `MOST` likeliest things: the chance that there is one; its middle's column and row, from -1 to 1; how far
    its box reaches to the left, up, right and down, in shares of the frame; how close it is, 1/m; the chances of
    kinds and of colours. Zeros where there are fewer."""
    near: Float[Tensor, "b i j"]
    """How close the nearest is, 1/m, in cells of 4 columns and 12 rows of pixels."""

    @staticmethod
    def of(maps: Float[Tensor, "b c i j"]) -> "View":
        """Return what the detector's maps tell."""
        found = detector.peaks(maps, MOST)
        cells, presence = found.cells, found.presence[..., None]
        kind, colour = (torch.softmax(cells[..., part], dim=-1) for part in (detector.KIND, detector.COLOUR))
        close = cells[..., detector.CLOSENESS, None]
        told = [presence, 2 * found.middle - 1, F.softplus(cells[..., detector.REACH]), close, kind, colour]
        things = torch.where(presence > _UNLIKELY, torch.cat(told, dim=-1), 0.0)
        near = F.max_pool2d(maps[:, detector.CLOSENESS], (ROWS, 1), ceil_mode=True)
        return View(F.pad(things, (0, 0, 0, MOST - things.shape[1])), near)

    def row(self) -> Float[Tensor, "b m"]:
        """Return all of it as one row of numbers per frame."""
        return torch.cat([part.flatten(1) for part in self], dim=1)

    @staticmethod
    def of_row(row: Float[Tensor, "b m"], size: int) -> "View":
        """Return what a row says of a frame of `size` pixels a side."""
        things, near = row.split([MOST * _THING, row.shape[1] - MOST * _THING], dim=1)
        return View(things.unflatten(1, (MOST, _THING)), near.unflatten(1, view_cells(size)))

    def mirrored(self) -> "View":
        """Return what would be seen with left and right exchanged, had the detector no side itself."""
        order = torch.arange(self.things.shape[-1])
        order[[REACH.start, REACH.start + 2]] = order[[REACH.start + 2, REACH.start]]
        things = self.things[..., order]
        things[..., 1] *= -1
        return View(things, self.near.flip(-1))


def view_width(size: int) -> int:
    """Return how many numbers `View.row` has for a frame of `size` pixels a side."""
    return MOST * _THING + math.prod(view_cells(size))


def view_cells(size: int) -> tuple[int, int]:
    """Return how many rows and columns `View.near` has for a frame of `size` pixels a side."""
    columns = -(-size // detector.STRIDE)
    return -(-columns // ROWS), columns


def see(eyes: detector.Detector, frames: UInt8[Tensor, "b h w 3"]) -> View:
    """Return what a detector sees in frames."""
    return View.of(eyes(frames.permute(0, 3, 1, 2).float() / 255))


def facts(things: Float[Tensor, "b t n f"], spread: float, pose: Float[Tensor, "b t 3"]) -> Float[Tensor, "b t n k"]:
    """Return of each thing what a robot must know to drive to it or around it: all that a view tells but colours and
    kinds (of these whether it is a door), and where its middle and its sides are now, in units of 5 m.

    `spread` is the tangent of half the camera's field of view, `pose` where the robot was when it saw the thing.
    """
    presence, right, down, *reach, close = things[..., : _CLOSE + 1].unbind(-1)
    left_reach, _, right_reach, down_reach = reach
    sides = torch.stack([right - 2 * left_reach, right, right + 2 * right_reach], dim=-1)
    places = _places(sides, close[..., None], spread, pose)
    told = [presence, right, down, *reach, close, down + 2 * down_reach, things[..., _DOOR]]
    return torch.cat([torch.stack(told, dim=-1), places.flatten(-2)], dim=-1) * (presence > 0)[..., None]


def standing_about(
    near: Float[Tensor, "b t i j"], spread: float, pose: Float[Tensor, "b t 3"]
) -> Float[Tensor, "b t n k"]:
    """Return in some directions where the nearest that is as high as the eye is now, in units of 5 m, and how close it
    was: walls, too, which are no things."""
    rows = near.shape[2]
    level = slice(math.floor(_EYE_LEVEL[0] * rows), math.ceil(_EYE_LEVEL[1] * rows))
    close = F.adaptive_max_pool1d(near[:, :, level].amax(2), BEARINGS)
    middle = (torch.arange(BEARINGS, device=near.device) + 0.5) * 2 / BEARINGS - 1
    places = _places(middle.expand_as(close)[..., None], close[..., None], spread, pose)
    return torch.cat([places.flatten(-2), close[..., None]], dim=-1)


def _places(
    right: Float[Tensor, "b t n m"], close: Float[Tensor, "b t n 1"], spread: float, pose: Tensor
) -> Float[Tensor, "b t n m 2"]:
    """Return where that is now what was seen so far to the right, in half frames, and so close."""
    x = 1 / close.clamp_min(1 / _FAR_M) / TYPICAL_M
    y = -right * x * spread
    forward, left, yaw = (part[..., None, None] for part in pose.unbind(-1))
    cos, sin = torch.cos(yaw), torch.sin(yaw)
    return torch.stack([cos * x - sin * y + forward / TYPICAL_M, sin * x + cos * y + left / TYPICAL_M], dim=-1)


def matches(
    things: Float[Tensor, "b t n f"], kind: Float[Tensor, "b m k"], colour: Float[Tensor, "b m l"]
) -> Float[Tensor, "b t n m"]:
    """Return how surely each thing is there and is each one named, of the kinds and colours meant (each in [0, 1]).

    A product, so that a name is known by its two parts, whatever came together in training.
    """
    of_kind = torch.einsum("btnk,bmk->btnm", things[..., KIND], kind)
    of_colour = torch.einsum("btnl,bml->btnm", things[..., COLOUR], colour)
    return things[..., :1] * of_kind * of_colour


def named(matching: Float[Tensor, "b t n m"], told: Float[Tensor, "b t n f"]) -> Float[Tensor, "b t m f1"]:
    """Return for each thing named how surely it is seen, and the mean of what is told of those that match, the best
    counting most; 0 where none does."""
    best = matching.amax(2)
    weight = (matching / best[:, :, None].clamp_min(_LEAST)) ** _SHARP
    weight = weight / weight.sum(2, keepdim=True).clamp_min(_LEAST)
    return torch.cat([best[..., None], torch.einsum("btnm,btnf->btmf", weight, told)], dim=-1)
