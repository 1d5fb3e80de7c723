"""The verifier: what it rejects and why, what it cannot know."""

import numpy as np
import pytest

from embodied_cf.datasets.contract import EncodedImages, Episode, Labels
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.language.meaning import NavMeaning
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.segments import Segments
from embodied_cf.language.verdict import FAIL, PASS, UNKNOWN
from embodied_cf.relabel.asked import Asked
from embodied_cf.relabel.hindsight_verdict import hindsight_verdicts
from embodied_cf.relabel.stages import Candidates, Context, Proposals
from embodied_cf.relabel.synthesize import arcs
from embodied_cf.relabel.verify import (
    CANNOT_SHOW,
    CONFLICT,
    CONTRADICTS,
    DUPLICATE,
    SAME_AS_FACTUAL,
    ProgramVerifier,
)
from embodied_cf.vlm.captions import Captions

SCALE = MotionScale(step=0.1, turn=0.9)
LEFT = arcs(np.array([0.8]), np.array([0.9]), 8)[0]
STRAIGHT = arcs(np.array([0.8]), np.array([0.0]), 8)[0]
STAND = np.zeros((8, 2), np.float32)


@pytest.fixture
def context():
    """Drives 16 steps straight on, then 8 in a left turn."""
    turn = np.concatenate([np.zeros(16), np.full(8, 0.12)])
    yaw = np.concatenate([[0.0], np.cumsum(turn)])
    xy = np.cumsum(0.1 * np.stack([np.cos(yaw[:-1]), np.sin(yaw[:-1])], axis=1), axis=0)
    track = np.concatenate([np.concatenate([np.zeros((1, 2)), xy]), yaw[:, None]], axis=1)
    steps = len(track)
    episode = Episode("set/0/0/0/0", {"primary": EncodedImages([b"\xff\xd8"] * steps)}, np.zeros((steps, 0)),
                      np.zeros((steps, 2)), np.ones(steps, bool), np.arange(steps) * 0.25, pose=track)  # fmt: skip
    segments = Segments(np.array([0, 8, 16]), np.array([8, 16, 24]), ("forward", "forward", "turn_left"), ("",) * 3)
    return Context(episode, track, segments, Captions(), load_embodiment("nav"), NavMeaning(SCALE))


def labels(*rows):
    """Rows of (kind, start, end, instruction, command, chunk)."""
    kind, start, end, text, command, chunk = zip(*rows, strict=True)
    return Labels(kind, np.array(start, np.int32), np.array(end, np.int32), text, command, np.stack(chunk),
                  np.ones((len(rows), 8), bool), np.ones(len(rows), np.float32), ("0" * 16,) * len(rows))  # fmt: skip


def judged(context, table, counterfactual=None, given=()):
    count = sum(kind == "counterfactual" for kind in table.kind) if counterfactual is None else counterfactual
    nothing = np.full((count, 4), np.nan)
    start = table.start[len(table) - count :].astype(np.int64)
    proposals = Proposals(start, np.zeros(count, np.int64), ("",) * count, np.zeros(count), np.ones(count),
                          ("",) * count, start, nothing, ("",) * count, Asked.nothing(count))  # fmt: skip
    return ProgramVerifier().verify(context, Candidates(table, np.isin(np.arange(len(table)), given), proposals))


def cf(start, text, command, chunk):
    return ("counterfactual", start, start + 8, text, command, chunk)


def test_a_good_counterfactual_passes_in_full(context):
    result = judged(context, labels(cf(2, "take a left", "turn_left", LEFT)))
    assert (result.reason, result.verdict.tolist(), result.labels.score.tolist()) == (("",), [PASS], [1.0])


def test_words_against_their_own_chunk_are_rejected(context):
    result = judged(context, labels(cf(2, "take a right", "turn_right", LEFT)))
    assert (result.reason, result.verdict.tolist()) == ((CONTRADICTS,), [FAIL])


def test_free_words_of_the_other_side_are_rejected(context):
    table = labels(
        cf(2, "swing right past the door", "turn_left", LEFT), cf(3, "into the door on the left", "turn_left", LEFT)
    )
    assert judged(context, table).reason == (CONTRADICTS, "")


def test_free_words_are_unknown_and_score_less(context):
    result = judged(context, labels(cf(2, "head for the door", "turn_left", LEFT)))
    assert (result.reason, result.verdict.tolist(), result.labels.score.tolist()) == (("",), [UNKNOWN], [0.5])


def test_the_datasets_own_words_need_no_judge(context):
    table = labels(("hindsight", 0, 24, "go to the charger", "", STRAIGHT))
    result = judged(context, table, 0, given=[0])
    assert (result.verdict.tolist(), result.labels.score.tolist()) == ([UNKNOWN], [1.0])


def test_what_the_robot_did_anyway_is_no_counterfactual(context):
    assert judged(context, labels(cf(2, "go straight", "forward", STRAIGHT))).reason == (SAME_AS_FACTUAL,)


def test_a_command_that_the_real_future_carries_out_is_no_counterfactual(context):
    """At step 15 the segment is still "forward", yet the chunk turns left: another left turn is no news."""
    wider = arcs(np.array([1.6]), np.array([0.9]), 8)[0]
    table = labels(cf(15, "turn left", "turn_left", wider), cf(2, "turn left", "turn_left", wider))
    assert judged(context, table).reason == (SAME_AS_FACTUAL, "")


def test_a_chunk_cannot_show_turning_on_the_spot(context):
    table = labels(("atomic", 0, 8, "turn left", "turn_left", STAND))
    assert judged(context, table, 0).reason == (CANNOT_SHOW,)


def test_the_same_twice_is_kept_once(context):
    table = labels(cf(2, "take a left", "turn_left", LEFT), cf(2, "Take a left.", "turn_left", LEFT),
                   cf(3, "take a left", "turn_left", LEFT))  # fmt: skip
    assert judged(context, table).reason == ("", DUPLICATE, "")


def test_words_that_hold_for_the_fact_cannot_ask_for_something_else(context):
    """The words hold for steps 0..16 by hindsight, so they cannot name another motion there."""
    told = ("hindsight", 0, 16, "head for the door", "", STRAIGHT)
    inside, outside = cf(2, "Head for the door", "turn_left", LEFT), cf(17, "head for the door", "stop", STAND)
    table = labels(told, inside, outside)
    assert judged(context, table, 2).reason == ("", CONFLICT, "")


@pytest.mark.parametrize(
    ("text", "start", "end", "verdict"),
    [
        ("go forward", 0, 16, PASS),
        ("go forward, then turn left", 0, 24, PASS),
        ("turn left", 16, 24, PASS),
        ("turn left", 0, 24, PASS),  # the whole range ends a full turn to the left
        ("go forward", 12, 24, UNKNOWN),  # part of it
        ("turn left, then go forward", 0, 24, FAIL),
        ("turn right", 0, 24, FAIL),
        ("stop", 0, 16, FAIL),
        ("go to the door", 0, 24, UNKNOWN),
    ],
)
def test_hindsight_is_judged_by_the_timeline(context, text, start, end, verdict):
    table = labels(("hindsight", start, end, text, "", STRAIGHT))
    assert hindsight_verdicts(context, table).tolist() == [verdict]
