"""Hand-made tables for tests."""

import numpy as np

from embodied_cf.envs.tabletop.dynamics import Instant
from embodied_cf.envs.tabletop.layout import HEIGHT_M, Layout
from embodied_cf.language.instruction import COLOURS
from embodied_cf.language.tabletop import TABLE_KINDS


def table(*things, start=(0.4, 0.0, 0.18)):
    """A table with things (kind, colour, x, y), all at yaw 0."""
    return Layout(
        kind=np.array([TABLE_KINDS.index(kind) for kind, *_ in things], np.int32),
        colour=np.array([COLOURS.index(colour) for _, colour, *_ in things], np.int32),
        position=np.array([(x, y) for *_, x, y in things], np.float64).reshape(-1, 2),
        yaw=np.zeros(len(things)),
        table_rgb=np.array([150, 120, 90], np.uint8),
        light=1.0,
        start=np.array(start),
    )


def instant(layout, tip=(0.4, 0.0, 0.2), gripper=1.0, **moved):
    """Where things are: as the layout says, but for t0=(x, y, z) and so on."""
    height = [HEIGHT_M[kind] / 2 for kind in layout.kinds]
    position = np.column_stack([layout.position, height])
    for name, place in moved.items():
        position[int(name[1:])] = place
    return Instant(np.array([*tip, 0.0, 0.0, 0.0, gripper]), position, np.zeros(len(position)))
