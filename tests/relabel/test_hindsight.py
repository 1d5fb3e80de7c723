"""Hindsight goals, judged by where the sightings place the things: did the robot come there?"""

import numpy as np
import pytest
from seen import context_of, straight

from embodied_cf.datasets.contract import Labels
from embodied_cf.language.verdict import FAIL, PASS, UNKNOWN
from embodied_cf.relabel.hindsight_verdict import hindsight_verdicts
from embodied_cf.vlm.captions import Captions, SeenObject

ROOM = {"red chair": (4.0, 0.3, 0.3), "blue box": (4.5, -1.5, 0.3), "green ball": (3.0, 2.0, 0.3)}
TRACK = straight(15, 0.2)
"""2.8 m along +x: 1 m or so before the chair."""


def judged(text, start=0, end=14, context=None):
    row = Labels(("hindsight",), np.array([start], np.int32), np.array([end], np.int32), (text,), ("",),
                 np.zeros((1, 8, 2), np.float32), np.ones((1, 8), bool), np.ones(1, np.float32), ("",))  # fmt: skip
    return int(hindsight_verdicts(context or context_of(ROOM, TRACK), row)[0])


@pytest.mark.parametrize(
    ("text", "start", "end", "verdict"),
    [
        ("head for the red chair", 0, 14, PASS),
        ("go to the seat", 0, 14, PASS),  # a seat is a chair
        ("go to the red chair", 0, 7, UNKNOWN),  # 1.3 of 2.7 m are left to 1 m before it
        ("go to the red chair", 0, 2, FAIL),
        ("go to the green ball", 0, 14, UNKNOWN),  # passed by
        ("go to the yellow cone", 0, 14, UNKNOWN),  # never seen
        ("go to the chair nearest the blue box", 0, 14, PASS),
        ("go to the chair nearest the blue box", 0, 2, FAIL),
        ("go to the ball nearest the blue box", 0, 14, UNKNOWN),  # it went by, within a metre and a half
        ("go to the chair nearest the yellow cone", 0, 14, UNKNOWN),
        ("stop left of the red chair", 0, 14, UNKNOWN),  # it came much of the way
        ("stop left of the red chair", 0, 4, FAIL),
        ("stop right of the green ball", 0, 14, UNKNOWN),  # it went by, 1.7 m off, where 1.2 are asked
        ("follow the wall on your left", 0, 14, UNKNOWN),  # nobody looked for walls
        ("wander about", 0, 14, UNKNOWN),
        ("go to the red chair, then go to the blue box", 0, 14, FAIL),  # the chair is nearest at the end
    ],
)
def test_who_came_to_a_thing(text, start, end, verdict):
    assert judged(text, start, end) == verdict


def test_what_other_frames_deny_was_not_gone_to():
    real = context_of(ROOM, TRACK)
    made_up = SeenObject(5, "white lamp", (28.0, 30.0, 36.0, 50.0))
    context = context_of({}, TRACK)
    object.__setattr__(context, "captions", Captions(objects=(*real.captions.objects, made_up)))
    assert judged("go to the white lamp", context=context) == FAIL
