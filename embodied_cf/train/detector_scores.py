"""How well a detector reads frames whose contents are known."""

from dataclasses import dataclass

import numpy as np
import torch

from embodied_cf.envs.rendering.snapshots import Snapshots
from embodied_cf.language.instruction import COLOURS, SEEN_KINDS
from embodied_cf.policies.detector import CLOSENESS, Detector, Found
from embodied_cf.train.detector_batches import Frames, make_batch

LEAST_ASKED = 0.004
"""Of the frame: smaller things neither help nor harm."""
_AGREE = 0.5
"""Overlap (intersection over union) from which a found box counts."""


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


def score_detector(model: Detector, part: Snapshots, least: float = LEAST_ASKED) -> Scores:
    """Compare what is found in frames with what they show, without things below a share `least` of the frame."""
    found = [item for rows in torch.from_numpy(part.rgb).split(64) for item in model.find(rows)]
    tally = np.zeros(5)  # objects, found right, boxes, kinds right and colours right among boxes that lie right
    placed, small = 0, part.pixels < least * part.rgb[0, :, :, 0].size
    for frame, things in enumerate(found):
        rows = np.flatnonzero(part.frame == frame)
        tally[0] += (~small[rows]).sum()
        for thing in things:
            row = _match(thing, part, rows)
            if row is not None and small[row]:
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
    true, told, frames = [], [], Frames.of(part)
    for rows in torch.arange(len(frames)).split(64):
        batch = make_batch(frames, rows, mirror=False)
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
