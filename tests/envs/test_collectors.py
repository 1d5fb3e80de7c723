import numpy as np
import pytest
from scenes import room

from embodied_cf.envs.driving.collectors import Collector
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.state import HIT_OBJECT, HIT_PERSON, draw_noise, initial_state
from embodied_cf.errors import UsageError

THINGS = [
    ("chair", "red", 2.0, 2.0),
    ("box", "blue", 2.4, -1.6),
    ("cone", "green", -2.5, 1.0),
    ("bin", "white", -3, -3),
]
SCENE = room(THINGS, people=[(3.0, 0.5, -3.0, 0.0), (0.0, 3.5, 0.5, -3.5)])


def collect(scenes, seed, episodes, bias, steps=240):
    """Drive; the collector, poses (t, b, 3), actions (t, b, 2), what was hit (b,)."""
    collector, state = Collector.of(scenes, seed, episodes, bias), initial_state(scenes)
    noise = draw_noise(episodes, steps)
    poses, actions, hit = [state.pose], [], np.zeros(len(scenes), np.uint8)
    for at in range(steps):
        actions.append(collector.act(state))
        state = step(collector.worlds, state, actions[-1], noise.at(at))
        poses.append(state.pose)
        hit |= state.hit
    return collector, np.stack(poses), np.stack(actions), hit


@pytest.mark.parametrize("bias", [0.0, 0.5, 1.0])
def test_logs_look_driven_and_nothing_is_touched(bias):
    _, poses, actions, hit = collect([SCENE] * 12, 0, range(12), bias)
    assert not (hit & (HIT_OBJECT | HIT_PERSON)).any()
    way = np.hypot(*np.diff(poses[..., :2], axis=0).T).sum(axis=1)
    assert (way > 8).all()
    speed, turn = actions[..., 0], actions[..., 1]
    assert 0.02 < (speed == 0).mean() < 0.5
    assert len(np.unique(speed.round(2))) > 20
    assert (speed[turn != 0] >= 0.12).all()


def test_the_biased_drive_to_the_nearest_thing_first_and_then_on():
    scenes = [room(THINGS, start=(0.0, 0.0, yaw)) for yaw in np.linspace(-3, 3, 8)]
    collector, poses, *_ = collect(scenes, 1, range(8), 1.0)
    cone, others = np.array([-2.5, 1.0]), np.array([(2.0, 2.0), (2.4, -1.6), (-3, -3)])
    near = np.hypot(*(poses[..., :2] - cone).transpose(2, 0, 1)) < 1.5
    near_other = (np.linalg.norm(poses[:, :, None, :2] - others, axis=3) < 1.0).any(axis=2)
    first = np.where(near_other.any(axis=0), near_other.argmax(axis=0), 1000)
    assert near.any(axis=0).all()
    assert (near.argmax(axis=0) < first).all()
    assert (collector.memory.visited.sum(axis=1) >= 3).all()


def test_an_episode_depends_on_seed_and_number_alone():
    _, together, *_ = collect([SCENE] * 3, 5, [4, 7, 9], 0.3, steps=80)
    _, alone, *_ = collect([SCENE], 5, [7], 0.3, steps=80)
    _, other, *_ = collect([SCENE], 6, [7], 0.3, steps=80)
    np.testing.assert_array_equal(together[:, 1], alone[:, 0])
    assert np.abs(other - alone).max() > 0.1


def test_a_bias_that_is_no_share_is_refused():
    with pytest.raises(UsageError, match=r"bias 1\.5 is no share"):
        Collector.of([SCENE], 0, [0], 1.5)
