"""The truth about arm labels: a primitive is true, its opposite is not, and what presses, drops or pushes is wrong."""

import numpy as np
import pytest
from tables import table

from benchmarks.tabletop.situations import Trial, judged
from benchmarks.tabletop.touch import LOST, MOVED, PRESSED, Touch
from benchmarks.tabletop.truth import Measure, Place, best, correct, drives, passes, progress
from embodied_cf.envs.tabletop import expert
from embodied_cf.envs.tabletop.dynamics import Table
from embodied_cf.envs.tabletop.goals import goal_of
from embodied_cf.language import arm
from embodied_cf.language.instruction import Thing
from embodied_cf.language.meaning import ArmMeaning
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.tabletop import Place as PlaceInstruction
from embodied_cf.relabel.profile import Profile

SCALE = MotionScale(step=0.04, turn=0.5)
MEASURE = Measure(Profile(SCALE, np.array([0.2, -0.3, 0.0]), np.array([0.6, 0.3, 0.25]), 1), ArmMeaning(SCALE), 8)
INDEX = arm.VOCABULARY.index


@pytest.fixture(scope="module")
def free():
    """A hand 18 cm over a can, whose bowl stands 20 cm to the left."""
    layout = table(("can", "red", 0.4, 0.0), ("bowl", "blue", 0.4, 0.2))
    physics = Table(layout)
    return Place(physics, physics.initial, 1.0)


@pytest.fixture(scope="module")
def holding(free):
    """The same hand when it has picked up the can."""
    state, instruction = free.state, PlaceInstruction(Thing("can", "red"), "in", Thing("bowl", "blue"))
    goal = goal_of(instruction, free.table.layout, free.table.instant(state))
    for _ in range(80):
        now = free.table.instant(state)
        if now.position[0, 2] > 0.08:
            return Place(free.table, state, 0.0)
        state = free.table.step(state, expert.act(goal, now))
    raise AssertionError("the expert picks it up")


def straight(place, command):
    return next(drives(MEASURE, place, INDEX[command]))


def is_true(place, command, chunk):
    index = INDEX[command]
    deed = place.do(chunk, index == arm.OPEN)
    return not deed.harm and correct(MEASURE, index, deed, best(MEASURE, place, index))


@pytest.mark.parametrize("command", ["move_left", "move_up", "move_back", "rotate_right", "close_gripper", "hold"])
def test_a_primitive_is_true(free, command):
    assert is_true(free, command, straight(free, command))


@pytest.mark.parametrize(
    ("command", "other"),
    [("move_left", "move_right"), ("move_up", "move_down"), ("rotate_left", "rotate_right"), ("hold", "move_left"),
     ("close_gripper", "hold"), ("open_gripper", "open_gripper")],
)  # fmt: skip
def test_what_does_another_thing_is_false(free, command, other):
    """Opening an open gripper does nothing."""
    assert not is_true(free, command, straight(free, other))


def test_a_third_of_the_way_is_not_enough(free):
    chunk = straight(free, "move_left")
    assert is_true(free, "move_left", 0.6 * chunk)
    assert passes(MEASURE, INDEX["move_left"], free.do(chunk / 3, False))
    assert not is_true(free, "move_left", chunk / 3)


def test_a_drive_gets_as_far_as_it_says(free):
    deed = free.do(straight(free, "move_left"), False)
    np.testing.assert_allclose(progress(MEASURE, INDEX["move_left"], deed)[[4, -1]], [4, 7.5], atol=0.1)


def test_pressing_on_a_thing_is_false(free):
    """A closed hand comes down on the can, 6 cm high."""
    closed = Place(free.table, free.table.branch(free.state, straight(free, "close_gripper")[:4]).states[-1], 0.0)
    down = straight(closed, "move_down")
    deed = closed.do(down, False)
    assert passes(MEASURE, INDEX["move_down"], deed)
    assert deed.harm == PRESSED
    assert not is_true(closed, "move_down", down)
    assert best(MEASURE, closed, INDEX["move_down"]) is not None, "it could go down beside it"


def test_pressing_into_the_table_is_false(free):
    """Fingers tilted by 0.6 rad reach below the point between them."""
    share = np.minimum(np.arange(1, 9) / 3, 1.0)
    lower = -0.05 * np.maximum(np.arange(-2, 6), 0)
    zero = np.zeros(8)
    tilted = np.column_stack([zero, -0.15 * share, lower, 0.6 * share, zero, zero, zero + 1.0])
    assert free.do(tilted, False).harm == PRESSED


def test_letting_go_is_wrong_unless_it_is_asked_for(holding):
    assert Touch.of(holding.table, holding.state).held == {"thing 0"}
    opens = straight(holding, "open_gripper")
    assert is_true(holding, "open_gripper", opens)
    assert holding.do(opens, opens=False).harm == LOST
    assert is_true(holding, "move_right", straight(holding, "move_right")), "what is held may be carried along"


def test_pushing_what_is_not_held_is_wrong():
    """The closed hand, low over the table, slides a cube 7 cm to the left."""
    physics = Table(table(("cube", "red", 0.4, 0.0), start=(0.4, -0.15, 0.03)))
    low = Place(physics, physics.initial, 0.0)
    deed = low.do(0.6 * straight(low, "move_left"), False)
    assert deed.harm == MOVED
    assert passes(MEASURE, INDEX["move_left"], deed)


def test_the_row_judges_by_what_was_done(free):
    trial = Trial(INDEX["move_left"], INDEX["move_up"], "", "", best(MEASURE, free, INDEX["move_left"]))
    marks = [judged(MEASURE, trial, free.do(chunk, False)) for chunk in
             (straight(free, "move_left"), straight(free, "move_left") / 3, straight(free, "move_up"))]  # fmt: skip
    assert [mark["passes"] for mark in marks] == [True, True, False]
    assert [mark["clean"] for mark in marks] == [True, False, False]
