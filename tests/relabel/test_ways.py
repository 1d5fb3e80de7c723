"""How far it is to where a clause is fulfilled: lengths worked out by hand."""

import numpy as np
import pytest

from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.scale import MotionScale
from embodied_cf.relabel.fan import SHARPEST, Fan
from embodied_cf.relabel.ways import DETOUR_M, Aims, way_left

THING = (3.0, 0.0, 0.4)
GATE = ((2.0, 1.5, 0.5), (2.0, -1.5, 0.5))


def way(rule, pose, side=0, circles=(THING,), swept=0.0, crossed=False, others=()):
    circle = np.full((1, 2, 3), np.nan)
    circle[0, : len(circles)] = circles
    aims = Aims(np.array([rule]), np.array([side]), circle, np.zeros((1, 3)), np.zeros((1, 2)), np.array([swept]),
                np.array([crossed]), np.array(others, np.float64).reshape(1, -1, 3))  # fmt: skip
    place = np.array([[pose[:2]]], np.float64)
    return float(way_left(aims, place, np.array([[pose[2]]], np.float64))[0, 0])


@pytest.mark.parametrize(
    ("pose", "metres"),
    [
        ((0, 0, 0), 2.0),  # 3 m to the centre, less its radius and 0.6 m
        ((0, 0, np.pi / 2), 2.0 + 0.5 * np.pi / 2),
        ((2, 0, 0), 0.0),
        ((2.3, 0, 0), 0.0),
        ((2, 0, np.pi / 2), 0.5 * (np.pi / 2 - np.pi / 6)),  # there, but it does not face the thing
    ],
)
def test_going_to_a_thing(pose, metres):
    assert way(Rule.GO_TO, pose) == pytest.approx(metres)


def test_what_stands_in_the_way_is_driven_around():
    """A ring of radius 1 m half way to a thing 4 m off: 2 sqrt(3) of tangents and 60 degrees of arc; the way starts
    30 degrees aside. A little to the right of the line it is passed on the left, and the other way round."""
    target, ahead = ((4.0, 0.0, 0.0),), 1.0 - DETOUR_M
    around = 2 * np.sqrt(3) + np.pi / 3 - 0.6
    for side in (1, -1):
        blocked = way(Rule.GO_TO, (0, 0, side * np.pi / 6), circles=target, others=[(2.0, -side * 1e-6, ahead)])
        assert blocked == pytest.approx(around, abs=1e-4)
        wrong = way(Rule.GO_TO, (0, 0, -side * np.pi / 6), circles=target, others=[(2.0, -side * 1e-6, ahead)])
        assert wrong == pytest.approx(around + 0.5 * np.pi / 3, abs=1e-4)


@pytest.mark.parametrize("other", [(2.0, 1.1, 0.45), (-2.0, 0.0, 0.45), (6.0, 0.0, 0.45), (np.nan, np.nan, np.nan)])
def test_what_stands_elsewhere_changes_nothing(other):
    target = ((4.0, 0.0, 0.0),)
    assert way(Rule.GO_TO, (0, 0, 0), circles=target, others=[other]) == pytest.approx(3.4)


def test_the_way_around_has_no_jump_at_the_ring():
    """Just outside the ring of what blocks the way and just inside it, the way is as long."""
    target, other = ((4.0, 0.0, 0.0),), [(2.0, -0.1, 0.45)]
    outside, inside = (way(Rule.GO_TO, (x, 0, np.pi / 2), circles=target, others=other) for x in (1.0049, 1.0051))
    assert outside == pytest.approx(inside, abs=0.05)
    assert outside > 3.0 - 0.6


def test_beside_is_on_the_normal_of_the_line_of_sight():
    """0.4 m of radius and 0.6 m of room: left of a thing at (3, 0) is (3, 1), right of it (3, -1)."""
    assert way(Rule.STOP_BESIDE, (3, 1, 0), 1) == pytest.approx(0.0)
    assert way(Rule.STOP_BESIDE, (3, -1, 0), -1) == pytest.approx(0.0)
    assert way(Rule.STOP_BESIDE, (3, -1, np.pi / 2), 1) == pytest.approx(2.0)
    assert way(Rule.STOP_BESIDE, (0, 0, np.arctan2(1, 3)), 1) == pytest.approx(np.sqrt(10))


def test_near_enough_is_there_whichever_way_it_looks():
    assert way(Rule.STOP_BESIDE, (3.2, 1.2, 2.0), 1) == 0.0, "0.28 m off"
    assert way(Rule.STOP_BESIDE, (3.3, 1.2, 2.0), 1) > 0.3
    assert way(Rule.PASS_BETWEEN, (2.65, 0.2, 1.0), circles=GATE) == 0.0, "0.65 m beyond the gap"
    assert way(Rule.PASS_BETWEEN, (2.55, 0.2, 1.0), circles=GATE) > 0.25
    assert way(Rule.PASS_BETWEEN, (2.65, 1.8, 1.0), circles=GATE) > 4.0, "beside it"


@pytest.mark.parametrize(
    ("pose", "metres"),
    [
        ((0, 0, 0), 2.8),  # straight on to 0.8 m beyond the gap at x = 2
        ((2.2, 0, 0), 0.6),
        ((2.8, 0, 0), 0.0),
        ((1.4, 0.75, -np.pi / 2), 0.75 + 1.4),  # aside: first to the run-up at (1.4, 0)
    ],
)
def test_between_two_things(pose, metres):
    assert way(Rule.PASS_BETWEEN, pose, circles=GATE) == pytest.approx(metres)
    swapped = way(Rule.PASS_BETWEEN, pose, circles=GATE[::-1])
    assert swapped == pytest.approx(metres), "the order in which they are named does not matter"


def test_passing_a_gap_outside_is_not_passing_it():
    assert way(Rule.PASS_BETWEEN, (2.2, 3, 0), circles=GATE) > 6
    inside = way(Rule.PASS_BETWEEN, (2.2, 3, 0), circles=GATE, crossed=True)
    assert inside == pytest.approx(way(Rule.PASS_BETWEEN, (2.2, 3, 0), circles=GATE) - 4)


def test_around_a_thing():
    """2.6 m from its surface the ring is 0.4 + 0.55 * 2.6 = 1.83 m; beside it a quarter turn is done."""
    tangent = np.arcsin(1.83 / 3)
    whole = np.sqrt(9 - 1.83**2) + (np.radians(140) - np.arccos(1.83 / 3)) * 1.83
    for side in (1, -1):
        assert way(Rule.ARC_AROUND, (0, 0, side * tangent), side) == pytest.approx(whole)
        rest = (np.radians(140) - np.pi / 2) * 1.83
        assert way(Rule.ARC_AROUND, (3, side * 1.83, 0), side) == pytest.approx(rest)
        assert way(Rule.ARC_AROUND, (3, side * 1.83, 0), side, swept=0.5) == pytest.approx(rest - 0.5 * 1.83)
        assert way(Rule.ARC_AROUND, (3, side * 1.83, 0), -side) > whole, "the wrong way around"


def test_the_fan_drives_arcs_at_the_typical_step():
    every = Fan.of(MotionScale(step=0.2, turn=0.8), 8)
    fan = every.fast
    np.testing.assert_allclose(every.place[len(fan.yaw) :], 0.5 * fan.place, err_msg="the slow ones bend as much")
    moved = np.linalg.norm(np.diff(fan.place, axis=1), axis=2)
    assert moved.max() == pytest.approx(0.2)
    assert moved.min() > 0.199
    middle = len(fan.yaw) // 2
    np.testing.assert_allclose(fan.place[middle, :, 0], 0.2 * np.arange(9), atol=1e-12)
    np.testing.assert_allclose(fan.place[middle, :, 1], 0.0, atol=1e-12)
    assert np.abs(fan.yaw[:, -1]).max() == pytest.approx(SHARPEST * 0.8)
    flipped = fan.place[::-1] * np.array([1.0, -1.0])
    np.testing.assert_allclose(flipped, fan.place, atol=1e-12, err_msg="left and right are alike")
