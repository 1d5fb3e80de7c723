"""Path measures against values worked out by hand and the published unit tests."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import room

from embodied_cf.envs.driving.pursuit import Route
from embodied_cf.envs.tasks import Task
from embodied_cf.evaluate.metrics import cls, dtw, measure, measure_all, ndtw, oracle_success, reference, spl
from embodied_cf.language.instruction import Chain, Do, FollowWall, GoTo, Thing


def points(*pairs):
    return np.array(pairs, np.float64)


def test_published_values_of_time_warping():
    path, way = points((0, 0), (1, 0), (2, 1), (3, 2)), points((0, 0), (1, 0), (2, 0), (3, 0))
    assert dtw(path, way) == 3.0
    assert ndtw(path, way, near=3.0) == pytest.approx(0.77880078307140488, abs=1e-15)


def test_published_values_of_coverage():
    first = points((0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2))
    second = points((0, 0), (0, 1), (1, 1), (2, 1), (3, 1), (3, 2))
    short = points((0, 1), (1, 1), (2, 1), (3, 1))
    assert cls(first, second, near=3.0) == pytest.approx(0.81994915125863865, abs=1e-15)
    assert cls(first, short, near=3.0) == pytest.approx(0.44197196102702557, abs=1e-15)
    assert cls(short, first, near=3.0) == pytest.approx(0.6435694620652272, abs=1e-15)


def test_likeness_of_a_way_with_itself_and_of_points():
    way = points((0, 0), (1, 0), (1, 2))
    assert (dtw(way, way), ndtw(way, way), cls(way, way)) == (0.0, 1.0, 1.0)
    here, there = points((0, 0)), points((3, 4))
    assert dtw(here, there) == 5.0
    assert ndtw(here, there, near=5.0) == pytest.approx(math.exp(-1))
    assert cls(here, here) == 1.0  # both lengths are 0
    assert cls(points((0, 0), (1, 0)), here) == 0.0  # driven where nothing was to be driven


def slow_dtw(path, way):
    table = np.full((len(path) + 1, len(way) + 1), np.inf)
    table[0, 0] = 0.0
    for i, p in enumerate(path):
        for j, r in enumerate(way):
            least = min(table[i, j], table[i, j + 1], table[i + 1, j])
            table[i + 1, j + 1] = math.dist(p, r) + least
    return table[-1, -1]


ways = st.lists(st.tuples(*[st.floats(-9, 9)] * 2), min_size=1, max_size=9).map(np.array)


@settings(max_examples=60, deadline=None)
@given(ways, ways)
def test_time_warping_is_the_textbook_recursion(path, way):
    assert dtw(path, way) == pytest.approx(slow_dtw(path, way), abs=1e-9)


def test_success_weighted_by_length():
    assert spl(1.0, 4.0, 5.0) == 0.8
    assert spl(1.0, 4.0, 3.0) == 1.0  # shorter than rehearsed is not better than it
    assert spl(0.0, 4.0, 4.0) == 0.0
    assert (spl(1.0, 0.0, 0.0), spl(1.0, 0.0, 2.0)) == (1.0, 0.0)


def straight(to, start=(0.0, 0.0), stop=True, **more):
    count = round(math.dist(start, to) / 0.1) + 1
    return Route(np.linspace(start, to, count), stop, **more)


def going(*xs, y=0.0, yaw=0.0):
    return np.array([(x, y, yaw) for x in xs], np.float64)


CHAIR = GoTo(Thing("chair", "red"))


def to_the_chair(walls=(), routes=None):
    scene = room([("chair", "red", 4.0, 0.0)], walls=walls)
    return Task(scene, CHAIR, "go to the red chair", 0, routes or (straight((3.0, 0.0)),))


def test_measures_of_the_rehearsed_way_are_perfect():
    path = going(*np.arange(13) * 0.25, *[3.0] * 5)
    found = measure(to_the_chair(), path, success=True)
    assert found["spl"] == pytest.approx(1.0)
    assert (found["ndtw"], found["sdtw"], found["cls"]) == pytest.approx((1.0, 1.0, 1.0))
    assert found["navigation_error"] == pytest.approx(0.0, abs=0.06)  # a cell of the map
    assert found["oracle_success"] == 1.0
    names = "spl oracle_success navigation_error oracle_error soft_spl ndtw sdtw cls"
    assert " ".join(found) == names


def test_measures_of_half_the_way():
    found = measure(to_the_chair(), going(*np.arange(7) * 0.25), success=False)
    assert (found["spl"], found["sdtw"], found["oracle_success"]) == (0.0, 0.0, 0.0)
    assert found["navigation_error"] == pytest.approx(1.5, abs=0.1)
    assert found["soft_spl"] == pytest.approx(0.5, abs=0.05)
    # seven points coincide, the other six are .25 ... 1.5 m from the last: 5.25 m of 13 points
    assert found["ndtw"] == pytest.approx(math.exp(-5.25 / 13))


def test_distances_lead_around_walls():
    wall = (2.0, -4.0, 2.0, 4.0)  # free at both ends only
    found = measure(to_the_chair(walls=[wall]), going(0.0, 0.25, 0.0), success=False)
    around = math.hypot(2.0, 4.3) + math.hypot(1.0, 4.3)  # with the robot's radius and some air about the end
    assert found["navigation_error"] == pytest.approx(around, rel=0.08)  # moves go to 16 neighbours


def test_the_error_is_known_where_the_robot_hardly_fits():
    path = going(0.0, 1.0, 2.0, 3.0, 3.5)  # at the chair's edge
    assert measure(to_the_chair(), path, success=False)["navigation_error"] == pytest.approx(0.5, abs=0.15)


def test_who_drives_past_the_goal_would_have_succeeded_by_a_stop():
    path = np.concatenate([going(*np.arange(13) * 0.25), going(*np.arange(12, 0, -1) * 0.25, y=0.2, yaw=math.pi)])
    found = measure(to_the_chair(), path, success=False)
    assert (found["oracle_success"], found["spl"]) == (1.0, 0.0)
    assert found["oracle_error"] == pytest.approx(0.0, abs=0.06)
    assert found["navigation_error"] == pytest.approx(2.75, abs=0.1)


def test_a_path_that_ended_is_not_carried_on():
    """Beside a longer path of the batch, a crash in the middle of a turn does not become a turn by standing still."""
    scene = room()
    task = Task(scene, Do("turn_left"), "turn left", 0, (Route(np.zeros((1, 2)), False, turn=math.pi / 2),))
    turning = np.array([(0.0, 0.0, 0.3 * k) for k in range(5)])  # 69 degrees, still turning
    waiting = np.zeros((30, 3))
    assert oracle_success([task, task], [turning, waiting]).tolist() == [False, False]
    settled = np.concatenate([turning, turning[-1:]])
    assert oracle_success([task, task], [settled, waiting]).tolist() == [True, False]


def test_a_first_command_is_told_in_the_frame_of_the_start():
    scene = room([("chair", "red", 4.0, 0.0)], start=(1.0, 1.0, math.pi / 2))
    ahead = straight((2.0, 0.0), stop=False, relative=True)
    task = Task(scene, Chain((Do("forward"), CHAIR)), "", 0, (ahead, straight((3.0, 0.0), start=(1.0, 3.0))))
    way = reference(task)
    assert way[[0, 20, -1]] == pytest.approx(points((1, 1), (1, 3), (3, 0)))
    turn = Route(np.zeros((1, 2)), False, turn=1.5)
    assert reference(Task(scene, task.instruction, "", 0, (turn, task.routes[1])))[0] == pytest.approx((1, 1))


def test_what_is_not_defined_is_left_out():
    scene = room([("chair", "red", 4.0, 0.0)])
    ahead = straight((2.0, 0.0), relative=True)
    late = Task(scene, Chain((CHAIR, Do("forward"))), "", 0, (straight((3.0, 0.0)), ahead))
    along = Task(scene, FollowWall("left"), "", 0, (straight((0.0, 4.0), stop=False),))
    found = measure_all([late, along], [going(0.0, 0.25), going(0.0)], np.array([False, True]))
    assert list(found[0]) == ["spl", "oracle_success"]
    assert list(found[1]) == ["spl", "oracle_success", "ndtw", "sdtw", "cls"]
    assert (found[1]["spl"], found[1]["oracle_success"]) == (1.0, 1.0)
