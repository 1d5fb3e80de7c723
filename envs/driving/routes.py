"""Routes that may carry out a clause, the best first: polylines that keep to its meaning with some room to spare."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64

from embodied_cf.envs import geometry
from embodied_cf.envs.driving.planner import Field, Grid, explore, resampled
from embodied_cf.envs.driving.pursuit import SPACING_M, Route
from embodied_cf.envs.driving.wall_lanes import lanes
from embodied_cf.envs.scene import Scene
from embodied_cf.envs.state import ROBOT_RADIUS_M
from embodied_cf.language.predicate import Program
from embodied_cf.language.predicate_geometry import blocked
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import RING_M, SWEEP

CAUTION = 4.0
DOCK_M = 0.25
"""Last piece of the way to a thing, driven straight towards it, so that the robot faces it."""
NEAR_GAP_M, NEAR_WIDTH_M = 0.4, 0.3
"""Where that piece begins: least gap between the hulls, and how much wider it may be."""
BESIDE_GAP_M, BESIDE_SECTOR = (0.12, 0.55), math.radians(28)
RUN_UP_M, RUN_OUT_M = 0.6, 0.8
"""Straight piece before a gap and beyond it."""
RINGS_M = (0.9, 0.7, 1.2, 1.6, 2.1)
"""Distances from a thing's surface at which arcs around it are tried."""
SPARE = math.radians(25)
"""By how much an arc around a thing is longer than asked."""
TURN_SPEEDS = (0.5, 0.3, 0.12)
"""Speeds at which turns are tried, m/s: the faster, the wider."""
LINE_M = 0.4
"""Least distance from the line of a gap at which it is clear on which side the robot is."""
Path = Float64[np.ndarray, "n 2"]
Pose = Float64[np.ndarray, " 3"]


@dataclass(frozen=True)
class Ground:
    """A scene as the planner maps it."""

    scene: Scene
    grid: Grid

    @classmethod
    def of(cls, scene: Scene) -> "Ground":
        """Map a scene."""
        return cls(scene, Grid.of(scene))


@dataclass(frozen=True)
class Task:
    """One clause of a program, to be driven from a pose."""

    ground: Ground
    program: Program
    clause: int
    here: Pose

    @property
    def side(self) -> float:
        return float(self.program.side[self.clause])

    @property
    def things(self) -> Float64[np.ndarray, "m 3"]:
        return self.program.things[self.clause, : self.program.num_matches[self.clause]]

    @property
    def gaps(self) -> Float64[np.ndarray, "m 4"]:
        return self.program.gaps[self.clause, : self.program.num_matches[self.clause]]

    @cached_property
    def field(self) -> Field:
        """The ways from here, with care for narrow ones."""
        return explore(self.ground.grid, self.here[None, :2], CAUTION)

    @cached_property
    def spots(self) -> Float64[np.ndarray, "k 2"]:
        """Cells that can be reached, m."""
        return self.ground.grid.centres[np.isfinite(self.field.cost)]

    @cached_property
    def costs(self) -> Float64[np.ndarray, " k"]:
        return self.field.cost[np.isfinite(self.field.cost)]


def routes_for(ground: Ground, program: Program, clause: int, here: Pose) -> Iterator[Route]:
    """Yield routes for a clause that begins at a pose, the best first; none where nothing is in reach."""
    task = Task(ground, program, clause, here)
    match Rule(program.rule[clause]):
        case Rule.GO_TO:
            return _to_things(task)
        case Rule.STOP_BESIDE:
            return _beside(task)
        case Rule.PASS_BETWEEN:
            return _through(task)
        case Rule.ARC_AROUND:
            return _around(task)
        case Rule.FORWARD:
            return _forward(task)
        case Rule.TURN:
            return _turn(task, task.side * math.radians(90))
        case Rule.ADJUST:
            return _turn(task, task.side * math.radians(32))
        case Rule.STOP:
            return iter([Route(np.zeros((1, 2)), True, True)])
        case rule:
            return _along_walls(task, rule)


def _route(path: Path, stop: bool) -> Route:
    return Route(resampled(path, SPACING_M), stop)


def _to_things(task: Task) -> Iterator[Route]:
    """Ways to the cells around a thing, one for each of several ever wider gaps."""
    for wider in (0.0, 0.3):
        options = []
        for thing in task.things:
            away = _length(task.spots - thing[:2]) - thing[2] - ROBOT_RADIUS_M - wider
            options.append(_best(task, (away >= NEAR_GAP_M) & (away <= NEAR_GAP_M + NEAR_WIDTH_M), thing))
        for cost, spot, middle in sorted(filter(None, options), key=lambda option: option[0]):
            del cost
            toward = (middle - spot) / np.hypot(*(middle - spot))
            yield _route(np.concatenate([task.field.path(spot), [spot + DOCK_M * toward]]), True)


def _beside(task: Task) -> Iterator[Route]:
    options = []
    for thing in task.things:
        sight = thing[:2] - task.here[:2]
        normal = task.side * np.array([-sight[1], sight[0]]) / np.hypot(*sight)
        offset = task.spots - thing[:2]
        away = _length(offset)
        gap = away - thing[2] - ROBOT_RADIUS_M
        beside = offset @ normal >= math.cos(BESIDE_SECTOR) * away
        options.append(_best(task, beside & (gap >= BESIDE_GAP_M[0]) & (gap <= BESIDE_GAP_M[1]), thing))
    for _, spot, _ in sorted(filter(None, options), key=lambda option: option[0]):
        yield _route(task.field.path(spot), True)


def _best(
    task: Task, wanted: Bool[np.ndarray, " k"], thing: Float64[np.ndarray, " 3"]
) -> tuple[float, Float64[np.ndarray, " 2"], Float64[np.ndarray, " 2"]] | None:
    """Return cost, place and the thing's centre for the cheapest wanted cell from which the thing is seen."""
    spots, costs = task.spots[wanted], task.costs[wanted]
    if not len(spots):
        return None
    offset = thing[:2] - spots
    surface = spots + offset * (1 - thing[2] / _length(offset))[:, None]
    walls = task.ground.scene.walls
    costs = np.where(blocked(spots, surface, np.broadcast_to(walls, (len(spots), *walls.shape))), np.inf, costs)
    best = int(costs.argmin())
    return (float(costs[best]), spots[best], thing[:2]) if math.isfinite(costs[best]) else None


def _through(task: Task) -> Iterator[Route]:
    """Straight through the middle of a gap, the cheapest to come to first."""
    options = []
    for gap in task.gaps:
        begin, end = gap[:2], gap[2:]
        along = (end - begin) / np.hypot(*(end - begin))
        across = np.array([-along[1], along[0]])
        height = float((task.here[:2] - begin) @ across)
        if abs(height) < LINE_M:
            continue
        across *= -np.sign(height)
        middle = (begin + end) / 2
        before, after = middle - RUN_UP_M * across, middle + RUN_OUT_M * across
        cost = float(task.field.at(before[None])[0])
        if math.isfinite(cost):
            options.append((cost, before, after))
    for _, before, after in sorted(options, key=lambda option: option[0]):
        yield _route(np.concatenate([task.field.path(before), [after]]), True)


def _around(task: Task) -> Iterator[Route]:
    """Arcs at several distances and from many sides, by the length of the way; those that hit something left out."""
    grid, sweep = task.ground.grid, SWEEP + SPARE
    angle = np.linspace(-np.pi, np.pi, 36, endpoint=False)[:, None] - task.side * np.linspace(0.0, sweep, 24)
    spokes = np.stack([np.cos(angle), np.sin(angle)], axis=-1)  # (36, 24, 2)
    options = []
    for thing in task.things:
        radii = thing[2] + np.array(RINGS_M)
        arcs = (thing[:2] + radii[:, None, None, None] * spokes).reshape(-1, *spokes.shape[1:])
        tight = grid.clearance_at(arcs.reshape(-1, 2)).reshape(len(arcs), -1).min(axis=1)
        cost = task.field.at(arcs[:, 0]) + sweep * np.repeat(radii, len(spokes)) + 2.0 * np.maximum(0.0, 0.6 - tight)
        kept = np.flatnonzero((tight >= ROBOT_RADIUS_M + 0.1) & np.isfinite(cost))
        options += [(float(cost[row]), thing, arcs[row]) for row in kept]
    for _, thing, arc in sorted(options, key=lambda option: option[0]):
        path = np.concatenate([task.field.path(arc[0]), arc[1:]])
        if _least_sweep(resampled(path, SPACING_M), thing, task.side) > -math.radians(25):
            yield _route(path, False)


def _least_sweep(path: Path, thing: Float64[np.ndarray, " 3"], side: float) -> float:
    """Return how far a path goes the wrong way around a thing, rad, 0 or less."""
    spoke = path - thing[:2]
    inside = _length(spoke) - thing[2] <= RING_M[1]
    angle = np.unwrap(np.arctan2(spoke[:, 1], spoke[:, 0]))
    return float(np.minimum(0.0, np.cumsum(-side * np.diff(angle) * inside[1:])).min(initial=0.0))


def _along_walls(task: Task, rule: Rule) -> Iterator[Route]:
    for lane in lanes(task.ground.grid, task.ground.scene.walls, task.field, task.side, rule):
        yield _route(np.concatenate([task.field.path(lane[0]), lane[1:]]), False)


def _forward(task: Task) -> Iterator[Route]:
    for sideways in (0.0, 0.3, -0.3):
        path = np.array([[0.0, 0.0], [2.4, sideways]])
        if _fits(task, path):
            yield Route(resampled(path, SPACING_M), False, True)


def _turn(task: Task, angle: float) -> Iterator[Route]:
    """Ever tighter arcs, then straight on."""
    turned = np.linspace(0.0, angle, 12)
    for slowest in TURN_SPEEDS:
        radius = slowest / 1.2 * math.copysign(1.0, angle)
        arc = radius * np.stack([np.sin(turned), 1 - np.cos(turned)], axis=1)
        if _fits(task, np.concatenate([arc, [arc[-1] + 0.5 * np.array([math.cos(angle), math.sin(angle)])]])):
            yield Route(np.zeros((1, 2)), False, turn=angle, slowest=slowest)


def _fits(task: Task, path: Path) -> bool:
    """Whether the robot fits along a path in its own frame, with a little room to spare."""
    points = task.here[:2] + resampled(path, SPACING_M / 2) @ geometry.rotation(task.here[2]).T
    return bool(task.ground.grid.clearance_at(points).min() >= ROBOT_RADIUS_M + 0.08)


def _length(offset: Float64[np.ndarray, "n 2"]) -> Float64[np.ndarray, " n"]:
    return np.hypot(offset[:, 0], offset[:, 1])
