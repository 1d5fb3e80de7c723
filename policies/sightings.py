"""Where a detector believes the things that a sentence names, and what it believes of them there."""

import torch
from jaxtyping import Float
from torch import Tensor

from embodied_cf.policies.detector import COLOUR, KIND, REACH

NAMES = 4
"""Things that a sentence may name."""
FACTS = 9
"""Numbers that tell of a sighting."""
_LEAST = 1e-3
"""Presence is 0, or above this."""
_SHARP = 4
"""Power by which the cells that match best outweigh others."""


def matches(
    seen: Float[Tensor, "b t c i j"], kind: Float[Tensor, "b n k"], colour: Float[Tensor, "b n l"]
) -> Float[Tensor, "b t n i j"]:
    """Return how much each cell is believed to hold each thing named, of the kinds and colours meant (each in [0, 1]).

    `seen` is what `Detector.features` tells. The chance of a thing's middle, times that of a kind meant, times that of
    a colour meant: a product, so that a name is known by its two parts, whatever came together in training.
    """
    of_kind = torch.einsum("btkij,bnk->btnij", seen[:, :, KIND], kind)
    of_colour = torch.einsum("btlij,bnl->btnij", seen[:, :, COLOUR], colour)
    return of_kind * of_colour / seen[:, :, :1].clamp_min(_LEAST)


def facts(matching: Float[Tensor, "b t n i j"], seen: Float[Tensor, "b t c i j"]) -> Float[Tensor, "b t n f"]:
    """Return of each thing named how surely it is seen and whether at all; row and column, from -1 to 1; how far its
    box reaches, in shares of the frame; how close it is, 1/m. The last seven are means over the cells that match, the
    best counting most, and 0 where none does."""
    height, width = matching.shape[-2:]
    down = torch.linspace(-1, 1, height, device=seen.device)[:, None].expand(height, width)
    right = torch.linspace(-1, 1, width, device=seen.device).expand(height, width)
    place = torch.stack([torch.ones_like(down), down, right]).expand(*seen.shape[:2], 3, height, width)
    reach = seen[:, :, REACH] / seen[:, :, :1].clamp_min(_LEAST)
    told = torch.cat([place, reach, seen[:, :, -1:]], dim=2).flatten(3)
    flat = matching.flatten(3)
    best = flat.amax(-1, keepdim=True)
    weight = (flat / best.clamp_min(_LEAST)) ** _SHARP
    mean = torch.einsum("btnp,btfp->btnf", weight / weight.sum(-1, keepdim=True).clamp_min(_LEAST), told)
    return torch.cat([best, mean], dim=-1)
