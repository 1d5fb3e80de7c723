"""Errands: rooms with people in them, and a place in sight that the robot is sent to, metres in its own frame."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float64

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs import geometry
from embodied_cf.envs.layouts.scenes import make_scene
from embodied_cf.envs.scene import Scene
from embodied_cf.language.predicate_geometry import blocked, in_frame

PEOPLE = (3, 6)
NEAR_M, FAR_M = 2.5, 4.5
_TURNED = 0.4
"""The place lies at most so many rad to either side of where the robot looks."""
_ROOM_M = 0.6
_TRIES = 40
SCENES = 1000
"""What there is: each errand is in one of them, drawn at random. Making a scene takes longer than driving in it."""


@dataclass(frozen=True)
class Errand:
    """One episode: its seed fixes scene, place and all chance in the world."""

    scene: Scene
    goal: Float64[np.ndarray, " 2"]
    """In the frame of the robot's start, x forward, y left, m: what a map-keeping planner would hand down."""
    seed: int


def errands(seeds: Sequence[int]) -> list[Errand]:
    return [make_errand(seed) for seed in seeds]


def make_errand(seed: int) -> Errand:
    """Draw scenes until one offers a place in a straight line that no wall cuts; things and people may stand in it."""
    rng = generator(seed, "errand")
    for _ in range(_TRIES):
        scene = _scene(int(rng.integers(SCENES)))
        place = _place(scene, rng)
        if place is not None:
            away = place - scene.start[:2]
            yaw = np.arctan2(away[1], away[0]) - rng.uniform(-_TURNED, _TURNED)
            turned = replace(scene, start=np.array([*scene.start[:2], yaw]))
            return Errand(turned, in_frame(turned.start[None], place[None, None])[0, 0], seed)
    raise AssertionError(f"no errand in {_TRIES} scenes of seed {seed}")


@cache
def _scene(index: int) -> Scene:
    return make_scene("rooms", "train", index, PEOPLE)


def _place(scene: Scene, rng: np.random.Generator) -> Float64[np.ndarray, " 2"] | None:
    distance, angle = rng.uniform(NEAR_M, FAR_M, _TRIES), rng.uniform(-np.pi, np.pi, _TRIES)
    point = scene.start[:2] + distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    start = np.repeat(scene.start[None, :2], _TRIES, axis=0)
    free = ~blocked(start, point, np.repeat(scene.walls[None], _TRIES, axis=0))
    free &= geometry.segment_distance(point, scene.walls).min(axis=1) >= _ROOM_M
    free &= (np.linalg.norm(point[:, None] - scene.position, axis=2) - scene.radius >= _ROOM_M).all(axis=1)
    return point[free.argmax()] if free.any() else None
