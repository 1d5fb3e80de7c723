"""The drawing that the filter gets: where the dots lie, by hand-computed pixels."""

import cv2
import numpy as np
import pytest

from embodied_cf.vlm.path_picture import SIDE, draw_path

GREEN, RED = (0, 160, 80), (220, 40, 40)


def drawn(track, kind):
    return cv2.imdecode(np.frombuffer(draw_path(np.asarray(track, float), kind), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.mark.parametrize("yaw", [0.0, 1.0, np.pi])
def test_forward_is_up_and_left_is_left_whichever_way_the_robot_faces(yaw):
    """From the middle (128, 128), 2 m ahead and 1 m to the left at 52 pixels a metre: row 24, column 76."""
    ahead, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    xy = 5.0 + np.stack([0 * ahead, 1 * ahead, 2 * ahead + left])
    picture = drawn([[*point, yaw] for point in xy], "nav")
    assert picture.shape == (SIDE, SIDE, 3)
    assert tuple(picture[128, 128]) == GREEN
    assert tuple(picture[24, 76]) == RED


def test_an_arm_has_a_second_panel_of_its_height():
    """It goes 4 cm down and 2 cm right: 26 pixels a centimetre, so 52 to the right and 104 down at the end of time."""
    rows = np.zeros((5, 7))
    rows[:, 1], rows[:, 2] = np.linspace(0, -0.02, 5), np.linspace(0.3, 0.26, 5)
    picture = drawn(rows, "arm")
    assert picture.shape == (SIDE, 2 * SIDE, 3)
    assert tuple(picture[128, 128]) == GREEN
    assert tuple(picture[128, 180]) == RED
    assert tuple(picture[128, SIDE + 24]) == GREEN
    assert tuple(picture[232, SIDE + 232]) == RED


def test_a_robot_that_stands_is_a_dot():
    picture = drawn([[1.0, 2.0, 0.5]] * 4, "nav")
    assert tuple(picture[128, 128]) == RED
    assert (picture == 255).all(axis=2).mean() > 0.9
