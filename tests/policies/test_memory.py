"""What a frozen detector believed of frames that were seen before."""

import pytest
import torch

from embodied_cf.envs.rendering.render import Camera
from embodied_cf.envs.rendering.snapshots import take_snapshots
from embodied_cf.policies.detector import SIZE, load_detector
from embodied_cf.policies.memory import Memory
from embodied_cf.policies.things import View, see


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def detector():
    return load_detector().frozen()


@pytest.fixture(scope="module")
def frames():
    """Eleven frames in which there is something to see."""
    return torch.from_numpy(take_snapshots("rooms", "dev", range(100, 102), 6, Camera(SIZE, SIZE)).rgb[:11])


@pytest.fixture
def shown(detector, monkeypatch):
    """How many frames the detector is shown each time."""
    told, forward = [], detector.forward
    monkeypatch.setattr(detector, "forward", lambda image: (told.append(len(image)), forward(image))[1])
    return told


def take(view, rows):
    return View(*(part[rows] for part in view))


def same(view, other, tolerance=0.0):
    return all(torch.allclose(*pair, atol=tolerance, rtol=tolerance) for pair in zip(view, other, strict=True))


def test_what_is_remembered_is_what_would_be_seen_of_the_frame_or_its_mirror_image(detector, frames):
    found, plain = Memory(detector).view(frames), see(detector, frames)
    mirrored = see(detector, frames.flip(2)).mirrored()
    assert found.things[..., 0].amax(1).gt(0.3).any(), "there is something to see"
    assert not any(same(found, told, 5e-3) for told in (plain, mirrored)), "some this way, some the other"
    for row in range(len(frames)):
        assert any(same(take(found, [row]), take(told, [row]), 5e-3) for told in (plain, mirrored))


def test_mirror_images_are_looked_at_once_and_mirrored(detector, frames, shown):
    memory = Memory(detector)
    found = memory.view(frames[:8])
    assert same(memory.view(frames[:8].flip(2)), found.mirrored())
    assert shown == [8]


def test_no_frame_is_looked_at_twice(detector, frames, shown):
    memory = Memory(detector)
    memory.view(frames[[0, 3, 0]])
    assert shown == [8], "always as many in one go"
    memory.view(frames[[3, 0, 0, 3]])
    assert shown == [8]
    memory.view(frames)
    assert shown == [8, 8, 8], "nine are new"


def test_a_frame_is_the_same_in_any_company_new_or_remembered(detector, frames):
    whole = Memory(detector).view(frames)
    memory = Memory(detector)
    for some in ([4], [4, 1], [9, 4, 10, 2], list(range(11))):
        assert same(memory.view(frames[some]), take(whole, some))


def test_without_room_frames_are_looked_at_again_and_are_the_same(detector, frames, shown):
    whole, memory = Memory(detector).view(frames), Memory(detector, room=0)
    for _ in range(2):
        assert same(memory.view(frames[:2]), take(whole, slice(2)))
    assert shown == [8, 8, 8, 8]


def test_what_came_last_is_kept(detector, frames, shown):
    memory = Memory(detector, room=2)
    for some in (slice(3), slice(1, 3), slice(1), slice(2, 3), slice(1, 2)):
        memory.view(frames[some])
    assert shown == [8, 8, 8], "of three frames the last two are kept, and the first pushes out the second"
