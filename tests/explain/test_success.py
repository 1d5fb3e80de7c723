"""What counts as success in environments from outside."""

import gymnasium
import numpy as np
import pytest

from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.options import LearnOptions
from embodied_cf.explain.outside.explanation import explain_env_episode, in_words
from embodied_cf.explain.outside.learned_data import GOES_ON, SUCCEEDS, Source
from embodied_cf.explain.outside.learning import learn_env
from embodied_cf.explain.outside.reexecute import Reexecution
from embodied_cf.explain.outside.success import Rule


def pushes(env, rng):
    """Falls within a dozen steps."""
    return lambda observation: 1


def balances(env, rng):
    return lambda observation: int(observation[2] + 0.5 * observation[3] + 0.1 * observation[1] > 0)


def cart():
    return gymnasium.make("CartPole-v1")


class Flagged(gymnasium.Wrapper):
    """Says itself that it has succeeded, whatever is paid."""

    def step(self, action):
        *result, info = self.env.step(action)
        return *result, {**info, "is_success": True}


def test_a_pole_that_falls_has_failed_and_one_that_stands_has_not():
    fallen, stood = (Reexecution(cart, policy, seed=0).run() for policy in (pushes, balances))
    assert (len(fallen.actions) < 15, fallen.success) == (True, False)
    assert (len(stood.actions), stood.success) == (500, True)
    assert fallen.rule == Rule("return", 475.0, "the environment's reward threshold")
    lived = Source(cart, pushes).live(0), Source(cart, balances).live(0)
    assert [it.success for it in lived] == [False, True]


def test_the_return_that_the_user_names_counts_first():
    log = Reexecution(cart, pushes, seed=0, succeeds_at=5).run()
    assert log.success
    assert log.rule.in_words == "its return is at least 5 (--succeeds-at)"
    assert not Reexecution(lambda: Flagged(cart()), pushes, seed=0, succeeds_at=99).run().success


def test_what_the_environment_says_counts_before_its_threshold():
    log = Reexecution(lambda: Flagged(cart()), pushes, seed=0).run()
    assert (log.success, log.rule) == (True, Rule("info"))
    assert Source(lambda: Flagged(cart()), pushes).live(0).ends == SUCCEEDS


def test_the_clock_alone_is_no_failure_of_a_state():
    assert Source(cart, balances, succeeds_at=600).live(0).ends == GOES_ON


def test_the_rule_is_told():
    told = explain_env_episode(Reexecution(cart, pushes, seed=0, succeeds_at=12))
    assert in_words(told).endswith("It succeeds if its return is at least 12 (--succeeds-at).")
    assert told.to_json()["success_rule"] == "its return is at least 12 (--succeeds-at)"


def test_no_model_is_learnt_of_returns():
    with pytest.raises(ReplayError, match=r"a learned model keeps no returns.*info\['success'\]"):
        learn_env(Source(cart, pushes), LearnOptions(learn=8), 0)


@pytest.mark.parametrize("given", [7, -1, None, 0.7, "left", [0, 1], True])
def test_what_is_no_action_is_refused(given):
    with pytest.raises(ReplayError, match=r"the policy returns .*, which is none of the actions 0 to 1"):
        Reexecution(cart, lambda env, rng: lambda observation: given, 0).run()


def test_actions_of_numpy_are_actions():
    for given in (np.int64(1), np.array(1), np.array([1], np.int32)):
        log = Reexecution(cart, lambda env, rng, given=given: lambda observation: given, 0).run()
        assert set(log.actions) == {1}


def test_an_episode_without_an_end_is_refused():
    """It would be told as a failure, though it might yet succeed."""
    with pytest.raises(ReplayError, match=r"the episode has not ended after 50 steps.*TimeLimit"):
        Reexecution(cart, balances, 0, max_steps=50).run()
    with pytest.raises(ReplayError, match="the episode has not ended after 50 steps"):
        Source(cart, balances, max_steps=50).live(0)
