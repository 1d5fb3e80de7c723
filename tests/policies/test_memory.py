"""What a frozen detector believed of frames that were seen before."""

import pytest
import torch

from embodied_cf.policies.detector import load_detector, mirror_features
from embodied_cf.policies.memory import Memory


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def detector():
    return load_detector().frozen()


@pytest.fixture
def frames():
    return torch.randint(0, 255, (11, 32, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def shown(detector, monkeypatch):
    """How many frames the detector is shown each time."""
    told, features = [], detector.features
    monkeypatch.setattr(detector, "features", lambda frames: (told.append(len(frames)), features(frames))[1])
    return told


def test_what_is_remembered_is_what_would_be_seen_of_the_frame_or_its_mirror_image(detector, frames):
    found, plain = Memory(detector).features(frames), detector.features(frames)
    mirrored = mirror_features(detector.features(frames.flip(2)))
    same = [torch.allclose(found, told, atol=2e-3, rtol=2e-3) for told in (plain, mirrored)]
    assert same == [False, False], "some this way, some the other"
    for one, *told in zip(found, plain, mirrored, strict=True):
        assert any(torch.allclose(one, other, atol=2e-3, rtol=2e-3) for other in told)


def test_mirror_images_are_looked_at_once_and_mirrored(detector, frames, shown):
    memory = Memory(detector)
    found = memory.features(frames[:8])
    assert torch.equal(memory.features(frames[:8].flip(2)), mirror_features(found))
    assert shown == [8]
    assert torch.equal(mirror_features(mirror_features(found)), found)
    assert torch.equal(mirror_features(found)[:, 1], found[:, 3].flip(2)), "what reached left reaches right"


def test_no_frame_is_looked_at_twice(detector, frames, shown):
    memory = Memory(detector)
    memory.features(frames[[0, 3, 0]])
    assert shown == [8], "always as many in one go"
    memory.features(frames[[3, 0, 0, 3]])
    assert shown == [8]
    memory.features(frames)
    assert shown == [8, 8, 8], "nine are new"


def test_a_frame_is_the_same_in_any_company_new_or_remembered(detector, frames):
    whole = Memory(detector).features(frames)
    memory = Memory(detector)
    for some in ([4], [4, 1], [9, 4, 10, 2], list(range(11))):
        assert torch.equal(memory.features(frames[some]), whole[some])


def test_without_room_frames_are_looked_at_again_and_are_the_same(detector, frames, shown):
    whole, memory = Memory(detector).features(frames), Memory(detector, room=0)
    for _ in range(2):
        assert torch.equal(memory.features(frames[:2]), whole[:2])
    assert shown == [8, 8, 8, 8]
