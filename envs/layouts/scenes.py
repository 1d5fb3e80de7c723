"""From (world, split, seed) to a scene."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.layouts.corridors import HEIGHT_M as CORRIDOR_HEIGHT_M
from embodied_cf.envs.layouts.corridors import draw_corridors
from embodied_cf.envs.layouts.courtyard import draw_courtyard
from embodied_cf.envs.layouts.floorplan import FloorPlan
from embodied_cf.envs.layouts.furnish import free_points, furnish, populate
from embodied_cf.envs.layouts.looks import draw_look
from embodied_cf.envs.layouts.rooms import HEIGHT_M as ROOM_HEIGHT_M
from embodied_cf.envs.layouts.rooms import draw_rooms
from embodied_cf.envs.scene import MAX_PEOPLE, Scene
from embodied_cf.envs.splits import Split, as_split
from embodied_cf.errors import UsageError


@dataclass(frozen=True)
class World:
    """A family of places."""

    draw: Callable[[np.random.Generator], FloorPlan]
    height_m: float


WORLDS = {
    "rooms": World(draw_rooms, ROOM_HEIGHT_M),
    "corridors": World(draw_corridors, CORRIDOR_HEIGHT_M),
    "courtyard": World(draw_courtyard, 3.0),
}
_START_MARGIN_M = 0.55
_TRIES = 20


def make_scene(world: str, split: str, seed: int, people: tuple[int, int] = (0, 2)) -> Scene:
    """Return the scene of (world, split, seed) with `people` (least, most) walking about.

    Raises UsageError for an unknown world or split, or if no place is free for the robot.
    """
    part = check_scene(world, split, people)
    rng = generator(seed, "scene", world, split)
    for _ in range(_TRIES):
        scene = _draw(world, part, people, rng)
        if scene is not None:
            return scene
    raise UsageError(f"no free place in {_TRIES} layouts of {world}, split {split}, seed {seed}")


def check_scene(world: str, split: str, people: tuple[int, int]) -> Split:
    """Return the split; raises UsageError for an unknown world or split, or what is no range of people."""
    if world not in WORLDS:
        raise UsageError(f"unknown world {world!r}", remedy=f"Choose one of {', '.join(WORLDS)}.")
    if not 0 <= people[0] <= people[1] <= MAX_PEOPLE:
        raise UsageError(f"people {people} is not a range within 0..{MAX_PEOPLE}")
    return as_split(split)


def _draw(world: str, split: Split, people: tuple[int, int], rng: np.random.Generator) -> Scene | None:
    plan = WORLDS[world].draw(rng)
    look = draw_look(world, WORLDS[world].height_m, rng)
    things = furnish(world, plan, split, rng)
    spots = free_points(plan, things, _START_MARGIN_M, rng)
    if not len(spots) or len(things.kind) < 4:
        return None
    start = np.array([*spots[0], rng.uniform(-np.pi, np.pi)])
    walkers = populate(plan, things, int(rng.integers(people[0], people[1] + 1)), rng)
    away = np.linalg.norm(walkers.start - start[:2], axis=1) > 1.2
    return Scene(
        family=world,
        walls=plan.walls.segment,
        wall_height=plan.walls.height,
        wall_style=plan.walls.style,
        wall_rgb=plan.walls.rgb,
        door_colour=plan.walls.door_colour,
        **vars(look),
        kind=things.kind,
        colour=things.colour,
        position=things.position,
        yaw=things.yaw,
        scale=things.scale,
        person=walkers.start[away],
        person_goals=walkers.goals[away],
        person_speed=walkers.speed[away],
        person_look=walkers.look[away],
        start=start,
    )
