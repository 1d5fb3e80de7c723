"""Where the free floor ends in each frame, seen by a small network (`policies.floor`) from pixels alone."""

import hashlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from embodied_cf.datasets.contract import EncodedImages

if TYPE_CHECKING:
    from embodied_cf.policies.floor import FloorNet

_BATCH = 64


def floor_lines(frames: EncodedImages) -> Float32[np.ndarray, "t c"]:
    """Return the share of the height down to where the floor begins, in each of C columns of each frame.

    Raises RecordError for an undecodable frame, and for frames of different sizes.
    """
    import torch

    lines = []
    for first in range(0, len(frames), _BATCH):
        images = frames.decode_steps(range(first, min(first + _BATCH, len(frames))))
        lines.append(_network().lines(torch.from_numpy(images)).numpy())
    return np.concatenate(lines)


def floor_identity() -> str:
    """Return the first 16 hex digits of the sha256 of the network's weights."""
    from embodied_cf.policies.floor import weights_path

    return hashlib.sha256(weights_path().read_bytes()).hexdigest()[:16]


@cache
def _network() -> "FloorNet":
    from embodied_cf.policies.floor import load_floor

    return load_floor()
