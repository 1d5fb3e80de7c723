import math

import numpy as np
import pytest
from scenes import room

from embodied_cf.envs.driving.planner import Grid, explore, path_length, resampled, shortest_path
from embodied_cf.errors import UsageError


def place(*points):
    return np.array(points, np.float64).reshape(-1, 2)


def test_clearance_is_the_exact_distance_to_walls_and_things():
    grid = Grid.of(room([("barrel", "red", 1.0, 0.0)], walls=[(-3.0, -3.0, -1.0, -1.0)]))
    x, y = grid.centres[..., 0], grid.centres[..., 1]
    away = np.hypot(x - 1.0, y) - 0.34
    share = np.clip(((x + 3) * 2 + (y + 3) * 2) / 8, 0, 1)
    slanted = np.hypot(x + 3 - 2 * share, y + 3 - 2 * share)
    sides = np.min([np.abs(side - axis) for axis in (x, y) for side in (-5, 5)], axis=0)
    inside = (np.abs(x) < 5) & (np.abs(y) < 5)
    wanted = np.minimum(np.minimum(away, slanted), np.minimum(sides, 1.5))
    np.testing.assert_allclose(grid.clearance[inside], wanted[inside], atol=1e-6)


def test_a_straight_way_is_as_long_as_the_line():
    path = shortest_path(room(), np.array([-2.0, 1.0]), place((2.5, 1.0)))
    assert path_length(path) == pytest.approx(4.5, abs=0.11)
    assert len(path) == 2


def test_the_way_around_a_wall_is_the_shortest():
    scene = room(walls=[(0.0, -5.0, 0.0, 2.0)])
    start, goal = np.array([-2.0, 0.0]), place((2.0, 0.0))
    path = shortest_path(scene, start, goal)
    # two tangents to a circle of the robot's radius and margin, 0.3 m, around the wall's end, and the arc between
    leg, bend = math.sqrt(8 - 0.09), 2 * (math.pi / 4 + math.asin(0.3 / math.sqrt(8))) - math.pi / 2 + math.pi / 2
    assert path_length(path) == pytest.approx(2 * leg + 0.3 * bend, rel=0.03)
    assert Grid.of(scene).clearance_at(resampled(path, 0.05)).min() >= 0.25


def test_caution_keeps_away_from_things():
    scene = room([("barrel", "red", 0.0, 0.1)])
    start, goal = np.array([-3.0, 0.0]), place((3.0, 0.0))
    grid = Grid.of(scene)
    near, far = (grid.clearance_at(resampled(shortest_path(scene, start, goal, c), 0.05)).min() for c in (0.0, 6.0))
    assert near < 0.4 < 0.5 < far


def test_distances_grow_from_the_nearest_goal_and_are_infinite_behind_walls():
    scene = room(walls=[(0.0, -5.0, 0.0, 5.0)])
    field = explore(Grid.of(scene), place((-4.0, 0.0), (-1.0, 0.0)))
    left, right = field.at(place((-2.0, 0.0), (2.0, 0.0)))
    assert left == pytest.approx(1.0, abs=0.11)
    assert right == np.inf
    with pytest.raises(UsageError, match=r"no way leads to \(2\.00, 0\.00\)"):
        field.path(np.array([2.0, 0.0]))


def test_a_start_against_a_wall_is_moved_off_it_and_one_inside_a_thing_is_refused():
    grid = Grid.of(room([("table", "red", 0.0, 0.0)]))
    assert np.isfinite(explore(grid, place((4.9, 0.0))).at(place((3.0, 0.0))))[0]
    with pytest.raises(UsageError, match="fits at none of the places"):
        explore(grid, place((0.0, 0.0)))


def test_points_are_spread_evenly_and_ends_kept():
    points = resampled(place((0, 0), (1, 0), (1, 1)), 0.5)
    np.testing.assert_allclose(points, [(0, 0), (0.5, 0), (1, 0), (1, 0.5), (1, 1)])
