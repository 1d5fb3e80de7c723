"""Where the robot can drive in a scene, how far that is, and shortest paths with room to spare.

The map is a grid of CELL_M; distances to walls (at any angle) and objects are exact at the cells' centres. Paths are
found by Dijkstra's algorithm over moves to 16 neighbours and then pulled straight where that costs nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from embodied_cf.envs.driving._search import clearance_of, dijkstra, pull_straight
from embodied_cf.envs.scene import Scene
from embodied_cf.envs.state import ROBOT_RADIUS_M
from embodied_cf.errors import UsageError

CELL_M = 0.1
FAR_M = 1.5
"""Clearances are not measured beyond this."""
MARGIN_M = 0.05
"""A cell is free if the robot could stand at its centre with this much air around it."""
COMFORT_M = 0.7
"""Clearance from which on a cautious path finds nothing to gain by further distance."""

Points = Float64[np.ndarray, "n 2"]


@dataclass(frozen=True)
class Grid:
    """A scene's map, rows along y and columns along x."""

    origin: Float64[np.ndarray, " 2"]
    """Centre of cell (0, 0), m."""
    clearance: Float32[np.ndarray, "h w"]
    """From the cell's centre to the nearest wall or edge of an object, at most FAR_M; below 0 inside an object, m."""

    @classmethod
    def of(cls, scene: Scene) -> "Grid":
        """Map a scene; its people are left out. Raises UsageError for a scene without walls."""
        if not len(scene.walls):
            raise UsageError("a scene without walls has no bounds to map", remedy="Enclose the scene by walls.")
        corners = scene.walls.reshape(-1, 2)
        origin = corners.min(axis=0) - CELL_M / 2
        width, height = np.ceil((corners.max(axis=0) - origin) / CELL_M).astype(int) + 1
        shape = (int(height), int(width))
        return cls(origin, clearance_of(shape, origin, CELL_M, scene.walls, scene.position, scene.radius, FAR_M))

    @property
    def free(self) -> Bool[np.ndarray, "h w"]:
        """Cells where the robot fits."""
        return self.clearance >= ROBOT_RADIUS_M + MARGIN_M

    @property
    def centres(self) -> Float64[np.ndarray, "h w 2"]:
        """World coordinates of the cells, m."""
        rows, columns = np.indices(self.clearance.shape)
        return self.origin + CELL_M * np.stack([columns, rows], axis=-1)

    def cells(self, points: Points) -> Int64[np.ndarray, " n"]:
        """Return the flat index of the cell of each point; points outside go to the rim."""
        height, width = self.clearance.shape
        column, row = np.rint((points - self.origin) / CELL_M).astype(np.int64).T
        return np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1)

    def clearance_at(self, points: Points) -> Float32[np.ndarray, " n"]:
        """Return the clearance of each point's cell, m."""
        return self.clearance.ravel()[self.cells(points)]


@dataclass(frozen=True)
class Field:
    """The cheapest way from some places to every cell."""

    grid: Grid
    cost: Float64[np.ndarray, "h w"]
    """Length, m, plus the price of narrow places; inf where no way leads."""
    parent: Int32[np.ndarray, "h w"]
    """Flat index of the cell before; -1 at the sources and where no way leads."""
    caution: float

    def at(self, points: Points) -> Float64[np.ndarray, " n"]:
        """Return the cost of each point's cell."""
        return self.cost.ravel()[self.grid.cells(points)]

    def path(self, goal: Float64[np.ndarray, " 2"]) -> Points:
        """Return the way from a source to the goal's cell, m. Raises UsageError where none leads."""
        index = int(self.grid.cells(goal[None])[0])
        if not math.isfinite(self.cost.flat[index]):
            raise UsageError(f"no way leads to ({goal[0]:.2f}, {goal[1]:.2f})", remedy="Choose a reachable goal.")
        cells, parent = [index], self.parent.ravel()
        while parent[cells[-1]] >= 0:
            cells.append(int(parent[cells[-1]]))
        rows, columns = np.divmod(np.array(cells[::-1], np.int64), self.cost.shape[1])
        points = self.grid.origin + CELL_M * np.stack([columns, rows], axis=-1)
        # where only length counts, straight lines may be as tight as a cell may be
        tight = ROBOT_RADIUS_M + MARGIN_M if self.caution == 0.0 else FAR_M
        for _ in range(2):  # the second time from points between the corners of the first
            pulled = pull_straight(
                points, self.grid.clearance, self.grid.origin, CELL_M, COMFORT_M, self.caution, tight
            )
            points = resampled(pulled, CELL_M)
        return pulled


def explore(grid: Grid, sources: Points, caution: float = 0.0) -> Field:
    """Find the cheapest ways from the sources to everywhere.

    A metre costs 1 + caution * (1 - clearance / COMFORT_M)^2 where the clearance is below COMFORT_M. A source that
    stands too tight begins at the nearest free cell within 0.5 m. Raises UsageError if no source has one.
    """
    starts = np.unique(_nearest_free(grid, sources))
    if not len(starts):
        raise UsageError("the robot fits at none of the places to start from", remedy="Move them or clear the place.")
    cost, parent = dijkstra(grid.clearance, grid.free, starts, CELL_M, COMFORT_M, caution)
    return Field(grid, cost, parent, caution)


def _nearest_free(grid: Grid, points: Points) -> Int64[np.ndarray, " k"]:
    """Flat index of the free cell nearest to each point; points without one within 0.5 m are left out."""
    cells = grid.cells(points)
    tight = ~grid.free.ravel()[cells]
    if not tight.any():
        return cells
    free = np.flatnonzero(grid.free.ravel())
    places = grid.centres.reshape(-1, 2)[free]
    found = list(cells[~tight])
    for point in points[tight]:
        away = np.hypot(*(places - point).T)
        if len(away) and away.min() <= 0.5:
            found.append(free[away.argmin()])
    return np.array(found, np.int64)


def shortest_path(
    scene: Scene, start: Float64[np.ndarray, " 2"], goals: Points, caution: float = 0.0
) -> Float64[np.ndarray, "m 2"]:
    """Return the cheapest way from start to one of the goals (n >= 1). Raises UsageError where none leads."""
    field = explore(Grid.of(scene), start[None], caution)
    return field.path(goals[int(field.at(goals).argmin())])


def path_length(path: Points) -> float:
    """Return the length of a polyline, m."""
    return float(np.hypot(*np.diff(path, axis=0).T).sum())


def resampled(path: Points, spacing: float) -> Float64[np.ndarray, "m 2"]:
    """Return points on a polyline at equal distances of about `spacing`, both ends included."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    at = np.linspace(0.0, along[-1], max(2, round(along[-1] / spacing) + 1))
    return np.stack([np.interp(at, along, path[:, 0]), np.interp(at, along, path[:, 1])], axis=1)
