import itertools

import numpy as np
import pytest

from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import Thing
from embodied_cf.language.tabletop import (
    TABLE_KINDS,
    Place,
    Push,
    PushTo,
    Reach,
    canonical,
    find,
    noun,
    parse,
    phrase,
    phrasings,
    skill,
    things,
)

CUBE, BOWL, CAN = Thing("cube", "red"), Thing("bowl", "blue"), Thing("can")
ALL = [
    Reach(CUBE),
    Reach(CAN),
    *(Push(CUBE, way) for way in ("left", "right", "forward", "back")),
    PushTo(CAN, BOWL),
    *(Place(CUBE, how, BOWL) for how in ("in", "on", "left", "right")),
    Place(CAN, "left", CUBE),
]


@pytest.mark.parametrize(
    ("instruction", "text"),
    [
        (Reach(CAN), "reach the can"),
        (Push(CUBE, "left"), "push the red cube to the left"),
        (PushTo(CUBE, BOWL), "push the red cube to the blue bowl"),
        (Place(CUBE, "in", BOWL), "put the red cube in the blue bowl"),
        (Place(CUBE, "right", CAN), "put the red cube right of the can"),
    ],
)
def test_canonical_forms(instruction, text):
    assert canonical(instruction) == text
    assert parse(text) == instruction
    assert parse(f"  {text.capitalize()}. ") == instruction


@pytest.mark.parametrize("instruction", ALL)
def test_every_phrasing_is_read_back_as_what_it_was(instruction):
    texts = list(phrasings(instruction))
    assert len(set(texts)) == len(texts) >= 7
    assert [parse(text) for text in texts] == [instruction] * len(texts)


def test_no_text_stands_for_two_instructions():
    texts = [text for instruction in ALL for text in phrasings(instruction)]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize("instruction", ALL)
def test_held_out_phrasings_never_occur_in_training(instruction):
    rng = np.random.default_rng(0)
    seen, unseen = ({phrase(instruction, rng, held) for _ in range(300)} for held in (False, True))
    assert not seen & unseen
    assert len(unseen) >= 2
    assert canonical(instruction) in seen
    assert seen | unseen <= set(phrasings(instruction))


def test_a_push_to_a_thing_is_not_a_push_to_a_side():
    assert parse("push the red cube to the left") == Push(CUBE, "left")
    assert parse("push the red cube to the can") == PushTo(CUBE, CAN)


@pytest.mark.parametrize("text", ["", "sing", "reach the sky", "put the red cube near the can", "push the cube"])
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(UsageError, match="cannot read the instruction"):
        parse(text)


def test_a_thing_must_be_the_only_one_of_its_name():
    kinds, colours = ("cube", "cube", "can"), ("red", "blue", "red")
    assert find(Thing("cube", "blue"), kinds, colours) == 1
    assert find(Thing("can"), kinds, colours) == 2
    with pytest.raises(UsageError, match="'the cube' names 2 things"):
        find(Thing("cube"), kinds, colours)
    with pytest.raises(UsageError, match="'the red bowl' names 0 things"):
        find(Thing("bowl", "red"), kinds, colours)


def test_skills_and_things():
    assert [skill(each) for each in (ALL[0], ALL[2], ALL[6], ALL[7])] == ["reach", "push", "push", "place"]
    assert things(PushTo(CAN, BOWL)) == (CAN, BOWL)
    assert things(Push(CAN, "left")) == (CAN,)


def test_names_of_all_things_are_read():
    for kind, colour in itertools.product(TABLE_KINDS, ("", "white")):
        assert parse(f"touch {noun(Thing(kind, colour))}") == Reach(Thing(kind, colour))
