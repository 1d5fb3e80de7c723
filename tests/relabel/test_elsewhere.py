"""What stands out of view, to the left: when the robot is told to go there, what it does, and how that is judged."""

import asyncio

import numpy as np
import pytest
from seen import CAMERA, NAV, PROFILE, SCALE, context_of

from embodied_cf.datasets.contract import Labels
from embodied_cf.datasets.streams.augment import ABOUT
from embodied_cf.errors import UsageError
from embodied_cf.language.grammar import parse
from embodied_cf.language.instruction import clauses, named
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.verdict import FAIL, PASS
from embodied_cf.relabel.elsewhere import REASON, is_elsewhere, is_search, searches, turns_left
from embodied_cf.relabel.goal import GoalSynthesizer
from embodied_cf.relabel.goal_verdict import chunk_poses, goal_verdicts
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.propose import GrammarProposer
from embodied_cf.relabel.standing import Standing
from embodied_cf.relabel.synthesize import PrimitiveSynthesizer

ROOM = {"red chair": (3.0, 0.0, 0.3), "blue box": (-2.0, 2.0, 0.3), "green ball": (-2.0, -2.0, 0.2)}
"""Ahead; behind to the left; behind to the right."""
BEND, CLOSE = ROOM | {"red chair": (1.6, 0.0, 0.3)}, ROOM | {"red chair": (1.6, 0.0, 0.8)}
"""The same with less room ahead."""
SYNTHESIZER = GoalSynthesizer(PrimitiveSynthesizer(PROFILE, NAV), CAMERA)


def turning():
    """A robot that looks ahead, then at what is behind it to the left, and to the right, and then ahead again."""
    yaw = np.radians([0, 0, 0, 0, 135, 135, 135, 135, 225, 225, 225, 225, 0, 0, 0, 0])
    return np.stack([np.zeros(16), np.zeros(16), yaw], axis=1)


def proposed(room=ROOM, **options):
    context = context_of(room, turning())
    proposer = GrammarProposer(families=("object",), command_share=0.0, **options)
    made = asyncio.run(proposer.propose(context, np.random.default_rng(0)))
    return context, made.take(np.flatnonzero([why == REASON for why in made.reason]))


def kinds(proposals):
    """What kind of thing each is about."""
    return [named(clauses(parse(text))[0])[0].kind for text in proposals.instruction]


def labels_of(chunk):
    """One label with this chunk."""
    _, asked = proposed(look_round=1.0)
    return labels(asked.take(np.array([0])), chunk[None])


def labels(proposals, action):
    count, start = len(proposals), proposals.start.astype(np.int32)
    return Labels(("counterfactual",) * count, start, start + action.shape[1], proposals.instruction, ("",) * count,
                  action.astype(np.float32), np.ones(action.shape[:2], bool), np.ones(count, np.float32),
                  ("",) * count)  # fmt: skip


def test_beyond_the_left_edge_and_behind_to_the_left():
    places = np.array([(1.0, 0.0), (1.0, 1.0), (1.0, -3.0), (0.1, 1.0), (-1.0, 0.1), (-1.0, -0.1), (0.0, -1.0)])
    assert is_elsewhere(places, CAMERA).tolist() == [False, False, False, True, True, False, False]


def test_only_when_asked_for():
    assert len(proposed()[1]) == 0


def search_of(room):
    """The chunk of the label that is told at step 1 of what stands to the left, and how far it turns to the left."""
    context, asked = proposed(room, look_round=1.0)
    asked = asked.take(np.flatnonzero(asked.start == 1))
    assert len(asked) == 1, "one for each observation"
    assert kinds(asked) == ["box"]
    made = SYNTHESIZER.synthesize(context, asked)
    assert made.reason == ("",)
    return made.action[0], turns_left(chunk_poses(np.zeros((1, 3)), labels(asked, made.action)))[0]


def test_with_room_ahead_it_drives_on():
    chunk, turn = search_of(ROOM)
    np.testing.assert_allclose(chunk, np.stack([np.arange(1, 9) * SCALE.step, np.zeros(8)], axis=1), atol=1e-6)
    assert turn == 0


@pytest.mark.parametrize(("room", "share"), [(BEND, 0.6), (CLOSE, 0.1)], ids=["bend", "on the spot"])
def test_with_little_room_it_turns_left(room, share):
    chunk, turn = search_of(room)
    assert turn == pytest.approx(1.8 * 15 / 16, abs=1e-3), "the heading is that of the last piece"
    way = np.hypot(*np.diff(chunk, axis=0, prepend=0.0).T).sum()
    assert way == pytest.approx(share * 8 * SCALE.step, rel=0.02), "along the arc"


@pytest.mark.parametrize("scale", [MotionScale(0.05, 0.2), SCALE, MotionScale(1.0, 1.5)])
@pytest.mark.parametrize("steps", [4, 8, 16])
def test_it_turns_about_at_any_scale(scale, steps):
    """Else a robot whose data turns slowly would have no such labels, or see them mirrored."""
    context, _ = proposed(CLOSE, look_round=1.0)
    chunk = searches(scale, steps, context.obstacles, np.zeros((1, 3)))[0]
    assert is_search(chunk_poses(np.zeros((1, 3)), labels_of(chunk)), scale.step * steps).all()
    end = chunk[-1] - chunk[-2]
    assert np.arctan2(end[1], end[0]) > ABOUT


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_is_none_is_named(share, tmp_path):
    with pytest.raises(UsageError, match=rf"--look-round {share} is not in \[0, 1\]"):
        RelabelOptions(tmp_path, tmp_path / "out", look_round=share)


def test_what_stands_to_the_right_is_never_told():
    _, asked = proposed(look_round=1.0)
    at = dict(zip(asked.start.tolist(), kinds(asked), strict=True))
    assert {at[step] for step in (0, 1, 2, 3)} == {"box"}, "the ball is behind to the right there"
    assert "ball" in {at.get(step) for step in (4, 5, 6, 7)}, "and to the left here"


def test_turning_left_and_driving_on_are_good_and_turning_right_or_creeping_is_bad():
    context, asked = proposed(CLOSE, look_round=1.0)
    asked = asked.take(np.flatnonzero(asked.start == 1))
    action = SYNTHESIZER.synthesize(context, asked).action
    ahead = np.stack([np.arange(1, 9) * SCALE.step, np.zeros(8)], axis=1)[None]
    cases = ((action, PASS), (action * [1, -1], FAIL), (ahead, PASS), (ahead / 2, FAIL), (0 * action, FAIL))
    for chunk, verdict in cases:
        assert goal_verdicts(Standing.of(context, asked), labels(asked, chunk), 8 * SCALE.step).tolist() == [verdict]
