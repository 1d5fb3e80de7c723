"""Hand-made scenes for tests: a square room whose things and people the test names."""

import math

import numpy as np

from embodied_cf.envs.scene import COLOUR_RGB, DOOR_STYLE, Scene
from embodied_cf.language.instruction import COLOURS, KINDS


def room(things=(), people=(), start=(0.0, 0.0, 0.0), half=5.0, walls=(), family="rooms", doors=()):
    """A room of 2*half metres a side around (0, 0). things: (kind, colour, x, y); people: (x, y, goal x, goal y);
    walls: further segments; doors: (colour, x0, y0, x1, y1)."""
    sides = [
        (-half, -half, half, -half),
        (half, -half, half, half),
        (half, half, -half, half),
        (-half, half, -half, -half),
    ]
    segments = [*sides, *walls, *(door[1:] for door in doors)]
    plain, count = len(sides) + len(walls), len(segments)
    colour = [-1] * plain + [COLOURS.index(door[0]) for door in doors]
    rgb = [(200, 190, 175)] * plain + [COLOUR_RGB[door[0]] for door in doors]
    return Scene(
        family=family,
        walls=np.array(segments, np.float64),
        wall_height=np.full(count, 2.6),
        wall_style=np.array([0] * plain + [DOOR_STYLE] * len(doors), np.int32),
        wall_rgb=np.array(rgb, np.uint8),
        door_colour=np.array(colour, np.int32),
        floor_style=0,
        floor_rgb=np.array((150, 120, 90), np.uint8),
        ceiling_style=1,
        ceiling_rgb=np.array((225, 225, 220), np.uint8),
        ceiling_height=2.6,
        light=np.array([0.55, 0.45, 0.7, 0.9]),
        kind=np.array([KINDS.index(kind) for kind, *_ in things], np.int32),
        colour=np.array([COLOURS.index(colour) for _, colour, *_ in things], np.int32),
        position=np.array([(x, y) for *_, x, y in things], np.float64).reshape(-1, 2),
        yaw=np.arange(len(things)) * math.pi / 5,
        scale=np.ones(len(things)),
        person=np.array([(x, y) for x, y, *_ in people], np.float64).reshape(-1, 2),
        person_goals=np.array([((gx, gy), (x, y)) for x, y, gx, gy in people], np.float64).reshape(-1, 2, 2),
        person_speed=np.full(len(people), 1.1),
        person_look=np.arange(len(people), dtype=np.int32),
        start=np.array(start, np.float64),
    )
