import numpy as np
import pytest
from scenes import room

from embodied_cf.envs.scene import MAX_OBJECTS, MAX_PEOPLE, stack
from embodied_cf.envs.state import draw_noise, initial_state
from embodied_cf.errors import UsageError


def test_surroundings_name_objects_then_doors():
    scene = room([("chair", "red", 1.0, 2.0)], doors=[("blue", 4.9, -0.5, 4.9, 0.5)])
    seen = scene.surroundings()
    assert seen.kind == ("chair", "door")
    assert seen.colour == ("red", "blue")
    np.testing.assert_allclose(seen.position, [[1.0, 2.0], [4.9, 0.0]])
    np.testing.assert_allclose(seen.radius, [0.36, 0.5])


def test_stacked_scenes_of_different_size():
    worlds = stack([room(), room([("ball", "green", 1.0, 0.0)], people=[(2.0, 2.0, -2.0, 2.0)])])
    assert worlds.num_objects.tolist() == [0, 1]
    assert worlds.num_people.tolist() == [0, 1]
    assert worlds.person_goals[1, 0].tolist() == [[-2, 2], [2, 2], [2, 2], [2, 2]], "the last goal is repeated"
    swapped = worlds.replaced([0], worlds.take([1]))
    assert swapped.num_objects.tolist() == [1, 1]
    assert worlds.num_objects.tolist() == [0, 1]


def test_too_many_objects_are_refused():
    with pytest.raises(UsageError, match="at most 16 fit"):
        room([("ball", "green", 1.0, 0.0)] * (MAX_OBJECTS + 1))


def test_noise_depends_on_the_seed_alone_and_grows_at_its_end():
    short, long = draw_noise([3, 4], 5), draw_noise([4, 3], 9)
    np.testing.assert_array_equal(short.slip[0], long.slip[1, :5])
    np.testing.assert_array_equal(short.person[1], long.person[0, :5])
    assert not np.array_equal(short.slip[0], short.slip[1])
    np.testing.assert_array_equal(short.at(2).slip[:, 0], short.slip[:, 2])


def test_people_start_where_the_scene_puts_them():
    state = initial_state([room(people=[(2.0, 1.0, 0.0, 0.0)])])
    assert state.person.shape == (1, MAX_PEOPLE, 4)
    assert state.person[0, 0].tolist() == [2, 1, 0, 0]
