import math

import numpy as np
import pytest
from scenes import room

from embodied_cf.envs.layouts.scenes import make_scene
from embodied_cf.envs.motion import dynamics
from embodied_cf.envs.physics.dynamics import Room
from embodied_cf.envs.scene import stack
from embodied_cf.envs.state import HIT_OBJECT, HIT_PERSON, HIT_WALL, Noise, draw_noise, initial_state
from embodied_cf.errors import UsageError


def quiet(steps=1):
    return Noise(np.zeros((1, steps, 2)), np.zeros((1, steps, 6, 2)))


def driven(scene, *actions):
    here = Room(scene)
    return here.branch(here.initial, np.array(actions, np.float64), quiet(len(actions)))


def poses(run):
    return np.array([state.world.pose[0] for state in run])


def test_the_drive_reaches_what_it_is_asked_for():
    run = driven(room(), *[(0.8, 0.0)] * 8)
    speeds = np.array([state.world.velocity[0] for state in run])
    np.testing.assert_allclose(speeds[2:], [[0.8, 0.0]] * 7, atol=0.005)
    assert 0.5 < speeds[1, 0] < 0.7, "at first it has to gather speed"
    np.testing.assert_allclose(poses(run)[:, 1:], 0.0, atol=1e-9)


def test_it_drives_arcs_without_sliding_sideways():
    pose = poses(driven(room(), *[(0.5, 0.8)] * 12))
    np.testing.assert_allclose(np.diff(pose[2:, 2]), 0.2, atol=2e-3)
    heading, move = (pose[2:-1, 2] + pose[3:, 2]) / 2, np.diff(pose[2:, :2], axis=0)
    aside = move[:, 1] * np.cos(heading) - move[:, 0] * np.sin(heading)
    np.testing.assert_allclose(aside, 0.0, atol=1e-3)
    np.testing.assert_allclose(np.hypot(*move.T), 0.125, atol=2e-3)


def test_more_than_the_drive_can_do_is_cut_off():
    last = driven(room(), *[(9.0, -9.0)] * 4)[-1].world.velocity[0]
    np.testing.assert_allclose(last, [1.0, -1.5], atol=0.02)


def test_slip_scales_what_is_asked():
    here, noise = Room(room()), quiet(4)
    slipping = Noise(noise.slip + np.array([2.0, 0.0]), noise.person)
    last = here.branch(here.initial, np.tile([0.5, 0.0], (4, 1)), slipping)[-1]
    assert last.world.velocity[0, 0] == pytest.approx(0.5 * 1.1, abs=0.005)


def test_the_twin_stays_near_the_kinematic_world():
    scene, actions = room(), np.array([(0.6, 0.5)] * 8 + [(0.6, -0.5)] * 8)
    world, state = stack([scene]), initial_state([scene])
    for action in actions:
        state = dynamics.step(world, state, action[None], quiet())
    assert np.hypot(*(poses(driven(scene, *actions))[-1] - state.pose[0])[:2]) < 0.1


@pytest.mark.parametrize(
    ("things", "people", "bit", "stop"),
    [
        ([("chair", "red", 2.0, 0.0)], (), HIT_OBJECT, 2.0 - 0.36 - 0.25),
        ((), [(2.0, 0.0, 2.0, 0.0)], HIT_PERSON, 2.0 - 0.25 - 0.25),
        ((), (), HIT_WALL, 5.0 - 0.25),
    ],
)
def test_what_it_hits_stops_it(things, people, bit, stop):
    run = driven(room(things, people), *[(1.0, 0.0)] * 24)
    hits = [int(state.world.hit[0]) for state in run]
    assert hits[3] == 0
    assert bit in hits
    assert set(hits) == {0, bit}
    if bit != HIT_PERSON:  # who stands there may step aside
        assert poses(run)[-1, 0] == pytest.approx(stop, abs=0.03)


def test_it_slides_along_a_wall():
    last = driven(room(start=(4.0, 0.0, math.radians(30))), *[(0.8, 0.0)] * 16)[-1].world
    assert last.hit[0] == HIT_WALL
    assert last.pose[0, 0] == pytest.approx(4.74, abs=0.03)
    assert last.pose[0, 1] > 0.7


def test_people_walk_as_in_the_kinematic_world():
    scene = room(people=[(2.0, 2.0, -2.0, 2.0), (-2.0, -2.0, 2.0, -2.0)])
    noise = draw_noise([7], 12)
    here = Room(scene)
    run = here.branch(here.initial, np.zeros((12, 2)), noise)
    world, state = stack([scene]), initial_state([scene])
    for step, twin in enumerate(run[1:]):
        state = dynamics.step(world, state, np.zeros((1, 2)), noise.at(step))
        np.testing.assert_array_equal(twin.world.person, state.person)
    assert np.hypot(*(state.person[0, 0, :2] - [2.0, 2.0])) > 1.0
    np.testing.assert_array_equal(run[-1].world.pose[0], scene.start)


@pytest.mark.parametrize("seed", range(6))
def test_a_branch_with_the_factual_actions_is_bit_equal(seed):
    scene = make_scene(("rooms", "corridors", "courtyard")[seed % 3], "train", seed, (2, 5))
    rng, here, noise = np.random.default_rng(seed), Room(scene), draw_noise([seed], 16)
    actions = rng.uniform([0.0, -1.5], [1.0, 1.5], (16, 2))
    run = here.branch(here.initial, actions, noise)
    for at in rng.integers(0, 15, 4).tolist():
        for room_ in (here, Room(scene)):
            again = room_.branch(run[at], actions[at:], noise.since(at))
            for twin, factual in zip(again, run[at:], strict=True):
                np.testing.assert_array_equal(twin.vector, factual.vector)
                for column, value in vars(factual.world).items():
                    np.testing.assert_array_equal(getattr(twin.world, column), value)
    other = here.branch(run[3], actions[3:] * 0.5, noise.since(3))
    assert not np.array_equal(other[-1].world.pose, run[-1].world.pose)


def test_broken_actions_are_refused():
    here = Room(room())
    with pytest.raises(UsageError, match=r"\(b, 2\)"):
        here.step(here.initial, np.zeros(2), quiet())
    with pytest.raises(UsageError, match="nan"):
        here.step(here.initial, np.array([[np.nan, 0.0]]), quiet())
