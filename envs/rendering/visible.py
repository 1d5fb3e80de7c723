"""What each frame shows, told from its segmentation: which objects, in which box, by how many pixels."""

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from embodied_cf.datasets.privileged import Visible, VisibleThing
from embodied_cf.envs.rendering.render import FIRST_OBJECT
from embodied_cf.envs.scene import Scene
from embodied_cf.language.instruction import COLOURS, KINDS


def names_of(scene: Scene) -> tuple[str, ...]:
    """Return "colour kind" of each object."""
    pairs = zip(scene.colour.tolist(), scene.kind.tolist(), strict=True)
    return tuple(f"{COLOURS[colour]} {KINDS[kind]}" for colour, kind in pairs)


def visible_things(segmentation: UInt8[np.ndarray, "t h w"], scene: Scene) -> Visible:
    """Return the objects that each frame of one scene shows."""
    frames: list[list[VisibleThing]] = [[] for _ in segmentation]
    for row, name in enumerate(names_of(scene)):
        shown = segmentation == FIRST_OBJECT + row
        pixels = shown.sum(axis=(1, 2))
        box = bounding_boxes(shown)
        for step in np.flatnonzero(pixels).tolist():
            x0, y0, x1, y1 = box[step].tolist()
            frames[step].append(
                VisibleThing(row, name, (float(x0), float(y0), float(x1), float(y1)), int(pixels[step]))
            )
    return tuple(tuple(frame) for frame in frames)


def bounding_boxes(mask: Bool[np.ndarray, "t h w"]) -> Int64[np.ndarray, "t 4"]:
    """Return x0, y0, x1, y1 (exclusive) around the true pixels of each mask; of no meaning where none is."""
    _, height, width = mask.shape
    columns, rows = np.any(mask, axis=1), np.any(mask, axis=2)
    low = (columns.argmax(axis=1), rows.argmax(axis=1))
    high = (width - columns[:, ::-1].argmax(axis=1), height - rows[:, ::-1].argmax(axis=1))
    return np.stack([*low, *high], axis=1)
