"""A suggested spec must read the data it was made for, and say what it guessed."""

import tomllib

import makers
import numpy as np
import pytest
from tiny import flat_picture, picture, tiny_episode, tiny_features

from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.datasets.suggest import suggest_spec
from embodied_cf.errors import DatasetError


@pytest.fixture
def suggest(tmp_path):
    """Return a function: dataset directory -> (text, spec)."""

    def run(directory):
        text = suggest_spec(open_dataset(directory))
        file = tmp_path / "guess.toml"
        file.write_text(text)
        return text, load_spec(str(file))

    return run


def test_the_guess_reads_every_episode_and_agrees_with_the_known_spec(source, suggest):
    directory, shipped = source
    known = load_spec(shipped or str(directory / "spec.toml"))
    _, guess = suggest(directory)
    dataset = open_dataset(directory)
    assert guess.body().kind == known.body().kind
    assert (dict(guess.columns), dict(guess.cameras)) == (dict(known.columns), dict(known.cameras))
    assert (guess.language, guess.last_action_valid) == (known.language, known.last_action_valid)
    theirs = list(read_episodes(dataset, known))
    ours = list(read_episodes(dataset, guess))
    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, theirs, strict=True):
        for track, expected in ((mine.pose, other.pose), (mine.effector, other.effector)):
            assert (track is None) == (expected is None)
            assert track is None or np.array_equal(track, expected)


def test_every_guess_is_marked_and_nothing_else(source, suggest):
    text, guess = suggest(source[0])
    table = tomllib.loads(text)
    keys = [key for key in table if key not in ("name", "guessed", "cameras", "columns")]
    keys += [f"{part}.{key}" for part in ("cameras", "columns") for key in table[part]]
    assert sorted(guess.guessed) == sorted(keys)
    marked = [line for line in text.splitlines() if "  # guessed: " in line]
    assert len(marked) == len(keys)
    assert all(line.split("# guessed: ")[1].strip() for line in marked)


def test_evidence_for_an_arm(arm, suggest):
    text, guess = suggest(arm)
    assert "# Camera observation/image_3 is left out: it is blank." in text
    assert "its steps follow action[0:3] with correlation 1.00" in text
    assert guess.position_unit == "unknown"


def test_metres_need_a_description(driving, write_tiny, suggest):
    assert suggest(driving)[1].position_unit == "m"
    assert suggest(write_tiny([tiny_episode(0)]))[1].position_unit == "unknown"


def _nav(observation):
    """Tiny driving logs with other observations: {name: (feature, values per episode)}."""
    from tensorflow_datasets.core import features as tf

    tree = tiny_features(observation={key: feature for key, (feature, _) in observation.items()})
    episode = tiny_episode(0)
    episode["steps"]["observation"] = {key: values for key, (_, values) in observation.items()}
    assert isinstance(tree, tf.FeaturesDict)
    return episode, tree


def _tensor(values):
    from tensorflow_datasets.core import features as tf

    values = np.asarray(values, np.float32)
    return tf.Tensor(shape=values.shape[1:], dtype=np.float32), values


def _camera(frames):
    from tensorflow_datasets.core import features as tf

    return tf.Image(shape=(16, 16, 3), encoding_format="png"), frames


def test_cameras_wrist_last_depth_and_broken_left_out(write_tiny, suggest):
    pictures = [picture(i) for i in range(6)]
    episode, tree = _nav({
        "depth": _camera(pictures), "gone": _camera([b"?"] * 6), "dark": _camera([flat_picture()] * 6),
        "wrist_image": _camera(pictures), "front": _camera(pictures), "side": _camera(pictures),
        "odom": _tensor(np.zeros((6, 3))),
    })  # fmt: skip
    text, guess = suggest(write_tiny([episode], tree))
    assert list(guess.cameras.items()) == [
        ("primary", "observation/front"), ("secondary", "observation/side"), ("wrist", "observation/wrist_image"),
    ]  # fmt: skip
    assert "observation/depth is left out: it is named depth" in text
    assert "observation/gone is left out: no frame of it can be decoded" in text


def test_a_wide_state_gives_its_first_three_numbers(write_tiny, suggest):
    state = np.linspace(0, 1, 30).reshape(6, 5)
    episode, tree = _nav({"image": _camera([picture(i) for i in range(6)]), "state": _tensor(state)})
    _, guess = suggest(write_tiny([episode], tree))
    assert guess.columns["pose"] == "observation/state[0:3]"
    assert guess.body().kind == "nav"


def test_position_and_yaw_apart_cannot_be_joined_and_that_is_said(write_tiny, suggest):
    episode, tree = _nav({
        "image": _camera([picture(i) for i in range(6)]), "position": _tensor(np.ones((6, 2))),
        "yaw": _tensor(np.zeros((6, 1))),
    })  # fmt: skip
    text, guess = suggest(write_tiny([episode], tree))
    assert "pose" not in guess.columns
    assert "must be joined" in text


def test_a_third_number_beyond_a_turn_is_no_yaw(write_tiny, suggest):
    pose = np.stack([np.arange(6), np.arange(6), 100 * np.arange(6)], axis=1)
    episode, tree = _nav({"image": _camera([picture(i) for i in range(6)]), "pose": _tensor(pose)})
    assert "pose" not in suggest(write_tiny([episode], tree))[1].columns


def test_timestamps_give_the_control_period(write_tiny, suggest):
    episode, tree = _nav({
        "image": _camera([picture(i) for i in range(6)]), "pose": _tensor(np.zeros((6, 3))),
        "timestamp": _tensor(100 + 0.125 * np.arange(6)),
    })  # fmt: skip
    _, guess = suggest(write_tiny([episode], tree))
    assert (guess.columns["timestamp"], guess.control_period_s) == ("observation/timestamp", 0.125)


def test_slots_of_texts_have_padding(write_tiny, suggest):
    from tensorflow_datasets.core import features as tf

    episode = tiny_episode(0)
    episode["steps"]["language_instruction"] = [["go", ""]] * 6
    tree = tiny_features(language_instruction=tf.Tensor(shape=(2,), dtype=np.object_))
    assert suggest(write_tiny([episode], tree))[1].language_padding == ""
    assert suggest(write_tiny([tiny_episode(0)], name="plain"))[1].language_padding is None


def test_all_zero_actions_are_not_valid_at_the_end(write_tiny, suggest):
    episode = tiny_episode(0)
    episode["steps"]["action"][:] = 0
    assert suggest(write_tiny([episode]))[1].last_action_valid is False


def test_a_gripper_that_only_observations_know(tmp_path, suggest):
    from functools import partial

    from embodied_cf.datasets.writer import DatasetCard, write_dataset

    def episodes():
        episode = makers.arm_episode(20, 1)
        rng = np.random.default_rng(0)
        episode["steps"]["action"][:, 6] = rng.uniform(0.3, 0.7, 20)  # a velocity, no command
        yield episode

    directory = tmp_path / "x" / "1.0.0"
    write_dataset(directory, DatasetCard("x"), makers.arm_features(), {"train": [partial(episodes)]})
    _, guess = suggest(directory)
    assert guess.columns["gripper_state"] == "observation/state[6:7]"
    assert "gripper_command" not in guess.columns


def test_nothing_to_guess_from(write_tiny):
    with pytest.raises(DatasetError, match="no readable episode"):
        suggest_spec(open_dataset(write_tiny([])))
