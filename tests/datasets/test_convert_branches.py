"""Counterfactual labels as episodes of their own: what is shown, where it stands, and what may be learnt from it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import EncodedImages, Episode, Labels, Span
from embodied_cf.datasets.convert.branches import branches, futures, step_actions
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.run import convert
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.motion import future_chunks
from embodied_cf.datasets.parts import Parts
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.errors import OutputError, UsageError
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel

POSE = np.array([[0.0, 0, 0], [1, 0, np.pi / 2], [1, 1, np.pi / 2], [1, 2, np.pi / 2]])


@pytest.mark.parametrize(("begun", "other"), [("cast", "octo"), ("octo", "cast"), ("gnm", "gnm")])
def test_what_was_interrupted_is_finished_as_it_was_begun(driving, tmp_path, monkeypatch, begun, other):
    """Neither in another layout nor by what a spec says by now, or one dataset would hold both."""
    source = tmp_path / "cf"
    relabel(RelabelOptions(driving, source))
    options = ConvertOptions(source, tmp_path / "out", begun, name="same")
    honest = Parts.finish

    def finish_and_stop(self, part, value):
        honest(self, part, value)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "finish", finish_and_stop)
        with pytest.raises(KeyboardInterrupt):
            convert(options)
    if other != begun:
        with pytest.raises(OutputError, match="another unfinished dataset"):
            convert(replace(options, to=other))
    spec = (source / "spec.toml").read_text()
    (source / "spec.toml").write_text(spec.replace('action = "action"', 'action = "observation/pose"'))
    with pytest.raises(OutputError, match="another unfinished dataset"):
        convert(options)
    (source / "spec.toml").write_text(spec)
    assert convert(options).episodes


def episode(language=()):
    frames = EncodedImages([b"\xff\xd8" + bytes([at]) for at in range(4)])
    zeros = np.zeros((4, 2), np.float32)
    return Episode(
        "set/0", {"primary": frames}, zeros, zeros, np.ones(4, bool), np.arange(4.0), POSE, language=language
    )


def labels():
    """Drive on (0-3), turn (1-2), and at step 2, where the robot looks along y, two metres to its right."""
    action = np.zeros((3, 3, 2), np.float32)
    action[2] = [[0, -1], [0, -2], [0, -2]]
    return Labels(
        kind=("hindsight", "atomic", "counterfactual"),
        start=np.array([0, 1, 2], np.int32),
        end=np.array([3, 2, 4], np.int32),
        instruction=("drive", "turn", "go right"),
        command=("", "turn", "right"),
        action=action,
        action_mask=np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0]], bool),
        score=np.array([1, 1, 0.5], np.float32),
        source=("a", "b", "c"),
    )


def test_a_branch_by_hand():
    told = episode((Span(0, 4, "find the door", "steps/language_instruction"),))
    factual, branch = branches(told, POSE, labels(), history=1)
    assert (factual.kind, factual.steps.tolist(), factual.loss_mask.tolist()) == ("factual", [0, 1, 2, 3], [1, 1, 1, 0])
    assert factual.texts == [
        ("drive", "find the door"), ("turn", "drive", "find the door"), ("drive", "find the door"),
        ("drive", "find the door"),
    ]  # fmt: skip
    assert not factual.is_synthetic.any()
    assert branch.kind == "counterfactual"
    assert branch.steps.tolist() == [1, 2, 2, 2]
    assert branch.is_synthetic.tolist() == [False, False, True, True]
    assert branch.loss_mask.tolist() == [0, 1, 0, 0]
    assert branch.texts == [("turn", "drive", "find the door"), ("go right",), ("go right",), ("go right",)]
    # right of a robot at (1, 1) that looks along y is along x; it then looks where it goes
    np.testing.assert_allclose(branch.track, [[1, 0, np.pi / 2], [1, 1, np.pi / 2], [2, 1, 0], [3, 1, 0]], atol=1e-12)
    assert branch.about == {"step": 2, "score": 0.5, "command": "right", "source": "c"}
    np.testing.assert_allclose(step_actions(branch.track), [[1, 0], [0, -1], [1, 0], [0, 0]], atol=1e-6)


def test_a_step_that_says_nothing_weighs_nothing():
    nothing = Labels.empty(3, 2)
    (factual,) = branches(episode(), POSE, nothing, history=4)
    assert (factual.texts, factual.loss_mask.tolist()) == ([()] * 4, [0, 0, 0, 0])


def test_a_robot_that_stands_keeps_its_heading():
    here = np.array([0.0, 0.0, 0.5])
    np.testing.assert_allclose(futures(here, np.zeros((2, 2))), [[0, 0, 0.5]] * 2)
    assert futures(here, np.zeros((0, 2))).shape == (0, 3)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["nav", "arm"]))
def test_futures_invert_chunks(seed, kind):
    rng, body = np.random.default_rng(seed), load_embodiment(kind)
    track = rng.uniform(-1, 1, (12, 3 if kind == "nav" else 7))
    chunk, mask = future_chunks(track, body, np.array([2]), np.array([11]))
    ahead = futures(track[2], chunk[0][mask[0]].astype(np.float64))
    known = slice(0, 2) if kind == "nav" else slice(0, 7)
    np.testing.assert_allclose(ahead[:, known], track[3 : 3 + mask.sum(), known], atol=1e-6)


def test_arm_actions_are_ways_and_the_next_gripper():
    track = np.array([[0.0, 0, 0, 3.0, 0, 0, 1], [0.1, 0, 0, -3.0, 0, 0, 0]])
    turn = 2 * np.pi - 6
    np.testing.assert_allclose(step_actions(track), [[0.1, 0, 0, turn, 0, 0, 0], [0] * 7], atol=1e-6)


@pytest.fixture(scope="module")
def exported(driving, arm, tmp_path_factory):
    """A driving set as CAST and as octo, an arm set as octo; each with the labelled set it came from."""
    made = tmp_path_factory.mktemp("branches")
    relabel(RelabelOptions(driving, made / "nav"))
    relabel(RelabelOptions(arm, made / "arm", "bridge"))
    results = {
        "cast": convert(ConvertOptions(made / "nav", made / "cast", "cast", history=2)),
        "octo": convert(ConvertOptions(made / "nav", made / "octo", "octo")),
        "arm": convert(ConvertOptions(made / "arm", made / "arm_octo", "octo", spec="bridge")),
    }
    return made, results


def episodes_of(directory):
    dataset = open_dataset(directory)
    return [Columns(record, dataset.features, name) for name, record in dataset.records()]


def test_cast_layout(exported):
    made, results = exported
    found, real = episodes_of(made / "cast"), {}
    source = open_dataset(made / "nav")
    for name, record in source.records():
        real[name] = Columns(record, source.features, name)
    assert results["cast"].episodes == len(found)
    assert results["cast"].steps == sum(columns.steps for columns in found)
    kinds = [columns.texts("episode_metadata/kind")[0] for columns in found]
    assert kinds.count("factual") == len(real) == 9
    factors = {float(columns.array("episode_metadata/normalization_factor")) for columns in found}
    assert len(factors) == 1
    assert 0.1 < factors.pop() < 0.14
    for kind, columns in zip(kinds, found, strict=True):
        origin = real[columns.texts("episode_metadata/episode_id")[0]]
        frames, poses = origin.images("steps/observation/image"), origin.array("steps/observation/pose")
        shown, state = columns.images("steps/observation/image"), columns.array("steps/observation/state")
        synthetic, loss = columns.array("steps/is_synthetic"), columns.array("steps/loss_mask")
        texts = columns.array("steps/language_instruction")
        assert {len(slots) for slots in texts} == {10}
        at = int(columns.array("episode_metadata/branch_step"))
        first = max(0, at - 2) if kind == "counterfactual" else 0
        kept = int((~synthetic).sum())
        # frames and poses are those of the same step
        assert [bytes(frame) for frame in shown[:kept]] == [bytes(frame) for frame in frames[first : first + kept]]
        expected = poses[first : first + kept] - [*poses[first, :2], 0]
        np.testing.assert_allclose(state[:kept], expected, atol=1e-5)
        np.testing.assert_array_equal(state[:, :2], columns.array("steps/observation/position"))
        if kind == "counterfactual":
            assert np.flatnonzero(loss).tolist() == [kept - 1] == [at - first]
            assert {bytes(frame) for frame in shown[kept:]} <= {bytes(frames[at])}
            assert bytes(texts[-1][0]) == bytes(texts[kept - 1][0]) != b""


def test_octo_layout_of_an_arm(exported):
    made, results = exported
    found = episodes_of(made / "arm_octo")
    assert len(found) == results["arm"].episodes > 8
    first = found[0]
    assert first.has("steps/observation/image_primary")
    assert first.has("steps/observation/image_tertiary")
    assert first.array("steps/action").shape == (20, 7)
    source = open_dataset(made / "arm")
    origin = Columns(next(source.records())[1], source.features, "x")
    # an arm that goes where its actions say: the way to the next step is the action itself
    np.testing.assert_allclose(first.array("steps/action")[:-1], origin.array("steps/action")[:-1], atol=1e-6)


def test_what_cannot_be_exported_is_refused(driving, arm, tmp_path):
    with pytest.raises(UsageError, match="no label set 'labels'"):
        convert(ConvertOptions(driving, tmp_path / "a", "octo"))
    with pytest.raises(UsageError, match="no label set 'labels'"):
        convert(ConvertOptions(arm, tmp_path / "b", "cast", spec="bridge"))


def test_cast_is_for_robots_that_drive(exported, tmp_path):
    with pytest.raises(UsageError, match=r"for robots that drive.*Use --to octo"):
        convert(ConvertOptions(exported[0] / "arm", tmp_path / "c", "cast", spec="bridge"))
