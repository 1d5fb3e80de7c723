"""New names of things, said in known words. With the frozen model of the wheel: no network."""

import pytest

from embodied_cf.language.phrasing import NOUNS
from embodied_cf.policies.names import KnownNames, names_of
from embodied_cf.policies.wordings import KnownWordings, wordings_of

SAID = tuple(
    f"go to the {colour}{name}" for kind, wording in NOUNS.items() if kind != "wall" for name in wording.train
    for colour in ("", "bright red ", "green ", "white ")
)  # fmt: skip
NEW = {"keg": "barrel", "carton": "box", "houseplant": "plant", "sapling": "tree", "basket": "bin", "sphere": "ball",
       "light": "lamp", "entrance": "door", "stool": "chair", "workbench": "table", "parcel": "box"}  # fmt: skip


@pytest.fixture(scope="module")
def known():
    return KnownNames(names_of(SAID))


def test_names_are_the_words_of_things_only():
    assert names_of(["go to the bright red box", "stop left of a chair, then turn left"]) == (
        "box", "bright", "chair", "red")  # fmt: skip


@pytest.mark.parametrize(
    "thing", ["the bright red crate", "a rubber ball", "the thing", "the garbage can", "that seat"]
)
def test_known_names_stay(known, thing):
    assert known.said(thing) == thing


@pytest.mark.parametrize("name", NEW)
def test_a_new_name_is_that_of_its_kind(known, name):
    assert known.said(f"the green {name}") == f"the green {NEW[name]}"


def test_what_is_unknown_beside_a_name_is_left_out(known):
    assert known.said("the plum coloured kitchen chair") == "the chair"
    assert known.said("the snow white drum") == "the white drum"
    assert known.said("that standing light") == "that lamp"


def test_who_knows_no_kind_changes_nothing():
    for names in ((), ("sprocket", "gear")):
        assert KnownNames(names).said("the azure keg") == "the azure keg"


def test_words_that_training_uses_are_never_changed():
    wider = KnownNames(names_of([*SAID, "go to the azure stool"]))
    assert wider.said("the azure stool") == "the azure stool"


def test_a_new_wording_with_a_new_name_is_read_in_known_words():
    reader = KnownWordings(wordings_of([*SAID, "drive between the box and the chair"]), names_of(SAID))
    assert reader.heard("proceed to the snow-white keg") == "go to the white barrel"
    assert reader.heard("go to the waste basket") == "go to the bin"
    assert reader.heard("Go to the white ball") == "Go to the white ball"
