"""Chunks that synthesizers make for an arm: within its reach, brisk, and with the gripper as it was."""

import numpy as np
import pytest

from embodied_cf.datasets.contract import EncodedImages, Episode
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.language import arm
from embodied_cf.language.meaning import ArmMeaning
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.segments import Segments
from embodied_cf.relabel.asked import Asked
from embodied_cf.relabel.profile import Profile, measure
from embodied_cf.relabel.segment import ThresholdSegmenter
from embodied_cf.relabel.stages import Context, Proposals
from embodied_cf.relabel.synthesize import OUT_OF_REACH, PrimitiveSynthesizer, RetrievalSynthesizer
from embodied_cf.vlm.captions import Captions

BODY, SCALE = load_embodiment("arm"), MotionScale(step=0.04, turn=0.5)
PROFILE = Profile(SCALE, np.array([0.2, -0.3, 0.0]), np.array([0.6, 0.3, 0.25]), 1)
INDEX = arm.VOCABULARY.index


def context(place, gripper):
    """An arm that stands for twelve steps."""
    track = np.tile([*place, 0.0, 0.0, 0.0, gripper], (12, 1))
    episode = Episode("set/0/0/0/0", {"primary": EncodedImages([b"\xff\xd8"] * 12)}, np.zeros((12, 0)),
                      np.zeros((12, 7)), np.ones(12, bool), np.arange(12) * 0.2, effector=track)  # fmt: skip
    segments = Segments(np.array([0]), np.array([11]), ("hold",), ("",))
    return Context(episode, track, segments, Captions(), BODY, ArmMeaning(SCALE))


def asked(*commands):
    count = len(commands)
    return Proposals(np.zeros(count, np.int64), np.array([INDEX[name] for name in commands]), commands,
                     np.zeros(count), np.ones(count), ("",) * count, np.zeros(count, np.int64),
                     np.full((count, 4), np.nan), ("",) * count, Asked.nothing(count))  # fmt: skip


def test_a_move_ends_before_the_reach_ends():
    made = PrimitiveSynthesizer(PROFILE, BODY).synthesize(context((0.4, 0.0, 0.13), 1.0), asked("move_up", "move_left"))
    assert made.reason == ("", "")
    # 12 cm are left, of which it goes 10, half a step of 4 cm less: five periods it stands there
    np.testing.assert_allclose(made.action[0, :, 2], [0.04, 0.08, 0.10, *[0.10] * 5], atol=1e-6)
    np.testing.assert_allclose(made.action[1, :, 1], [*np.arange(1, 8) * 0.04, 0.28], atol=1e-6)
    assert not made.action[0, :, :2].any()


def test_at_the_border_nothing_is_asked_that_leads_across():
    at = context((0.4, 0.0, 0.2), 1.0)
    made = PrimitiveSynthesizer(PROFILE, BODY).synthesize(at, asked("move_up", "move_down", "rotate_left"))
    assert made.reason == (OUT_OF_REACH, "", ""), "3 cm are left upwards, less than a step and a half"


def test_who_is_outside_the_reach_is_told_no_move():
    made = PrimitiveSynthesizer(PROFILE, BODY).synthesize(context((0.7, 0.0, 0.13), 1.0), asked("move_left", "hold"))
    assert made.reason == (OUT_OF_REACH, "")


@pytest.mark.parametrize(("commanded", "kept"), [(True, 0.3), (False, 0.0)])
def test_the_gripper_is_kept_as_it_is(commanded, kept):
    """A command in force is repeated; where fingers were measured they may hold something, and stay closed."""
    made = PrimitiveSynthesizer(PROFILE, BODY, commanded).synthesize(
        context((0.4, 0.0, 0.13), 0.3), asked("hold", "move_up", "open_gripper")
    )
    np.testing.assert_allclose(made.action[:, :, 6], np.repeat([[kept], [kept], [1.0]], 8, axis=1), atol=1e-6)


def moved(rows, gripper):
    """A track of steps (dx, dy, dz, dyaw) and the gripper in force at each of its instants."""
    pose = np.cumsum([[0.4, 0.0, 0.15, 0.0], *rows], axis=0)
    zero = np.zeros((len(pose), 2))
    return np.concatenate([pose[:, :3], zero, pose[:, 3:], np.reshape(gripper, (-1, 1))], axis=1)


def retrieval():
    """What a log shows of an arm that goes left fast, right slowly, and closes its gripper."""
    left, right = [[0.0, 0.04, 0.0, 0.0]] * 8, [[0.0, -0.012, 0.0, 0.0]] * 8
    track = moved([*left, *[[0.0] * 4] * 6, *right], [0.3] * 11 + [1.0] * 12)
    profile = measure([("a", track)], BODY, ThresholdSegmenter(), 0, pool_size=8)
    return RetrievalSynthesizer(profile, BODY, commanded=True)


def test_a_retrieved_segment_is_brisk_and_leaves_the_gripper():
    synthesizer = retrieval()
    assert "move_left" in synthesizer.profile.pools
    assert "move_right" not in synthesizer.profile.pools, "a third of the typical speed hardly shows it"
    made = synthesizer.synthesize(context((0.4, 0.0, 0.15), 0.1), asked("move_left"))
    np.testing.assert_allclose(made.action[0, :, 6], 0.1, atol=1e-6)


def test_the_gripper_is_retrieved_though_it_acts_for_three_periods():
    synthesizer = retrieval()
    made = synthesizer.synthesize(context((0.4, 0.0, 0.15), 0.1), asked("open_gripper"))
    assert made.reason == ("",)
    assert made.mask[0].sum() == 3
    assert (made.action[0, :, 6] == 1.0).all()
