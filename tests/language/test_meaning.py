"""Commands and their programs, by hand-computed motions and by properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_cf.language import arm, nav
from embodied_cf.language.meaning import ArmMeaning, NavMeaning, judge, meaning_for
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.verdict import FAIL, PASS, UNKNOWN
from embodied_cf.language.vocabulary import mirror_text

SCALE = MotionScale(step=0.1, turn=0.9)
NAV, ARM = NavMeaning(SCALE), ArmMeaning(MotionScale(step=0.01, turn=0.6))
FULL = np.ones((1, 8), bool)


def _nav(points):
    return NAV.of_chunks(np.array([points], np.float32), FULL, np.zeros((1, 3)))[:, 0]


def _named(meaning, column):
    return {name: int(value) for name, value in zip(meaning.vocabulary.names, column, strict=True)}


def test_straight_on_is_forward_and_nothing_else():
    verdicts = _named(NAV, _nav([[0.1 * k, 0.0] for k in range(1, 9)]))
    assert verdicts == {
        "forward": PASS,
        "turn_left": FAIL,
        "turn_right": FAIL,
        "adjust_left": FAIL,
        "adjust_right": FAIL,
        "stop": FAIL,
    }


def test_standing_is_a_stop_and_might_be_a_turn_on_the_spot():
    verdicts = _named(NAV, _nav([[0.0, 0.0]] * 8))
    assert verdicts["stop"] == PASS
    assert verdicts["forward"] == FAIL
    assert verdicts["turn_left"] == verdicts["turn_right"] == UNKNOWN


def test_a_quarter_arc_is_a_turn_to_its_side():
    # radius 0.5 m, 8 steps of 0.1 m: the heading turns by 1.6 rad
    angle = 0.2 * np.arange(1, 9)
    verdicts = _named(NAV, _nav(np.stack([0.5 * np.sin(angle), 0.5 * (1 - np.cos(angle))], axis=1)))
    assert verdicts["turn_left"] == PASS
    assert verdicts["turn_right"] == verdicts["forward"] == verdicts["stop"] == FAIL


def test_backing_up_is_no_command():
    track = np.stack([-0.1 * np.arange(9), np.zeros(9), np.zeros(9)], axis=1)
    command, reason = NAV.classify(track, np.array([0]), np.array([8]))
    assert (command[0], NAV.unlabelled[reason[0]]) == (-1, "reverse")


def test_turning_on_the_spot_is_a_turn_and_not_a_stop():
    track = np.stack([np.zeros(9), np.zeros(9), 0.15 * np.arange(9)], axis=1)
    command, _ = NAV.classify(track, np.array([0]), np.array([8]))
    assert NAV.vocabulary.names[command[0]] == "turn_left"


def test_a_slow_robot_is_not_stopped():
    """0.06 m per step: published thresholds in metres call five such steps a stop."""
    slow = NavMeaning(MotionScale(step=0.06, turn=0.9))
    track = np.stack([0.06 * np.arange(6), np.zeros(6), np.zeros(6)], axis=1)
    command, _ = slow.classify(track, np.array([0]), np.array([5]))
    assert slow.vocabulary.names[command[0]] == "forward"


def _arm(delta, before=1.0, after=1.0):
    row = np.array([*delta, after], np.float32)
    chunk = np.arange(1, 9)[:, None] / 8 * row
    chunk[:, 6] = after
    return _named(ARM, ARM.of_chunks(chunk[None].astype(np.float32), FULL, np.array([[0.0] * 6 + [before]]))[:, 0])


@pytest.mark.parametrize(
    ("delta", "command"),
    [
        ((0.05, 0, 0, 0, 0, 0), "move_forward"),
        ((0, 0.05, 0.01, 0, 0, 0), "move_left"),
        ((0, -0.05, 0, 0, 0, 0), "move_right"),
        ((0, 0, -0.05, 0, 0, 0), "move_down"),
        ((0, 0, 0, 0, 0, 0.5), "rotate_left"),
        ((0, 0, 0, 0, 0, -0.5), "rotate_right"),
        ((0, 0, 0, 0, 0, 0), "hold"),
    ],
)
def test_arm_motions_pass_their_own_command_only(delta, command):
    assert [name for name, answer in _arm(delta).items() if answer == PASS] == [command]


def test_a_smaller_axis_is_unknown_and_the_other_way_fails():
    verdicts = _arm((0.05, 0.03, 0, 0, 0, 0))
    assert (verdicts["move_forward"], verdicts["move_left"], verdicts["move_right"]) == (PASS, UNKNOWN, FAIL)


def test_the_gripper_must_change():
    assert _arm((0,) * 6, before=1, after=0)["close_gripper"] == PASS
    assert _arm((0,) * 6, before=0, after=0)["close_gripper"] == FAIL
    assert _arm((0,) * 6, before=np.nan, after=0)["close_gripper"] == UNKNOWN
    assert _arm((0,) * 6, before=0, after=1)["open_gripper"] == PASS


paths = st.lists(st.tuples(st.floats(-0.25, 0.25), st.floats(-0.5, 0.5)), min_size=8, max_size=8)


@given(paths)
def test_a_label_passes_its_own_program(steps):
    """classify never names a command that verdicts would not pass on the same motion."""
    speed, turn = np.array(steps).T
    yaw = np.concatenate([[0.0], np.cumsum(turn)])
    xy = np.cumsum(np.stack([speed * np.cos(yaw[:-1]), speed * np.sin(yaw[:-1])], axis=1), axis=0)
    track = np.concatenate([np.concatenate([np.zeros((1, 2)), xy]), yaw[:, None]], axis=1)
    start, end = np.array([0]), np.array([8])
    command, reason = NAV.classify(track, start, end)
    assert (command[0] >= 0) != (reason[0] >= 0)
    if command[0] >= 0:
        assert NAV.of_track(track, start, end)[command[0], 0] != FAIL


@given(st.lists(st.floats(-0.1, 0.1), min_size=6, max_size=6), st.booleans(), st.booleans())
def test_an_arm_label_passes_its_own_program(delta, before, after):
    track = np.array([[0.0] * 6 + [float(before)], [*delta, float(after)]])
    start, end = np.array([0]), np.array([1])
    command, reason = ARM.classify(track, start, end)
    assert (command[0] >= 0) != (reason[0] >= 0)
    if command[0] >= 0:
        assert ARM.of_track(track, start, end)[command[0], 0] == PASS


@given(paths)
def test_the_mirror_swaps_verdicts(steps):
    chunk = np.cumsum(np.array(steps, np.float32), axis=0)[None]
    names = NAV.vocabulary.names
    mirrored = [NAV.vocabulary.index[command.mirror] for command in NAV.vocabulary.commands]
    ours = NAV.of_chunks(chunk, FULL, np.zeros((1, 3)))[:, 0]
    theirs = NAV.of_chunks(chunk * np.array([1, -1], np.float32), FULL, np.zeros((1, 3)))[:, 0]
    assert [int(ours[i]) for i in range(len(names))] == [int(theirs[i]) for i in mirrored]


@pytest.mark.parametrize("vocabulary", [nav.VOCABULARY, arm.VOCABULARY])
def test_phrases_name_one_command_each_and_mirror_to_the_mirrored_command(vocabulary):
    phrases = [phrase for options in vocabulary.phrases for phrase in options]
    assert len(phrases) == len(set(phrases))
    for command in vocabulary.commands:
        assert len(command.phrases) >= 5
        for phrase in command.phrases:
            assert vocabulary.parse(phrase) == (command.name,)
            if vocabulary is nav.VOCABULARY:
                assert vocabulary.parse(mirror_text(phrase)) == (command.mirror,)


@given(st.lists(st.sampled_from(nav.VOCABULARY.names), min_size=1, max_size=4), st.integers(0, 4))
def test_parse_undoes_compose(commands, pick):
    text = nav.VOCABULARY.compose(commands, [pick] * len(commands))
    assert nav.VOCABULARY.parse(text.capitalize() + ".") == tuple(commands)


def test_what_is_no_known_phrase_is_unknown_never_a_pass():
    assert nav.VOCABULARY.parse("go to the red chair") is None
    assert nav.VOCABULARY.parse("turn left, then go to the red chair") is None
    table = NAV.of_chunks(np.zeros((1, 8, 2), np.float32), FULL, np.zeros((1, 3)))
    assert judge(table, nav.VOCABULARY, ("go to the red chair",)).tolist() == [UNKNOWN]
    assert judge(table, nav.VOCABULARY, ("Stop!",)).tolist() == [PASS]


def test_mirror_keeps_capitals_and_leaves_other_words():
    assert mirror_text("Turn LEFT, leftover right") == "Turn RIGHT, leftover left"


def test_a_threshold_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="unknown thresholds \\['sharp'\\]"):
        meaning_for("nav", SCALE, {"sharp": 1.0})


def test_a_scale_must_be_positive():
    with pytest.raises(ValueError, match="must be positive"):
        MotionScale(0.0, 1.0)
