"""Drives along walls: the lane beside them, corners, what stands in the way, and closed loops."""

import numpy as np
import pytest

from embodied_cf.language.scale import MotionScale
from embodied_cf.relabel.free_space import CELL_M, FreeSpace
from embodied_cf.relabel.obstacles import BODY_M, Obstacles
from embodied_cf.relabel.wall_drives import nearer_to_wall, wall_drives

SCALE, STEPS = MotionScale(step=0.13, turn=0.9), 8
NONE = np.zeros((0, 3))


def walls(*segments):
    """A grid over -6 to 6 m in which the cells of segments x0, y0, x1, y1 are occupied."""
    occupied = np.zeros((120, 120), bool)
    for x0, y0, x1, y1 in segments:
        share = np.linspace(0, 1, 300)[:, None]
        cell = np.floor((np.array([x0, y0]) + share * np.array([x1 - x0, y1 - y0]) + 6.0) / CELL_M).astype(int)
        occupied[cell[:, 0].clip(0, 119), cell[:, 1].clip(0, 119)] = True
    return FreeSpace(np.array([-6.0, -6.0]), occupied)


def followed(obstacles, side, pose, chunks):
    """Drive half of each of several chunks, as robots do; returns the poses."""
    pose, poses = np.array(pose, float), []
    for _ in range(chunks):
        (chunk,), (clear,) = wall_drives(SCALE, STEPS, np.array([side]), pose[None], obstacles)
        assert clear
        for (ahead, left), (x, y) in zip(chunk[: STEPS // 2], np.vstack([[0, 0], chunk])[: STEPS // 2], strict=True):
            cos, sin = np.cos(pose[2]), np.sin(pose[2])
            poses.append([pose[0] + cos * ahead - sin * left, pose[1] + sin * ahead + cos * left])
            heading = pose[2] + np.arctan2(left - y, ahead - x)
        pose = np.array([*poses[-1], heading])
    return np.array(poses)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("begins", [0.4, 0.65, 1.1, 2.0])
def test_a_straight_wall_is_followed_at_its_lane(side, begins):
    wall = Obstacles(NONE, walls((-6, side * 2.5, 6, side * 2.5)))
    way = followed(wall, side, (-4.0, side * (2.5 - begins), 0.0), 12)
    assert np.abs(2.5 - side * way[-8:, 1] - 0.65).max() < 0.15
    assert (np.diff(way[:, 0]) > 0).all()


def test_the_other_side_goes_the_other_way():
    wall = Obstacles(NONE, walls((-6, 2, 6, 2)))
    assert followed(wall, -1, (0.0, 1.3, np.pi), 8)[-1, 0] < -2.0


@pytest.mark.parametrize("side", [1, -1])
def test_inner_corners_are_turned_away_from_and_outer_ones_around(side):
    inner = Obstacles(NONE, walls((-6, side * 2, 2, side * 2), (2, side * 2, 2, -side * 6)))
    way = followed(inner, side, (-1.0, side * 1.35, 0.0), 12)
    assert way[-1, 0] == pytest.approx(1.35, abs=0.15)
    assert side * way[-1, 1] < -1.0
    outer = Obstacles(NONE, walls((-6, 0, 0, 0)))
    around = followed(outer, side, (-1.5, -side * 0.65, 0.0), 12)
    assert side * around[-1, 1] > 0.3, "on the other face of the wall that ends"


def test_what_stands_at_the_wall_is_driven_around():
    things = np.array([[0.0, 1.4, 0.3]])
    way = followed(Obstacles(things, walls((-6, 2, 6, 2))), 1, (-2.5, 1.35, 0.0), 22)
    assert np.hypot(way[:, 0], way[:, 1] - 1.4).min() - 0.3 > BODY_M
    assert way[-1, 0] > 2.0
    assert way[-1, 1] == pytest.approx(1.35, abs=0.2)


def test_without_walls_there_is_nothing_to_follow():
    here, side = np.zeros((2, 3)), np.array([1, -1])
    for nothing in (Obstacles(NONE, None), Obstacles(NONE, walls())):
        chunk, clear = wall_drives(SCALE, STEPS, side, here, nothing)
        assert chunk.shape == (2, STEPS, 2)
        assert not clear.any()


def test_where_nothing_is_clear_there_is_no_drive():
    pen = Obstacles(np.array([[0.35 * np.cos(a), 0.35 * np.sin(a), 0.09] for a in np.arange(0, 6.2, 0.3)]),
                    walls((-1, 1, 1, 1)))  # fmt: skip
    assert not wall_drives(SCALE, STEPS, np.array([1]), np.zeros((1, 3)), pen)[1].any()


def test_coming_nearer_to_the_lane():
    hall = Obstacles(NONE, walls((-6, 3, 6, 3), (-6, -3, 6, -3)))
    poses = np.array([[[0.0, 0.0, 0.4], [1.0, 0.9, 0.4]]])
    near = hall.walls_near(poses[:, 0, :2])
    assert nearer_to_wall(np.array([1]), poses, near)[0] == pytest.approx(0.9, abs=0.15)
    assert nearer_to_wall(np.array([-1]), poses, near)[0] < 0
