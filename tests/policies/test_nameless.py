"""What is said apart from the names of things. With the frozen model of the wheel: no network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_cf.policies.nameless import THING, Spoken, spoken, word_kind
from embodied_cf.policies.text import split_words

WORDS = ("the", "a", "that", "thing", "chair", "red", "pylon", "wall", "left", "of", "go", "to", ",", ";", "Box!", "é")


@pytest.mark.parametrize(
    ("said", "wording", "things"),
    [
        ("go to the red box", "go to the thing", ["the red box"]),
        ("Pay the golden drum a visit", "pay the thing a visit", ["the golden drum"]),
        ("halt left of the jet-black work table", "halt left of the thing", ["the jet black work table"]),
        ("pass between a trash can and the purple cone", "pass between the thing and the thing",
         ["a trash can", "the purple cone"]),
        ("drive to the ball nearest the wall", "drive to the thing nearest the wall", ["the ball"]),
        ("keep left in the corridor", "keep left in the corridor", []),
        ("turn left", "turn left", []),
        ("", "", []),
    ],
)  # fmt: skip
def test_wordings_and_things(said, wording, things):
    found = spoken(said)
    assert found == Spoken(wording, tuple(things))
    assert found.num_things == len(things)


def test_a_wording_is_filled_with_its_things_in_order():
    said = Spoken(f"steer between {THING} and {THING}", ("the red box", "a seat"))
    assert said.filled() == "steer between the red box and a seat"


def test_sides_are_those_that_are_named():
    assert spoken("stop left of the box").sides == {"left"}
    assert spoken("leave the left half to those on the right").sides == {"left", "right"}
    assert not spoken("go to the box").sides


def test_kinds_of_words():
    assert [word_kind(word) for word in ("the", "chair", "red", ",", "between", "hallway")] == list("atwpww")


def test_who_is_asked_of_words_may_be_another():
    assert spoken("go to the pylon").things == ()
    assert spoken("go to the pylon", lambda word: "t" if word == "pylon" else word_kind(word)).things == ("the pylon",)


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_filled_with_its_things_it_is_what_was_said(words):
    text = " ".join(words)
    assert spoken(text).filled() == " ".join(split_words(text))
