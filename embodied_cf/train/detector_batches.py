"""Frames that the detector learns from, with what its maps should say of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float, Float16, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.envs.rendering.snapshots import Snapshots
from embodied_cf.policies.detector import STRIDE

LEAST_SHARE = 0.0015
"""Of the frame: smaller things, below 31 pixels at 144x144, are not taught."""
_CLOSEST = 2.5
"""What is closer is taught as so close, 1/m."""


@dataclass(frozen=True)
class Frames:
    """F frames with N things in all, in the order of their frames."""

    rgb: UInt8[Tensor, "f h w 3"]
    closeness: Float16[Tensor, "f i j"]
    """Of the nearest that each cell shows, 1/m."""
    count: Int64[Tensor, " f"]
    """Things of each frame."""
    box: Float[Tensor, "n 4"]
    """x0, y0, x1, y1 as shares of the frame."""
    kind: Int64[Tensor, " n"]
    colour: Int64[Tensor, " n"]

    @staticmethod
    def of(part: Snapshots) -> "Frames":
        """Return snapshots without what is too small to be taught."""
        frames, height, width = part.rgb.shape[:3]
        rows = np.flatnonzero(part.pixels >= LEAST_SHARE * height * width)
        rows = rows[np.argsort(part.frame[rows], kind="stable")]
        near = F.max_pool2d(torch.from_numpy(part.closeness.astype(np.float32)), STRIDE).clamp_max(_CLOSEST)
        return Frames(
            torch.from_numpy(part.rgb),
            near.half(),
            torch.from_numpy(np.bincount(part.frame[rows], minlength=frames)),
            torch.from_numpy(part.box[rows].astype(np.float32)),
            torch.from_numpy(part.kind[rows].astype(np.int64)),
            torch.from_numpy(part.colour[rows].astype(np.int64)),
        )

    @staticmethod
    def joined(parts: Sequence["Frames"]) -> "Frames":
        """Return the frames of several parts, one after the other."""
        return Frames(*(torch.cat([getattr(part, one.name) for part in parts]) for one in fields(Frames)))

    @staticmethod
    def of_arrays(arrays: Sequence[np.ndarray]) -> "Frames":
        """Return what `arrays` gave."""
        return Frames(*map(torch.from_numpy, arrays))

    def arrays(self) -> list[np.ndarray]:
        """Return the fields in their order, for other processes."""
        return [getattr(self, one.name).numpy() for one in fields(self)]

    def to(self, device: torch.device) -> "Frames":
        """Return the same on a device."""
        return Frames(*(getattr(self, one.name).to(device) for one in fields(self)))

    def __len__(self) -> int:
        return len(self.rgb)


@dataclass(frozen=True)
class Batch:
    """Frames and the cells of the map that hold things."""

    image: Float[Tensor, "b 3 h w"]
    heat: Float[Tensor, "b i j"]
    """1 at a thing's cell, falling off around it."""
    index: tuple[Int64[Tensor, " n"], Int64[Tensor, " n"], Int64[Tensor, " n"]]
    """Frame, row and column of each thing's cell."""
    reach: Float[Tensor, "n 4"]
    """From the cell's centre to the box's left, upper, right and lower edge, in shares of the frame."""
    kind: Int64[Tensor, " n"]
    colour: Int64[Tensor, " n"]
    """-1 where it is not to be learnt."""
    closeness: Float[Tensor, "b i j"]
    """Of the nearest that each cell shows, 1/m."""


def batches(frames: Frames, size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield each frame once, in random order; half of the batches are mirrored."""
    for rows in torch.from_numpy(rng.permutation(len(frames))).to(frames.rgb.device).split(size):
        yield make_batch(frames, rows, mirror=bool(rng.random() < 0.5))


def make_batch(frames: Frames, rows: Int64[Tensor, " b"], mirror: bool) -> Batch:
    """Return the chosen frames as a batch, all of them mirrored if asked."""
    frame, things = _things(frames, rows)
    box, image, closeness = frames.box[things], frames.rgb[rows], frames.closeness[rows].float()
    if mirror:
        image, closeness = image.flip(2), closeness.flip(2)
        box = torch.stack([1 - box[:, 2], box[:, 1], 1 - box[:, 0], box[:, 3]], dim=1)
    cells = closeness.shape[-1]
    column, row = ((box[:, :2] + box[:, 2:]) / 2 * cells).long().clamp_max(cells - 1).unbind(1)
    centre = (torch.stack([column, row], dim=1) + 0.5) / cells
    reach = torch.cat([centre - box[:, :2], box[:, 2:] - centre], dim=1).clamp_min(1e-3)
    bumps = _bumps(row, column, box, cells)
    heat = torch.zeros_like(closeness).scatter_reduce_(0, frame[:, None, None].expand_as(bumps), bumps, "amax")
    pixels = image.permute(0, 3, 1, 2).float() / 255
    return Batch(pixels, heat, (frame, row, column), reach, frames.kind[things], frames.colour[things], closeness)


def _things(frames: Frames, rows: Int64[Tensor, " b"]) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """Return for each thing of the chosen frames which of these it lies in, and its place among all things."""
    end, count = frames.count.cumsum(0), frames.count[rows]
    frame = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), count)
    within = torch.arange(len(frame), device=rows.device) - (count.cumsum(0) - count)[frame]
    return frame, (end[rows] - count)[frame] + within


def _bumps(row: Tensor, column: Tensor, box: Float[Tensor, "n 4"], cells: int) -> Float[Tensor, "n i j"]:
    spread = ((box[:, 2:] - box[:, :2]) * cells / 6).clamp_min(0.4)
    place = torch.arange(cells, device=box.device)
    across, down = ((place - middle[:, None]) / spread[:, axis, None] for axis, middle in enumerate((column, row)))
    return torch.exp(-(across[:, None, :] ** 2 + down[:, :, None] ** 2) / 2)


def recolour(batch: Batch, share: float, rng: np.random.Generator) -> Batch:
    """Return a batch in a share of whose frames the colours are exchanged at random and not to be learnt."""
    mixes, shifts = np.tile(np.eye(3), (len(batch.image), 1, 1)), np.zeros((len(batch.image), 3))
    changed = rng.random(len(batch.image)) < share
    for row in np.flatnonzero(changed).tolist():
        mixes[row], shifts[row] = _tint(rng)
    mix, shift = (torch.from_numpy(part).to(batch.image) for part in (mixes, shifts))
    image = (torch.einsum("bij,bjhw->bihw", mix, batch.image) + shift[:, :, None, None]).clamp(0, 1)
    untaught = torch.from_numpy(changed).to(batch.kind.device)[batch.index[0]]
    return replace(batch, image=image, colour=batch.colour.masked_fill(untaught, -1))


def _tint(rng: np.random.Generator) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """Return how a frame's channels are exchanged, some of them inverted, scaled, and greyed by some share."""
    inverted = rng.random(3) < 0.25
    matrix = np.eye(3)[rng.permutation(3)] * (np.where(inverted, -1, 1) * rng.uniform(0.6, 1.2, 3))[:, None]
    grey, offset = 0.5 * rng.random(), inverted + rng.uniform(-0.1, 0.1, 3)
    mix = (1 - grey) * np.eye(3) + grey / 3
    return mix @ matrix, mix @ offset
