"""The recipe of the shipped detector: `python -m embodied_cf.train.detector OUT.safetensors`.

Frames of training layouts with training names, boxes from segmentation; tested on `dev` layouts, whose names were
never seen. Time taken and numbers reached stand in docs/results/simulator.md.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
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
from embodied_cf.envs.rendering.snapshots import take_snapshots
from embodied_cf.policies.config import DeviceName
from embodied_cf.policies.detector import CLOSENESS, COLOUR, KIND, REACH, SIZE, Detector, save_detector
from embodied_cf.policies.devices import device_of
from embodied_cf.train.detector_batches import Batch, Frames, batches, recolour
from embodied_cf.train.detector_scores import score_detector

_CHUNK = 50
"""Scenes whose frames are rendered together."""


@dataclass(frozen=True)
class DetectorRecipe:
    """How to train the detector."""

    out: tyro.conf.Positional[Path]
    """File of weights to write."""
    scenes: int = 8000
    """Training layouts per world."""
    poses: int = 8
    """Frames of each."""
    epochs: int = 4
    """Passes over the frames; each frame is mirrored at random."""
    recoloured: float = 0.5
    """Share of frames whose colours are exchanged at random, and from which only places and kinds are learnt: a kind
    is to be known in colours that training never showed it in."""
    batch: int = 128
    """Frames per step."""
    rate: float = 3e-3
    """Highest learning rate; warm-up, then cosine to zero."""
    seed: int = 0
    """First layout; same seed, same frames."""
    device: DeviceName = "auto"
    """What computes. On CUDA convolutions are in bfloat16."""
    workers: int = 1
    """Processes that make frames."""
    threads: int = 1
    """Of torch."""


def train_detector(recipe: DetectorRecipe, frames: Frames) -> Detector:
    """Train by the recipe and write the weights after every epoch; leave the model on the CPU."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    device = device_of(recipe.device)
    frames, model = frames.to(device), Detector().to(device)
    steps = recipe.epochs * -(-len(frames) // recipe.batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps, pct_start=0.1)
    rng = np.random.default_rng(recipe.seed)
    with Progress() as progress:
        task = progress.add_task("training", total=steps)
        for _ in range(recipe.epochs):
            for step, batch in enumerate(batches(frames, recipe.batch, rng)):
                shown = recolour(batch, recipe.recoloured, rng)
                with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                    loss = detection_loss(model.train(), shown)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                schedule.step()
                progress.advance(task)
                if step % 50 == 0:  # asking for a number waits for the device
                    progress.update(task, description=f"loss {loss.item():.2f}")
            save_detector(model.eval(), recipe.out)
    return model.cpu()


def training_frames(recipe: DetectorRecipe) -> Frames:
    """Return the frames of all worlds."""
    chunks = [
        (world, range(first, min(first + _CHUNK, recipe.seed + recipe.scenes)))
        for world in WORLDS
        for first in range(recipe.seed, recipe.seed + recipe.scenes, _CHUNK)
    ]
    with Progress() as progress:
        made = progress.track(_in_order(recipe, chunks), total=len(chunks), description="frames")
        return Frames.joined(list(made))


def _in_order(recipe: DetectorRecipe, chunks: list[tuple[str, range]]) -> Iterator[Frames]:
    make = partial(_arrays, poses=recipe.poses)
    if recipe.workers == 1:
        yield from map(Frames.of_arrays, map(make, chunks))
        return
    with ProcessPoolExecutor(recipe.workers, multiprocessing.get_context("spawn")) as pool:
        yield from map(Frames.of_arrays, pool.map(make, chunks))


def _arrays(chunk: tuple[str, range], poses: int) -> list[np.ndarray]:
    """Return frames as arrays: a tensor that one process sends to another keeps a file open."""
    world, seeds = chunk
    return Frames.of(take_snapshots(world, "train", seeds, poses, Camera(SIZE, SIZE))).arrays()


def detection_loss(model: Detector, batch: Batch) -> Float[Tensor, ""]:
    """Return focal loss of presence + L1 of the reach + cross-entropy of kind and colour (arXiv 1904.07850)."""
    maps = model(batch.image).float()
    presence = maps[:, 0]
    hit = batch.heat >= 0.999
    chance = torch.sigmoid(presence)
    found = F.softplus(-presence) * (1 - chance) ** 2
    quiet = F.softplus(presence) * chance**2 * (1 - batch.heat) ** 4
    count = max(len(batch.reach), 1)
    frame, row, column = batch.index
    cells = maps[frame, :, row, column]
    reach = F.l1_loss(F.softplus(cells[:, REACH]), batch.reach, reduction="sum") / count
    kind = F.cross_entropy(cells[:, KIND], batch.kind, reduction="sum") / count
    colour = F.cross_entropy(cells[:, COLOUR], batch.colour, reduction="sum", ignore_index=-1)
    colour = colour / (batch.colour >= 0).sum().clamp_min(1)
    close = F.l1_loss(maps[:, CLOSENESS], batch.closeness)
    return torch.where(hit, found, quiet).sum() / count + 5 * reach + 0.5 * (kind + colour) + 4 * close


def main() -> None:
    """Train, and print how well frames of `dev` layouts are read."""
    recipe = tyro.cli(DetectorRecipe, description=__doc__)
    model = train_detector(recipe, training_frames(recipe))
    for world in WORLDS:
        print(world, score_detector(model, take_snapshots(world, "dev", range(60), 8, Camera(SIZE, SIZE))))


if __name__ == "__main__":
    main()
