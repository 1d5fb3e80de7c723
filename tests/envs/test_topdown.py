import dataclasses

import numpy as np
import pytest
import scenes

from embodied_cf.envs.rendering.topdown import PATH_RGB, draw_map
from embodied_cf.envs.scene import COLOUR_RGB
from embodied_cf.envs.state import initial_state
from embodied_cf.errors import UsageError

SIDE = 10.8
"""A room of 10 m with a margin of 0.4 m around, in 216 pixels: 20 pixels a metre."""


def at(picture, x, y):
    """Mean colour of 3x3 pixels around a place."""
    column, row = round((x + SIDE / 2) * 20), round((SIDE / 2 - y) * 20)
    return picture[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3).mean(axis=0)


def near(colour, expected, within=30):
    return np.abs(np.asarray(colour) - expected).max() <= within


def test_things_stand_where_the_scene_puts_them_with_north_up():
    scene = scenes.room([("barrel", "red", 2.0, 3.0), ("ball", "blue", -3.0, -1.0)], doors=[("green", 5, -1, 5, 0)])
    picture = draw_map(scene, 216)
    assert picture.shape == (216, 216, 3)
    assert near(at(picture, 2.0, 3.0), COLOUR_RGB["red"])
    assert near(at(picture, -3.0, -1.1), COLOUR_RGB["blue"])
    assert near(at(picture, 5.0, -0.5), COLOUR_RGB["green"], 60)
    assert near(at(picture, -2.0, 3.0), 0.35 * scene.floor_rgb + 0.65 * 255)
    assert (at(picture, -5.0, 2.0) < 130).all()  # a wall


def test_state_moves_robot_and_people():
    scene = scenes.room([], [(2.0, 2.0, 0.0, 0.0)])
    before = draw_map(scene, 216)
    state = initial_state([scene])
    person = state.person.copy()
    person[0, 0, :2] = -2.0, 2.0
    after = draw_map(scene, 216, state=dataclasses.replace(state, pose=np.array([[0.0, -3.0, 1.0]]), person=person))
    floor = at(before, 4.0, 4.0)
    for picture, empty, full in ((before, (-2, 2), (2, 2)), (after, (2, 2), (-2, 2))):
        assert near(at(picture, *empty), floor, 2)
        assert not near(at(picture, *full), floor)
    assert not near(at(after, 0.0, -3.0), floor)
    assert near(at(after, 0.0, 0.0), floor, 2)


def test_paths_are_lines_that_end_in_a_dot():
    path = np.array([(-3.0, -3.0, 0.0), (3.0, -3.0, 0.0)])
    picture = draw_map(scenes.room(), 216, paths=[np.zeros((0, 2)), path, path[:, :2] + (0, 1)])
    floor = at(picture, 4.0, 4.0)
    for seen, colour in ((at(picture, 3.0, -3.0), PATH_RGB[1]), (at(picture, 0.0, -2.0), PATH_RGB[2])):
        assert np.abs(seen - colour).max() < 0.9 * np.abs(floor - colour).max()


@pytest.mark.parametrize("things", [[], [("tree", "black", 1, 1)]])
def test_the_smallest_map_can_be_drawn(things):
    assert draw_map(scenes.room(things), 16).shape == (16, 16, 3)


def test_what_cannot_be_drawn_is_refused():
    scene = scenes.room()
    with pytest.raises(UsageError, match="15 pixels shows nothing"):
        draw_map(scene, 15)
    with pytest.raises(UsageError, match=r"the state has 2.*Pass state\.take"):
        draw_map(scene, 64, state=initial_state([scene, scene]))
