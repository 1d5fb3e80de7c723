from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.reexecute import Reexecution, digest, explain_env_episode, in_words

NAMES = ["left", "right", "dig"]


class Corridor(gymnasium.Env):
    """Places 0..4; from 2 on, and there only, digging finds the treasure; at 4 is a hole."""

    action_space = spaces.Discrete(3)
    observation_space = spaces.Dict({"at": spaces.Discrete(5), "said": spaces.Text(9)})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = int(self.np_random.integers(0, 1))
        return {"at": self.at, "said": "dig"}, {}

    def step(self, action):
        found = action == 2 and self.at == 2
        self.at = max(0, self.at + (-1, 1, 0)[action])
        return {"at": self.at, "said": "dig"}, float(found), found or self.at == 4, False, {}


def walks_on(env, rng):
    return lambda observation: 1


def explain(env=Corridor, policy=walks_on, **options):
    return explain_env_episode(Reexecution(env, policy, seed=0), **options)


def test_the_only_step_that_could_have_been_done_otherwise_is_found():
    told = explain()
    assert told.log.actions == (1, 1, 1, 1)
    assert told.decisive == (2, 2)
    assert np.argwhere(told.averted).tolist() == [[2, 2]]
    assert told.necessity.tolist() == [0, 0, 0.5, 0]
    assert told.placebo is False
    assert in_words(told, NAMES).startswith(
        "It fails after 4 steps. Earliest single correction: at step 2, dig instead of right."
    )


def test_a_failure_that_no_single_action_averts():
    def stays(env, rng):
        return lambda observation: 0

    class Short(Corridor):
        def step(self, action):
            *result, _, info = super().step(action)
            self.left = getattr(self, "left", 3) - 1
            return *result, self.left == 0, info

    told = explain(Short, stays)
    assert told.decisive is None
    assert "no single other action averts" in in_words(told, NAMES)


def test_what_does_not_repeat_itself_is_refused():
    class Drifting(Corridor):
        born = 0

        def reset(self, *, seed=None, options=None):
            observation, info = super().reset(seed=seed)
            Drifting.born += 1
            return {**observation, "said": f"{Drifting.born}"}, info

    with pytest.raises(ReplayError, match=r"the environment does not repeat itself: after 0 equal actions.*reset"):
        explain(Drifting)
    moods = iter([1, 1, 1, 1, *[0] * 50])
    with pytest.raises(ReplayError, match=r"the policy does not repeat itself: at step 0 it does 0 and not 1"):
        explain(policy=lambda env, rng: lambda observation: next(moods))


def test_a_policy_that_draws_repeats_itself_by_its_generator():
    def draws(env, rng):
        return lambda observation: int(rng.integers(2))

    assert explain(policy=draws).placebo is False


def test_what_cannot_be_explained_is_named():
    class Steered(Corridor):
        action_space = spaces.Box(-1, 1, (2,))

    def digs_at_two(env, rng):
        return lambda observation: 2 if observation["at"] == 2 else 1

    with pytest.raises(ReplayError, match=r"actions are Box.*discrete actions"):
        explain(Steered)
    with pytest.raises(ReplayError, match="the episode succeeds"):
        explain(policy=digs_at_two)
    with pytest.raises(ReplayError, match="4 steps of 3 actions are more than 5 episodes"):
        explain(most=5)


def test_babyai_repeats_itself():
    pytest.importorskip("minigrid")
    from embodied_cf.envs.babyai import make_babyai

    def goes_forward(env, rng):
        return lambda observation: 2

    told = explain_env_episode(Reexecution(partial(make_babyai, tile=4, max_steps=4), goes_forward, seed=1))
    assert told.averted.shape == (4, 7)
    assert told.placebo is False


def test_digests_tell_observations_apart():
    same = {"a": np.arange(3), "b": ("x", 1)}
    assert digest(same) == digest({"b": ("x", 1), "a": np.arange(3)})
    others = [{**same, "a": np.arange(3.0)}, {**same, "b": ("y", 1)}, {"a": np.arange(3)}]
    assert digest(same) not in {digest(other) for other in others}
