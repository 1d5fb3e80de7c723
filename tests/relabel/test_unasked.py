"""What the robot did about things and walls, though nobody had told it."""

import numpy as np
import pytest
from seen import context_of, straight

from embodied_cf.datasets.contract import Labels
from embodied_cf.datasets.randomness import generator
from embodied_cf.language.grammar import parse
from embodied_cf.language.instruction import FAMILIES, GoTo, PassBetween, StopBeside, Thing
from embodied_cf.language.verdict import PASS
from embodied_cf.relabel.hindsight_verdict import hindsight_verdicts
from embodied_cf.relabel.unasked import LONGEST, done_unasked

CHAIR, BOX = Thing("chair", "red"), Thing("box", "blue")
GATE = {"red chair": (3.0, 0.9, 0.3), "blue box": (3.0, -0.9, 0.3)}
THROUGH = straight(30, 0.17)
"""4.9 m along +x, between them."""


def done(things, track, families=FAMILIES, seed=0):
    found = done_unasked(context_of(things, track), families, generator(seed, "test"))
    return {parse(item.instruction): item for item in found}


def test_who_drove_between_two_things_did_so_though_it_drove_on():
    found = done(GATE, THROUGH, ("referential",))
    between = next(item for clause, item in found.items() if isinstance(clause, PassBetween))
    assert between.start == 0
    assert 3.5 <= THROUGH[between.end, 0] <= 4.9  # the predicate asks for half a metre beyond, and 2.5 at most


def test_who_came_by_the_side_of_a_thing_was_beside_it():
    found = done({"red chair": (3.0, 0.9, 0.3)}, THROUGH, ("referential",))
    (beside,) = found.values()
    (clause,) = found
    assert clause in (StopBeside(CHAIR, "right"), StopBeside(Thing("chair"), "right"))
    assert abs(THROUGH[beside.end, 0] - 3.0) < 0.5


def test_who_drove_up_to_a_thing_went_to_it():
    found = done({"red chair": (4.0, 0.3, 0.3)}, straight(15, 0.2), ("object",))
    (clause,) = found
    assert clause in (GoTo(CHAIR), GoTo(Thing("chair")))
    assert found[clause].start == 0


def test_each_is_told_once_for_each_time_that_it_was_done():
    there = straight(21, 0.17)
    back = np.add(there[::-1], (0.0, 0.0, np.pi))
    found = done_unasked(context_of(GATE, np.concatenate([there, back[1:]])), ("object",), generator(0, "test"))
    by_thing = [parse(item.instruction).thing.kind for item in found]
    assert sorted(by_thing) == ["box", "chair"]  # on the way back it looks away
    assert all(item.end - item.start <= LONGEST for item in found)


def test_what_was_done_twice_is_told_twice():
    there = straight(21, 0.17)
    track = np.concatenate([there, there[-2::-1], there])
    found = done_unasked(context_of({"red chair": (4.5, 0.3, 0.3)}, track), ("object",), generator(0, "test"))
    assert [item.start for item in found] == [0, 20]
    assert found[0].end <= 20 < 41 < found[1].end


@pytest.mark.parametrize("families", [(), ("chained",)])
def test_nothing_is_said_of_families_that_nobody_asks_for(families):
    assert not done(GATE, THROUGH, families)


def test_the_verifier_confirms_what_was_done():
    context = context_of(GATE, THROUGH)
    found = done_unasked(context, FAMILIES, generator(0, "test"))
    start, end = (np.array([getattr(item, name) for item in found], np.int32) for name in ("start", "end"))
    count = len(found)
    labels = Labels(("hindsight",) * count, start, end, tuple(item.instruction for item in found), ("",) * count,
                    np.zeros((count, 8, 2), np.float32), np.ones((count, 8), bool), np.ones(count, np.float32),
                    ("",) * count)  # fmt: skip
    assert {type(parse(item.instruction)) for item in found} >= {GoTo, PassBetween, StopBeside}
    assert (hindsight_verdicts(context, labels) == PASS).all()


def test_who_stands_has_done_nothing():
    assert not done(GATE, straight(30))


def test_the_same_seed_gives_the_same_words():
    assert done(GATE, THROUGH, seed=3) == done(GATE, THROUGH, seed=3)
