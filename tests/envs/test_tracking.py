import math

import numpy as np
import pytest

from embodied_cf.envs.motion.tracking import follow, pose_from, seen_from
from embodied_cf.envs.state import MAX_SPEED, MAX_TURN, PERIOD_S

ROWS = 8


def arc(v, w, rows=ROWS):
    """Where a drive at constant (v, w) is at each row's time."""
    t = PERIOD_S * np.arange(1, rows + 1)
    if w == 0:
        return np.stack([v * t, 0 * t], axis=-1)[None]
    return np.stack([v / w * np.sin(w * t), v / w * (1 - np.cos(w * t))], axis=-1)[None]


def followed(chunk, mask=None):
    return follow(np.asarray(chunk), np.ones(np.shape(chunk)[:2], bool) if mask is None else mask)[0]


@pytest.mark.parametrize("v", [0.2, 0.6, 1.0])
@pytest.mark.parametrize("w", [-0.7, -0.1, 0.0, 0.4])
def test_an_arc_is_driven_as_it_was_drawn(v, w):
    np.testing.assert_allclose(followed(arc(v, w)), [v, w], atol=1e-9)


def test_a_quarter_metre_a_period_is_one_metre_per_second():
    assert followed([[[0.25, 0.0]]]).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("size", [0.0, 0.019, 0.02])
def test_a_chunk_that_stays_is_a_stop(size):
    chunk = np.zeros((1, ROWS, 2))
    chunk[0, 3, 1] = size
    assert followed(chunk).tolist() == [0.0, 0.0]


def test_what_the_mask_hides_is_not_followed():
    chunk, mask = arc(0.5, 0.0), np.zeros((1, ROWS), bool)
    assert followed(chunk, mask).tolist() == [0.0, 0.0]
    chunk[0, 4:], mask[0, :4] = (0.0, 9.0), True
    np.testing.assert_allclose(followed(chunk, mask), [0.5, 0.0], atol=1e-9)


@pytest.mark.parametrize(("y", "w"), [(0.3, MAX_TURN), (-0.3, -MAX_TURN), (0.0, MAX_TURN)])
def test_a_waypoint_behind_is_turned_to_on_a_tight_arc(y, w):
    chunk = np.linspace([0.0, 0.0], [-1.0, y], ROWS + 1)[None, 1:]
    np.testing.assert_allclose(followed(chunk), [0.12, w])


def test_limits_hold_and_tight_arcs_are_driven_slowly():
    rng = np.random.default_rng(0)
    chunk = np.cumsum(rng.normal(0.1, 0.2, (500, ROWS, 2)), axis=1)
    action = follow(chunk, rng.random((500, ROWS)) < 0.8)
    assert action.min(axis=0)[0] >= 0
    assert (abs(action) <= np.array([MAX_SPEED, MAX_TURN]) + 1e-12).all()
    tight = followed([[[0.2, 0.2]]])  # a quarter circle of radius 0.2 m
    np.testing.assert_allclose(tight, [0.3, 1.5])


def test_a_chunk_that_arrives_and_waits_is_driven_at_the_speed_of_its_way():
    chunk = np.minimum(arc(0.4, 0.0), 0.2)
    np.testing.assert_allclose(followed(chunk), [0.4, 0.0], atol=1e-9)


def test_a_chunk_seen_from_elsewhere():
    origin, pose = np.array([[1.0, 0.0, math.pi / 2]]), np.array([[1.0, 1.0, math.pi]])
    seen = seen_from(np.array([[[1.0, 0.0], [2.0, 1.0]]]), origin, pose)  # world: (1, 1), (0, 2)
    np.testing.assert_allclose(seen, [[[0.0, 0.0], [1.0, -1.0]]], atol=1e-12)
    np.testing.assert_allclose(seen_from(seen, pose, origin), [[[1.0, 0.0], [2.0, 1.0]]], atol=1e-12)


def test_poses_seen_from_others():
    start = np.array([[1.0, 2.0, np.pi / 2]] * 2)
    turned = pose_from(start, np.array([[1.0, 2.0, np.pi / 2], [1.0, 3.0, np.pi]]))
    np.testing.assert_allclose(turned, [[0, 0, 0], [1, 0, np.pi / 2]], atol=1e-12)
