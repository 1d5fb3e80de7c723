"""What the robot has to go by: where the free floor ends, seen by the shipped network, and people in its frames.

People are boxes with a number that follows them, as any detector with a tracker gives them; here they come from the
simulator's segmentation of the same frame, with misses. Whatever the frame does not show is not known: no map, nobody
behind a wall or outside the field of view.
"""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from embodied_cf.envs.rendering.render import FIRST_PERSON, Camera
from embodied_cf.envs.rendering.visible import bounding_boxes
from embodied_cf.envs.scene import MAX_PEOPLE
from embodied_cf.policies.floor import COLUMNS, ROWS, FloorNet, best_split, load_floor

CAMERA = Camera(96, 96)
FAR_M = 5.0
"""What is further off is not looked at."""
MISSED = 0.1
"""Share of people in a frame that the detector does not find."""
_LEAST_PIXELS = 12


def found_people(segmentation: UInt8[np.ndarray, "b h w"], rng: np.random.Generator) -> Float64[np.ndarray, "b p 2"]:
    """Return where people's feet are, in the robots' own frames, m; nan for who is not found."""
    places = np.stack([_feet(segmentation == FIRST_PERSON + row) for row in range(MAX_PEOPLE)], axis=1)
    return np.where(rng.random(places.shape[:2])[..., None] < MISSED, np.nan, places)


def floor_ends(frames: UInt8[np.ndarray, "b h w 3"]) -> Float64[np.ndarray, "b c 2"]:
    with torch.no_grad():
        logits = _network()(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255)
    line = 0.5 + best_split(logits).double().numpy() / (2 * ROWS)  # (b, c) share of the height
    across = np.broadcast_to((np.arange(COLUMNS) + 0.5) / COLUMNS, line.shape)
    return _on_ground(across, line)


def _feet(shown: np.ndarray) -> Float64[np.ndarray, "b 2"]:
    """Return where the lower edge of each mask's box meets the ground; nan where too little of it is seen."""
    x0, _, x1, y1 = bounding_boxes(shown).T
    place = _on_ground((x0 + x1) / 2 / CAMERA.width, y1 / CAMERA.height)
    return np.where((shown.sum(axis=(1, 2)) >= _LEAST_PIXELS)[:, None], place, np.nan)


def _on_ground(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return ground points (..., 2) of places in a frame, shares of its width and height, at most FAR_M ahead.

    The camera sees 90 degrees: at 0.6 m, the share 0.75 of the height is 1.2 m ahead.
    """
    ahead = np.minimum(CAMERA.height_m / np.maximum(2 * down - 1, CAMERA.height_m / FAR_M), FAR_M)
    return np.stack([ahead, ahead * (1 - 2 * across)], axis=-1)


@cache
def _network() -> FloorNet:
    """Return the shipped network with its normalisations multiplied into its convolutions: half the time."""
    model = load_floor()
    for number, (convolution, norm, _) in enumerate(model.seen):
        model.seen[number] = nn.Sequential(fuse_conv_bn_eval(convolution, norm), nn.ReLU())
    return model
