"""Drives that follow a wall: at every place the wall itself says where to head, and what stands there is driven around.

The nearest wall before the robot or on the side that is asked for gives a direction along it; too far from its lane the
robot leans toward it, too near away from it. Drives that hold off this direction by more and more are compared, as a
vector field histogram does (Borenstein and Koren 1991), and of those that keep clear the one that departs least from it
is taken.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from embodied_cf.language.predicate_geometry import wrap
from embodied_cf.language.scale import MotionScale
from embodied_cf.relabel.ground import from_world
from embodied_cf.relabel.lanes import sides_of
from embodied_cf.relabel.obstacles import WALL_SEEN_M, Obstacles, beside

_LANE_M, _LEAN, _MOST_LEAN = 0.65, 2.0, 1.2
"""Distance from the wall that is aimed at; rad of leaning per metre off it, and at most."""
_LOOK_M = 0.35
"""How far before the robot it is looked at where the wall is."""
_SECTOR = np.radians(-20), np.radians(120)
"""Bearings between which a wall counts, toward the side that is asked for."""
_LOST = 0.3
"""By how much the robot turns to the side where it sees no wall there, rad."""
_BLUR_M = 0.08
"""By so much further off, points of a wall say e times less of its direction."""
_OFF = np.array([0.0, 0.3, -0.3, 0.6, -0.6, 0.9, -0.9, 1.3, -1.3, 1.8, -1.8, 2.4, -2.4])
"""By how much drives hold off the wall's direction, rad."""
_AHEAD = 1.75
"""Lengths of a chunk that are looked ahead: what holds off returns after one."""
_OFF_COST, _ROOM_M, _CAUTION = 0.25, 0.2, 3.0
"""What a radian held off costs; room beside things and walls that is wanted, and what each missing metre costs."""
_LEAST_ROOM_M = 0.06
_SHARPEST = 1.4
"""Typical turns by which a drive bends over one chunk, at most."""
_SLOWEST, _SPARE_TURN = 0.3, 1.3
"""Least share of the data's speed; and the turn that is left, rad, at which a robot drives no faster."""


def wall_drives(
    scale: MotionScale, steps: int, side: Int64[np.ndarray, " p"], here: Float[np.ndarray, "p 3"], obstacles: Obstacles
) -> tuple[Float32[np.ndarray, "p h 2"], Bool[np.ndarray, " p"]]:
    """Return the chunk of `steps` points for each robot that is to follow the wall on a side, and whether it keeps
    clear. Frames: `here` in the odometry frame, chunks in each robot's."""
    count = len(here)
    walls = obstacles.walls_near(here[:, :2])
    pose = _driven(walls, scale, steps, side[:, None], here)
    room = obstacles.room(np.zeros((1, 3)), pose[..., :2].reshape(1, -1, 2)).reshape(pose.shape[:3])
    least = room.min(axis=2)
    now = obstacles.room(np.zeros((1, 3)), here[None, :, :2])[0][:, None]
    clear = least >= np.minimum(_LEAST_ROOM_M, now)
    cost = _OFF_COST * np.abs(_OFF) + _CAUTION * np.maximum(_ROOM_M - least, 0.0)
    best = np.where(clear, cost, np.inf).argmin(axis=1)
    each = np.arange(count)
    place = pose[each, best, :steps, :2]
    local = from_world(np.repeat(here, steps, axis=0), place.reshape(-1, 2)).reshape(count, steps, 2)
    return local.astype(np.float32), clear[each, best] & np.isfinite(walls).any(axis=(1, 2))


def _driven(
    walls: Float[np.ndarray, "p w 2"],
    scale: MotionScale,
    steps: int,
    side: Int64[np.ndarray, "p 1"],
    here: Float[np.ndarray, "p 3"],
) -> Float[np.ndarray, "p c k 3"]:
    """Return where each drive leads, step by step."""
    pose, poses = np.repeat(here[:, None], len(_OFF), axis=1), []
    sharpest = _SHARPEST * scale.turn / steps
    for step in range(round(_AHEAD * steps)):
        left = _aside(walls, pose, side) + _OFF * (step < steps)
        turn = np.clip(left, -sharpest, sharpest)
        move = scale.step * np.clip(_SPARE_TURN - np.abs(left), _SLOWEST, 1.0)
        middle = pose[..., 2] + turn / 2
        pose = pose + np.stack([move * np.cos(middle), move * np.sin(middle), turn], axis=-1)
        poses.append(pose)
    return np.stack(poses, axis=2)


def _aside(
    walls: Float[np.ndarray, "p w 2"], pose: Float[np.ndarray, "p c 3"], side: Int64[np.ndarray, "p 1"]
) -> Float[np.ndarray, "p c"]:
    """Return by how much to turn, rad, with the wall on a side (1 left, -1 right)."""
    heading = np.stack([np.cos(pose[..., 2]), np.sin(pose[..., 2])], axis=-1)
    offset = walls[:, None] - (pose[..., :2] + _LOOK_M * heading)[:, :, None]  # (p, c, w, 2)
    with np.errstate(invalid="ignore"):
        x = offset[..., 0] * heading[..., :1] + offset[..., 1] * heading[..., 1:]
        y = side[..., None] * (offset[..., 1] * heading[..., :1] - offset[..., 0] * heading[..., 1:])
        bearing, away = np.nan_to_num(np.arctan2(y, x)), np.nan_to_num(np.hypot(x, y), nan=np.inf, posinf=np.inf)
    away = np.where((bearing >= _SECTOR[0]) & (bearing <= _SECTOR[1]), away, np.inf)
    nearest = away.min(axis=2, initial=WALL_SEEN_M)
    weight = np.exp((nearest[..., None] - away) / _BLUR_M)  # 0 where there is no wall
    toward = np.arctan2((weight * np.sin(bearing)).sum(axis=2), (weight * np.cos(bearing)).sum(axis=2))
    lean = np.clip(_LEAN * (nearest - _LANE_M), -_MOST_LEAN, _MOST_LEAN)
    return np.where(nearest < WALL_SEEN_M, side * wrap(toward + lean - np.pi / 2), _LOST * side)


def nearer_to_wall(
    side: Int64[np.ndarray, " p"], pose: Float[np.ndarray, "p k 3"], wall: Float[np.ndarray, "p w 2"]
) -> Float[np.ndarray, " p"]:
    """Return by how much the last of K poses is nearer to the lane beside the wall on a side than the first, m."""
    near = np.minimum(sides_of(side, *beside(pose, wall))[0], WALL_SEEN_M)
    off = np.abs(near - _LANE_M)
    return off[:, 0] - off[:, -1]
