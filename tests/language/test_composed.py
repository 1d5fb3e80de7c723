"""Composed instructions on paths drawn by hand."""

import math

import numpy as np
import pytest
from paths import drive, place

from embodied_cf.errors import InstructionError
from embodied_cf.language.composed import (
    AnyOrder,
    Away,
    Driven,
    IfVisible,
    Then,
    Within,
    carried_out,
    constraints,
    resolved,
    visible,
)
from embodied_cf.language.composed_words import say
from embodied_cf.language.instruction import FollowWall, GoTo, Thing

CHAIR, BOX, BALL = (GoTo(Thing(kind)) for kind in ("chair", "box", "ball"))
AROUND = place(("chair", "red", 4.0, 0.0, 0.3), ("box", "blue", 4.0, 4.0, 0.3), ("ball", "red", 1.5, -1.0, 0.2))
TO_CHAIR = drive((0, 0), (3, 0), stop=5)
TO_BOTH = np.concatenate([drive((0, 0), (3, 0)), drive((3, 0), (3.5, 3.2), stop=5)])
BACK = np.concatenate([drive((0, 0), (3.2, 3.2)), drive((3.2, 3.2), (3.7, 1.0), stop=5)])


def end(instruction, path, around=AROUND):
    return carried_out(instruction, Driven(path, around, 0.25))


def test_a_clause_is_judged_as_it_is_alone():
    assert end(CHAIR, TO_CHAIR) == 15 + 4  # there, and a stop seen for four steps
    assert end(CHAIR, TO_CHAIR[:17]) is None
    assert end(BOX, TO_CHAIR) is None
    with pytest.raises(InstructionError, match="no lamp"):
        end(GoTo(Thing("lamp")), TO_CHAIR)


def test_order():
    forth, back = Then((CHAIR, BOX)), Then((BOX, CHAIR))
    assert end(forth, TO_BOTH) is not None
    assert end(back, TO_BOTH) is None
    assert end(back, BACK) is not None
    assert end(forth, BACK) is None
    assert end(Then((CHAIR, BOX)), TO_CHAIR) is None


def test_any_order():
    both = AnyOrder((CHAIR, BOX))
    assert end(both, TO_BOTH) == end(Then((CHAIR, BOX)), TO_BOTH)
    assert end(both, BACK) == end(Then((BOX, CHAIR)), BACK)
    assert end(both, TO_CHAIR) is None
    assert end(AnyOrder((CHAIR, BOX, BALL)), TO_BOTH) is None


def test_only_the_last_needs_a_stop():
    assert end(Then((CHAIR, BOX)), TO_BOTH[:-5]) is None
    passing = drive((0, 0), (3, 0))
    assert end(CHAIR, passing) is None
    assert end(Then((CHAIR, FollowWall("left"))), passing) is None


def test_visible():
    chair = Thing("chair")
    assert visible(chair, AROUND, np.array([0.0, 0.0, 0.0]))
    assert visible(chair, AROUND, np.array([0.0, 0.0, math.radians(44)]))
    assert not visible(chair, AROUND, np.array([0.0, 0.0, math.radians(46)]))
    assert not visible(chair, AROUND, np.array([8.0, 0.0, 0.0]))  # behind
    walled = place(("chair", "red", 4.0, 0.0, 0.3), walls=[(2.0, -3.0, 2.0, 3.0)])
    assert not visible(chair, walled, np.array([0.0, 0.0, 0.0]))
    assert visible(chair, walled, np.array([2.5, 0.0, 0.0]))
    two = place(("chair", "red", -4.0, 0.0, 0.3), ("chair", "blue", 4.0, 0.0, 0.3))
    assert visible(chair, two, np.array([0.0, 0.0, 0.0]))  # one of them is


def test_a_condition_is_read_where_its_part_begins():
    seen = IfVisible(Thing("chair"), CHAIR, BOX)
    assert end(seen, TO_CHAIR) == 19
    assert end(seen, BACK) is not None  # ends at the chair, too
    away = TO_CHAIR.copy()
    away[0, 2] = math.pi
    assert end(seen, away) is None
    # at the chair, where the robot then faces the box's way, the ball is out of view
    then = Then((CHAIR, IfVisible(Thing("ball"), BALL, BOX)))
    assert end(then, TO_BOTH) is not None


def test_limits_count_from_where_they_begin():
    step = end(CHAIR, TO_CHAIR)
    assert end(Within(CHAIR, metres=3.01), TO_CHAIR) == step
    assert end(Within(CHAIR, metres=2.9), TO_CHAIR) is None
    assert end(Within(CHAIR, seconds=0.25 * step + 0.01), TO_CHAIR) == step
    assert end(Within(CHAIR, seconds=0.25 * step), TO_CHAIR) is None  # less than
    assert end(Then((CHAIR, Within(BOX, metres=4.0))), TO_BOTH) is not None
    assert end(Within(Then((CHAIR, BOX)), metres=4.0), TO_BOTH) is None


def test_keeping_away():
    ball = Thing("ball")  # its surface is .8 m from the way to the chair
    assert end(Away(CHAIR, ball, 0.79), TO_CHAIR) == 19
    assert end(Away(CHAIR, ball, 0.81), TO_CHAIR) is None
    assert end(Then((CHAIR, Away(BOX, ball, 1.4))), TO_BOTH) is not None  # only on the second part


def test_nesting():
    nested = IfVisible(Thing("chair"), Within(Then((CHAIR, BOX)), seconds=60), AnyOrder((BALL, BOX)))
    assert end(nested, TO_BOTH) is not None
    assert end(nested, BACK) is None
    assert constraints(nested) == 1 + 3
    assert constraints(Away(Within(CHAIR, metres=3, seconds=9), Thing("ball"), 1.0)) == 4


def test_clauses_that_carry_it_out():
    nested = Away(IfVisible(Thing("chair"), Within(Then((CHAIR, BOX)), seconds=60), BALL), Thing("ball"), 1.0)
    assert resolved(nested, AROUND, np.array([0.0, 0.0, 0.0])) == (CHAIR, BOX)
    assert resolved(nested, AROUND, np.array([0.0, 0.0, math.pi])) == (BALL,)
    assert resolved(AnyOrder((BOX, CHAIR)), AROUND, np.zeros(3)) == (BOX, CHAIR)


def test_words():
    both = AnyOrder((CHAIR, BOX))
    assert say(both) == "in any order, go to the chair and go to the box"
    assert say(Within(CHAIR, metres=5)) == "driving no more than 5 m, go to the chair"
    limited = Away(Within(Then((CHAIR, BOX)), 6.5, 20), Thing("ball", "red"), 0.8)
    assert say(limited) == (
        "staying at least 0.8 m away from the red ball, in less than 20 s and driving no more than 6.5 m, "
        "go to the chair, then go to the box"
    )
    told = say(IfVisible(Thing("ball"), CHAIR, both), lambda clause: clause.thing.kind.upper())
    assert told == "if you can see the ball, CHAIR; otherwise, in any order, CHAIR and BOX"
