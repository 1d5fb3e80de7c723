"""The recipe of the shipped floor line: `python -m embodied_cf.train.floor OUT.safetensors`.

Frames of training layouts, lines from segmentation; tested on `dev` layouts. Time taken and numbers reached stand in
docs/results/simulator.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Float
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.envs.layouts.scenes import WORLDS
from embodied_cf.envs.rendering.render import Camera
from embodied_cf.envs.rendering.snapshots import Snapshots, take_snapshots
from embodied_cf.policies.floor import COLUMNS, ROWS, SIZE, FloorNet, load_floor, save_floor

_CHUNK = 50
"""Scenes whose frames are rendered together."""


@dataclass(frozen=True)
class FloorRecipe:
    """How to train the floor line."""

    out: tyro.conf.Positional[Path]
    """File of weights to write."""
    begin: Path | None = None
    """Weights to go on from; default none."""
    scenes: int = 500
    """Training layouts per world."""
    poses: int = 12
    """Frames of each."""
    epochs: int = 5
    """Passes over the frames; each frame is mirrored at random."""
    batch: int = 64
    """Frames per step."""
    rate: float = 4e-3
    """Highest learning rate; warm-up, then cosine to zero."""
    seed: int = 0
    """First layout; same seed, same frames."""
    threads: int = 1
    """Of torch."""


@dataclass(frozen=True)
class Accuracy:
    """How well lines are seen, over the columns whose floor ends within NEAR_M of a level camera 0.6 m high."""

    within_a_pixel: float
    """Share of columns at most one row of 96 off."""
    within_a_tenth: float
    """Share of columns whose distance is at most a tenth off."""


def train_floor(recipe: FloorRecipe) -> FloorNet:
    """Train by the recipe and write the weights after every epoch."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    data = [snapshots for world in WORLDS for snapshots in _chunks(world, recipe)]
    model = FloorNet() if recipe.begin is None else load_floor(recipe.begin)
    steps = recipe.epochs * sum(-(-len(part.rgb) // recipe.batch) for part in data)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps, pct_start=0.1)
    rng = np.random.default_rng(recipe.seed)
    with Progress() as progress:
        task = progress.add_task("training", total=steps)
        for _ in range(recipe.epochs):
            for image, floor in _batches(data, recipe.batch, rng):
                loss = floor_loss(model.train(), image, floor)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                progress.update(task, advance=1, description=f"loss {loss.item():.3f}")
            save_floor(model, recipe.out)
    return model.eval()


def _chunks(world: str, recipe: FloorRecipe) -> Iterator[Snapshots]:
    for first in range(0, recipe.scenes, _CHUNK):
        seeds = range(recipe.seed + first, recipe.seed + min(first + _CHUNK, recipe.scenes))
        yield take_snapshots(world, "train", seeds, recipe.poses, Camera(SIZE, SIZE))


def _batches(data: list[Snapshots], size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images in [0, 1] and lines that mix frames of one chunk (one world), chunks in random order."""
    for chunk in rng.permutation(len(data)):
        part = data[chunk]
        order = rng.permutation(len(part.rgb))
        for first in range(0, len(order), size):
            rows, flip = order[first : first + size], -1 if rng.random() < 0.5 else 1
            image = np.ascontiguousarray(part.rgb[rows][:, :, ::flip])
            floor = np.ascontiguousarray(part.floor[rows][:, ::flip])
            yield torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(floor)


def floor_loss(model: FloorNet, image: Float[Tensor, "b 3 h w"], floor: Float[Tensor, "b w"]) -> Float[Tensor, ""]:
    """Return the cross-entropy of "the floor is free here", over the rows below the horizon."""
    logit = model(image)
    line = coarse(floor)
    height = 0.5 + (torch.arange(ROWS) + 0.5) / (2 * ROWS)
    return F.binary_cross_entropy_with_logits(logit, (height[:, None] > line[:, None]).float())


def coarse(floor: Float[Tensor, "b w"]) -> Float[Tensor, "b c"]:
    """Return lines at COLUMNS columns: the lower of those that one column spans, where less is free."""
    return F.max_pool1d(floor[:, None], floor.shape[1] // COLUMNS)[:, 0]


def measure_floor(model: FloorNet, part: Snapshots, near: float = 4.0) -> Accuracy:
    """Compare seen lines with true ones, where the floor ends at most `near` m away."""
    seen = torch.cat([model.lines(frames) for frames in torch.from_numpy(part.rgb).split(64)])
    true = coarse(torch.from_numpy(part.floor))
    distance, told = (0.3 / (line - 0.5).clamp_min(1e-3) for line in (true, seen))  # 0.6 m high, 90 degrees wide
    counted = distance <= near
    return Accuracy(
        float(((seen - true).abs() <= 1.01 / SIZE)[counted].float().mean()),
        float(((told / distance - 1).abs() <= 0.1)[counted].float().mean()),
    )


def main() -> None:
    """Train, and print how well frames of `dev` layouts are seen."""
    recipe = tyro.cli(FloorRecipe, description=__doc__)
    model = train_floor(recipe)
    for world in WORLDS:
        print(world, measure_floor(model, take_snapshots(world, "dev", range(60), 8, Camera(SIZE, SIZE))))


if __name__ == "__main__":
    main()
