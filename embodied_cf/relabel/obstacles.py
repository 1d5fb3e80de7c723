"""What the robot must keep clear of, by all that was seen of an episode: things, and where the floor ends."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from embodied_cf.language.predicate_geometry import in_frame, length
from embodied_cf.relabel.free_space import FreeSpace
from embodied_cf.relabel.ground import from_world, to_world

BODY_M = 0.25
"""Radius of the robot."""
_BESIDE_THING_M = 0.2
"""What stands so near to a thing is that thing, and no wall."""
_WALL_CELL_M = 0.2
"""Walls are looked at in cells of this size."""
WALL_SEEN_M = 3.5
"""Walls further off do not matter to where the robot goes next."""


@dataclass(frozen=True)
class Obstacles:
    """Things that are believed to stand there, and the floor if it was looked at."""

    circle: Float[np.ndarray, "n 3"]
    """Centre x, y and radius, m in the odometry frame."""
    free: FreeSpace | None

    @property
    def any(self) -> bool:
        """Whether anything is known."""
        return len(self.circle) > 0 or self.free is not None

    def room(self, here: Float[np.ndarray, "p 3"], place: Float[np.ndarray, "p k 2"]) -> Float[np.ndarray, "p k"]:
        """Return the room between the robot at K points in each of P robot frames and what stands there, m.

        Negative where they would touch; inf where nothing is known to stand.
        """
        count, points = len(self.circle), place.shape[1]
        centre = from_world(np.repeat(here, count, axis=0), np.tile(self.circle[:, :2], (len(here), 1)))
        offset = place[:, :, None] - centre.reshape(len(here), 1, count, 2)
        room = (length(offset) - self.circle[:, 2]).min(axis=2, initial=np.inf)
        if self.free is not None:
            world = to_world(np.repeat(here, points, axis=0), place.reshape(-1, 2))
            room = np.minimum(room, self.free.distance(world).reshape(room.shape))
        return room - BODY_M

    def touched(
        self,
        here: Float[np.ndarray, "p 3"],
        chunk: Float[np.ndarray, "p h 2"],
        spare: float | Float[np.ndarray, " p"] = 0.0,
    ) -> Bool[np.ndarray, " p"]:
        """Return which chunks run into something, or come nearer than `spare`, m; who stands too near already may stay
        or leave."""
        if not self.any:
            return np.zeros(len(chunk), bool)
        path = np.concatenate([np.zeros((len(chunk), 1, 2)), chunk], axis=1)
        room = self.room(here, np.concatenate([path, (path[:, 1:] + path[:, :-1]) / 2], axis=1))
        return room.min(axis=1) < np.minimum(spare, room[:, 0])

    @cached_property
    def walls(self) -> FreeSpace | None:
        """Where the floor ends and no thing stands; None if the floor was not looked at."""
        if self.free is None:
            return None
        away = length(self.free.points[:, None] - self.circle[:, :2]) - self.circle[:, 2]
        occupied = self.free.occupied.copy()
        occupied[occupied] = away.min(axis=1, initial=np.inf) > _BESIDE_THING_M
        return replace(self.free, occupied=occupied)

    @cached_property
    def wall(self) -> Float[np.ndarray, "w 2"]:
        """Points of walls, one for each cell of _WALL_CELL_M."""
        if self.walls is None:
            return np.zeros((0, 2))
        point = self.walls.points
        cell = np.floor(point / _WALL_CELL_M).astype(np.int64)
        _, first = np.unique(cell, axis=0, return_index=True)
        return point[np.sort(first)]

    def walls_near(self, place: Float[np.ndarray, "p 2"]) -> Float[np.ndarray, "p w 2"]:
        """Return the wall points within WALL_SEEN_M of each place, as many as the place with the most has; else inf."""
        away = length(self.wall - place[:, None])
        near = away <= WALL_SEEN_M
        most = int(near.sum(axis=1).max(initial=0))
        nearest = np.argsort(np.where(near, away, np.inf), axis=1)[:, :most]
        chosen = np.take_along_axis(near, nearest, axis=1)
        return np.where(chosen[..., None], self.wall[nearest], np.inf)


def beside(
    pose: Float[np.ndarray, "p k 3"], wall: Float[np.ndarray, "p w 2"]
) -> tuple[Float[np.ndarray, "p k"], Float[np.ndarray, "p k"]]:
    """Return the distance to the nearest wall point on the left and on the right of each pose, m; inf where none is.

    A side reaches 45 degrees forward and back of its normal, as in `predicate_geometry.clearance`.
    """
    count, poses = pose.shape[:2]
    if not wall.shape[1]:
        return np.full((count, poses), np.inf), np.full((count, poses), np.inf)
    finite = np.where(np.isfinite(wall), wall, 1e6)
    point = in_frame(pose.reshape(-1, 3), np.repeat(finite, poses, axis=0))
    ahead, away = np.abs(point[..., 0]), length(point)
    sides = [np.where(side * point[..., 1] >= ahead, away, np.inf).min(axis=1) for side in (1, -1)]
    left, right = (np.where(side < 1e5, side, np.inf).reshape(count, poses) for side in sides)
    return left, right
