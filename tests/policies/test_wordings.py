"""New wordings, read as known ones. With the frozen model of the wheel: no network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_cf.language import phrasing
from embodied_cf.language.grammar import parse
from embodied_cf.policies.nameless import spoken
from embodied_cf.policies.wordings import KnownWordings, wordings_of

WORDINGS = {"GO_TO": 7, "GO_TO_NEAR": 6, "STOP_BESIDE": 5, "PASS_BETWEEN": 6, "FOLLOW_WALL": 6, "ARC_AROUND": 4}
"""How many of the held-out wordings are read as one of the same kind, at least, of all."""


def filled(text, side="left"):
    things = {"thing": "the red box", "near": "the green chair", "first": "the red box", "second": "the green chair"}
    return text.format(side=side, other="right" if side == "left" else "left", **things)


@pytest.fixture(scope="module")
def known():
    texts = [filled(text, side) for name in (*WORDINGS, "KEEP_SIDE") for text in getattr(phrasing, name).train
             for side in ("left", "right")]  # fmt: skip
    return KnownWordings(wordings_of(texts))


def test_a_known_wording_is_read_as_it_is(known):
    for text in ("go to the azure pylon", "go to the blue box", "Stop left of the kitchen chair"):
        assert known.heard(text) in (text, text.lower())


@pytest.mark.parametrize("name", WORDINGS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_held_out_wordings_mean_what_their_nearest_known_one_means(known, name, side):
    texts = [filled(text, side) for text in getattr(phrasing, name).held_out]
    right = sum(parse(known.heard(text)) == parse(text) for text in texts)
    assert right >= WORDINGS[name]


def test_a_thing_may_have_a_name_that_nobody_knows(known):
    assert known.heard("travel as far as the pylon").endswith("the pylon")
    assert known.heard("your destination is the blue sprocket").endswith("the blue sprocket")


def test_what_is_like_nothing_is_read_as_it_is(known):
    for text in ("", "qwertz", "one two three four left right"):
        assert known.heard(text) == text


def test_without_known_wordings_all_is_read_as_it_is():
    assert KnownWordings(()).heard("pay the box a visit") == "pay the box a visit"


def test_wordings_are_counted_without_the_names_of_things():
    assert wordings_of(["go to the red box", "go to the chair", "", "stop"]) == ("go to the thing", "stop")


@given(
    st.lists(
        st.sampled_from(("the", "thing", "chair", "pylon", "left", "stop", "go", "to", "between", "and", ",")),
        max_size=8,
    )
)
def test_whatever_is_said_keeps_its_things(known, words):
    text = " ".join(words)
    heard = known.heard(text)
    assert spoken(heard).num_things in (spoken(text).num_things, text.count("the pylon") + spoken(text).num_things)
