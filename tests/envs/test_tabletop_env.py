import gymnasium
import numpy as np
import pytest
from gl import drawing
from gymnasium.utils.env_checker import check_env

from embodied_cf.envs.tabletop import expert
from embodied_cf.envs.tabletop.dynamics import rows_of
from embodied_cf.envs.tabletop.environment import TabletopEnv
from embodied_cf.envs.tabletop.tasks import make_task
from embodied_cf.errors import UsageError


@pytest.mark.parametrize("action", ["row", "chunk"])
def test_gymnasium_accepts_it(action):
    with drawing():
        env = gymnasium.make("EmbodiedCF/Tabletop-v0", size=32, action=action, render_mode="rgb_array")
        check_env(env.unwrapped)
        env.close()


def test_an_episode_is_a_function_of_the_seed():
    env, again = TabletopEnv(size=24), TabletopEnv(size=24)
    with drawing():
        first, info = env.reset(seed=3)
        second, _ = again.reset(seed=3)
        assert first["instruction"] == second["instruction"]
        np.testing.assert_array_equal(first["image"], second["image"])
        others = [env.reset()[1]["seed"] for _ in range(3)]
        assert info["seed"] not in others
        assert len(set(others)) == 3, "without a seed it goes on with further episodes"


def test_the_expert_ends_an_episode_with_reward_one():
    env = TabletopEnv(task="reach", size=24)
    with drawing():
        observation, info = env.reset(seed=1)
        assert info["skill"] == "reach"
        assert observation["image"].std() > 10, "something is to be seen"
        total, ended = 0.0, False
        while not ended:
            row = expert.act(env.goal, env.table.instant(env.state))
            observation, reward, ended, truncated, info = env.step(row)
            assert not truncated
            total += reward
        assert info["success"]
        assert total == 1.0
        assert env.observation_space.contains(observation)


def test_what_a_branch_says_is_what_happens():
    env = TabletopEnv(task="place", size=24)
    rows = np.random.default_rng(0).uniform(-0.05, 0.05, (6, 7))
    with drawing():
        env.reset(seed=2)
        foretold = env.table.branch(env.state, rows)
        for row in rows:
            env.step(row)
        np.testing.assert_array_equal(env.state.vector, foretold.states[-1].vector)


def test_a_chunk_is_carried_out_by_its_first_row():
    task = make_task("reach", "train", 0)
    chunk = np.cumsum(np.tile([0.02, 0.01, -0.02, 0, 0, 0.1, 0], (8, 1)), axis=0)
    by_row, by_chunk = TabletopEnv(size=16), TabletopEnv(size=16, action="chunk")
    with drawing():
        for env, action in ((by_row, rows_of(chunk)[0]), (by_chunk, chunk)):
            env.reset(options={"task": task})
            env.step(action)
        np.testing.assert_array_equal(by_row.state.vector, by_chunk.state.vector)


def test_a_time_limit_truncates():
    env = TabletopEnv(task="reach", size=8)
    with drawing():
        env.reset(seed=0)
        ends = [env.step(np.array([0, 0, 0, 0, 0, 0, 1.0]))[2:4] for _ in range(40)]
        assert ends == [(False, False)] * 39 + [(False, True)]
        with pytest.raises(UsageError, match=r"no episode is under way.*reset"):
            env.step(np.zeros(7))


def test_broken_actions_and_options_are_refused():
    with pytest.raises(UsageError, match="no tabletop task 'dance'"):
        TabletopEnv(task="dance")
    with pytest.raises(UsageError, match="form of action 'torque'"):
        TabletopEnv(action="torque")
    with pytest.raises(UsageError, match="unknown split 'all'"):
        TabletopEnv(split="all")
    with pytest.raises(UsageError, match="0x0 pixels"):
        TabletopEnv(size=0)
    env, chunks = TabletopEnv(size=8), TabletopEnv(size=8, action="chunk")
    with pytest.raises(UsageError, match="Call reset"):
        env.step(np.zeros(7))
    with drawing():
        env.reset(seed=0)
        chunks.reset(seed=0)
        with pytest.raises(UsageError, match=r"\(2,\) where \(7,\) belongs"):
            env.step(np.zeros(2))
        with pytest.raises(UsageError, match="not finite"):
            env.step(np.full(7, np.nan))
        with pytest.raises(UsageError, match=r"\(7,\) where \(8, 7\) belongs"):
            chunks.step(np.zeros(7))
