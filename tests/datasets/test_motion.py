"""Time and frame of action chunks, by hand."""

import numpy as np
import pytest

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.motion import future_chunks, typical_scale
from embodied_cf.errors import DatasetError

NAV, ARM = load_embodiment("nav"), load_embodiment("arm")


def test_nav_chunks_are_cumulative_in_the_robot_frame_at_their_start():
    """The robot faces +y of the odometry frame and drives 0.1 m per step, then steps 0.2 m to its right.

    From step 1: forward 0.1, 0.2, then right 0.2, that is (0.2, -0.2).
    """
    track = np.array([[0, 0, np.pi / 2], [0, 0.1, np.pi / 2], [0, 0.2, np.pi / 2], [0, 0.3, 0], [0.2, 0.3, 0]])
    chunk, mask = future_chunks(track, NAV, np.array([1]), np.array([4]))
    np.testing.assert_allclose(chunk[0, :3], [[0.1, 0], [0.2, 0], [0.2, -0.2]], atol=1e-6)
    assert mask[0].tolist() == [True, True, True] + [False] * 5
    np.testing.assert_allclose(chunk[0, 3:], [[0.2, -0.2]] * 5, atol=1e-6)


def test_row_i_is_the_target_of_step_start_plus_one_plus_i():
    track = np.stack([np.arange(20.0) ** 2, np.zeros(20), np.zeros(20)], axis=1)
    chunk, mask = future_chunks(track, NAV, np.array([3]), np.array([19]))
    assert chunk[0, :, 0].tolist() == [(4 + i) ** 2 - 9 for i in range(8)]
    assert mask.all()


def test_arm_chunks_keep_the_base_directions_and_take_the_gripper_as_it_is():
    track = np.zeros((4, 7))
    track[:, 1] = [0.0, 0.01, 0.03, 0.03]
    track[:, 5] = [3.1, 3.13, -3.12, -3.1]  # across the seam
    track[:, 6] = [1, 1, 0, 0]
    chunk, mask = future_chunks(track, ARM, np.array([0]), np.array([3]))
    np.testing.assert_allclose(chunk[0, :3, 1], [0.01, 0.03, 0.03], atol=1e-6)
    np.testing.assert_allclose(chunk[0, :3, 5], [0.03, 2 * np.pi - 6.22, 2 * np.pi - 6.2], atol=1e-6)
    assert chunk[0, :3, 6].tolist() == [1, 0, 0]
    assert mask.sum() == 3


def test_the_typical_step_is_the_moving_one():
    """Half of the time the robot stands; its step is still 0.2 m."""
    x = np.cumsum(np.repeat([0.0, 0.2, 0.0, 0.2], 10))
    track = np.stack([x, np.zeros(40), np.zeros(40)], axis=1)
    scale = typical_scale([track], NAV)
    assert scale.step == pytest.approx(0.2)
    assert scale.turn == 0.3  # it never turns: the lower bound


def test_a_robot_that_never_moves_is_named():
    with pytest.raises(DatasetError, match="the robot never moves"):
        typical_scale([np.zeros((10, 3))], NAV)
