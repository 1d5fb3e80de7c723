"""The recipe of the shipped detector: `python -m embodied_cf.train.detector OUT.safetensors`.

Frames of training layouts with training names, boxes from segmentation; tested on `dev` layouts, whose names were
never seen. Time taken and numbers reached stand in docs/results/simulator.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from embodied_cf.envs.splits import Split
from embodied_cf.language.instruction import COLOURS, SEEN_KINDS
from embodied_cf.policies.detector import CLOSENESS, COLOUR, KIND, REACH, SIZE, STRIDE, Detector, Found, save_detector

LEAST_PIXELS = 37
"""Smaller objects, at 96x96 (0.4 % of the frame), are neither taught nor asked for."""
_CLOSEST = 2.5
"""What is closer is taught as so close, 1/m."""
_AGREE = 0.5
"""Overlap (intersection over union) from which a found box counts."""


@dataclass(frozen=True)
class DetectorRecipe:
    """How to train the detector."""

    out: tyro.conf.Positional[Path]
    """File of weights to write."""
    scenes: int = 1000
    """Training layouts per world."""
    poses: int = 12
    """Frames of each."""
    epochs: int = 6
    """Passes over the frames; each frame is mirrored at random."""
    recoloured: float = 0.5
    """Share of frames whose colours are exchanged at random, and from which only places and kinds are learnt: a kind
    is to be known in colours that training never showed it in."""
    batch: int = 64
    """Frames per step."""
    rate: float = 3e-3
    """Highest learning rate; warm-up, then cosine to zero."""
    seed: int = 0
    """First layout; same seed, same frames."""
    threads: int = 1
    """Of torch."""


@dataclass(frozen=True)
class Scores:
    """How well frames are read, at an overlap of 0.5."""

    recall: float
    """Share of objects that were found with the right name."""
    precision: float
    """Share of named boxes that are right."""
    kind: float
    """Share of right kinds among boxes that lie right."""
    colour: float
    """Share of right colours among boxes that lie right."""
    distance: float
    """Share of the cells nearer than 4 m whose distance is at most a tenth off."""


def train_detector(recipe: DetectorRecipe) -> Detector:
    """Train by the recipe and write the weights after every epoch."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    data = [snapshots for world in WORLDS for snapshots in _chunks(world, "train", recipe)]
    model = Detector()
    steps = recipe.epochs * sum(-(-len(part.rgb) // recipe.batch) for part in data)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps, pct_start=0.1)
    rng = np.random.default_rng(recipe.seed)
    with Progress() as progress:
        task = progress.add_task("training", total=steps)
        for _ in range(recipe.epochs):
            for batch in _batches(data, recipe.batch, rng):
                loss = detection_loss(model.train(), recolour(batch, recipe.recoloured, rng))
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                schedule.step()
                progress.update(task, advance=1, description=f"loss {loss.item():.2f}")
            save_detector(model.eval(), recipe.out)
    return model


def _chunks(world: str, split: Split, recipe: DetectorRecipe) -> Iterator[Snapshots]:
    camera = Camera(SIZE, SIZE)
    for first in range(0, recipe.scenes, 50):
        seeds = range(recipe.seed + first, recipe.seed + min(first + 50, recipe.scenes))
        yield take_snapshots(world, split, seeds, recipe.poses, camera)


@dataclass(frozen=True)
class Batch:
    """Frames and the cells of the map that hold objects."""

    image: Float[Tensor, "b 3 h w"]
    heat: Float[Tensor, "b i j"]
    """1 at an object's cell, falling off around it."""
    index: tuple[Tensor, Tensor, Tensor]
    """Frame, row and column of each object's cell."""
    reach: Float[Tensor, "n 4"]
    """From the cell's centre to the box's left, upper, right and lower edge, in shares of the frame."""
    kind: Tensor
    colour: Tensor
    """-1 where it is not to be learnt."""
    closeness: Float[Tensor, "b i j"]
    """Of the nearest that each cell shows, 1/m."""


def recolour(batch: Batch, share: float, rng: np.random.Generator) -> Batch:
    """Return a batch in a share of whose frames the colours are exchanged at random and not to be learnt."""
    rows = np.flatnonzero(rng.random(len(batch.image)) < share)
    image, colour = batch.image.clone(), batch.colour.clone()
    for row in rows.tolist():
        image[row] = _tinted(image[row], rng)
    colour[torch.isin(batch.index[0], torch.from_numpy(rows))] = -1
    return replace(batch, image=image, colour=colour)


def _tinted(image: Float[Tensor, "3 h w"], rng: np.random.Generator) -> Float[Tensor, "3 h w"]:
    """Return a frame with its channels exchanged, some of them inverted, scaled, and greyed by some share."""
    inverted = rng.random(3) < 0.25
    matrix = np.eye(3)[rng.permutation(3)] * (np.where(inverted, -1, 1) * rng.uniform(0.6, 1.2, 3))[:, None]
    grey, offset = 0.5 * rng.random(), inverted + rng.uniform(-0.1, 0.1, 3)
    mix = (1 - grey) * np.eye(3) + grey / 3
    tint, shift = (torch.from_numpy(part).to(image) for part in (mix @ matrix, mix @ offset))
    return (torch.einsum("ij,jhw->ihw", tint, image) + shift[:, None, None]).clamp(0, 1)


def _batches(data: list[Snapshots], size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield batches that mix frames of one chunk (one world), chunks in random order."""
    for chunk in rng.permutation(len(data)):
        part = data[chunk]
        order = rng.permutation(len(part.rgb))
        for first in range(0, len(order), size):
            yield make_batch(part, order[first : first + size], mirror=bool(rng.random() < 0.5))


def make_batch(part: Snapshots, frames: np.ndarray, mirror: bool) -> Batch:
    """Return the chosen frames as a batch, all of them mirrored if asked."""
    place = np.full(len(part.rgb), -1)
    place[frames] = np.arange(len(frames))
    rows = np.flatnonzero((place[part.frame] >= 0) & (part.pixels >= LEAST_PIXELS))
    box, image, closeness = part.box[rows].astype(np.float32), part.rgb[frames], part.closeness[frames]
    if mirror:
        image, closeness = image[:, :, ::-1], closeness[:, :, ::-1]
        box = np.stack([1 - box[:, 2], box[:, 1], 1 - box[:, 0], box[:, 3]], axis=1)
    cells = SIZE // STRIDE
    middle = (box[:, :2] + box[:, 2:]) / 2
    column, row = np.minimum((middle * cells).astype(np.int64), cells - 1).T
    centre = (np.stack([column, row], axis=1) + 0.5) / cells
    reach = np.concatenate([centre - box[:, :2], box[:, 2:] - centre], axis=1).astype(np.float32)
    frame = place[part.frame[rows]]
    heat = _heat(len(frames), cells, frame, row, column, box)
    as_long = [torch.from_numpy(np.ascontiguousarray(a, np.int64)) for a in (frame, row, column, part.kind[rows])]
    return Batch(
        torch.from_numpy(np.ascontiguousarray(image)).permute(0, 3, 1, 2).float() / 255,
        torch.from_numpy(heat),
        (as_long[0], as_long[1], as_long[2]),
        torch.from_numpy(reach).clamp_min(1e-3),
        as_long[3],
        torch.from_numpy(part.colour[rows].astype(np.int64)),
        F.max_pool2d(torch.from_numpy(closeness.astype(np.float32)), STRIDE).clamp_max(_CLOSEST),
    )


def _heat(
    frames: int, cells: int, frame: np.ndarray, row: np.ndarray, column: np.ndarray, box: np.ndarray
) -> Float[np.ndarray, "b i j"]:
    heat = np.zeros((frames, cells, cells), np.float32)
    i, j = np.mgrid[:cells, :cells]
    spread = np.maximum((box[:, 2:] - box[:, :2]) * cells / 6, 0.4)
    for f, r, c, (sx, sy) in zip(frame, row, column, spread, strict=True):
        bump = np.exp(-(((j - c) / sx) ** 2 + ((i - r) / sy) ** 2) / 2)
        heat[f] = np.maximum(heat[f], bump)
    return heat


def detection_loss(model: Detector, batch: Batch) -> Float[Tensor, ""]:
    """Return focal loss of presence + L1 of the reach + cross-entropy of kind and colour (arXiv 1904.07850)."""
    maps = model(batch.image)
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


def score_detector(model: Detector, part: Snapshots) -> Scores:
    """Compare what is found in frames with what they show; objects below LEAST_PIXELS neither help nor harm."""
    found = [item for rows in torch.from_numpy(part.rgb).split(64) for item in model.find(rows)]
    tally = np.zeros(5)  # objects, found right, boxes, kinds right and colours right among boxes that lie right
    placed = 0
    for frame, things in enumerate(found):
        rows = np.flatnonzero(part.frame == frame)
        tally[0] += (part.pixels[rows] >= LEAST_PIXELS).sum()
        for thing in things:
            row = _match(thing, part, rows)
            if row is not None and part.pixels[row] < LEAST_PIXELS:
                continue
            tally[2] += 1
            if row is not None:
                placed += 1
                colour, kind = thing.name.split()
                right = kind == SEEN_KINDS[part.kind[row]], colour == COLOURS[part.colour[row]]
                tally[[3, 4]] += right
                tally[1] += all(right)
    share = (tally[[1, 1, 3, 4]] / np.maximum([tally[0], tally[2], placed, placed], 1)).tolist()
    return Scores(share[0], share[1], share[2], share[3], _distances_right(model, part))


@torch.no_grad()
def _distances_right(model: Detector, part: Snapshots, near: float = 4.0) -> float:
    true, told = [], []
    for rows in np.array_split(np.arange(len(part.rgb)), -(-len(part.rgb) // 64)):
        batch = make_batch(part, rows, mirror=False)
        true.append(batch.closeness)
        told.append(model(batch.image)[:, CLOSENESS])
    truth, seen = torch.cat(true), torch.cat(told)
    counted = truth >= 1 / near
    return float((((seen - truth).abs() / truth.clamp_min(1e-3)) <= 0.1)[counted].float().mean())


def _match(thing: Found, part: Snapshots, rows: np.ndarray) -> int | None:
    overlaps = overlap(np.array(thing.box), part.box[rows])
    return int(rows[overlaps.argmax()]) if len(rows) and overlaps.max() >= _AGREE else None


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of a box (4,) with others (n, 4)."""
    side = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.clip(side, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return shared / np.maximum(areas - shared, 1e-12)


def main() -> None:
    """Train, and print how well frames of `dev` layouts are read."""
    recipe = tyro.cli(DetectorRecipe, description=__doc__)
    model = train_detector(recipe)
    for world in WORLDS:
        print(world, score_detector(model, take_snapshots(world, "dev", range(60), 8, Camera(SIZE, SIZE))))


if __name__ == "__main__":
    main()
