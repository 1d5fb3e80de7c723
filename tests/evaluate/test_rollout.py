"""What a policy with a memory is shown on its way, and told of it."""

from dataclasses import dataclass, field

import numpy as np

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.envs.tasks import make_task
from embodied_cf.evaluate.rollout import run_episodes
from embodied_cf.policies.contract import ActionChunk
from embodied_cf.relabel.synthesize import arcs


@dataclass
class Watcher:
    """Drives in a bend and keeps what it is shown."""

    stride: int
    history: int
    shown: list = field(default_factory=list)

    camera, embodiment = (16, 16), load_embodiment("nav")

    def act(self, observation, instruction, rng):
        self.shown.append(observation)
        chunk = arcs(np.full(len(observation), 0.8), np.full(len(observation), 0.6), 8).astype(np.float32)
        return ActionChunk(chunk, np.ones(chunk.shape[:2], bool))


def watched(stride):
    """Two seconds of the past, in steps of so many control periods."""
    policy, task = Watcher(stride, 8 // stride + 1), make_task("rooms", "object", "dev", 3)
    drives = run_episodes(policy, [task], [task.text], np.random.default_rng(0), execute=4)
    return policy.shown, drives.pose[0]


def test_frames_some_periods_apart_are_those_of_a_policy_that_looks_at_all():
    every, _ = watched(1)
    for stride in (2, 4):
        some, _ = watched(stride)
        assert len(some) == len(every) > 3
        for one, other in zip(some, every, strict=True):
            np.testing.assert_array_equal(one.image, other.image[:, ::stride])
            np.testing.assert_array_equal(one.odometry[:, 1:], other.odometry[:, 1::stride])
    assert any((one.image[:, 0] != one.image[:, -1]).any() for one in every)


def test_odometry_tells_where_it_was_told_and_where_each_frame_was_taken():
    shown, pose = watched(1)
    for decision, observation in enumerate(shown):
        now = 4 * decision
        x, y, yaw = pose[now]
        for place, at in enumerate([0, *(max(now - age, 0) for age in range(8, -1, -1))]):
            forward, left, turned = observation.odometry[0, place]
            there = np.array([x + np.cos(yaw) * forward - np.sin(yaw) * left,
                              y + np.sin(yaw) * forward + np.cos(yaw) * left, yaw + turned])  # fmt: skip
            np.testing.assert_allclose(there, pose[at], atol=1e-5)
