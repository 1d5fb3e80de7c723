"""What the shipped detector says of frames, as rows of numbers: in training it is read once and for all."""

import functools
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float16, UInt8
from torch import Tensor

from embodied_cf.policies.config import ModelConfig, NavVlaTinyConfig
from embodied_cf.policies.detector import Detector, load_detector, weights_path
from embodied_cf.policies.things import View, see, view_width

_TOGETHER = 8
"""Frames that are looked at in one go, always: what is said of one then depends on no other."""


@dataclass(frozen=True)
class DetectorReader:
    """The shipped detector as a `datasets.streams.FrameReader`, for square frames of `size` pixels a side."""

    size: int

    @property
    def name(self) -> str:
        """Of this very detector."""
        return f"detector{detector_digest():014x}"

    @property
    def width(self) -> int:
        """Numbers per frame."""
        return view_width(self.size)

    def read(self, frames: UInt8[np.ndarray, "n h w 3"]) -> Float16[np.ndarray, "n m"]:
        """Return what is seen in frames; all cores look."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            parts = list(pool.map(self._part, (frames[at : at + _TOGETHER] for at in range(0, len(frames), _TOGETHER))))
        return np.concatenate([np.zeros((0, self.width), np.float16), *parts])

    def _part(self, frames: UInt8[np.ndarray, "n h w 3"]) -> Float16[np.ndarray, "n m"]:
        return read_views(frozen_detector(), torch.from_numpy(np.ascontiguousarray(frames))).numpy()

    def mirrored(self, read: Float16[np.ndarray, "n m"]) -> Float16[np.ndarray, "n m"]:
        """Return what would be seen with left and right exchanged."""
        return View.of_row(torch.from_numpy(read), self.size).mirrored().row().numpy()


def reader_of(config: ModelConfig) -> DetectorReader | None:
    """Return what may read frames before such a network is trained on them; None if it learns to see."""
    pretrained = isinstance(config, NavVlaTinyConfig) and config.eye == "pretrained"
    return DetectorReader(config.size) if pretrained else None


@torch.no_grad()
def read_views(detector: Detector, frames: UInt8[Tensor, "n h w 3"]) -> Float16[Tensor, "n m"]:
    """Return what a detector, wherever it is, sees in frames on the CPU: one `View.row` each, in half precision."""
    if not len(frames):
        return torch.zeros(0, view_width(frames.shape[1]), dtype=torch.float16)
    whole = torch.cat([frames, frames[:1].expand(-len(frames) % _TOGETHER, -1, -1, -1)])
    device = next(detector.parameters()).device  # a policy may have taken it along
    views = [see(detector, some.to(device)).row().half().cpu() for some in whole.split(_TOGETHER)]
    return torch.cat(views)[: len(frames)]


@functools.cache
def frozen_detector() -> Detector:
    """Return the shipped detector, loaded once per process."""
    return load_detector().frozen()


@functools.cache
def detector_digest() -> int:
    """Return a number that tells the shipped detector from others: 7 bytes of the sha256 of its file."""
    return int.from_bytes(hashlib.sha256(weights_path().read_bytes()).digest()[:7], "big")
