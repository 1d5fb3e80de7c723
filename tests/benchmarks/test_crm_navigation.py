"""Steering among people, in miniature: what is seen, driven, logged and paid for."""

import numpy as np
import pytest
import torch

from benchmarks.crm_navigation import driver
from benchmarks.crm_navigation.acting import Acting, by, deploy, drive, fresh
from benchmarks.crm_navigation.context import FEATURES, MENU, STEERING, USED, settings, situation
from benchmarks.crm_navigation.drives import Moment, Outcome, begin, finish
from benchmarks.crm_navigation.errands import FAR_M, NEAR_M, errands
from benchmarks.crm_navigation.loop import Schedule, replicate
from benchmarks.crm_navigation.truth import find_truth


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_costs_by_hand():
    """Failed: 0.4, hit something: 0.3 more, half a square metre of perturbation: half of 0.3; at most 1."""
    ended = Outcome(
        np.array([True, False, False, False]), np.array([False, False, True, True]), np.array([0.5, 0.0, 0.5, 9.0]),
        np.zeros((4, 1, 2)),
    )  # fmt: skip
    assert ended.cost.tolist() == pytest.approx([0.15, 0.4, 0.85, 1.0])


def test_errands_are_ahead_of_the_robot():
    goals = np.stack([errand.goal for errand in errands(range(3))])
    assert ((np.linalg.norm(goals, axis=1) >= NEAR_M) & (np.linalg.norm(goals, axis=1) <= FAR_M)).all()
    assert (np.abs(np.arctan2(goals[:, 1], goals[:, 0])) <= 0.4 + 1e-9).all()


def test_the_driver_goes_straight_where_nothing_is_and_by_the_side_it_is_told():
    pose, goal = np.zeros((4, 3)), np.tile([4.0, 0.0], (4, 1))
    far = driver.remember(None, pose, np.full((4, 1, 2), 9.0))
    told = driver.Settings(np.arange(4), np.full(4, 0.5), np.full(4, 0.3))
    action = driver.act(pose, goal, far, told)
    assert action[1].tolist() == [0.5, 0.0]
    assert action[0, 1] < 0 < action[2, 1], "right turns clockwise"
    wall = np.stack([np.full(41, 0.45), np.linspace(-2, 2, 41)], axis=1)[None].repeat(4, axis=0)
    assert driver.act(pose, goal, driver.remember(None, pose, wall), told)[:, 0].tolist() == [0.0] * 4


def test_features_by_hand():
    """A person 2.5 m straight ahead, at 3 m a second ago; the floor is seen free for half the way."""
    person, before = np.full((1, 6, 2), np.nan), np.full((1, 6, 2), np.nan)
    person[0, 2], before[0, 2] = (2.5, 0.0), (3.0, 0.0)
    floor = np.array([[[2.05, 0.1], [0.5, 2.0]]])
    moment = Moment(None, None, None, np.array([[4.1, 0.0]]), None, floor, person, before, (0,))
    assert situation(moment)[0] == pytest.approx([1.0, 1.0, 1.0, 0.5, 0.0])
    nobody = moment._replace(person=np.full((1, 6, 2), np.nan))
    assert situation(nobody)[0] == pytest.approx([1.0, 0.0, 0.0, 0.0, 0.0])


def test_equal_settings_cost_the_same_and_standing_pushes_nobody():
    """The same chance gives the same drive. Who waits at speed 0 changes nobody's way."""
    moment = begin(errands([1, 2]))
    one, other = (finish(moment, settings(np.array([3, 3]))) for _ in range(2))
    assert one.cost.tolist() == other.cost.tolist()
    assert (one.actions == other.actions).all()
    still = finish(moment, driver.Settings(np.array([1, 1]), np.zeros(2), np.full(2, 0.3)))
    assert still.perturbation.max() < 1e-9
    assert not still.arrived.any()


def test_logs_hold_what_was_done_and_are_not_made_twice(tmp_path):
    policy = Acting("steering@0")
    log = deploy(policy, 0, "test", 3, tmp_path / "log")
    seen = drive(fresh(0, "test", 3)[0], by(policy), np.random.default_rng(0))
    assert log.context == pytest.approx(seen.context[:, USED])
    assert seen.context.shape == (3, len(FEATURES))
    assert log.log_prob == pytest.approx(np.full(3, -np.log(len(MENU))))
    assert log.logger == ("steering@0",) * 3
    assert log.ends is not None
    assert log.ends.cost == pytest.approx(-log.reward)
    assert (deploy(policy, 0, "test", 3, tmp_path / "log").action == log.action).all()


def test_a_replicate_in_miniature(tmp_path):
    truth = find_truth(tmp_path / "truth", 4)
    uniform = truth.cost.mean(axis=1)
    assert truth.of(Acting("steering@0")) == pytest.approx(uniform), "at first every setting is as likely"
    found = replicate(0, Schedule(sizes=(30,), truth=4, gate=4), truth, tmp_path / "0")
    stage = found["stages"][0]
    assert -1 <= stage["lower"] <= 1
    assert stage["first_true_cost"] == pytest.approx(uniform.mean())
    assert found["deployed"][0]["cost"] == pytest.approx(uniform.mean())
    assert (tmp_path / "0" / "stage_0.html").is_file()
    assert STEERING.size == 9
