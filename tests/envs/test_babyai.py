import math
import string

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from embodied_cf.envs.adapter import AdaptedEnv, Wiring, adapt, checked_action, flagged, made, rewarded
from embodied_cf.envs.babyai import bot, make_babyai
from embodied_cf.errors import MissingLibraryError, UsageError


class Foreign(gymnasium.Env):
    """Says and shows things in places of its own; two steps long."""

    def __init__(self):
        view = spaces.Dict({"front": spaces.Box(0, 255, (4, 6, 3), np.uint8), "depth": spaces.Box(0, 1, (4, 6))})
        self.observation_space = spaces.Dict({"view": view, "task": spaces.Text(20, charset=string.printable)})
        self.action_space = spaces.Box(-1, 1, (2,))

    def _observe(self):
        view = {"front": np.full((4, 6, 3), 7, np.uint8), "depth": np.zeros((4, 6), np.float32)}
        return {"view": view, "task": "open it"}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 2
        return self._observe(), {"is_success": False}

    def step(self, action):
        self.left -= 1
        return self._observe(), 0.5, self.left == 0, False, {"is_success": self.left == 1}


WIRED = Wiring(image="view/front", instruction="task")


def test_image_and_instruction_are_found_where_the_wiring_says():
    observation, info = adapt(Foreign(), WIRED).reset(seed=0)
    assert set(observation) == {"image", "instruction"}
    assert observation["image"].shape == (4, 6, 3)
    assert observation["instruction"] == info["instruction"] == "open it"
    assert info["success"] is False
    check_env(adapt(Foreign(), WIRED), skip_render_check=True)


@pytest.mark.parametrize(("rule", "outcome"), [(rewarded, [False, True]), (flagged, [True, False])])
def test_success_follows_the_rule(rule, outcome):
    env = adapt(Foreign(), Wiring("view/front", "task", rule))
    env.reset(seed=0)
    assert [env.step(np.zeros(2))[4]["success"] for _ in range(2)] == outcome


def test_a_pose_is_read_off_the_environment():
    env = adapt(Foreign(), Wiring("view/front", "task", pose=lambda inner: np.array([inner.left, 0.0, 1.0])))
    assert env.reset(seed=0)[0]["pose"].tolist() == [2.0, 0.0, 1.0]
    assert env.step(np.zeros(2))[0]["pose"].tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("wiring", "text"),
    [
        (Wiring("view/back", "task"), "no 'view/back'"),
        (Wiring("view/front", "mission"), "no 'mission'. It has: "),
        (Wiring("view/depth", "task"), "no .h, w, 3. uint8 image"),
        (Wiring("", "task"), "no .h, w, 3. uint8 image"),
    ],
)
def test_wirings_that_name_nothing_are_refused(wiring, text):
    with pytest.raises(UsageError, match=text):
        adapt(Foreign(), wiring)


def test_broken_actions_are_refused():
    env = adapt(Foreign(), WIRED)
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"shape \(3,\) where \(2,\) belongs"):
        env.step(np.zeros(3))
    with pytest.raises(UsageError, match="not finite"):
        env.step(np.array([np.nan, 0.0]))
    with pytest.raises(UsageError, match=r"action 7 is none of Discrete\(7\)"):
        checked_action(spaces.Discrete(7), 7)
    assert checked_action(spaces.Discrete(7), 6) == 6


@pytest.mark.parametrize("name", ["EmbodiedCF/Nowhere-v0", "no_such_package:Thing-v0"])
def test_unknown_ids_are_refused(name):
    with pytest.raises(UsageError, match="no environment"):
        made(name)


def test_babyai_speaks_our_form():
    env = gymnasium.make("EmbodiedCF/BabyAI-v0", level="BabyAI-GoToLocal-v0").unwrapped
    assert isinstance(env, AdaptedEnv)
    check_env(env, skip_render_check=True)
    observation, _ = env.reset(seed=1)
    assert observation["image"].shape == (56, 56, 3)
    assert observation["instruction"] == "go to the purple box"
    with pytest.raises(UsageError, match="no environment 'BabyAI-Nowhere-v0'"):
        make_babyai("BabyAI-Nowhere-v0")


def test_poses_on_the_grid_turn_and_move_as_the_agent_does():
    left, right, forward = 0, 1, 2
    env = make_babyai("BabyAI-GoToObj-v0")
    for seed in range(6):
        x, y, yaw = env.reset(seed=seed)[0]["pose"]
        turned = env.step(left)[0]["pose"]
        assert math.remainder(turned[2] - yaw - math.pi / 2, math.tau) == pytest.approx(0.0, abs=1e-5)
        env.step(right)
        moved = env.step(forward)[0]["pose"][:2] - [x, y]
        expected = [math.cos(yaw), math.sin(yaw)]
        assert np.allclose(moved, expected, atol=1e-5) or np.allclose(moved, 0.0), "something may stand in the way"


def test_the_bot_solves_levels_and_a_still_agent_does_not():
    env = make_babyai()
    solved = 0
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        act, over, info = bot(env, np.random.default_rng(0)), False, {}
        while not over:
            observation, _, terminated, truncated, info = env.step(act(observation))
            over = terminated or truncated
        solved += info["success"]
    assert solved == 5
    env.reset(seed=0)
    assert not any(env.step(0)[4]["success"] for _ in range(64))


def test_without_minigrid_the_error_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "minigrid", None)
    monkeypatch.setitem(sys.modules, "minigrid.wrappers", None)
    with pytest.raises(MissingLibraryError, match=r"embodied-cf\[babyai\]"):
        make_babyai()
