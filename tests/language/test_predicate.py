"""What instructions mean, clause by clause, on paths computed by hand."""

import math

import numpy as np
import pytest
from paths import arc, circle, drive, mirrored, place, succeeds

from embodied_cf.errors import InstructionError
from embodied_cf.language.instruction import (
    WALL,
    ArcAround,
    Do,
    FollowWall,
    GoTo,
    KeepSide,
    PassBetween,
    StopBeside,
    Thing,
)
from embodied_cf.language.predicate import compile_instruction, judge

CHAIR, RED_CHAIR, TABLE = Thing("chair"), Thing("chair", "red"), Thing("table")
SIDES = pytest.mark.parametrize(("side", "y"), [("left", 1), ("right", -1)])
ONE = place(("chair", "red", 3.0, 0.0, 0.4), ("table", "white", -3.0, 0.0, 0.5))


def _degrees(x, y, length, angle):
    return x + length * math.cos(math.radians(angle)), y + length * math.sin(math.radians(angle))


# --- a stop -----------------------------------------------------------------------------------------------------


def test_a_stop_is_four_steps_on_one_spot():
    poses = drive((0, 0), (2, 0), stop=4)  # 10 steps, then 4
    assert judge(GoTo(CHAIR), ONE, poses[:-1]).success is False
    found = judge(GoTo(CHAIR), ONE, poses)
    assert (found.success, found.progress, found.step) == (True, 1.0, 14)


def test_creeping_is_no_stop_and_trembling_is():
    creep = np.column_stack([2 + 0.007 * np.arange(1, 21), np.zeros(20), np.zeros(20)])
    tremble = np.column_stack([2 + 0.018 * (np.arange(20) % 2), np.zeros(20), np.zeros(20)])
    assert not succeeds(GoTo(CHAIR), ONE, np.vstack([drive((0, 0), (2, 0)), creep]))
    assert succeeds(GoTo(CHAIR), ONE, np.vstack([drive((0, 0), (2, 0)), tremble]))


# --- go to ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "reached"), [(1.6, True), (1.55, False), (2.3, True)])
def test_reaching_a_thing_is_stopping_within_a_metre_of_its_surface(x, reached):
    found = judge(GoTo(RED_CHAIR), ONE, drive((0, 0), (x, 0), stop=4))
    assert found.success is reached
    assert (found.progress == 1.0) is reached


@pytest.mark.parametrize(("face", "reached"), [(59, True), (-59, True), (61, False), (180, False)])
def test_who_looks_away_from_a_thing_is_not_at_it(face, reached):
    assert succeeds(GoTo(CHAIR), ONE, drive((0, 0), (2, 0), stop=4, face=math.radians(face))) is reached


def test_a_thing_behind_a_wall_is_not_reached():
    for walls, reached in [([(2.3, -1, 2.3, 1)], False), ([(2.3, 1, 2.3, 2)], True), ([(2.8, -1, 2.8, 1)], True)]:
        around = place(("chair", "red", 3.0, 0.0, 0.4), walls=walls)
        assert succeeds(GoTo(CHAIR), around, drive((0, 0), (2, 0), stop=4)) is reached


def test_standing_elsewhere_decides_after_three_seconds_and_waiting_does_not():
    def paused(steps):
        return judge(GoTo(CHAIR), ONE, np.vstack([drive((0, 0), (1, 0), stop=steps), drive((1, 0), (2, 0), stop=4)]))

    # 5 steps of driving, then 12 of standing: the start of the second piece is one more
    gone = paused(12)
    assert (gone.success, gone.step) == (False, 17)
    assert gone.progress == pytest.approx(1 / 1.6), "1 m of the 1.6 m that lead into reach"
    assert paused(10).success, "a person had to pass, say"


def test_only_a_stop_at_the_right_thing_counts():
    assert not succeeds(GoTo(CHAIR), ONE, drive((0, 0), (2, 0), (2, 3))), "driving by is not stopping"
    assert not succeeds(GoTo(TABLE), ONE, drive((0, 0), (2, 0), stop=4)), "the wrong thing"


def test_an_ambiguous_noun_means_any_that_fit():
    around = place(("chair", "red", 3.0, 0.0, 0.4), ("chair", "blue", 0.0, 3.0, 0.4))
    to_blue = drive((0, 0), (0, 2), stop=4)
    assert succeeds(GoTo(CHAIR), around, to_blue)
    assert succeeds(GoTo(Thing("chair", "blue")), around, to_blue)
    assert not succeeds(GoTo(RED_CHAIR), around, to_blue)


def test_only_the_one_nearest_to_the_other_thing_counts():
    around = place(
        ("chair", "red", 3.0, 0.0, 0.4), ("chair", "red", -3.0, 0.0, 0.4), ("table", "white", -3.0, 2.0, 0.5),
        walls=[(9, -9, 9, 9)],
    )  # fmt: skip
    there, wrong = drive((0, 0), (-2, 0), stop=4), drive((0, 0), (2, 0), stop=4)
    assert succeeds(GoTo(CHAIR, TABLE), around, there)
    assert not succeeds(GoTo(CHAIR, TABLE), around, wrong)
    assert succeeds(GoTo(CHAIR, Thing(WALL)), around, wrong)
    assert succeeds(GoTo(RED_CHAIR, RED_CHAIR), around, wrong), "each is the nearest to the other"


# --- stop beside ------------------------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize(
    ("distance", "angle", "reached"),
    [(1.0, 90, True), (1.58, 90, True), (1.65, 90, False), (1.2, 51, True), (1.2, 129, True), (1.2, 49, False),
     (1.2, 131, False), (1.2, -90, False), (1.2, 180, False)],
)  # fmt: skip
def test_beside_is_a_sector_left_or_right_as_seen_from_the_start(side, y, distance, angle, reached):
    end = _degrees(3, 0, distance, angle * y)
    assert succeeds(StopBeside(CHAIR, side), ONE, drive((0, 0), end, stop=4)) is reached
    found = judge(StopBeside(CHAIR, side), ONE, drive((0, 0), end))
    assert not found.success, "without a stop nothing is decided"
    assert 0 < found.progress < 1


@SIDES
def test_left_is_left_of_the_line_from_the_start_and_not_of_the_map(side, y):
    assert succeeds(StopBeside(CHAIR, side), ONE, drive((6, 0), (3, -1.2 * y), stop=4))
    assert succeeds(StopBeside(CHAIR, side), ONE, drive((3, -4), (3 - 1.2 * y, 0), stop=4))


def test_beside_behind_a_wall_is_not_beside():
    around = place(("chair", "red", 3.0, 0.0, 0.4), walls=[(0, 0.7, 9, 0.7)])
    assert not succeeds(StopBeside(CHAIR, "left"), around, drive((0, 0), (3, 1.2), stop=4))


# --- pass between -----------------------------------------------------------------------------------------------

GATE = place(
    ("cone", "orange", 2.0, 1.0, 0.3), ("barrel", "blue", 2.0, -1.0, 0.3), walls=[(-5, 4, 9, 4), (-5, -9, 9, -9)]
)
BETWEEN = PassBetween(Thing("cone"), Thing("barrel"))


@pytest.mark.parametrize(
    ("points", "passed"),
    [
        ([(0, 0), (2.5, 0)], True),
        ([(0, 0), (2.45, 0)], False),
        ([(0, 0), (4.5, 0)], True),
        ([(0, 0), (4.6, 0)], False),
        ([(0, 0), (1.5, 0)], False),
        ([(0, 0), (0.0, 2.5), (3, 2.5), (3, 0)], False),  # around it
        ([(0, 0), (0.0, 2.5), (3, 2.5), (3, 0), (1, 0)], False),  # through it from the other side
        ([(0, 0), (3, 0), (1, 0)], False),  # and back
        ([(0, 0), (3, 0), (1, 0), (3, 0)], True),
        ([(0, 0), (3, 0), (3, 2.5), (0, 2.5), (0.0, 2.7), (3, 2.7)], False),  # back around, then past it
    ],
)
def test_passing_between_is_crossing_the_gap_from_the_start_and_stopping_beyond(points, passed):
    poses = drive(*points, stop=4)
    assert succeeds(BETWEEN, GATE, poses) is passed
    assert succeeds(PassBetween(Thing("barrel"), Thing("cone")), GATE, poses) is passed
    assert not succeeds(BETWEEN, GATE, poses[:-4])


def test_between_a_thing_and_the_wall_lies_the_nearest_wall():
    through_wall_gap, through_gate = drive((0, 2), (3, 2), stop=4), drive((0, 2), (0, 0), (3, 0), stop=4)
    asked = PassBetween(Thing("cone"), Thing(WALL))
    assert succeeds(asked, GATE, through_wall_gap)
    assert not succeeds(asked, GATE, through_gate)
    assert not succeeds(BETWEEN, GATE, through_wall_gap)


def test_things_that_touch_have_no_gap():
    around = place(("cone", "red", 2.0, 0.3, 0.3), ("barrel", "blue", 2.0, -0.3, 0.3))
    with pytest.raises(InstructionError, match="no gap between the cone and the barrel"):
        compile_instruction(BETWEEN, around)


# --- follow the wall --------------------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize(("clearance", "followed"), [(0.4, True), (1.19, True), (0.3, False), (1.25, False)])
def test_following_is_four_metres_with_the_wall_at_hand(side, y, clearance, followed):
    around = place(walls=[(-20, y, 20, y)])
    found = judge(FollowWall(side), around, drive((0, y * (1 - clearance)), (9, y * (1 - clearance))))
    assert found.success is followed
    assert found.step == (20 if followed else 26), "free for 4 m, then 1 m of 5 may be off the wall"
    other = {"left": "right", "right": "left"}[side]
    assert not succeeds(FollowWall(other), around, drive((0, y * (1 - clearance)), (9, y * (1 - clearance))))


def test_driving_round_and_round_is_not_following():
    corridor = place(walls=[(-20, 1, 20, 1), (-20, -1, 20, -1)])
    lap = ((0, 0.4), (1.5, 0.4), (1.5, -0.4), (0, -0.4))
    assert not succeeds(FollowWall("left"), corridor, drive(*lap, *lap, *lap))
    assert succeeds(FollowWall("left"), corridor, drive((0, 0.4), (4.2, 0.4)))


def test_the_nearer_wall_is_the_one_that_is_followed():
    around = place(walls=[(-20, 1, 20, 1), (-20, -0.8, 20, -0.8)])
    assert succeeds(FollowWall("right"), around, drive((0, 0), (9, 0)))
    assert not succeeds(FollowWall("left"), around, drive((0, 0), (9, 0)))


@pytest.mark.parametrize(("gap", "followed"), [(2.0, True), (2.8, False)])
def test_a_fifth_of_the_path_may_have_no_wall(gap, followed):
    # the sector of 45 degrees sees the wall's ends 0.6 m ahead and behind: 1.2 m less than the gap is off
    around = place(walls=[(-20, 0.6, 2, 0.6), (2 + gap, 0.6, 20, 0.6)])
    assert succeeds(FollowWall("left"), around, drive((0, 0), (9, 0))) is followed


def test_the_approach_is_free_for_four_metres():
    around = place(walls=[(-20, 9, 20, 9)])
    for length, followed in [(3.9, True), (5.6, False)]:
        # head-on, the wall comes to hand 0.85 m before it, where the sector sees it 1.2 m away
        assert succeeds(FollowWall("left"), around, drive((0, 8.4 - length), (0, 8.4), (9, 8.4))) is followed


# --- keep to a side ---------------------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize(
    ("width", "near", "kept"), [(2.4, 0.9, True), (2.4, 1.0, False), (3.9, 1.5, True), (4.1, 1.5, False)]
)
def test_keeping_to_a_side_is_two_fifths_of_the_corridor(side, y, width, near, kept):
    around = place(walls=[(-20, 0, 20, 0), (-20, -y * width, 20, -y * width)])
    poses = drive((0, -y * near), (9, -y * near))
    found = judge(KeepSide(side), around, poses)
    assert found.success is kept
    assert found.step == (20 if kept else 21), "3 m are free, and 1 m of 5"
    assert not succeeds(KeepSide({"left": "right", "right": "left"}[side]), around, poses)


# --- around a thing ---------------------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize(
    ("radius", "sweep", "swept"),
    [(1.5, 121, True), (1.5, 119, False), (0.95, 121, True), (0.85, 300, False), (2.85, 121, True), (2.95, 300, False)],
)
def test_an_arc_sweeps_a_third_of_the_circle(side, y, radius, sweep, swept):
    """Left of the thing is clockwise around it: it stays on the right."""
    poses = circle((3, 0), radius, 180, -y * sweep)
    assert succeeds(ArcAround(CHAIR, side), ONE, poses) is swept
    other = judge(ArcAround(CHAIR, {"left": "right", "right": "left"}[side]), ONE, poses)
    assert (other.success, other.progress) == (False, 0.0)


def test_forty_degrees_the_wrong_way_fail():
    for wrong, swept in [(38, True), (42, False)]:
        away, back = circle((3, 0), 1.5, 180, wrong), circle((3, 0), 1.5, 180 + wrong, -170)
        assert succeeds(ArcAround(CHAIR, "left"), ONE, np.vstack([away, back[1:]])) is swept


# --- atomic commands --------------------------------------------------------------------------------------------

NOWHERE = place()


@pytest.mark.parametrize(
    ("poses", "done"),
    [
        (drive((0, 0), (2, 0)), True),
        (drive((0, 0), (1.9, 0)), False),
        (np.vstack([np.zeros(3), drive((0, 0), _degrees(0, 0, 4, 19))]), False),  # 0.69 m to the side at 2 m
        (np.vstack([np.zeros(3), drive((0, 0), _degrees(0, 0, 4, 13))]), True),  # 0.46 m
        (drive((0, 0), (1, 0.3), (2.2, 0.3)), True),
        (arc(30), False),
        (arc(90), False),
    ],
)
def test_forward(poses, done):
    assert succeeds(Do("forward"), NOWHERE, poses) is done
    assert succeeds(Do("forward"), NOWHERE, mirrored(poses)) is done


@SIDES
@pytest.mark.parametrize(
    ("turn", "command"),
    [(90, "turn"), (62, "turn"), (118, "turn"), (125, ""), (55, ""), (47, "adjust"), (30, "adjust"), (17, "adjust"),
     (13, "")],
)  # fmt: skip
def test_turns_and_adjustments_are_told_apart_by_the_heading_they_end_with(side, y, turn, command):
    other = {"left": "right", "right": "left"}[side]
    for poses, toward in [(arc(y * turn), side), (arc(y * turn), other)]:
        for asked in ("turn", "adjust"):
            expected = asked == command and toward == side
            assert succeeds(Do(f"{asked}_{toward}"), NOWHERE, poses) is expected


def test_a_turn_on_the_spot_is_a_turn_but_no_adjustment():
    for degrees, done in [(80, True), (30, False)]:
        yaw = np.radians(np.concatenate([np.arange(0, degrees + 1, 10), [degrees]]))
        poses = np.column_stack([np.zeros(len(yaw)), np.zeros(len(yaw)), yaw])
        assert succeeds(Do("turn_left"), NOWHERE, poses) is done
        assert not succeeds(Do("adjust_left"), NOWHERE, poses)


def test_stop_is_a_stop_within_two_metres():
    assert judge(Do("stop"), NOWHERE, np.zeros((9, 3))).step == 4
    assert succeeds(Do("stop"), NOWHERE, drive((0, 0), (1.9, 0), stop=4))
    assert not succeeds(Do("stop"), NOWHERE, drive((0, 0), (2.1, 0), stop=4))


# --- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        (GoTo(Thing("lamp", "green")), "the scene has no green lamp. It has: red chair, white table"),
        (GoTo(CHAIR, Thing("door")), "the scene has no door"),
        (GoTo(CHAIR, CHAIR), "the only chair of the scene cannot be near itself"),
        (PassBetween(CHAIR, Thing(WALL)), "the scene has no wall"),
        (Do("fly"), "'fly' is no driving command. There are: forward, turn_left"),
    ],
)
def test_what_the_scene_does_not_have_is_named(asked, what):
    with pytest.raises(InstructionError) as caught:
        compile_instruction(asked, ONE)
    assert what in str(caught.value)


def test_more_than_there_is_room_for_is_refused():
    crowd = place(*[("chair", "red", float(k), 5.0, 0.4) for k in range(17)], walls=[(0, 0, 1, 1)] * 65)
    with pytest.raises(InstructionError, match="65 walls, and at most 64"):
        compile_instruction(FollowWall("left"), crowd)
    with pytest.raises(InstructionError, match="17 things that the words fit, and at most 16"):
        compile_instruction(GoTo(CHAIR), place(*[("chair", "red", float(k), 5.0, 0.4) for k in range(17)]))
