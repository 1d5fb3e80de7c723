"""Routes that carry out instructions: one polyline for each part, planned from where the part before it ends."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from embodied_cf.envs import geometry
from embodied_cf.envs.planner import Field, Grid, explore, resampled
from embodied_cf.envs.pursuit import SPACING_M, Route
from embodied_cf.envs.scene import Scene
from embodied_cf.envs.state import ROBOT_RADIUS_M
from embodied_cf.errors import UsageError
from embodied_cf.language.surroundings import Surroundings

CAUTION = 4.0
Pose = Float64[np.ndarray, " 3"]
Path = Float64[np.ndarray, "n 2"]
Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class Ground:
    """A scene, as language sees it and as the planner maps it."""

    scene: Scene
    things: Surroundings
    grid: Grid

    @classmethod
    def of(cls, scene: Scene) -> "Ground":
        """Map a scene."""
        return cls(scene, scene.surroundings(), Grid.of(scene))

    def explore(self, here: Pose) -> Field:
        """Find the ways from the robot's place, with care for narrow ones."""
        return explore(self.grid, here[None, :2], CAUTION)

    def seen_from(self, points: Path, target: Float64[np.ndarray, " 2"]) -> Bool[np.ndarray, " n"]:
        """Return whether no wall stands between each point and a target's near edge."""
        end = target + (points - target) * 0.02
        return ~crosses(points, end, self.scene.walls).any(axis=1)


def crosses(begin: Path, end: Path, walls: Float64[np.ndarray, "w 4"]) -> Bool[np.ndarray, "n w"]:
    """Return which of the segments begin-end cross which walls."""
    along, wall = (end - begin)[:, None], walls[:, 2:] - walls[:, :2]
    offset = walls[:, :2] - begin[:, None]
    det = _cross(along, wall)
    safe = np.where(np.abs(det) < 1e-12, np.inf, det)
    t, u = _cross(offset, wall) / safe, _cross(offset, along) / safe
    return (np.abs(det) >= 1e-12) & (t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def cheapest(field: Field, wanted: Mask, extra: Float64[np.ndarray, "h w"] | float = 0.0) -> Path:
    """Return the way to the wanted cell of least cost plus `extra`. Raises UsageError if none can be reached."""
    cost = np.where(wanted, field.cost + extra, np.inf)
    best = int(cost.argmin())
    if not math.isfinite(cost.flat[best]):
        raise UsageError("no way leads to where the instruction asks the robot to be",
                         remedy="Use a scene in which its place is free.")  # fmt: skip
    return field.path(field.grid.centres.reshape(-1, 2)[best])


def to_route(path: Path, stop: bool) -> Route:
    """Return the route along a path."""
    if len(path) == 1:
        return Route(path, stop)
    return Route(resampled(path, SPACING_M), stop)


def end_pose(route: Route, here: Pose) -> Pose:
    """Return where a route ends, and which way it faces there."""
    path = route.path
    if route.relative:
        path = here[:2] + path @ geometry.rotation(here[2]).T
    if len(path) < 2:
        return np.array([*path[-1], here[2]])
    dx, dy = path[-1] - path[max(0, len(path) - 4)]
    return np.array([*path[-1], math.atan2(dy, dx)])


def approach(ground: Ground, here: Pose, target: int, gap: tuple[float, float]) -> Route:
    """Drive up to a thing and stop with a gap (m, least and most) between the hulls."""
    field = ground.explore(here)
    middle, radius = ground.things.position[target], ground.things.radius[target]
    if target >= len(ground.scene.position):
        radius = 0.0  # a door is a flat wall
    offset = ground.grid.centres - middle
    away = np.hypot(offset[..., 0], offset[..., 1]) - radius - ROBOT_RADIUS_M
    wanted = ground.grid.free & (away >= gap[0]) & (away <= gap[1]) & np.isfinite(field.cost)
    wanted[wanted] = ground.seen_from(ground.grid.centres[wanted], middle)
    return to_route(cheapest(field, wanted), True)


def beside(ground: Ground, here: Pose, target: int, side: float) -> Route:
    """Stop on one side (+1 left) of a thing as seen from the start."""
    field = ground.explore(here)
    middle, radius = ground.things.position[target], ground.things.radius[target]
    sight = middle - ground.things.start[:2]
    normal = side * np.array([-sight[1], sight[0]]) / np.hypot(*sight)
    offset = ground.grid.centres - middle
    away = np.hypot(offset[..., 0], offset[..., 1])
    across = (offset @ normal) / np.maximum(away, 1e-6)
    gap = away - radius - ROBOT_RADIUS_M
    wanted = ground.grid.free & (gap >= 0.12) & (gap <= 0.5) & (across >= math.cos(math.radians(25)))
    wanted &= np.isfinite(field.cost)
    wanted[wanted] = ground.seen_from(ground.grid.centres[wanted], middle)
    return to_route(cheapest(field, wanted), True)


def plan(scene, instruction):
    ground = Ground.of(scene)
    return [approach(ground, scene.start, instruction, (0.15, 0.4))]
