"""Chains taken apart, in words that training uses and in others. With the frozen model of the wheel: no network."""

import pytest

from embodied_cf.language import connectives
from embodied_cf.policies.chains import parts_of_chain

PARTS = ("go to the red box", "stop left of the green chair", "detour about the lamp, leaving it on your left")
HEARD_IN_PART = connectives.Connective(", later on ", "initially ")


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("connective", [*connectives.TRAIN, *connectives.HELD_OUT])
def test_every_connective_is_heard(connective, count):
    parts = PARTS[:count]
    found = parts_of_chain(connectives.join(parts, connective))
    assert len(found) == count
    if connective != HEARD_IN_PART:  # "later" is taken for the whole of it
        assert found == parts


@pytest.mark.parametrize(
    "text",
    [
        "go to the red box",
        "finish next to the chair, over on the left",
        "round the ball with plenty of room, left of it",
        "advance along the aisle, favouring the left",
        "move to the left of the box and stop there",
        "go to the chair next to the door",
        "Turn left",
        "then",
        ", ;",
        "",
    ],
)
def test_one_part_is_itself(text):
    assert parts_of_chain(text) == (text,)


def test_nothing_is_no_part():
    assert parts_of_chain("go to the box, then ; then stop") == ("go to the box", "stop")
