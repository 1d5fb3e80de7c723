"""Chains told part by part: which part when, and what of the past is shown then. Splitting needs no network."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.envs.tasks import make_task
from embodied_cf.evaluate.past import Past
from embodied_cf.evaluate.rollout import run_episodes
from embodied_cf.evaluate.told import Telling
from embodied_cf.language.predicate_tracker import STOP_M, STOP_STEPS
from embodied_cf.policies.contract import ActionChunk
from embodied_cf.relabel.synthesize import arcs


@dataclass
class Obedient:
    """Drives on while it is told to go, stands after so many decisions of the same words; keeps what it was told."""

    by_parts: bool = True
    patience: int = 2
    said: list = field(default_factory=list)
    past: list = field(default_factory=list)

    camera, embodiment, history, stride = (16, 16), load_embodiment("nav"), 3, 2

    def act(self, observation, instruction, rng):
        self.said.append(instruction)
        self.past.append(observation)
        chunk = arcs(np.full(len(observation), 0.4), np.full(len(observation), 0.2), 8).astype(np.float32)
        for row, text in enumerate(instruction):
            if sum(text in told for told in self.said) > self.patience:
                chunk[row] = 0.0
        return ActionChunk(chunk, np.ones(chunk.shape[:2], bool))


def driven(policy, *texts):
    tasks = [make_task("rooms", "object", "dev", seed) for seed in range(3, 3 + len(texts))]
    return run_episodes(policy, tasks, texts, np.random.default_rng(0))


def test_the_next_part_is_told_once_the_robot_has_stood():
    policy = Obedient()
    pose = driven(policy, "go to the box, then turn left; after that, stop").pose[0]
    first, second, last = "go to the box", "turn left", "stop"
    said = [told for (told,) in policy.said]
    stood = said.index(second)
    assert said[: stood + 1] == [first] * stood + [second]
    still = pose[4 * (stood - 1) - STOP_STEPS : 4 * (stood - 1) + 1, :2]
    assert np.ptp(still, axis=0).max() <= STOP_M, "it has stopped, and did not only mean to"
    assert stood <= 2 + 3, "two decisions to drive; at most three to stand, at the last of which it is told"
    assert set(said[stood : said.index(last)]) == {second}
    assert set(said[said.index(last) :]) == {last}, "nothing comes after the last part"


def test_who_stands_as_it_is_told_drives_on_first():
    policy = Obedient(patience=0)
    driven(policy, "go to the box, then turn left; after that, stop")
    said = [told for (told,) in policy.said]
    assert said[:2] == ["go to the box"] * 2, "it had not been told before it stood"
    assert said[2:4] == ["turn left"] * 2


def test_the_past_of_a_part_begins_with_it():
    policy = Obedient()
    pose = driven(policy, "go to the box, then turn left").pose[0]
    told_again = policy.said.index(("turn left",))
    now, later = policy.past[told_again], policy.past[told_again + 1]
    at = 4 * (told_again - 1)  # it was asked twice at that moment
    np.testing.assert_allclose(now.odometry, 0.0, atol=1e-6)
    assert (now.image == now.image[:, -1:]).all()
    np.testing.assert_allclose(later.odometry[0, 0, 0], -np.hypot(*(pose[at + 4, :2] - pose[at, :2])), atol=0.05)
    assert (later.image[:, 0] == now.image[:, -1]).all()
    before = policy.past[told_again - 1]
    assert np.abs(before.odometry[0, 0]).max() > 0.1


def test_robots_are_told_apart():
    """Two hear two parts, one hears one; all of it in the same batch."""
    policy = Obedient()
    driven(policy, "go to the box, then turn left", "go to the chair", "go to the table, then turn right")
    everything = {text for told in policy.said for text in told}
    assert everything == {"go to the box", "turn left", "go to the chair", "go to the table", "turn right"}


def test_who_does_not_want_parts_is_told_all_of_it():
    policy = Obedient(by_parts=False)
    driven(policy, "go to the box, then turn left")
    assert {told for (told,) in policy.said} == {"go to the box, then turn left"}


def test_telling_can_begin_later_and_never_ends():
    telling = Telling.of(Obedient(), ("stop, then turn left", "stop"), done=1)
    rows = np.arange(2)
    assert telling.now(rows) == ("turn left", "stop")
    assert len(telling.go_on(rows)) == 0
    assert telling.now(rows) == ("turn left", "stop")


@pytest.mark.parametrize("told_at", [1, 3])
def test_only_those_that_are_told_anew_forget(told_at):
    past = Past.of(Obedient(), 2)
    poses = []
    for period in range(6):
        look = np.full((2, 1, 1, 3), period, np.uint8)
        past.begin(look) if period == 0 else past.add(0, np.arange(2), lambda rows, look=look: look[rows])
        poses.append(np.tile([float(period), 0.0, 0.0], (2, 1)))
        if period == told_at:
            past.tell(np.array([1]))
    assert past.frames[:, :, 0, 0, 0].tolist() == [[1, 3, 5], [max(1, told_at), max(3, told_at), 5]]
    assert past.odometry(poses)[:, 0, 0].tolist() == [-5.0, float(told_at - 5)]
