"""Segmentation: invariants on any motion, and known motions cut where they change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.motion import future_chunks
from embodied_cf.language.meaning import meaning_for
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.verdict import FAIL
from embodied_cf.relabel.segment import ChangePointSegmenter, ThresholdSegmenter

BODIES = {
    "nav": (load_embodiment("nav"), MotionScale(0.1, 0.9)),
    "arm": (load_embodiment("arm"), MotionScale(0.01, 0.6)),
}
SEGMENTERS = [ThresholdSegmenter(), ChangePointSegmenter()]


def _track(kind, moves):
    """Integrate per-step moves in typical units: (speed, turn) for nav, six velocities and gripper for arm."""
    rows = np.array(moves)
    if kind == "arm":
        scale = np.array([0.01] * 3 + [0.075] * 3)
        return np.concatenate([np.cumsum(rows[:, :6] * scale, axis=0), rows[:, 6:] > 0], axis=1)
    yaw = np.cumsum(rows[:, 1] * 0.1)
    step = rows[:, :1] * 0.1 * np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
    return np.concatenate([np.cumsum(step, axis=0), yaw[:, None]], axis=1)


def _moves(kind):
    width = 2 if kind == "nav" else 7
    return st.lists(st.lists(st.floats(-2, 2), min_size=width, max_size=width), min_size=2, max_size=40)


@pytest.mark.parametrize("segmenter", SEGMENTERS)
@pytest.mark.parametrize("kind", ["nav", "arm"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_segments_tile_the_episode_and_keep_their_word(segmenter, kind, data):
    body, scale = BODIES[kind]
    meaning = meaning_for(kind, scale, {})
    track = _track(kind, data.draw(_moves(kind)))
    segments = segmenter.segment(track, body, meaning)
    assert segments.start[0] == 0
    assert segments.end[-1] == len(track) - 1
    assert segments.start[1:].tolist() == segments.end[:-1].tolist()
    length = segments.end - segments.start
    assert (length >= 1).all()
    assert (length <= body.chunk_length).all()
    table = meaning.of_track(track, segments.start, segments.end)
    for row, (command, reason) in enumerate(zip(segments.command, segments.reason, strict=True)):
        assert bool(command) != bool(reason), "every segment has a command or says why not"
        if command:
            assert table[meaning.vocabulary.index[command], row] != FAIL
    chunk, mask = future_chunks(track, body, segments.start, segments.end)
    assert mask.sum(axis=1).tolist() == length.tolist(), "a chunk holds its whole segment"
    assert np.isfinite(chunk).all()


@pytest.mark.parametrize("segmenter", SEGMENTERS)
def test_a_drive_is_cut_where_it_changes(segmenter):
    body, scale = BODIES["nav"]
    track = _track("nav", [(1, 0)] * 9 + [(0, 0)] * 6 + [(1, 1.2)] * 7)
    segments = segmenter.segment(track, body, meaning_for("nav", scale, {}))
    assert [(a, b, c) for a, b, c in segments] == [(0, 8, "forward"), (8, 14, "stop"), (14, 21, "turn_left")]


@pytest.mark.parametrize("segmenter", SEGMENTERS)
def test_an_arm_is_cut_at_its_gripper(segmenter):
    body, scale = BODIES["arm"]
    moves = [(0, 0, -1, 0, 0, 0, 1)] * 6 + [(0, 0, 0, 0, 0, 0, 0)] * 3 + [(0, 0, 1, 0, 0, 0, 0)] * 6
    segments = segmenter.segment(_track("arm", moves), body, meaning_for("arm", scale, {}))
    assert [command for command in segments.command if command != "hold"] == ["move_down", "close_gripper", "move_up"]


def test_the_published_gap_between_two_thresholds_is_closed():
    """0.7 rad over a chunk is dropped by the published rule; here it is an adjustment or a turn."""
    body, scale = BODIES["nav"]
    track = _track("nav", [(1, 0.0)] + [(1, 0.7 / 0.8)] * 8)
    segments = ThresholdSegmenter().segment(track, body, meaning_for("nav", scale, {}))
    assert segments.command == ("adjust_left",)


def test_change_points_are_optimal():
    """The cut costs no more than any other cut of a short track (checked by brute force)."""
    from itertools import combinations

    from embodied_cf.relabel.segment import _partition

    rates = np.array([[0.0], [0.1], [2.0], [2.1], [1.9], [-1.0]])

    def cost(starts):
        ends = [*starts[1:], len(rates)]
        return sum(((rates[a:b] - rates[a:b].mean(axis=0)) ** 2).sum() + 0.5 for a, b in zip(starts, ends, strict=True))

    every = [(0, *cuts) for k in range(6) for cuts in combinations(range(1, 6), k)]
    assert cost(_partition(rates, 0.5, 8).tolist()) == pytest.approx(min(map(cost, every)))
