"""Floor lines on a grid, room and walls: a wall two metres ahead, a corridor's sides."""

import numpy as np
import pytest
from seen import CAMERA, FOCAL, NAV, PROFILE, SIZE, context_of, straight

from embodied_cf.language.predicate_geometry import clearance
from embodied_cf.language.predicate_program import Rule
from embodied_cf.relabel.asked import Asked
from embodied_cf.relabel.fan import Fan
from embodied_cf.relabel.free_space import CELL_M, FreeSpace, free_space_of
from embodied_cf.relabel.goal import GoalSynthesizer
from embodied_cf.relabel.landmarks import Landmarks
from embodied_cf.relabel.lanes import keeps_side, lane_drives
from embodied_cf.relabel.obstacles import BODY_M, Obstacles, beside
from embodied_cf.relabel.propose_things import Sights, goals_in_view
from embodied_cf.relabel.stages import Proposals
from embodied_cf.relabel.standing import Standing
from embodied_cf.relabel.synthesize import PrimitiveSynthesizer

COLUMNS = 48
AHEAD = np.full((6, COLUMNS), 0.5 + FOCAL * 0.6 / 2.0 / SIZE)
"""Lines of a wall across the way, 2 m ahead of a camera that stands."""


def test_a_wall_stands_where_the_floor_ends():
    """Along it the floor line is level: 0.6 m below the horizon at 2 m is 9.6 of 64 pixels."""
    found = free_space_of(AHEAD, straight(6), CAMERA, (SIZE, SIZE))
    assert len(found.points) > 20
    np.testing.assert_allclose(found.points[:, 0], 2.0, atol=CELL_M)
    assert np.abs(found.points[:, 1]).max() == pytest.approx(1.95, abs=0.1), "as far as 90 degrees reach"
    ahead = found.distance(np.array([[1.0, 0.0], [1.8, 0.5], [2.0, 0.0], [50.0, 0.0]]))
    np.testing.assert_allclose(ahead[:3], [1.0, 0.2, 0.0], atol=0.11)
    assert ahead[3] == np.inf


def test_one_frame_against_many_does_not_make_a_wall():
    lines = np.full((12, COLUMNS), 0.5)
    lines[4] = AHEAD[0]
    assert not free_space_of(lines, straight(12), CAMERA, (SIZE, SIZE)).occupied.any()


def test_where_the_robot_drove_nothing_stands():
    lines = np.full((20, COLUMNS), 0.5 + FOCAL * 0.6 / 0.9 / SIZE)  # something 0.9 m ahead, always
    found = free_space_of(lines, straight(20, 0.2), CAMERA, (SIZE, SIZE))
    assert found.distance(np.stack([np.arange(0.0, 3.8, 0.2), np.zeros(19)], axis=1)).min() >= 0.15


def corridor(half=1.0, reach=8.0):
    """Two walls along +x, at y = half and y = -half."""
    cells = int(2 * reach / CELL_M)
    occupied = np.zeros((cells, cells), bool)
    middle = cells // 2
    occupied[:, middle + int(half / CELL_M)] = True
    occupied[:, middle - int(half / CELL_M) - 1] = True
    return Obstacles(np.zeros((0, 3)), FreeSpace(np.array([-reach, -reach]), occupied))


def test_room_is_measured_between_surfaces():
    circles = Obstacles(np.array([[2.0, 0.0, 0.5]]), None)
    room = circles.room(np.array([[0.0, 0.0, np.pi / 2]]), np.array([[[0.0, 0.0], [0.0, -1.0]]]))
    np.testing.assert_allclose(room, [[1.5 - BODY_M, 0.5 - BODY_M]])
    walls = corridor().room(np.zeros((1, 3)), np.array([[[0.0, 0.0], [0.0, 0.6]]]))
    np.testing.assert_allclose(walls, [[1.0 - BODY_M, 0.4 - BODY_M]], atol=0.06)


def test_what_is_to_keep_clear_comes_no_nearer():
    """0.1 m before a thing at the end."""
    things, here = Obstacles(np.array([[1.5, 0.0, 0.3]]), None), np.zeros((1, 3))
    chunk = np.array([[[0.4, 0.0], [0.85, 0.0]]])
    assert not things.touched(here, chunk)[0]
    assert things.touched(here, chunk, np.array([0.15]))[0]


def test_who_stands_too_near_may_leave():
    circles = Obstacles(np.array([[0.7, 0.0, 0.5]]), None)
    chunk = np.linspace(0.1, 0.8, 8)[:, None] * np.array([[1.0, 0.0]])
    here = np.zeros((2, 3))
    assert circles.touched(here, np.stack([chunk, -chunk])).tolist() == [True, False]


def test_walls_beside_agree_with_the_predicate():
    """1 m to either side; turned by 30 degrees the nearest points still lie within 45 degrees of the normals."""
    obstacles = corridor()
    pose = np.array([[[0.0, 0.0, 0.0], [0.0, 0.4, 0.0], [0.0, 0.0, np.radians(30)]]])
    left, right = beside(pose, obstacles.walls_near(pose[:, 0, :2]))
    walls = np.array([[-8.0, 1.0, 8.0, 1.0], [-8.0, -1.0, 8.0, -1.0]])
    true = clearance(pose[0], np.broadcast_to(walls, (3, 2, 4)))
    np.testing.assert_allclose([left[0], right[0]], true, atol=0.1)
    nothing = beside(pose, np.zeros((1, 0, 2)))
    assert np.isinf(nothing).all()


def test_what_is_asked_of_walls():
    """Keeping to a side: walls at most 4 m apart, 40 % of it on the side."""
    left, right = np.array([[0.3, 0.5, 0.9, 1.3]]), np.array([[2.0, 0.6, 0.8, 3.0]])
    assert keeps_side(np.array([1]), left, right).tolist() == [[True, False, False, False]]
    assert keeps_side(np.array([-1]), right, left).tolist() == [[True, False, False, False]]


@pytest.mark.parametrize("side", [1, -1])
def test_a_lane_lies_on_the_side_that_is_asked_for(side):
    """In a corridor 2 m wide: 0.58 m from the wall on the side."""
    fan = Fan.of(PROFILE.scale, 8).fast
    here = np.array([[0.0, 0.0, 0.0], [0.0, side * 0.3, 0.0]])
    drive, good = lane_drives(fan, np.full(2, side), here, corridor(), np.ones((2, len(fan.yaw)), bool))
    assert good.all()
    ends = here[:, 1] + fan.place[drive, -1, 1]
    assert (side * ends >= 0.25).all()
    assert (side * ends <= 0.65).all()
    assert np.abs(fan.yaw[drive, -1]).max() <= 0.5


def test_sides_are_kept_to_in_corridors_only():
    """Two walls 2 m apart, or 3.8, or 2 m apart that end 0.3 m ahead: there a room begins."""
    steps, track = np.arange(5), straight(6)

    def kept(obstacles):
        sights = Sights(Landmarks.none(6), track, steps, obstacles)
        found = goals_in_view(sights, ("continuous",), 2, np.random.default_rng(0)).asked
        return set(found.side[found.rule[:, 0] == Rule.KEEP_SIDE, 0].tolist())

    assert kept(corridor()) == {1, -1}
    assert kept(corridor(half=1.9)) == set()
    short = corridor()
    short.free.occupied[len(short.free.occupied) // 2 + 3 :] = False
    assert kept(short) == set()


def test_along_a_wall_that_is_seen():
    """The floor ends 1 m to the left: follow the wall on the left is proposed by goals, driven, and kept 0.7 m off."""
    steps, columns = 30, COLUMNS
    x = (np.arange(columns) + 0.5) * SIZE / columns
    left = (SIZE / 2 - x) / FOCAL  # metres to the left per metre ahead
    row = np.where(left > 0.2, 0.5 + FOCAL * 0.6 * np.maximum(left, 1e-6) / 1.0 / SIZE, 0.5)
    context = context_of({}, straight(steps, 0.17), np.tile(row, (steps, 1)).astype(np.float32))
    wall = context.obstacles.wall
    np.testing.assert_allclose(wall[:, 1], 1.0, atol=0.15)
    asked = Asked.nothing(1)
    asked.rule[0, 0], asked.side[0, 0] = Rule.FOLLOW_WALL, 1
    proposals = Proposals(np.array([12]), np.array([-1]), ("follow the wall on your left",), np.zeros(1), np.ones(1),
                          ("",), np.array([12]), np.full((1, 4), np.nan), ("",), asked)  # fmt: skip
    made = GoalSynthesizer(PrimitiveSynthesizer(PROFILE, NAV), CAMERA).synthesize(context, proposals)
    assert made.reason == ("",)
    assert 0.0 < made.action[0, -1, 1] < 0.5
    assert Standing.of(context, proposals).support.tolist() == [1.0], "no thing is named that could be made up"
