"""A small network that sees where the free floor ends in each column of a frame, from pixels alone.

For each of some columns it says of each row of the lower half whether the floor is free there ("row anchors", as for
lanes in arXiv 2004.11757); the line is the split that fits these answers best. For level cameras: the horizon lies
in the middle of the frame.
"""

from importlib import resources
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.errors import DatasetError

SIZE = 96
"""Frames are scaled to this many pixels a side, the size that training used."""
COLUMNS, ROWS = 48, 48
"""Columns of the answer, and its rows: those of the lower half of a frame of SIZE."""


def _conv(inputs: int, outputs: int, stride: int | tuple[int, int], kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class FloorNet(nn.Module):
    """Four scales down in height and one in width, then along the columns; 0.4 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            _conv(3, 16, 2, 5), _conv(16, 32, (2, 1)), _conv(32, 48, (2, 2)), _conv(48, 64, (2, 1)), _conv(64, 64, 1)
        )  # (b, 3, 96, 96) -> (b, 64, 6, 24)
        self.along = nn.Sequential(
            nn.Conv1d(64 * 6, 160, 1), nn.ReLU(), nn.Conv1d(160, 160, 5, padding=2), nn.ReLU(),
            nn.Conv1d(160, 2 * ROWS, 1),
        )  # fmt: skip

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b r c"]:
        """Return for images in [0, 1] the logit that the floor is free at a row (from the horizon down) and column."""
        seen = self.seen(image - 0.5)
        told = self.along(seen.flatten(1, 2))  # (b, 64, 6, 24) -> (b, 2 r, 24)
        return told.unflatten(1, (ROWS, 2)).transpose(2, 3).flatten(2)

    @torch.no_grad()
    def lines(self, frames: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c"]:
        """Return the share of the height down to where the free floor begins, in COLUMNS columns of each frame."""
        images = F.interpolate(frames.permute(0, 3, 1, 2).float() / 255, size=(SIZE, SIZE), mode="area")
        return 0.5 + best_split(self(images)) / (2 * ROWS)


def best_split(logit: Float[Tensor, "b r c"]) -> Float[Tensor, "b c"]:
    """Return how many rows are not floor, from above, so that the logits agree best: below, all are floor."""
    above = F.pad(torch.cumsum(-logit, dim=1), (0, 0, 1, 0))
    return above.argmax(dim=1).float()


def save_floor(model: FloorNet, path: Path) -> None:
    """Write the weights in half precision."""
    save_file({name: value.detach().half().contiguous() for name, value in model.state_dict().items()}, path)


def weights_path() -> Path:
    """Return the file of the shipped weights."""
    return Path(str(resources.files("embodied_cf.policies") / "weights" / "floor.safetensors"))


def load_floor(path: Path | None = None) -> FloorNet:
    """Return the network of a file, or the shipped one. Raises DatasetError if the file holds something else."""
    source = path or weights_path()
    model = FloorNet()
    try:
        model.load_state_dict({name: value.float() for name, value in load_file(source).items()})
    except (OSError, SafetensorError, RuntimeError) as error:  # RuntimeError: other names or shapes
        raise DatasetError(f"no floor weights: {error}", where=source) from error
    return model.eval()
