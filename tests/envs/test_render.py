import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
import scenes
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_cf.datasets.spec import CameraModel
from embodied_cf.envs.rendering.render import (
    CEILING,
    DOOR,
    FIRST_OBJECT,
    FIRST_PERSON,
    FLOOR,
    SKY,
    WALL,
    Camera,
    render,
)
from embodied_cf.envs.scene import stack
from embodied_cf.envs.state import initial_state
from embodied_cf.errors import UsageError
from embodied_cf.relabel.ground import ground_point

SMALL = Camera(64, 64)


def picture(scene, camera=SMALL):
    frames = render(stack([scene]), initial_state([scene]), camera)
    return frames.rgb[0], frames.depth[0], frames.segmentation[0]


def turned(scene, yaw):
    return dataclasses.replace(scene, yaw=np.full(len(scene.yaw), yaw))


def open_air(scene):
    return dataclasses.replace(scene, ceiling_style=0, ceiling_rgb=np.array((95, 150, 220), np.uint8))


def lower(scene, wall, height):
    heights = scene.wall_height.copy()
    heights[wall] = height
    return dataclasses.replace(scene, wall_height=heights)


def crowd(count):
    """Rooms with everything in them, each from another place."""
    rng = np.random.default_rng(5)
    made = []
    for number in range(count):
        kinds = ("chair", "table", "box", "cone", "barrel", "plant", "tree", "bin", "ball", "lamp")
        things = [(kind, "red", *rng.uniform(-4, 4, 2)) for kind in kinds]
        people = [(*rng.uniform(-4, 4, 2), 0.0, 0.0) for _ in range(3)]
        start = (*rng.uniform(-1, 1, 2), rng.uniform(-3, 3))
        scene = scenes.room(things, people, start, walls=((1.0, 2.0, 3.0, 3.5),), doors=(("blue", 5, -1, 5, 0),))
        made.append(open_air(lower(scene, 4, 0.5)) if number % 2 else scene)
    return made


def test_a_wall_three_metres_ahead_is_three_metres_deep_in_every_column():
    _, depth, segmentation = picture(scenes.room(half=3.0))
    assert set(segmentation[32]) == {WALL}
    np.testing.assert_array_equal(depth[32], np.float32(3.0))
    # top at 2 m above the camera, floor 0.6 m below: rows 32 - 32 * 2 / 3 = 10.7 and 32 + 32 * 0.6 / 3 = 38.4
    assert [segmentation[row, 20] for row in (10, 11, 37, 38)] == [CEILING, WALL, WALL, FLOOR]


def test_floor_and_ceiling_depths_are_those_of_the_ground_point_formula():
    _, depth, segmentation = picture(scenes.room(half=3.0))
    rows, columns = np.nonzero(segmentation == FLOOR)
    ground = ground_point(np.stack([columns + 0.5, rows + 0.5], axis=1), CameraModel(90.0, 0.6), 64, 64)
    np.testing.assert_allclose(depth[rows, columns], ground[:, 0], rtol=1e-6)
    assert depth[48, 32] == pytest.approx(0.6 / (16.5 / 32))
    assert depth[4, 32] == pytest.approx(2.0 / (27.5 / 32))  # the ceiling is 2 m above the camera


def test_a_box_shows_its_front_and_its_top():
    scene = turned(scenes.room([("box", "blue", 2.0, 0.0)]), 0.0)
    _, depth, segmentation = picture(scene)
    # front face at 2 - 0.30; in column 34, y = -0.13 m, there is neither tape nor label
    assert segmentation[37, 34] == FIRST_OBJECT
    assert depth[37, 34] == np.float32(1.7)
    # from 0.9 m up the top, 0.34 m below the camera, fills rows between 32 * 0.34 / 2.3 and 32 * 0.34 / 1.7
    _, depth, segmentation = picture(scene, Camera(64, 64, height_m=0.9))
    assert segmentation[37, 34] == FIRST_OBJECT
    assert depth[37, 34] == pytest.approx(0.34 / (5.5 / 32))


def test_a_turned_box_meets_the_eye_with_its_edge():
    _, depth, _ = picture(turned(scenes.room([("box", "blue", 2.0, 0.0)]), math.pi / 4), Camera(65, 65, height_m=0.28))
    # the edge at (0.30, 0.28) turned by 45 degrees stands beside the axis; along the axis the nearer face x = 0.28
    # is met at 0.28 * sqrt(2) before the centre
    assert depth[32, 32] == pytest.approx(2.0 - 0.28 * math.sqrt(2), abs=0.008)


def test_the_middle_of_a_ball_is_one_radius_nearer_than_its_centre():
    scene = turned(scenes.room([("ball", "red", 2.0, 0.0)]), math.pi / 4)
    _, depth, segmentation = picture(scene, Camera(65, 65, height_m=0.31))
    assert segmentation[32, 32] == FIRST_OBJECT
    assert depth[32, 32] == pytest.approx(2.0 - 0.31, abs=1e-6)
    # one column to the side it curves away: t**2 (1 + s**2) - 4 t + 4 = 0.31**2
    side = 1 / 32.5
    half = 2.0 / (1 + side**2)
    assert depth[32, 33] == pytest.approx(half - math.sqrt(half**2 - (4.0 - 0.31**2) / (1 + side**2)), abs=1e-6)


def test_a_cone_narrows_and_a_barrel_bulges():
    _, _, segmentation = picture(turned(scenes.room([("cone", "red", 2.0, 0.0)]), 0.0), Camera(256, 256))
    widths = (segmentation == FIRST_OBJECT).sum(axis=1)
    shown = widths[widths > 0]
    assert shown[0] < 8 < 30 < shown[-1]
    _, _, segmentation = picture(scenes.room([("barrel", "red", 2.0, 0.0)]), Camera(256, 256))
    widths = (segmentation == FIRST_OBJECT).sum(axis=1)
    shown = widths[widths > 0]
    assert shown.max() > 1.1 * shown[1]


def test_walls_hide_what_is_behind_and_low_walls_only_the_lower_part():
    hidden = scenes.room([("lamp", "red", 3.0, 0.0)], walls=[(2.0, -2.0, 2.0, 2.0)])
    assert FIRST_OBJECT not in picture(hidden)[2]
    low = lower(hidden, 4, 0.9)
    _, depth, segmentation = picture(low)
    rows = np.nonzero((segmentation == FIRST_OBJECT).any(axis=1))[0]
    assert rows.size
    # the wall's top is 0.3 m above the camera, 2 m off: row 32 - 4.8
    assert rows.max() <= 27
    assert set(segmentation[28:41, 32]) == {WALL}
    assert depth[28, 32] == np.float32(2.0)
    assert depth[20, 20] == np.float32(5.0)


def test_floor_shows_again_behind_a_wall_lower_than_the_camera():
    _, depth, segmentation = picture(lower(scenes.room(walls=[(2.0, -3.0, 2.0, 3.0)]), 4, 0.2))
    column = segmentation[:, 32]
    # the low wall fills rows 32 + 32 * 0.4 / 2 = 38.4 to 32 + 32 * 0.6 / 2 = 41.6; the far wall ends at 32 + 3.84
    assert set(column[36:38]) == {FLOOR}
    assert set(column[38:42]) == {WALL}
    assert set(column[42:]) == {FLOOR}
    assert depth[37, 32] == pytest.approx(0.6 / (5.5 / 32))


def test_walls_at_any_angle_are_as_deep_as_brute_force_says():
    rng = np.random.default_rng(2)
    for _ in range(20):
        walls = [tuple(rng.uniform(-4, 4, 4)) for _ in range(5)]
        scene = scenes.room(walls=walls, start=(0.1, -0.2, rng.uniform(-3, 3)))
        depth = picture(scene)[1][32]
        np.testing.assert_allclose(depth, brute_force(scene), rtol=1e-5)


def brute_force(scene):
    x, y, yaw = scene.start
    nearest = np.full(64, np.inf)
    for x0, y0, x1, y1 in scene.walls:
        for column in range(64):
            side = -(column + 0.5 - 32) / 32
            ray = np.array([math.cos(yaw) - side * math.sin(yaw), math.sin(yaw) + side * math.cos(yaw)])
            depth, share = np.linalg.solve(np.array([ray, (x0 - x1, y0 - y1)]).T, (x0 - x, y0 - y))
            if depth > 0.02 and 0 <= share <= 1:
                nearest[column] = min(nearest[column], depth)
    return nearest


def test_the_open_sky_is_infinitely_far_and_the_ground_reaches_the_horizon():
    scene = open_air(scenes.room(half=5.0))
    scene = dataclasses.replace(scene, wall_height=np.full(4, 1.0))
    _, depth, segmentation = picture(scene)
    assert set(segmentation[:20].ravel()) == {SKY}
    assert np.isinf(depth[:20]).all()
    assert set(segmentation[44:].ravel()) == {FLOOR}
    empty = dataclasses.replace(scene, walls=scene.walls - 100.0)
    _, depth, segmentation = picture(empty)
    assert set(segmentation[32:].ravel()) == {FLOOR}
    assert depth[32, 0] == pytest.approx(0.6 / (0.5 / 32))


def test_the_middle_row_of_an_odd_height_looks_at_the_horizon():
    scene = dataclasses.replace(open_air(scenes.room()), walls=scenes.room().walls - 100.0)
    _, depth, segmentation = picture(scene, Camera(33, 33))
    assert set(segmentation[16]) == {SKY}
    assert np.isinf(depth[16]).all()


def test_a_door_in_the_plane_of_a_wall_is_seen_before_it_at_the_same_depth():
    scene = scenes.room(half=3.0, doors=[("red", 3.0, -0.5, 3.0, 0.5)])
    for height in (2.6, 2.1):
        rgb, depth, segmentation = picture(lower(scene, 4, height))
        assert segmentation[32, 32] == DOOR
        assert depth[32, 32] == np.float32(3.0)
        assert rgb[32, 32, 0] > 2 * rgb[32, 32, 1]
        assert segmentation[32, 10] == WALL


def test_nearer_things_cover_farther_ones():
    scene = scenes.room([("tree", "green", 3.0, 0.0), ("bin", "blue", 1.5, 0.0)], [(2.2, 0.0, 0, 0)])
    _, _, segmentation = picture(scene)
    assert segmentation[36, 32] == FIRST_OBJECT + 1
    assert segmentation[18, 32] == FIRST_PERSON
    assert FIRST_OBJECT in segmentation


def test_pixels_of_things_lie_on_the_things():
    for scene in crowd(4):
        _, depth, segmentation = picture(scene, Camera(96, 64))
        rows, columns = np.nonzero((segmentation >= FIRST_OBJECT) & (segmentation < FIRST_PERSON))
        ahead = depth[rows, columns]
        left, up = -(columns + 0.5 - 48) / 48 * ahead, 0.6 - (rows + 0.5 - 32) / 48 * ahead
        x, y, yaw = scene.start
        world = np.stack([x + ahead * np.cos(yaw) - left * np.sin(yaw), y + ahead * np.sin(yaw) + left * np.cos(yaw)])
        of = segmentation[rows, columns] - FIRST_OBJECT
        off = np.hypot(*(world.T - scene.position[of]).T)
        assert (off <= np.where(scene.kind[of] == 6, 0.8, scene.radius[of]) + 1e-3).all()
        assert ((up > -1e-3) & (up < 2.3)).all()
        assert len(set(of.tolist())) >= 2


def test_people_swing_their_legs_and_face_where_they_walk():
    scene = scenes.room([], [(2.0, 0.0, 0, 0)])
    state = initial_state([scene])

    def seen(vx, vy, phase):
        person = state.person.copy()
        person[0, 0, 2:] = vx, vy
        walking = dataclasses.replace(state, person=person, person_phase=np.full_like(state.person_phase, phase))
        frames = render(stack([scene]), walking, Camera(128, 128))
        return frames.rgb[0], frames.segmentation[0] == FIRST_PERSON

    narrow = seen(0.0, 1.0, 0.0)[1][75:].any(axis=0).sum()
    wide = seen(0.0, 1.0, math.pi / 2)[1][75:].any(axis=0).sum()
    assert wide > narrow + 5
    standing = [seen(0.0, 0.0, phase)[0] for phase in (0.0, 1.5)]
    np.testing.assert_array_equal(*standing)
    coming, going = seen(-1.0, 0.0, 0.0)[0], seen(1.0, 0.0, 0.0)[0]
    assert (coming != going).any(axis=-1).sum() > 25


def test_pictures_do_not_depend_on_threads_or_on_the_rest_of_the_batch():
    made = crowd(5)
    worlds, state = stack(made), initial_state(made)
    whole = render(worlds, state, SMALL)
    for threads in (2, 3, 8):
        shared = render(worlds, state, SMALL, threads=threads)
        for name in ("rgb", "depth", "segmentation"):
            np.testing.assert_array_equal(getattr(shared, name), getattr(whole, name))
    rows = [3, 0, 3]
    some = render(worlds.take(rows), state.take(rows), SMALL)
    for name in ("rgb", "depth", "segmentation"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[rows])


def test_no_worlds_make_no_pictures():
    scene = crowd(1)
    frames = render(stack(scene).take([]), initial_state(scene).take([]), SMALL, threads=2)
    assert frames.rgb.shape == (0, 64, 64, 3)


SCENES = crowd(2)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    fov=st.floats(5.0, 165.0),
    height=st.floats(0.02, 2.5),
    pose=st.tuples(st.floats(-6, 6), st.floats(-6, 6), st.floats(-10, 10)),
)
def test_any_camera_anywhere_draws_every_pixel(size, fov, height, pose):
    camera = Camera(*size, fov, height)
    made = [dataclasses.replace(scene, start=np.array(pose)) for scene in SCENES]
    first, second = (render(stack(made), initial_state(made), camera) for _ in range(2))
    assert (first.depth > 0).all()
    known = {SKY, FLOOR, CEILING, WALL, DOOR, *range(FIRST_OBJECT, 20), *range(FIRST_PERSON, 43)}
    assert set(first.segmentation.ravel().tolist()) <= known
    np.testing.assert_array_equal(np.isinf(first.depth[1]), first.segmentation[1] == SKY)
    for name in ("rgb", "depth", "segmentation"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_light_changes_with_the_side_and_shadows_lie_under_things():
    lit = dataclasses.replace(
        turned(scenes.room([("box", "white", 2.0, 0.0)]), 0.0), light=np.array([0.3, 0.7, 0, 0.5])
    )
    behind = picture(lit)[0][37, 34].astype(int)
    before = picture(dataclasses.replace(lit, light=np.array([0.3, 0.7, math.pi, 0.5])))[0][37, 34].astype(int)
    assert (before > behind + 40).all()
    bare = picture(dataclasses.replace(scenes.room(), light=lit.light))[0].astype(int)
    seen = picture(lit)
    floor = seen[2] == FLOOR
    assert (seen[0].astype(int)[floor] <= bare[floor]).all()
    assert (seen[0].astype(int)[floor] < bare[floor] - 10).any()


def test_what_cannot_be_drawn_is_refused():
    scene = scenes.room()
    worlds, state = stack([scene]), initial_state([scene])
    with pytest.raises(UsageError, match="0x64 pixels"):
        Camera(0, 64)
    with pytest.raises(UsageError, match=r"180\.0 degrees"):
        Camera(64, 64, 180.0)
    with pytest.raises(UsageError, match=r"-0\.1 m is not above the floor"):
        Camera(64, 64, height_m=-0.1)
    with pytest.raises(UsageError, match="1 worlds and 2 states"):
        render(worlds, state.take([0, 0]), SMALL)
    with pytest.raises(UsageError, match="0 threads"):
        render(worlds, state, SMALL, threads=0)
    with pytest.raises(UsageError, match=r"not below a ceiling at 2\.6 m"):
        render(worlds, state, Camera(64, 64, height_m=2.7))


def test_scenes_load_without_numba():
    code = "import sys, embodied_cf, embodied_cf.envs.scene; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
