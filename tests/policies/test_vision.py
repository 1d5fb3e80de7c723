"""The eye that stands on the shipped detector: what it sees of a frame, and what it has to do with what was said."""

import pytest
import torch

from embodied_cf.envs.rendering.render import Camera
from embodied_cf.envs.rendering.snapshots import take_snapshots
from embodied_cf.policies.config import NavVlaTinyConfig
from embodied_cf.policies.frame_reader import DetectorReader, frozen_detector
from embodied_cf.policies.text import Said, WordEncoder
from embodied_cf.policies.things import see
from embodied_cf.policies.vision import PretrainedEye, build_eye


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


def config(**changes):
    return NavVlaTinyConfig(
        eye="pretrained", **{"size": 32, "channels": (8, 8, 16), "width": 16, "text_width": 16} | changes
    )


TEXT = WordEncoder(("go", "to", "the", "red", "green", "blue", "box", "ball"), 16)


def said(count):
    """So many different instructions."""
    with torch.no_grad():
        return TEXT(tuple(f"go to the {colour} box" for colour in ("red", "green", "blue", "ball"))[:count])


def eye_of(**changes):
    return build_eye(config(**changes), TEXT)


@pytest.mark.parametrize("history", [1, 2])
@pytest.mark.parametrize("size", [32, 40, 96])
def test_there_are_few_tokens_however_large_the_frame_and_long_the_history(history, size):
    eye = eye_of(history=history, size=size)
    assert isinstance(eye, PretrainedEye)
    frames = torch.randint(0, 255, (3, history, size, size, 3), dtype=torch.uint8)
    assert eye(frames, said(3)).shape == (3, eye.places, 16) == (3, 5, 16)


def test_a_frame_that_comes_with_several_sentences_is_seen_once_and_like_any_other(monkeypatch):
    eye, text = eye_of(size=144).eval(), said(4)
    frames = torch.from_numpy(take_snapshots("rooms", "dev", range(100, 104), 2, Camera(144, 144)).rgb)
    fullest = see(frozen_detector(), frames).things[..., 0].sum(1).topk(2).indices
    one, other = frames[fullest, None]
    seen = []
    forward = frozen_detector().forward
    monkeypatch.setattr(frozen_detector(), "forward", lambda image: (seen.append(image.shape), forward(image))[1])
    together = eye(torch.stack([one, one, one, other]), text)
    assert seen == [(2, 3, 144, 144)], "whole frames: a part of one leads the detector astray"
    each = [Said(*(part[[row]] for part in text)) for row in range(4)]
    alone = torch.cat(
        [eye(frame[None], one_said) for frame, one_said in zip((one, one, one, other), each, strict=True)]
    )
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 1e-3, "what was said matters"


def test_frames_that_are_read_beforehand_are_the_same_and_not_looked_at(monkeypatch):
    eye, text = eye_of(history=2), said(3)
    frames = torch.randint(0, 255, (3, 2, 32, 32, 3), dtype=torch.uint8)
    first = eye(frames, text)
    read = torch.from_numpy(DetectorReader(32).read(frames.flatten(0, 1).numpy())).unflatten(0, (3, 2))
    monkeypatch.setattr(frozen_detector(), "forward", lambda image: pytest.fail("looked again"))
    assert torch.equal(eye(read, text), first)
    with pytest.raises(pytest.fail.Exception):
        eye(frames.flip(3), text)


def test_only_what_stands_on_the_detector_is_trained():
    eye = eye_of()
    eye(torch.zeros(1, 1, 32, 32, 3, dtype=torch.uint8), said(1)).sum().backward()
    assert all(value.grad is not None for value in eye.parameters())
    assert not any(value.requires_grad for value in frozen_detector().parameters())


def test_it_is_not_loaded_beside_another_detector():
    eye = eye_of()
    state = eye.state_dict()
    eye.load_state_dict(state)
    with pytest.raises(RuntimeError, match="another detector than this version ships"):
        eye.load_state_dict(state | {"detector": state["detector"] + 1})
    del state["detector"]
    with pytest.raises(RuntimeError, match="another detector than this version ships"):
        eye.load_state_dict(state)
