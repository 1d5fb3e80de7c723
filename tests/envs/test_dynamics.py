import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import room

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.motion.branch import branch, people_perturbation
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.scene import MAX_PEOPLE, RADIUS_M, stack
from embodied_cf.envs.state import (
    HIT_OBJECT,
    HIT_PERSON,
    HIT_WALL,
    MAX_SPEED,
    MAX_TURN,
    PERIOD_S,
    PERSON_RADIUS_M,
    ROBOT_RADIUS_M,
    SLIP,
    Noise,
    State,
    draw_noise,
    initial_state,
)
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import KINDS


def calm(rows, steps):
    return Noise(np.zeros((rows, steps, 2)), np.zeros((rows, steps, MAX_PEOPLE, 2)))


def drive(scene, actions, noise=None):
    """One run of a scene under actions (t, 2), without chance unless given."""
    actions = np.asarray(actions, float)[None]
    return branch(stack([scene]), initial_state([scene]), actions, noise or calm(1, actions.shape[1]))


def same(left, right):
    return all(np.array_equal(getattr(left, item.name), getattr(right, item.name)) for item in fields(State))


def crowded(seed, people=4, things=8, half=4.0):
    """A random room in which nothing touches anything, with one free-standing wall."""
    rng = generator(seed, "crowded")
    spots = rng.permutation(np.stack(np.meshgrid(*[np.linspace(0.85 - half, half - 0.85, 5)] * 2), -1).reshape(-1, 2))
    spots = spots[np.hypot(*spots.T) > 0.5]
    kinds = [KINDS[k] for k in rng.integers(len(KINDS), size=things)]
    objects = [(kind, "red", *spot) for kind, spot in zip(kinds, spots, strict=False)]
    starts, goals = spots[things : things + people], spots[things + people : things + 2 * people]
    turn = rng.uniform(0, math.pi)
    wall = (0.3 * math.cos(turn), 0.3 * math.sin(turn), -0.3 * math.cos(turn), -0.3 * math.sin(turn))
    return room(objects, [(*a, *b) for a, b in zip(starts, goals, strict=True)], (*spots[-1], turn), half, [wall])


def crowd(count, steps, seed=0):
    """Worlds, start, actions and noise of many random runs."""
    scenes = [crowded(seed + row) for row in range(count)]
    rng = generator(seed, "actions")
    turns = np.clip(np.cumsum(rng.normal(0, 0.5, (count, steps)), axis=1), -2, 2)
    actions = np.stack([rng.uniform(0, 1.2, (count, steps)), turns], axis=-1)
    return stack(scenes), initial_state(scenes), actions, draw_noise(range(count), steps)


def test_straight_on_and_a_quarter_turn():
    run = drive(room(start=(1.0, -2.0, math.pi / 2)), [(1.0, 0.0)] * 8)
    np.testing.assert_allclose(run.pose[0, [0, 4, 8]], [[1, y, math.pi / 2] for y in (-2, -1, 0)], atol=1e-12)
    np.testing.assert_allclose(run.state(8).velocity, [[1.0, 0.0]], atol=1e-12)
    turned = drive(room(), [(math.pi / 4, math.pi / 4)] * 8).pose[0, -1]  # radius 1 m, 2 s
    np.testing.assert_allclose(turned, [1, 1, math.pi / 2], atol=1e-3)


def test_limits_of_the_drive_and_no_reversing():
    run = drive(room(), [(5.0, 0.0), (-1.0, 9.0), (0.0, -9.0)])
    np.testing.assert_allclose(
        run.columns["velocity"][1:, 0], [[MAX_SPEED, 0], [0, MAX_TURN], [0, -MAX_TURN]], atol=1e-12
    )
    assert run.pose[0, 1:, 0].tolist() == [pytest.approx(0.25)] * 3


def test_slip_scales_what_was_asked():
    noise = Noise(np.array([[[1.0, -2.0]]]), np.zeros((1, 1, MAX_PEOPLE, 2)))
    run = drive(room(), [(0.5, 1.0)], noise)
    assert run.pose[0, 1, 2] == pytest.approx((1 - 2 * SLIP) * PERIOD_S)
    assert run.state(1).velocity[0].tolist() == pytest.approx([0.5 * (1 + SLIP), 1 - 2 * SLIP])


def test_it_slides_along_a_wall_at_any_angle():
    slope = room(walls=[(1.0, -4.0, 3.0, 4.0)])
    run = drive(slope, [(1.0, 0.0)] * 16)
    assert run.hit[0, 0] == 0
    assert run.hit[0, -1] == HIT_WALL
    along = np.array([2.0, 8.0]) / math.hypot(2, 8)
    moved = run.pose[0, -1, :2] - run.pose[0, -2, :2]
    np.testing.assert_allclose(moved, along * along[0] * PERIOD_S, atol=1e-9)
    gap = abs(np.cross([*along, 0], [*(run.pose[0, -1, :2] - (1.0, -4.0)), 0])[2])
    assert gap == pytest.approx(ROBOT_RADIUS_M)


def test_head_on_into_a_wall_and_a_corner():
    ahead = drive(room(half=1.0), [(1.0, 0.0)] * 8)
    np.testing.assert_allclose(ahead.pose[0, -1], [0.75, 0, 0], atol=1e-9)
    assert ahead.state(8).velocity[0, 0] == pytest.approx(0)
    corner = drive(room(half=1.0, start=(0, 0, math.pi / 4)), [(1.0, 0.0)] * 8)
    np.testing.assert_allclose(corner.pose[0, -1, :2], [0.75, 0.75], atol=1e-8)


def test_objects_and_people_are_in_the_way():
    ball = drive(room([("ball", "red", 1.0, 0.0)]), [(1.0, 0.0)] * 8)
    assert ball.hit[0, 0] == 0
    assert ball.hit[0, -1] == HIT_OBJECT
    assert ball.pose[0, -1, 0] == pytest.approx(1.0 - ROBOT_RADIUS_M - RADIUS_M["ball"])
    person = replace(room(people=[(1.0, 0.0, 1.0, 0.0)]), person_speed=np.zeros(1))
    run = drive(person, [(1.0, 0.0)] * 8)
    assert run.hit[0, -1] == HIT_PERSON
    assert run.person[0, -1, 0].tolist() == [1, 0, 0, 0]
    assert run.pose[0, -1, 0] == pytest.approx(1.0 - ROBOT_RADIUS_M - PERSON_RADIUS_M)


def test_a_wedge_too_narrow_to_enter_holds_the_robot():
    wedge = room(walls=[(0.2, 0.5, 3.0, 0.0), (0.2, -0.5, 3.0, 0.0)])
    run = drive(wedge, [(1.0, 0.1), (1.0, -0.1)] * 10)
    assert (run.hit[0, -4:] & HIT_WALL).all()
    assert run.pose[0, -1, 0] < 1.7


def test_a_robot_that_starts_inside_a_thing_can_leave_it():
    run = drive(room([("table", "red", -0.3, 0.0)]), [(1.0, 0.0)] * 8)
    assert run.pose[0, -1, 0] > 1.0
    assert run.hit[0, -1] == 0


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.array([[math.nan, 0.0]]), r"world 0: action 0 is \[nan, 0.0\]"),
        (np.array([[0.0, math.inf]]), r"action 0 is \[0.0, inf\]"),
        (np.zeros((1, 3)), r"\(b, t, 2\), got \(1, 1, 3\)"),
        (np.zeros(2), r"\(b, 2\) for b worlds, got \(2,\)"),
        (np.zeros((2, 2)), "2 rows of actions and 3 worlds"),
    ],
)
def test_bad_actions_are_named(action, message):
    scenes = [room()] * 3
    with pytest.raises(UsageError, match=message):
        step(stack(scenes), initial_state(scenes[:1]), action, calm(1, 1))


def test_too_little_noise_is_named():
    with pytest.raises(UsageError, match="3 actions and noise for 2 steps"):
        drive(room(), [(0.0, 0.0)] * 3, calm(1, 2))


def test_step_leaves_what_it_was_given_alone():
    worlds, state, actions, noise = crowd(3, 1)
    before = state.take(range(3))
    step(worlds, state, actions[:, 0], noise)
    assert same(state, before)


def test_branching_anywhere_repeats_the_run_bit_for_bit():
    worlds, state, actions, noise = crowd(250, 24)
    factual, states = state, [state]
    for t in range(24):
        factual = step(worlds, factual, actions[:, t], noise.at(t))
        states.append(factual)
    for start in (0, 7, 17, 23):
        again = branch(worlds, states[start], actions[:, start:], noise.since(start))
        assert all(same(again.state(t), states[start + t]) for t in range(25 - start))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 12))
def test_one_world_for_many_branches_is_each_alone(seed, branches, steps):
    worlds, state, _, noise = crowd(1, steps, seed)
    actions = generator(seed, "branches").uniform(-1, 1, (branches, steps, 2))
    together = branch(worlds, state, actions, noise)
    alone = [branch(worlds, state, actions[row : row + 1], noise) for row in range(branches)]
    assert all(same(together.state(steps).take([row]), one.state(steps)) for row, one in enumerate(alone))


def test_shapes_of_a_rollout():
    worlds, state, actions, noise = crowd(3, 5)
    run = branch(worlds, state, actions, noise)
    assert run.pose.shape == (3, 6, 3)
    assert run.person.shape == (3, 6, MAX_PEOPLE, 4)
    assert run.hit.shape == (3, 5)
    assert same(run.state(0), state)
    assert same(branch(worlds, state, actions[:, :0], noise).state(0), state)


def gaps(worlds, places, radius):
    """Free space (b, t, n) around places (b, t, n, 2) to the nearest wall or object."""
    at = places[..., None, :]
    ends = worlds.walls[:, None, None]
    way = ends[..., 2:] - ends[..., :2]
    share = ((at - ends[..., :2]) * way).sum(-1) / np.maximum((way * way).sum(-1), 1e-9)
    wall = np.linalg.norm(at - ends[..., :2] - np.clip(share, 0, 1)[..., None] * way, axis=-1)
    wall = np.where(np.arange(wall.shape[-1]) < worlds.num_walls[:, None, None, None], wall, np.inf)
    thing = np.linalg.norm(at - worlds.position[:, None, None], axis=-1) - worlds.radius[:, None, None]
    thing = np.where(np.arange(thing.shape[-1]) < worlds.num_objects[:, None, None, None], thing, np.inf)
    return np.minimum(wall.min(-1), thing.min(-1)) - radius


def test_nobody_is_ever_inside_anything():
    worlds, state, actions, noise = crowd(40, 160)
    run = branch(worlds, state, actions, noise)
    people, robot = run.person[:, :, :4, :2], run.pose[:, :, None, :2]
    assert gaps(worlds, people, PERSON_RADIUS_M).min() > -1e-6
    assert gaps(worlds, robot, ROBOT_RADIUS_M).min() > -1e-6
    assert np.linalg.norm(people - robot, axis=-1).min() > ROBOT_RADIUS_M + PERSON_RADIUS_M - 1e-6
    apart = np.linalg.norm(people[:, :, :, None] - people[:, :, None], axis=-1) + 9 * np.eye(4)
    assert apart.min() > 2 * PERSON_RADIUS_M - 1e-6


def test_people_keep_walking_and_do_not_shake():
    worlds, state, _, noise = crowd(40, 160)
    run = branch(worlds, state, np.zeros((40, 160, 2)), noise)
    speed = np.linalg.norm(run.person[:, :, :4, 2:], axis=-1)
    assert speed.max() <= 1.3 * 1.1 + 1e-9
    assert speed[:, 8:].mean() > 0.5
    path = run.person[:, :, :4, :2]
    away = np.stack([np.linalg.norm(path[:, t : t + 60] - path[:, t, None], axis=-1).max(1) for t in (10, 50, 90)])
    assert away.min() > 0.5, "each gets half a metre away within 15 s, always"
    change = np.linalg.norm(np.diff(run.person[:, :, :4, 2:], axis=1), axis=-1) / PERIOD_S
    assert np.quantile(change, 0.95) < 4.0, "m/s² over a period"


def test_people_visit_their_goals_in_turn():
    scene = room(people=[(-3.0, 0.0, 3.0, 0.0)], start=(0.0, 4.0, 0.0))
    run = drive(scene, np.zeros((80, 2)))
    there = np.flatnonzero(np.linalg.norm(run.person[0, :, 0, :2] - (3, 0), axis=-1) < 0.4)[0]
    assert 5.6 / 1.1 < there * PERIOD_S < 8.0
    assert run.columns["person_goal"][there, 0, 0] == 1
    assert np.linalg.norm(run.person[0, there:, 0, :2] - (-3, 0), axis=-1).min() < 0.4
    stride = np.linalg.norm(np.diff(run.person[0, :, 0, :2], axis=0), axis=-1).sum()
    turned = run.columns["person_phase"][-1, 0, 0] - run.columns["person_phase"][0, 0, 0]
    assert turned == pytest.approx(2 * math.pi / 1.4 * stride, rel=0.05)


def test_a_person_whose_goal_is_out_of_reach_gives_it_up():
    cell = [(1.5, -1.5, 1.5, 1.5), (1.5, 1.5, 4.5, 1.5), (4.5, 1.5, 4.5, -1.5), (4.5, -1.5, 1.5, -1.5)]
    scene = room(people=[(-2.0, 0.5, 3.0, 0.0)], walls=cell, start=(0.0, -4.0, 0.0))
    run = drive(scene, np.zeros((200, 2)))
    assert set(run.columns["person_goal"][:, 0, 0].tolist()) == {0, 1, 2, 3}
    assert run.person[0, :, 0, 0].max() < 1.5 + 3.0


def test_people_walk_around_a_robot_that_stands_in_the_way_and_never_into_it():
    scene = room(people=[(-3.0, 0.0, 3.0, 0.0)])
    run = drive(scene, np.zeros((40, 2)))
    apart = np.linalg.norm(run.person[0, :, 0, :2], axis=-1)
    assert apart.min() > ROBOT_RADIUS_M + PERSON_RADIUS_M
    assert run.person[0, :, 0, 0].max() > 2.5
    assert not run.hit.any()


def test_perturbation_is_nought_for_a_still_robot_and_for_whoever_cannot_see_it():
    wall = [(-5.0, 2.0, 5.0, 2.0)]
    scene = room(people=[(3.0, 0.2, -3.0, 0.2), (3.0, 3.5, -3.0, 3.5)], walls=wall)
    actions = np.array([[(0.0, 1.0)] * 16, [(0.8, 0.0)] * 16])
    moved = people_perturbation(stack([scene]), initial_state([scene]), actions, draw_noise([3], 16))
    assert moved.shape == (2, MAX_PEOPLE)
    assert moved[0].tolist() == [0.0] * MAX_PEOPLE
    assert moved[1, 0] > 0.01
    assert not moved[1, 1:].any()


def test_perturbation_is_the_mean_squared_way_between_two_runs():
    scene = room(people=[(2.0, 0.3, -3.0, 0.3)])
    worlds, state, noise = stack([scene]), initial_state([scene]), draw_noise([1], 6)
    actions = np.full((1, 6, 2), (0.5, 0.0))
    runs = [branch(worlds, state, plan, noise).person[0, 1:, 0, :2] for plan in (actions, 0 * actions)]
    expected = np.mean(np.sum((runs[0] - runs[1]) ** 2, axis=1))
    assert people_perturbation(worlds, state, actions, noise)[0, 0] == pytest.approx(expected, rel=1e-12)
