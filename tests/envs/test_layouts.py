import json

import numpy as np
import pytest
from scenes import room

from embodied_cf.envs import geometry
from embodied_cf.envs import tasks as tasks_module
from embodied_cf.envs.candidates import candidates
from embodied_cf.envs.layouts import scenes as scenes_module
from embodied_cf.envs.layouts.floorplan import Walls, opened, with_door
from embodied_cf.envs.layouts.scenes import WORLDS, make_scene
from embodied_cf.envs.scene import MAX_WALLS
from embodied_cf.envs.scene_json import from_json, to_json
from embodied_cf.envs.splits import SPLITS, split_of
from embodied_cf.errors import DatasetError, UsageError
from embodied_cf.language.instruction import (
    COLOURS,
    FAMILIES,
    KINDS,
    WALL,
    ArcAround,
    FollowWall,
    GoTo,
    KeepSide,
    PassBetween,
    StopBeside,
    Thing,
)

CASES = [(world, split) for world in WORLDS for split in SPLITS]


def test_every_split_has_names_of_each_kind_and_colour():
    table = np.array([[SPLITS.index(split_of(c, k)) for k in range(len(KINDS))] for c in range(len(COLOURS))])
    for split in range(len(SPLITS)):
        assert (table == split).any(axis=0).all()
        assert (table == split).any(axis=1).all()
    assert (table == 0).mean() >= 0.55


@pytest.mark.parametrize(("world", "split"), CASES)
def test_scenes_leave_room_and_hold_the_names_of_their_split(world, split):
    for seed in range(6):
        scene = make_scene(world, split, seed, people=(2, 3))
        assert len(scene.walls) <= MAX_WALLS
        assert len(scene.kind) >= 4
        gap = np.linalg.norm(scene.position[:, None] - scene.position, axis=2) - scene.radius - scene.radius[:, None]
        assert gap[~np.eye(len(gap), dtype=bool)].min() >= 0.9 - 1e-9
        assert (geometry.segment_distance(scene.position, scene.walls).min(axis=1) > scene.radius).all()
        assert geometry.segment_distance(scene.start[None, :2], scene.walls).min() >= 0.55 - 1e-9
        splits = {split_of(c, k) for c, k in zip(scene.colour.tolist(), scene.kind.tolist(), strict=True)}
        assert split in splits
        assert splits <= {"train", split}


@pytest.mark.parametrize("world", WORLDS)
def test_the_same_seed_gives_the_same_scene_and_splits_differ(world):
    def written(split, seed):
        return json.dumps(to_json(make_scene(world, split, seed)))

    assert written("train", 5) == written("train", 5)
    assert len({written(split, seed) for split in SPLITS for seed in range(4)}) == 12


@pytest.mark.parametrize("people", [0, 3])
def test_scenes_read_back_number_for_number(people):
    scene = make_scene("corridors", "train", 1, people=(people, people))
    back = from_json(json.loads(json.dumps(to_json(scene))))
    for name, value in vars(scene).items():
        other = getattr(back, name)
        np.testing.assert_array_equal(value, other)
        assert not isinstance(value, np.ndarray) or (value.dtype, value.shape) == (other.dtype, other.shape)


def test_a_broken_scene_is_refused():
    with pytest.raises(DatasetError, match="walls"):
        from_json({name: value for name, value in to_json(room()).items() if name != "walls"})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(("moon", "train", 0), "unknown world 'moon'"), (("rooms", "all", 0), "unknown split 'all'")],
)
def test_unknown_names_are_refused(arguments, text):
    with pytest.raises(UsageError, match=text):
        make_scene(*arguments)


@pytest.mark.parametrize("people", [(-1, 2), (3, 1), (0, 7)])
def test_people_that_do_not_fit_are_refused(people):
    with pytest.raises(UsageError, match=r"is not a range within 0\.\.6"):
        make_scene("rooms", "train", 0, people)


def test_places_where_everything_is_full_are_refused(monkeypatch):
    monkeypatch.setattr(scenes_module, "free_points", lambda *_: np.zeros((0, 2)))
    with pytest.raises(UsageError, match="no free place in 20 layouts of rooms, split train, seed 5"):
        make_scene("rooms", "train", 5)


def test_a_task_for_which_no_way_is_found_is_refused(monkeypatch):
    def no_way(scene, instruction):
        raise UsageError("no way leads there")

    monkeypatch.setattr(tasks_module, "plan", no_way)
    with pytest.raises(UsageError, match="no object task can be done in rooms, split train, seed 5"):
        tasks_module.make_task("rooms", "object", "train", 5)


def test_an_opening_and_a_door_cut_a_wall_in_two():
    wall = Walls.of(np.array([[0.0, 0.0, 4.0, 0.0]]), 2.5, "plaster", (1, 2, 3))
    np.testing.assert_allclose(opened(wall, 0, 1.0, 1.5).segment, [[0, 0, 1, 0], [2.5, 0, 4, 0]])
    np.testing.assert_allclose(opened(wall, 0, 0.0, 1.5).segment, [[1.5, 0, 4, 0]])
    doored = with_door(wall, 0, 3.0, 2)
    np.testing.assert_allclose(doored.segment, [[0, 0, 3, 0], [3, 0, 4, 0]])
    assert doored.door_colour.tolist() == [-1, 2]


def test_polygons_and_segments():
    square = geometry.rectangle(np.array([1.0, 0.0]), (2.0, 1.0), 0.0)
    assert geometry.area(square) == pytest.approx(2.0)
    assert geometry.inside(np.array([[0.1, 0.4], [2.1, 0.0], [1.0, 0.6]]), square).tolist() == [True, False, False]
    distance = geometry.segment_distance(np.array([[1.0, 1.5], [4.0, 0.0]]), np.array([[0.0, 0.5, 2.0, 0.5]]))
    np.testing.assert_allclose(distance[:, 0], [1.0, np.hypot(2.0, 0.5)])


def test_instructions_name_one_thing_that_is_far_enough():
    scene = room([("chair", "orange", 3.0, 0.0), ("chair", "blue", -3.0, 0.0), ("ball", "yellow", 1.0, 0.0)],
                 doors=[("blue", 4.9, -0.5, 4.9, 0.5)])  # fmt: skip
    found = candidates(scene, "train", "object")
    assert GoTo(Thing("chair", "orange")) in found
    assert GoTo(Thing("chair")) not in found, "there are two"
    assert not any(clause.thing.kind == "ball" for clause in found), "the robot stands before it"
    assert GoTo(Thing("door")) in found
    nearest = candidates(scene, "train", "referential")
    assert GoTo(Thing("chair"), near=Thing("door")) in nearest
    assert GoTo(Thing("chair"), near=Thing("ball")) in nearest
    assert StopBeside(Thing("chair", "orange"), "left") in nearest


def test_held_out_names_are_no_targets_in_training():
    held_out = [(c, k) for c in range(len(COLOURS)) for k in range(len(KINDS)) if split_of(c, k) == "test"]
    colour, kind = held_out[0]
    scene = room([(KINDS[kind], COLOURS[colour], 3.5, 0.0)])
    assert candidates(scene, "train", "object") == []
    assert GoTo(Thing(KINDS[kind], COLOURS[colour])) in candidates(scene, "test", "object")


def test_gaps_that_are_wide_enough_can_be_passed():
    chairs = (Thing("chair", "orange"), Thing("chair", "blue"))

    def between_chairs(half_gap):
        things = [("chair", "orange", 3.0, half_gap + 0.36), ("chair", "blue", 3.0, -half_gap - 0.36)]
        return PassBetween(*chairs) in candidates(room(things), "train", "referential")

    assert between_chairs(0.75)
    assert not between_chairs(0.4), "0.8 m is too narrow"
    assert not between_chairs(1.3), "2.6 m is no gap"
    by_the_wall = candidates(room([("chair", "orange", 2.5, 3.2)]), "train", "referential")
    assert PassBetween(chairs[0], Thing(WALL)) in by_the_wall


def test_only_corridors_have_sides_to_keep_to():
    in_rooms = candidates(room([("chair", "orange", 3.0, 0.0)]), "train", "continuous")
    assert {type(clause) for clause in in_rooms} == {FollowWall, ArcAround}
    in_corridors = candidates(make_scene("corridors", "train", 0), "train", "continuous")
    assert KeepSide("left") in in_corridors


@pytest.mark.parametrize("world", WORLDS)
def test_scenes_offer_something_to_do(world):
    for scene in [make_scene(world, "dev", seed) for seed in range(4)]:
        assert all(candidates(scene, "dev", family) for family in FAMILIES)
