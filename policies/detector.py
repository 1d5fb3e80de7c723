"""A small network that finds named objects in a frame: boxes, kinds and colours, from pixels alone.

Each cell of a map with a stride of 4 pixels says whether an object's visible box is centred there, how far the
box reaches, and what the object is ("objects as points", arXiv 1904.07850). Kind and colour are told apart, so
that a colour and a kind which training never showed together can still be named: the layers that know shapes choose
where a thing's colour is read, but what colour is there is told by single pixels.
"""

from copy import deepcopy
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows
from torch.nn.utils.fusion import fuse_conv_bn_eval

from embodied_cf.errors import DatasetError
from embodied_cf.language.instruction import COLOURS, SEEN_KINDS

STRIDE = 4
SIZE = 144
"""Frames are scaled to this many pixels a side, the size that training used."""


@dataclass(frozen=True)
class Found:
    """An object found in a frame."""

    name: str
    """Colour and kind."""
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 as shares of the frame's width and height."""
    score: float


REACH, KIND = slice(1, 5), slice(5, 5 + len(SEEN_KINDS))
COLOUR = slice(KIND.stop, KIND.stop + len(COLOURS))
CLOSENESS = COLOUR.stop
"""Which of the maps tell what; the first tells presence."""
_WINDOW, _APART = 5, 3
"""Cells around a thing's middle whose colour is read: so many a side, every third one."""
_LEAST_CHANCE = 1e-4
"""Of every colour, so that none has a logarithm of -inf."""


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)])

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norms[0](self.first(x)))
        return F.relu(x + self.norms[1](self.second(inner)))

    def fold(self) -> None:
        """Put the norms' part of the work into the convolutions."""
        self.first = _fused(self.first, self.norms[0])
        self.second = _fused(self.second, self.norms[1])
        self.norms = nn.ModuleList([nn.Identity(), nn.Identity()])


def _fused(conv: nn.Conv2d, norm: nn.Module) -> nn.Conv2d:
    assert isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(conv, norm)


def _down(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class _ColourReader(nn.Module):
    """Tells a thing's colour by the colours of cells around its middle, weighted by what the shapes there are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pixel = nn.Sequential(nn.Conv2d(3, 24, 1), nn.ReLU(), nn.Conv2d(24, 24, 1), nn.ReLU(),
                                   nn.Conv2d(24, len(COLOURS), 1))  # fmt: skip
        self.where = nn.Conv2d(channels, _WINDOW**2, 1)

    def forward(self, image: Float[Tensor, "b 3 h w"], shape: Float[Tensor, "b c i j"]) -> Float[Tensor, "b k i j"]:
        """Return the log of the mixture of the cells' chances of colours, which are told at half the frame's size."""
        chance = torch.softmax(self.pixel(F.avg_pool2d(image, STRIDE // 2, ceil_mode=True)), dim=1)
        cells = F.pad(F.avg_pool2d(chance, STRIDE // 2, ceil_mode=True), [_APART * (_WINDOW // 2)] * 4)
        weight, (height, width) = torch.softmax(self.where(shape), dim=1), shape.shape[2:]
        mixture = torch.zeros_like(cells[:, :, :height, :width])
        for offset in range(_WINDOW**2):
            down, right = (_APART * part for part in divmod(offset, _WINDOW))
            mixture = mixture + weight[:, offset, None] * cells[:, :, down : down + height, right : right + width]
        return torch.log(mixture + _LEAST_CHANCE)


class Detector(nn.Module):
    """Three scales down, two up, one 1x1 head, and a reader of colours; 0.6 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_down(3, 16), _down(16, 32), _Block(32))
        self.middle = nn.Sequential(_down(32, 72), _Block(72))
        self.coarse = nn.Sequential(_down(72, 128), _Block(128))
        self.to_middle, self.to_fine = nn.Conv2d(128, 72, 1), nn.Conv2d(72, 32, 1)
        self.merge = _Block(32)
        self.head = nn.Conv2d(32, CLOSENESS + 1 - len(COLOURS), 1)
        self.colour = _ColourReader(32)
        with torch.no_grad():
            self.head.weight[0], self.head.get_parameter("bias")[0] = 0.0, -3.0  # most cells hold nothing

    def frozen(self) -> "Detector":
        """Return a copy that is not to be trained and takes less time: norms within convolutions, channels last."""
        copied = deepcopy(self).eval().requires_grad_(False)
        for part in copied.modules():
            if isinstance(part, _Block):
                part.fold()
            elif isinstance(part, nn.Sequential) and isinstance(part[1], nn.BatchNorm2d):
                assert isinstance(part[0], nn.Conv2d)
                part[0], part[1] = _fused(part[0], part[1]), nn.Identity()
        for value in copied.parameters():
            if value.ndim == 4:
                value.data = value.data.contiguous(memory_format=torch.channels_last)
        return copied

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        """Return the maps of images in [0, 1]: presence logit, box reach (left, up, right, down; in shares of the
        frame, before softplus), kind logits, colour logits, closeness of the nearest that the cell shows (1/m)."""
        shape = self._merged(image)
        told = self.head(shape)
        return torch.cat([told[:, : COLOUR.start], self.colour(image, shape), told[:, COLOUR.start :]], dim=1)

    def _merged(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 32 i j"]:
        fine = self.fine(image - 0.5)
        middle = self.middle(fine)
        middle = middle + F.interpolate(self.to_middle(self.coarse(middle)), size=middle.shape[-2:])
        return self.merge(fine + F.interpolate(self.to_fine(middle), size=fine.shape[-2:]))

    @torch.no_grad()
    def find(self, frames: UInt8[Tensor, "b h w 3"], least: float = 0.35, most: int = 12) -> list[list[Found]]:
        """Return for each frame the objects found with a score of at least `least`, best first."""
        images = F.interpolate(frames.permute(0, 3, 1, 2).float() / 255, size=(SIZE, SIZE), mode="area")
        return [_found(maps, least, most) for maps in self(images)]


class Peaks(NamedTuple):
    """Where frames most likely have the middles of things, the likeliest first."""

    presence: Float[Tensor, "b n"]
    """Chance; 0 where there are fewer."""
    middle: Float[Tensor, "b n 2"]
    """Column and row, as shares of the frame."""
    cells: Float[Tensor, "b n c"]
    """What the maps say there."""


def peaks(maps: Float[Tensor, "b c i j"], most: int) -> Peaks:
    """Return of each frame the cells that are more likely a thing's middle than their neighbours."""
    presence = torch.sigmoid(maps[:, 0])
    peak = presence == F.max_pool2d(presence, 3, stride=1, padding=1)
    (rows, columns), most = presence.shape[1:], min(most, presence[0].numel())
    score, place = torch.where(peak, presence, 0.0).flatten(1).topk(most)
    middle = torch.stack([(place % columns + 0.5) / columns, (place // columns + 0.5) / rows], dim=-1)
    cells = maps.flatten(2).gather(2, place[:, None].expand(-1, maps.shape[1], -1)).transpose(1, 2)
    return Peaks(score, middle, cells)


def _found(maps: Float[Tensor, "c i j"], least: float, most: int) -> list[Found]:
    score, centre, cells = (part[0] for part in peaks(maps[None], most))
    reach = F.softplus(cells[:, REACH])
    box = torch.cat([centre - reach[:, :2], centre + reach[:, 2:]], dim=1).clamp(0, 1)
    kind, colour = cells[:, KIND].argmax(1), cells[:, COLOUR].argmax(1)
    return [
        Found(f"{COLOURS[int(c)]} {SEEN_KINDS[int(k)]}", (b[0], b[1], b[2], b[3]), float(s))
        for s, c, k, b in zip(score, colour, kind, box.tolist(), strict=True)
        if s >= least and b[2] > b[0] and b[3] > b[1]
    ]


def save_detector(model: Detector, path: Path) -> None:
    """Write the weights in half precision."""
    save_file({name: value.detach().half().contiguous() for name, value in model.state_dict().items()}, path)


def weights_path() -> Path:
    """Return the file of the shipped weights."""
    return Path(str(resources.files("embodied_cf.policies") / "weights" / "detector.safetensors"))


def load_detector(path: Path | None = None) -> Detector:
    """Return the detector of a file, or the shipped one. Raises DatasetError if the file holds something else."""
    source = path or weights_path()
    model = Detector()
    try:
        model.load_state_dict({name: value.float() for name, value in load_file(source).items()})
    except (OSError, SafetensorError, RuntimeError) as error:  # RuntimeError: other names or shapes
        raise DatasetError(f"no detector weights: {error}", where=source) from error
    return model.eval()
