"""The eye that stands on the shipped detector: what it sees of a frame, and what it has to do with what was said."""

import pytest
import torch

from embodied_cf.policies.config import NavVlaTinyConfig
from embodied_cf.policies.sightings import NAMES
from embodied_cf.policies.vision import PretrainedEye, build_eye, frozen_detector


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


def config(**changes):
    return NavVlaTinyConfig(
        eye="pretrained", **{"size": 32, "channels": (8, 8, 16), "width": 16, "text_width": 16} | changes
    )


@pytest.mark.parametrize("rows", [(0.25, 1.0), (0.25, 0.75), (0.3, 0.9), (0.0, 1.0)])
@pytest.mark.parametrize("history", [1, 2])
@pytest.mark.parametrize("size", [32, 96])
def test_there_is_a_token_for_each_name_and_each_column_of_cells(rows, history, size):
    eye = build_eye(config(rows=rows, history=history, size=size))
    assert isinstance(eye, PretrainedEye)
    frames = torch.randint(0, 255, (3, history, size, size, 3), dtype=torch.uint8)
    assert eye(frames, torch.randn(3, 16)).shape == (3, NAMES + size // 4, 16)


def test_a_frame_that_comes_with_several_sentences_is_seen_once_and_like_any_other(monkeypatch):
    eye, text = build_eye(config()).eval(), torch.randn(4, 16)
    one, other = torch.randint(0, 255, (2, 1, 32, 32, 3), dtype=torch.uint8)
    seen = []
    features = frozen_detector().features
    monkeypatch.setattr(frozen_detector(), "features", lambda frames: (seen.append(len(frames)), features(frames))[1])
    together = eye(torch.stack([one, one, one, other]), text)
    assert seen == [2]
    alone = torch.cat([eye(frame[None], said[None]) for frame, said in zip((one, one, one, other), text, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 1e-3, "what was said matters"


def test_in_training_frames_are_remembered(monkeypatch):
    eye, text = build_eye(config(history=2)), torch.randn(3, 16)
    frames = torch.randint(0, 255, (3, 2, 32, 32, 3), dtype=torch.uint8)
    first = eye.train()(frames, text)
    monkeypatch.setattr(frozen_detector(), "features", lambda frames: pytest.fail("looked again"))
    assert torch.equal(eye(frames, text), first)
    with pytest.raises(pytest.fail.Exception):
        eye.eval()(frames, text)


def test_only_what_stands_on_the_detector_is_trained():
    eye = build_eye(config())
    eye(torch.zeros(1, 1, 32, 32, 3, dtype=torch.uint8), torch.zeros(1, 16)).sum().backward()
    assert all(value.grad is not None for value in eye.parameters())
    assert not any(value.requires_grad for value in frozen_detector().parameters())


def test_the_left_of_a_frame_is_seen_by_the_tokens_on_the_left():
    eye, text = build_eye(config(size=96)), torch.zeros(1, 16)
    frame = torch.full((1, 1, 96, 96, 3), 128, dtype=torch.uint8)
    changed = frame.clone()
    changed[:, :, 40:80, :12] = 255
    moved = (eye(frame, text) - eye(changed, text)).abs().amax(2)[0, NAMES:]
    assert moved[:6].max() > 10 * moved[18:].max()


def test_it_is_not_loaded_beside_another_detector():
    eye = build_eye(config())
    state = eye.state_dict()
    eye.load_state_dict(state)
    with pytest.raises(RuntimeError, match="another detector than this version ships"):
        eye.load_state_dict(state | {"detector": state["detector"] + 1})
    del state["detector"]
    with pytest.raises(RuntimeError, match="another detector than this version ships"):
        eye.load_state_dict(state)
