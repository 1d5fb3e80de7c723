"""Where somebody who knows no language drives next: to a thing, along the passage, or anywhere that is free."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from embodied_cf.envs import geometry
from embodied_cf.envs.scene import Scene
from embodied_cf.envs.state import ROBOT_RADIUS_M
from embodied_cf.language.predicate_geometry import blocked

NEAREST, SALIENT, FOLLOW, WANDER = range(4)
SHARES = {SALIENT: 0.3, FOLLOW: 0.35, WANDER: 0.35}
"""How often each is done by whoever is not biased to the nearest thing."""
STAND_OFF_M = (0.2, 0.7)
"""Gap to a thing that is driven to, between the hulls."""
VIEW_RAD = math.radians(45)
"""To either side of the heading; what lies outside is not salient."""
LEG_M = (1.5, 4.5)
"""Length of a leg to a place that is no thing."""
_MARGIN_M = 0.15
_RAYS = 24
Pose = Float64[np.ndarray, " 3"]


@dataclass(frozen=True)
class Goal:
    """Where a leg leads."""

    place: Float64[np.ndarray, " 2"]
    thing: int = -1
    """Row of the object that is driven to, or -1."""


def choose_goal(
    scene: Scene, pose: Pose, visited: Bool[np.ndarray, " o"], bias: float, rng: np.random.Generator
) -> Goal:
    """Return the next goal: with probability `bias` the nearest unvisited thing in sight, else a mixture.

    Where there is none in sight the robot wanders.
    """
    others = list(SHARES)
    kind = NEAREST if rng.random() < bias else others[int(rng.choice(len(others), p=list(SHARES.values())))]
    if kind in (NEAREST, SALIENT):
        thing = _thing(scene, pose, visited, kind)
        if thing >= 0:
            return _in_front(scene, pose, thing, rng)
    return _free_leg(scene, pose, kind == FOLLOW, rng)


def _thing(scene: Scene, pose: Pose, visited: Bool[np.ndarray, " o"], kind: int) -> int:
    """Return the nearest, or the largest in view, of the unvisited things in sight; -1 if there is none."""
    offset = scene.position - pose[:2]
    away = np.hypot(offset[:, 0], offset[:, 1])
    begin = np.broadcast_to(pose[:2], offset.shape)
    walls = np.broadcast_to(scene.walls, (len(offset), *scene.walls.shape))
    chosen = ~visited[: len(offset)] & ~blocked(begin, scene.position, walls)
    if kind == SALIENT:
        ahead = offset @ np.array([math.cos(pose[2]), math.sin(pose[2])])
        chosen &= ahead >= math.cos(VIEW_RAD) * away
    rank = np.where(chosen, away if kind == NEAREST else away / scene.radius, np.inf)
    return int(rank.argmin()) if chosen.any() else -1


def _in_front(scene: Scene, pose: Pose, thing: int, rng: np.random.Generator) -> Goal:
    """Return a place before a thing, a little to one side."""
    middle, radius = scene.position[thing], float(scene.radius[thing])
    toward = math.atan2(*(pose[:2] - middle)[::-1]) + rng.normal(0.0, 0.3)
    reach = radius + ROBOT_RADIUS_M + rng.uniform(*STAND_OFF_M)
    return Goal(middle + reach * np.array([math.cos(toward), math.sin(toward)]), thing)


def _free_leg(scene: Scene, pose: Pose, follow: bool, rng: np.random.Generator) -> Goal:
    """Return the end of a straight free leg: in the direction that goes on furthest, or in any that is free."""
    angle = np.linspace(-np.pi, np.pi, _RAYS, endpoint=False) + rng.uniform(0, 2 * np.pi / _RAYS)
    room = _free_way(scene, pose, angle)
    ahead = np.cos(angle)
    if follow:
        best = int((np.minimum(room, 6.0) * (1.2 + ahead)).argmax())
    else:
        weight = np.maximum(room - 0.5, 0.0) * (1.1 + ahead)
        if not weight.any():
            return Goal(pose[:2].copy())
        best = int(rng.choice(len(angle), p=weight / weight.sum()))
    leg = min(float(room[best]), rng.uniform(*LEG_M))
    direction = pose[2] + angle[best]
    return Goal(pose[:2] + leg * np.array([math.cos(direction), math.sin(direction)]))


def _free_way(scene: Scene, pose: Pose, angle: Float64[np.ndarray, " r"]) -> Float64[np.ndarray, " r"]:
    """Return how far the robot can drive in each direction (rad from its heading), at most the longest leg, m."""
    far = np.arange(0.2, LEG_M[1] + 0.1, 0.2)
    unit = np.stack([np.cos(pose[2] + angle), np.sin(pose[2] + angle)], axis=1)
    points = (pose[:2] + far[None, :, None] * unit[:, None]).reshape(-1, 2)
    gap = geometry.segment_distance(points, scene.walls).min(axis=1)
    thing = np.linalg.norm(points[:, None] - scene.position, axis=2) - scene.radius
    free = np.minimum(gap, thing.min(axis=1, initial=np.inf)) >= ROBOT_RADIUS_M + _MARGIN_M
    return 0.2 * np.cumprod(free.reshape(len(angle), -1), axis=1).sum(axis=1)
