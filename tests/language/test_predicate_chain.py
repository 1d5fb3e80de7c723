"""What chains mean, and what holds for every instruction: batch and fold agree, mirrors do, standing still fails."""

import itertools
import math

import numpy as np
import pytest
from asked import sides, unhurried
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from paths import drive, mirrored, mirrored_place, place, succeeds

from embodied_cf.errors import InstructionError
from embodied_cf.language import nav
from embodied_cf.language.grammar import mirror
from embodied_cf.language.instruction import (
    ArcAround,
    Chain,
    Do,
    FollowWall,
    GoTo,
    KeepSide,
    PassBetween,
    StopBeside,
    Thing,
)
from embodied_cf.language.predicate import advance, begin, compile_instruction, judge, stack_programs

CHAIR, TABLE, CONE = Thing("chair"), Thing("table"), Thing("cone")
ROOM = place(
    ("chair", "red", 3.0, 0.0, 0.4),
    ("table", "white", 3.0, 4.0, 0.5),
    ("cone", "orange", -2.0, 1.5, 0.3),
    ("cone", "blue", -2.0, -1.5, 0.3),
    ("door", "green", -6.0, 0.0, 0.5),
    walls=[(-6, -6, 6, -6), (6, -6, 6, 6), (6, 6, -6, 6), (-6, 6, -6, -6), (-6, 4, -3, 4)],
)


def _first_then(*parts):
    return Chain(parts)


# --- chains -----------------------------------------------------------------------------------------------------


def test_a_goal_on_the_way_needs_no_stop_and_the_last_one_does():
    asked = _first_then(GoTo(CHAIR), GoTo(TABLE))
    way = drive((0, 0), (2, 0), (3, 2.7), stop=4)
    assert succeeds(asked, ROOM, way)
    found = judge(asked, ROOM, way[:-1])
    assert not found.success
    assert found.progress == 0.99
    assert judge(asked, ROOM, drive((0, 0), (1.6, 0))).progress == 0.5


def test_the_order_counts():
    way = drive((0, 0), (2, 0), (3, 2.7), stop=4)
    assert not succeeds(_first_then(GoTo(TABLE), GoTo(CHAIR)), ROOM, way)


def test_a_stop_on_the_way_ends_a_chain_whose_clause_needs_none():
    way = drive((0, 0), (1, 0), stop=12)
    for first in (GoTo(CHAIR), PassBetween(CONE, CONE), FollowWall("left"), ArcAround(CHAIR, "left"), Do("forward")):
        found = judge(_first_then(first, GoTo(TABLE)), ROOM, np.vstack([way, drive((1, 0), (2, 0))]))
        assert (found.success, found.step) == (False, 17)


def test_beside_on_the_way_needs_its_stop_and_then_waits():
    asked = _first_then(StopBeside(CHAIR, "left"), GoTo(TABLE))
    beside, on = drive((0, 0), (3, 1.2), stop=4), drive((3, 1.2), (3, 2.6), stop=4)
    assert succeeds(asked, ROOM, np.vstack([beside, on]))
    rest = np.repeat(beside[-1:], 30, axis=0)
    assert succeeds(asked, ROOM, np.vstack([beside, rest, on])), "standing on after a stop is the same stop"
    assert not succeeds(asked, ROOM, np.vstack([beside[:-4], on]))
    assert not succeeds(asked, ROOM, np.vstack([drive((0, 0), (1, 0), stop=12), drive((1, 0), (3, 1.2), stop=4), on]))


def test_left_is_judged_from_where_the_clause_begins():
    asked = _first_then(GoTo(TABLE), StopBeside(CHAIR, "left"))
    to_table = drive((0, 0), (3, 2.8))
    begun = to_table[np.argmax(np.hypot(*(to_table[:, :2] - [3, 4]).T) <= 1.5), :2]
    toward = np.array([3.0, 0.0]) - begun
    left = np.array([3.0, 0.0]) + 1.2 * np.array([-toward[1], toward[0]]) / np.hypot(*toward)
    right = np.array([6.0, 0.0]) - left
    assert succeeds(asked, ROOM, drive((0, 0), (3, 2.8), tuple(left), stop=4))
    assert not succeeds(asked, ROOM, drive((0, 0), (3, 2.8), tuple(right), stop=4))


def test_passing_between_on_the_way_is_enough_half_a_metre_beyond():
    asked = _first_then(PassBetween(Thing("cone", "orange"), Thing("cone", "blue")), GoTo(Thing("door")))
    assert succeeds(asked, ROOM, drive((0, 0), (-5, 0), stop=4))
    assert judge(asked, ROOM, drive((0, 0), (-2.4, 0))).progress < 0.5
    assert 0.5 <= judge(asked, ROOM, drive((0, 0), (-2.6, 0))).progress < 0.7


def test_a_continuous_clause_at_the_end_decides_by_its_own_rule():
    asked = _first_then(GoTo(CHAIR), Do("turn_left"))
    turn = np.column_stack([np.full(9, 2.0), np.zeros(9), np.linspace(0, math.pi / 2, 9)])
    assert succeeds(asked, ROOM, np.vstack([drive((0, 0), (2, 0)), turn, turn[-1:]]))
    assert not succeeds(asked, ROOM, np.vstack([drive((0, 0), (2, 0)), mirrored(turn), mirrored(turn)[-1:]]))


def test_failing_a_clause_fails_the_chain():
    found = judge(_first_then(Do("forward"), GoTo(CHAIR)), ROOM, drive((0, 0), (0, 1), (2, 0), stop=4))
    assert not found.success


def test_a_chain_of_five_is_refused():
    with pytest.raises(InstructionError, match="5 clauses, and at most 4"):
        compile_instruction(Chain((Do("forward"),) * 5), ROOM)


# --- every instruction ------------------------------------------------------------------------------------------

present = st.sampled_from(
    [CHAIR, TABLE, CONE, *(Thing(kind, colour) for kind, colour in zip(ROOM.kind, ROOM.colour, strict=True))]
)
possible = st.one_of(
    st.builds(GoTo, present), st.builds(GoTo, present, present), st.builds(StopBeside, present, sides),
    st.builds(PassBetween, present, present | st.just(Thing("wall"))), st.builds(ArcAround, present, sides),
    st.builds(FollowWall, sides), st.builds(KeepSide, sides), st.builds(Do, st.sampled_from(nav.VOCABULARY.names)),
)  # fmt: skip
asked = possible | st.builds(Chain, st.lists(possible, min_size=2, max_size=4).map(tuple))
seeds = st.integers(0, 999)


def _wander(seed, steps=30):
    """A path along random goals near things and walls, with stops, that now and then does what it was asked."""
    rng = np.random.default_rng(seed)
    pose, poses, left, goal, speed = np.array([*rng.uniform(-3, 3, 2), rng.uniform(-3, 3)]), [], 0, np.zeros(2), 0.0
    for _ in range(steps):
        poses.append(pose.copy())
        if not left:
            left, speed = int(rng.integers(4, 12)), rng.choice([0.0, 0.3, 0.3, 0.3])
            goal = ROOM.position[rng.integers(len(ROOM.kind))] + rng.normal(0, 1.0, 2)
        bearing = (math.atan2(*(goal - pose[:2])[::-1]) - pose[2] + math.pi) % (2 * math.pi) - math.pi
        yaw = pose[2] + np.clip(bearing, -0.35, 0.35) * (speed > 0)
        pose = np.array([pose[0] + speed * math.cos(yaw), pose[1] + speed * math.sin(yaw), yaw])
        left -= 1
    return np.array(poses)


def _compiles(instruction):
    try:
        return bool(compile_instruction(instruction, ROOM))
    except InstructionError:  # no gap, or nothing but itself to be near to
        return False


lists = st.lists(st.tuples(asked, seeds), min_size=8, max_size=8)


def _follow(instructions, around, paths):
    """Trackers after each step of a batch."""
    programs = stack_programs([compile_instruction(instruction, around) for instruction in instructions])
    trackers = [begin(programs, paths[:, 0])]
    for step in range(1, paths.shape[1]):
        trackers.append(advance(programs, trackers[-1], paths[:, step]))
    return trackers


@settings(unhurried, max_examples=6)
@given(lists)
def test_the_batch_is_the_fold_one_by_one(cases):
    cases = [case for case in cases if _compiles(case[0])]
    assume(cases)
    instructions, paths = [one for one, _ in cases], np.stack([_wander(seed, 24) for _, seed in cases])
    trackers = _follow(instructions, ROOM, paths)
    for before, after in itertools.pairwise(trackers):
        assert (before.progress <= after.progress).all(), "the best so far"
        assert ((after.progress == 1.0) == after.success).all()
    judged = [judge(instruction, ROOM, path) for instruction, path in zip(instructions, paths, strict=True)]
    assert trackers[-1].success.tolist() == [one.success for one in judged]
    assert trackers[-1].progress.tolist() == [one.progress for one in judged]


@settings(unhurried, max_examples=6)
@given(lists)
def test_a_mirrored_world_judges_the_same(cases):
    cases = [case for case in cases if _compiles(case[0])]
    assume(cases)
    instructions, paths = [one for one, _ in cases], np.stack([_wander(seed) for _, seed in cases])
    here = _follow(instructions, ROOM, paths)
    there = _follow([mirror(one) for one in instructions], mirrored_place(ROOM), mirrored(paths))
    for one, other in zip(here, there, strict=True):
        assert one.done.tolist() == other.done.tolist()
        assert one.success.tolist() == other.success.tolist()
        assert one.progress.tolist() == pytest.approx(other.progress.tolist())


def test_wandering_carries_out_what_was_asked_now_and_then():
    """So that the properties above are about successes too."""
    kinds = [GoTo(CONE), GoTo(CONE, TABLE), StopBeside(CONE, "left"), PassBetween(CONE, CONE), ArcAround(CONE, "left"),
             Do("forward"), Do("turn_left"), Do("adjust_right"),
             Chain((Do("adjust_left"), Do("forward")))]  # fmt: skip
    paths = np.stack([_wander(seed, 70) for seed in range(50)])
    last = _follow([one for one in kinds for _ in paths], ROOM, np.concatenate([paths] * len(kinds)))[-1]
    share = last.success.reshape(len(kinds), len(paths)).mean(axis=1)
    assert (share > 0).all(), share
    assert (share < 0.5).all(), share


@settings(unhurried, max_examples=6)
@given(lists, st.sampled_from([(1.7, 0.0, 0.0), (-5.0, 0.0, 0.0), (0.0, 5.4, 0.0), (0.0, 0.0, 1.0)]))
def test_standing_still_does_nothing_but_stop(cases, pose):
    instructions = [one for one, _ in cases if _compiles(one)]
    assume(instructions)
    last = _follow(instructions, ROOM, np.tile(pose, (len(instructions), 16, 1)))[-1]
    assert last.success.tolist() == [one == Do("stop") for one in instructions]


def test_a_judged_robot_stays_judged_and_new_ones_take_its_place():
    programs = stack_programs([compile_instruction(GoTo(CHAIR), ROOM)] * 2)
    way = drive((0, 0), (2, 0), stop=4)
    tracker = begin(programs, np.stack([way[0], way[0]]))
    for pose in way[1:]:
        tracker = advance(programs, tracker, np.stack([pose, way[0] + [0, 0.05 * pose[0], 0]]))
    assert tracker.success.tolist() == [True, False]
    after = advance(programs, tracker, np.zeros((2, 3)))
    assert after.done.tolist() == [True, False]
    assert after.take([0]).pose.tolist() == tracker.take([0]).pose.tolist()
    fresh = stack_programs([compile_instruction(Do("stop"), ROOM)])
    programs = programs.replaced([0], fresh)
    tracker = tracker.replaced([0], begin(fresh, np.zeros((1, 3))))
    assert tracker.done.tolist() == [False, False]
    for _ in range(12):
        tracker = advance(programs, tracker, np.zeros((2, 3)))
    assert tracker.success.tolist() == [True, False]


def test_one_position_only_decides_nothing():
    assert judge(GoTo(CHAIR), ROOM, np.zeros((1, 3))).step == 0
