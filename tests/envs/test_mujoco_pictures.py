import sys
from dataclasses import replace

import numpy as np
import pytest
from gl import drawing, has_gl
from scenes import room

from embodied_cf.envs.layouts.scenes import make_scene
from embodied_cf.envs.physics.dynamics import Room, RoomState
from embodied_cf.envs.physics.library import Camera, load_mujoco
from embodied_cf.envs.physics.model import CAMERA
from embodied_cf.envs.rendering.render import FIRST_OBJECT, render
from embodied_cf.envs.rendering.render import Camera as Lens
from embodied_cf.envs.state import initial_state
from embodied_cf.errors import MissingLibraryError

SIZE = 64


def shot(scene, kind="rgb", state=None):
    here = Room(scene)
    with Camera(SIZE, SIZE) as camera:
        return getattr(camera, kind)(here.model, here.scratch(state or here.initial), CAMERA)


def test_depth_is_along_the_optical_axis():
    with drawing():
        depth = shot(room(half=4.0), "depth")
        row = depth[SIZE // 2 - 1]
        np.testing.assert_allclose(row, 4.0, atol=0.03)  # a wall square to the axis


def test_what_each_pixel_shows():
    scene = room([("barrel", "blue", 2.0, 0.0)])
    with drawing():
        geoms, here = shot(scene, "geoms"), Room(scene)
        middle = here.model.geom_bodyid[geoms[SIZE // 2, SIZE // 2]]
        np.testing.assert_allclose(here.model.body_pos[middle], [2.0, 0.0, 0.0])
        assert here.model.geom(geoms[2, 2]).name == "ceiling"
        assert here.model.geom(geoms[-2, 2]).name == "floor"


@pytest.mark.parametrize("world", ["rooms", "corridors", "courtyard"])
def test_the_twin_looks_like_the_renderer_s_picture(world):
    scene = make_scene(world, "train", 2, (0, 0))
    frames = render(here_worlds(scene), initial_state([scene]), Lens(SIZE, SIZE))
    with drawing():
        depth, rgb = shot(scene, "depth"), shot(scene)
        near = np.isfinite(frames.depth[0])
        difference = np.abs(depth[near] - frames.depth[0][near])
        assert np.median(difference) < 0.02
        assert np.mean(difference < 0.1) > 0.95
        assert np.abs(rgb.astype(float) - frames.rgb[0]).mean() < 40


def here_worlds(scene):
    return Room(scene).worlds


def test_objects_stand_where_the_renderer_draws_them():
    scene = room([("chair", "red", 2.0, 0.7), ("table", "green", 3.0, -1.2), ("cone", "orange", 1.5, -0.4)])
    frames = render(here_worlds(scene), initial_state([scene]), Lens(SIZE, SIZE))
    with drawing():
        geoms, here = shot(scene, "geoms"), Room(scene)
        places = here.model.body_pos[here.model.geom_bodyid[geoms]]
        for index, place in enumerate(scene.position):
            mine = np.all(np.isclose(places[..., :2], place), axis=-1)
            theirs = frames.segmentation[0] == FIRST_OBJECT + index
            assert (mine & theirs).sum() / (mine | theirs).sum() > 0.8, index


def test_people_swing_their_limbs():
    scene = room(people=[(2.0, 0.0, 2.0, 3.0)])
    here = Room(scene)
    person = here.initial.world.person.copy()
    person[0, 0, 2:] = 0.0, 1.0
    shots = []
    with drawing():
        for phase in (0.0, np.pi / 2):
            phases = np.full_like(here.initial.world.person_phase, phase)
            world = replace(here.initial.world, person=person, person_phase=phases)
            shots.append(shot(scene, state=RoomState(here.initial.vector, world)))
        changed = (shots[0] != shots[1]).any(axis=2)
        assert 5 < changed.sum() < SIZE * SIZE / 8


def test_pictures_are_bit_equal_and_need_no_shadows():
    scene = make_scene("rooms", "train", 3, (1, 3))
    with drawing():
        np.testing.assert_array_equal(shot(scene), shot(scene))
        here, camera = Room(scene), Camera(SIZE, SIZE)
        camera.rgb(here.model, here.scratch(here.initial), CAMERA)
        assert here.model.vis.quality.shadowsize == here.model.vis.quality.offsamples == 0
        camera.close()


def test_one_camera_draws_many_models():
    first, second = Room(room(half=3.0)), Room(room(half=5.0))
    with drawing(), Camera(SIZE, SIZE) as camera:
        depths = [camera.depth(here.model, here.scratch(here.initial), CAMERA) for here in (first, second, first)]
        np.testing.assert_array_equal(depths[0], depths[2])
        assert depths[1][SIZE // 2, SIZE // 2] == pytest.approx(5.0, abs=0.03)


def test_where_opengl_is_absent_the_error_names_the_packages(monkeypatch):
    if has_gl():  # a backend that cannot load beside the one in use
        monkeypatch.setenv("MUJOCO_GL", "osmesa")
        monkeypatch.setenv("PYOPENGL_PLATFORM", "egl")
        monkeypatch.delitem(sys.modules, "mujoco.osmesa", raising=False)
    with pytest.raises(
        MissingLibraryError, match=r"no OpenGL .*libegl1 .*MUJOCO_GL=egl.* libosmesa6 .*MUJOCO_GL=osmesa"
    ):
        Camera(8, 8)


def test_without_mujoco_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(MissingLibraryError, match=r"embodied-cf\[mujoco\]"):
        load_mujoco()
