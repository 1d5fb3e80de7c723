"""What a frozen detector saw in frames: read beforehand, and remembered."""

import numpy as np
import pytest
import torch

from embodied_cf.envs.rendering.render import Camera
from embodied_cf.envs.rendering.snapshots import take_snapshots
from embodied_cf.policies.detector import SIZE, load_detector
from embodied_cf.policies.frame_reader import DetectorReader
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


def test_what_is_read_is_what_would_be_seen(detector, frames):
    read, seen = View.of_row(Memory(detector).read(frames).float(), SIZE), see(detector, frames)
    assert seen.things[..., 0].amax(1).gt(0.3).any(), "there is something to see"
    assert all(torch.allclose(*pair, atol=5e-3, rtol=5e-3) for pair in zip(read, seen, strict=True))


def test_the_reader_says_the_same_beforehand_and_mirrors_it(detector, frames):
    reader, memory = DetectorReader(SIZE), Memory(detector)
    read = reader.read(frames.numpy())
    assert read.dtype == np.float16
    assert read.shape == (11, reader.width)
    assert np.array_equal(read, memory.read(frames).numpy())
    assert np.array_equal(reader.read(frames.numpy()[3:6]), read[3:6]), "in any company"
    mirrored = View.of_row(torch.from_numpy(reader.mirrored(read)), SIZE)
    there = mirrored.things[..., 0] > 0
    assert torch.equal(mirrored.things[..., 1][there], -View.of_row(torch.from_numpy(read), SIZE).things[..., 1][there])
    assert np.array_equal(reader.mirrored(reader.mirrored(read)), read)
    assert reader.read(frames.numpy()[:0]).shape == (0, reader.width)


@pytest.mark.parametrize("size", [32, 72, 144])
def test_rows_are_as_wide_as_the_reader_says(size):
    read = DetectorReader(size).read(np.zeros((1, size, size, 3), np.uint8))
    assert read.shape == (1, DetectorReader(size).width)


def test_no_frame_is_looked_at_twice(detector, frames, shown):
    memory = Memory(detector)
    memory.read(frames[[0, 3, 0]])
    assert shown == [8], "always as many in one go"
    memory.read(frames[[3, 0, 0, 3]])
    assert shown == [8]
    memory.read(frames)
    assert shown == [8, 8, 8], "nine are new"


def test_a_frame_is_the_same_in_any_company_new_or_remembered(detector, frames):
    whole = Memory(detector).read(frames)
    memory = Memory(detector)
    for some in ([4], [4, 1], [9, 4, 10, 2], list(range(11))):
        assert torch.equal(memory.read(frames[some]), whole[some])


def test_without_room_frames_are_looked_at_again_and_are_the_same(detector, frames, shown):
    whole, memory = Memory(detector).read(frames), Memory(detector, room=0)
    for _ in range(2):
        assert torch.equal(memory.read(frames[:2]), whole[:2])
    assert shown == [8, 8, 8, 8]


def test_what_came_last_is_kept(detector, frames, shown):
    memory = Memory(detector, room=2)
    for some in (slice(3), slice(1, 3), slice(1), slice(2, 3), slice(1, 2)):
        memory.read(frames[some])
    assert shown == [8, 8, 8], "of three frames the last two are kept, and the first pushes out the second"
