import gymnasium
import numpy as np
import pytest
from gl import drawing
from gymnasium.utils.env_checker import check_env

from embodied_cf.envs.episodes import present
from embodied_cf.envs.navigation import NavigationEnv
from embodied_cf.envs.physics.environment import PhysicalEnv, PhysicalVectorEnv
from embodied_cf.envs.registration_extras import register_extras
from embodied_cf.envs.state import Noise
from embodied_cf.errors import UsageError

SETTING = {"world": "rooms", "people": (1, 2), "family": "object", "size": 24, "pool": 2}


def test_gymnasium_accepts_it():
    register_extras()
    with drawing():
        env = gymnasium.make("EmbodiedCF/Rooms-MuJoCo-v0", family="object", size=24, pool=2)
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
        foretold = many.rooms[1].branch(many.states[1], action[1:], one)
        observation, *_ = many.step(action)
        np.testing.assert_array_equal(many.states[1].vector, foretold[-1].vector)
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
