import gymnasium
import numpy as np
import pytest
from gl import drawing
from gymnasium.utils.env_checker import check_env
from scenes import room

from embodied_cf.envs.episodes import present
from embodied_cf.envs.navigation import NavigationEnv
from embodied_cf.envs.physics.environment import PhysicalEnv, PhysicalVectorEnv
from embodied_cf.envs.setting import Setting
from embodied_cf.envs.state import Noise
from embodied_cf.envs.tasks import Task
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import GoTo, Thing

SETTING = {"world": "rooms", "size": 24}


@pytest.fixture(autouse=True)
def hand_made(monkeypatch):
    """Tasks in hand-made rooms: what is tested here is not how tasks are made."""

    def task(setting, seed):
        scene = room([("chair", "red", 2.5, (seed % 5) / 4 - 0.5)], people=[(3.0, 3.0, -3.0, 3.0)])
        return Task(scene, GoTo(Thing("chair", "red")), "go to the red chair", seed, ())

    monkeypatch.setattr(Setting, "task", task)


def test_gymnasium_accepts_it():
    with drawing():
        env = gymnasium.make("EmbodiedCF/Rooms-MuJoCo-v0", size=24)
        check_env(env.unwrapped, skip_render_check=True)
        env.close()


def test_it_is_the_navigation_environment_with_other_physics():
    ours, twin = NavigationEnv(**SETTING), PhysicalEnv(**SETTING)
    assert ours.observation_space == twin.observation_space
    assert ours.action_space == twin.action_space
    with drawing():
        (_, told), (_, same) = ours.reset(seed=1), twin.reset(seed=1)
        assert told == same
        chunk = np.column_stack([0.1 * np.arange(1, 9), np.zeros(8)])
        results = [env.step(chunk.astype(np.float32)) for env in (ours, twin)]
        assert set(results[0][4]) == set(results[1][4])
        np.testing.assert_allclose(results[0][0]["pose"], results[1][0]["pose"], atol=0.08)
        twin.close()


def test_several_at_once_and_what_a_branch_foretells():
    many = PhysicalVectorEnv(2, control="velocity", **SETTING)
    action = np.array([[0.5, 0.3], [0.4, -0.3]])
    with drawing():
        many.reset(seed=4)
        noise = present(many.episodes, many.noise)
        one = Noise(noise.slip[[1]], noise.person[[1]])
        foretold = many.fleet.rooms[1].branch(many.fleet.states[1], action[1:], one)
        observation, *_ = many.step(action)
        np.testing.assert_array_equal(many.fleet.states[1].vector, foretold[-1].vector)
        np.testing.assert_array_equal(many.episodes.state.pose[1], foretold[-1].world.pose[0])
        assert observation["image"].shape == (2, 24, 24, 3)
        many.close()


def test_broken_actions_are_refused():
    env = PhysicalEnv(**SETTING)
    with drawing():
        env.reset(seed=0)
        with pytest.raises(UsageError, match="not finite"):
            env.step(np.full((8, 2), np.nan))
        with pytest.raises(UsageError, match=r"\(1, 8, 2\)"):
            env.step(np.zeros(3))
        env.close()


def test_driving_up_to_the_chair_is_success():
    env = PhysicalEnv(control="velocity", **SETTING)
    with drawing():
        env.reset(seed=0)
        ended, gained = False, 0.0
        while not ended:
            pose, chair = env.vector.episodes.state.pose[0], env.vector.tasks[0].scene.position[0]
            away, towards = np.hypot(*(chair - pose[:2])), np.arctan2(*(chair - pose[:2])[::-1]) - pose[2]
            _, reward, ended, _, info = env.step(np.array([0.5 if away > 0.95 else 0.0, towards]))
            gained += reward
        assert info["success"]
        assert info["collisions"] == 0
        assert gained == pytest.approx(1.0)
        assert info["travelled"] == pytest.approx(2.5 - 0.95, abs=0.2)
        env.close()
