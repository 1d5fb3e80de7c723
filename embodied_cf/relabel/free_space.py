"""Where the floor is free and where it ends: the floor lines of many frames, counted on a grid in the odometry frame.

A line says of each column of a frame how far the floor reaches. Cells that rays pass over are free, cells in which
they end are not; what most frames say counts (occupancy grids, Moravec and Elfes 1985). Where the robot drove is free.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from embodied_cf.datasets.spec import CameraModel
from embodied_cf.relabel.ground import ground_point, to_world

CELL_M = 0.1
SEEN_M = 4.0
"""Nothing is concluded of what lies further from a frame's camera: there a pixel row spans several cells."""
_NEAREST_M, _EDGE_M = 0.6, 0.15
"""Where rays begin, and how far before its end the floor is surely free."""
_LEAST_ENDS, _LEAST_SHARE = 2, 0.3
"""Rays that must end in a cell, and their share of those that reach it, for something to stand there."""
_DRIVEN_M = 0.2
"""Around each pose of the robot all is free."""
_BORDER_M = SEEN_M + 0.5


@dataclass(frozen=True)
class FreeSpace:
    """A grid of cells of CELL_M; its lower left corner lies at `corner`."""

    corner: Float[np.ndarray, " 2"]
    occupied: Bool[np.ndarray, "x y"]

    @cached_property
    def points(self) -> Float[np.ndarray, "n 2"]:
        """Centres of the cells in which something stands, m in the odometry frame."""
        return self.corner + (np.argwhere(self.occupied) + 0.5) * CELL_M

    @cached_property
    def away(self) -> Float32[np.ndarray, "x y"]:
        """How far it is from the centre of each cell to where something stands, m; huge where nothing does."""
        distance = cv2.distanceTransform((~self.occupied).astype(np.uint8), cv2.DIST_L2, 5) * CELL_M
        return np.maximum(distance - CELL_M / 2, 0.0).astype(np.float32)

    def distance(self, place: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
        """Return how far it is from places to the nearest cell in which something stands, m; inf off the grid."""
        if not self.occupied.any():
            return np.full(len(place), np.inf)
        cell = np.floor((place - self.corner) / CELL_M).astype(np.int64)
        inside = ((cell >= 0) & (cell < self.occupied.shape)).all(axis=1)
        at = np.where(inside[:, None], cell, 0)
        return np.where(inside, self.away[at[:, 0], at[:, 1]], np.inf)


def free_space_of(
    lines: Float[np.ndarray, "t c"], track: Float[np.ndarray, "t 3"], camera: CameraModel, size: tuple[int, int]
) -> FreeSpace:
    """Return what floor lines say (share of the frame's height in each of C columns); `size` is (width, height)."""
    corner = track[:, :2].min(axis=0) - _BORDER_M
    shape = tuple(np.ceil((track[:, :2].max(axis=0) + _BORDER_M - corner) / CELL_M).astype(int).tolist())
    ray, reach = _rays(lines, camera, size)
    columns = lines.shape[1]
    here = np.repeat(track, columns, axis=0)
    along = np.arange(_NEAREST_M, SEEN_M, CELL_M)
    passed, which = np.nonzero(along < np.minimum(reach, SEEN_M)[:, None] - _EDGE_M)
    free = _count(to_world(here[passed], ray[passed] * along[which, None]), corner, shape)
    ends = np.flatnonzero(reach <= SEEN_M)
    hit = _count(to_world(here[ends], ray[ends] * reach[ends, None]), corner, shape)
    occupied = (hit >= _LEAST_ENDS) & (hit >= _LEAST_SHARE * (hit + free))
    return FreeSpace(corner, occupied & ~_driven(track, corner, shape))


def _rays(
    lines: Float[np.ndarray, "t c"], camera: CameraModel, size: tuple[int, int]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Return for each column of each frame its direction on the ground in the robot's frame, and the floor's end, m."""
    steps, columns = lines.shape
    x = np.tile((np.arange(columns) + 0.5) * size[0] / columns, steps)
    nearest = ground_point(np.stack([x, np.full(len(x), float(size[1]))], axis=1), camera, *size)
    end = ground_point(np.stack([x, lines.ravel() * size[1]], axis=1), camera, *size)
    reach = np.hypot(end[:, 0], end[:, 1])
    return nearest / np.hypot(nearest[:, 0], nearest[:, 1])[:, None], np.where(np.isfinite(reach), reach, np.inf)


def _count(place: Float[np.ndarray, "n 2"], corner: np.ndarray, shape: tuple[int, ...]) -> Int64[np.ndarray, "x y"]:
    cell = np.floor((place - corner) / CELL_M).astype(np.int64)
    return np.bincount(cell[:, 0] * shape[1] + cell[:, 1], minlength=shape[0] * shape[1]).reshape(shape)


def _driven(track: Float[np.ndarray, "t 3"], corner: np.ndarray, shape: tuple[int, ...]) -> Bool[np.ndarray, "x y"]:
    side = np.arange(-_DRIVEN_M, _DRIVEN_M + 1e-9, CELL_M / 2)
    disc = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    disc = disc[np.hypot(disc[:, 0], disc[:, 1]) <= _DRIVEN_M]
    return _count((track[:, None, :2] + disc).reshape(-1, 2), corner, shape) > 0
