"""What goes into a video file: every frame once and in order, whatever the encoder does with its packets."""

import os
import threading

import numpy as np
import pytest

from embodied_cf.datasets.convert.video import VideoWriter, read_frames, scheduling_kept
from embodied_cf.errors import OutputError

SHADES = (10, 200, 60, 120, 250)


class Unruly:
    """A stream whose packets come in pairs the wrong way round, with decoding times that go backwards."""

    def __init__(self, stream, lost=None):
        self._stream, self._held, self._lost = stream, [], lost

    def encode(self, frame):
        self._held += [packet for packet in self._stream.encode(frame) if packet.pts != self._lost]
        if frame is not None and len(self._held) < 2:
            return []
        out, self._held = self._held[::-1], []
        for packet in out:
            packet.dts = -packet.pts
        return out


def write(path, codec, lost=None):
    with VideoWriter(path, codec, 10.0, (32, 64)) as writer:
        writer._stream = Unruly(writer._stream, lost)
        for shade in SHADES:
            writer.write(np.full((32, 64, 3), shade, np.uint8))


@pytest.mark.parametrize("codec", ["av1", "h264"])
def test_packets_out_of_order_are_put_in_order(codec, tmp_path):
    write(tmp_path / "x.mp4", codec)
    shades = [frame.mean() for frame in read_frames(tmp_path / "x.mp4", 0.0, len(SHADES), 10.0, whole=True)]
    assert shades == pytest.approx(SHADES, abs=3)


def test_a_lost_frame_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"x\.mp4: the encoder gave no packet for frame 3 of 5.*Run the command"):
        write(tmp_path / "x.mp4", "av1", lost=3)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no scheduling policies")
def test_no_thread_is_left_real_time(tmp_path):
    before = os.sched_getscheduler(0)
    real_time = {os.SCHED_FIFO, os.SCHED_RR}
    with VideoWriter(tmp_path / "x.mp4", "av1", 10.0, (32, 64)) as writer:
        writer.write(np.zeros((32, 64, 3), np.uint8))
        assert not real_time & {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}
    assert os.sched_getscheduler(0) == before


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no scheduling policies")
def test_scheduling_is_given_back_without_being_root():
    before, over, found = os.sched_getscheduler(0), threading.Event(), []

    def work():
        over.wait()
        found.append(os.sched_getscheduler(0))

    with scheduling_kept():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        worker = threading.Thread(target=work)  # inherits it
        worker.start()
    over.set()
    worker.join()
    assert [os.sched_getscheduler(0), *found] == [before, before]
