from enum import IntEnum
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.outside.choices import Points, choices_in
from embodied_cf.explain.outside.explanation import explain_env_episode, in_words
from embodied_cf.explain.outside.reexecute import Correction, Reexecution, digest

Ways = IntEnum("Ways", ["left", "right", "dig"], start=0)


class Corridor(gymnasium.Env):
    """Places 0..4; from 2 on, and there only, digging finds the treasure; at 4 is a hole."""

    actions = Ways
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
    assert in_words(told).startswith(
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
    assert "no single other action averts" in in_words(told)


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

    assert explain(policy=draws).log.draws


def tosses(env, rng):
    return lambda observation: int(rng.integers(2))


class Parity(gymnasium.Env):
    """Who has done 1 an even number of times in six steps has won."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(0, 9, (1,))

    def reset(self, *, seed=None, options=None):
        self.done = []
        return np.zeros(1), {}

    def step(self, action):
        self.done.append(action)
        return np.zeros(1), float(sum(self.done) % 2 == 0), len(self.done) == 6, False, {}


def failing(env, policy, fits=lambda log: True):
    """The first of some episodes that fails, and fits."""
    what = (Reexecution(env, policy, seed) for seed in range(99))
    return next(it for it in what if not (log := it.run()).success and fits(log))


def test_what_averts_a_failure_by_luck_is_no_correction():
    """Doing the other thing at any step averts it, were all draws after that the same; in truth it is a toss-up."""
    told = explain_env_episode(failing(Parity, tosses), draws=8)
    assert told.averted.sum(axis=1).tolist() == [1] * 6
    assert [told.log.draws, told.draws] == [True, 32]
    assert told.decisive == (5, 1 - told.log.actions[5])  # the last, after which nothing is left to chance
    assert (told.found.share, told.found.luck) == (1, 0)
    assert "(the policy draws nothing anew after it that would change what it does)" in in_words(told)
    assert "At 6 of 6 steps some other action averts it under the draws that it had." in in_words(told)
    assert told.measures.validity is None
    assert told.cost == 6 + 2 + 1 + 6 * 2 * 8 + 2 * 32  # once, again, once more; looks, one of them confirmed


def test_luck_alone_is_said():
    """Held for four steps, an action turns the sum's parity only at the first decision: the rest is tossed again."""

    what = failing(Parity, tosses, lambda log: log.actions[4] == log.actions[5])
    told = explain_env_episode(what, hold=4, draws=8)
    assert told.averted.tolist() == [[True, True], [False, False]]
    assert told.decisive is None
    assert "Under other draws of the policy none does in 50% more of them than going on without it" in in_words(told)
    assert told.measures.validity is None
    blind = explain_env_episode(what, hold=4, draws=0)
    assert blind.decisive == (0, 0)
    assert (blind.found.share, blind.measures.validity) == (None, None)
    assert "for 4 steps (not tried under other draws of the policy)." in in_words(blind)


def test_draws_that_change_nothing_leave_the_correction():
    def idle(env, rng):
        return lambda observation: [rng.random(), 1][1]

    told = explain(policy=idle)
    assert (told.decisive, told.found.share, told.found.luck) == ((2, 2), 1, 0)
    assert told.measures.validity is None  # they are other draws in name only
    assert explain().draws == 0  # nothing is drawn, nothing is to be tried


def test_draws_are_told_where_they_change_something():
    """Whoever digs at 2 is saved; before that, the way there is tossed."""

    def dawdles(env, rng):
        return lambda observation: int(rng.random() < 0.9)

    told = explain(policy=dawdles)
    assert told.decisive[1] == 2
    assert told.log.draws
    assert told.found.share == 1

    class Late(Parity):
        """The second action wins; the others do not matter."""

        def step(self, action):
            *result, done, truncated, info = super().step(action)
            return result[0], float(self.done[1:2] == [0]), done, truncated, info

    def mostly(env, rng):
        return lambda observation: int(rng.random() < 0.9)

    late = explain_env_episode(
        next(it for it in (Reexecution(Late, mostly, at) for at in range(9)) if not it.run().success)
    )
    assert late.decisive == (1, 0)
    assert late.found.varied
    assert "under 16 other draws of the policy it averts the failure in 100%, and without it that happens in 0%" in (
        in_words(late)
    )
    assert late.measures.validity == 1


@pytest.mark.parametrize(
    "own",
    [lambda rng: np.random.default_rng(rng.integers(2**32)), lambda rng: rng.spawn(1)[0]],
    ids=["derived", "spawned"],
)
def test_draws_that_cannot_be_made_anew_are_not_counted(own):
    def policy(env, rng):
        mine = own(rng)
        return lambda observation: int(mine.integers(2))

    told = explain_env_episode(failing(Parity, policy))
    assert not told.found.varied
    assert "(the policy draws nothing anew after it that would change what it does)" in in_words(told)
    assert told.measures.validity is None


def test_choices_that_are_what_was_done_are_no_others():
    class Full(Slider):
        action_space = spaces.Box(-1, 1, (3,), np.float32)

        def step(self, action):
            self.count += 1
            return np.array([0.0]), float(action[0] < 0), self.count == 2, False, {}

    told = explain(Full, lambda env, rng: lambda observation: [1, 1, 1])
    assert told.done.sum(axis=1).tolist() == [3, 3]  # each coordinate at its upper end
    assert told.necessity.tolist() == [0, 0.25]
    assert told.measures.cost == 2 * 4 + 3


def test_an_end_that_does_not_repeat_itself_is_refused():
    class Fickle(Corridor):
        born = 0

        def step(self, action):
            Fickle.born += 1
            *result, over, truncated, info = super().step(action)
            return result[0], float(over and Fickle.born > 4), over, truncated, info

    with pytest.raises(ReplayError, match="the same actions again end otherwise"):
        explain(Fickle)


def test_a_correction_that_helps_only_once_is_refused():
    class Wavering(Corridor):
        """Digging at 2 finds the treasure the first time in a lifetime."""

        found = 0

        def step(self, action):
            observation, reward, *rest = super().step(action)
            Wavering.found += bool(reward)
            return observation, reward * (Wavering.found == 1), *rest

    with pytest.raises(ReplayError, match=r"averts the failure once, and then not.*reset\(seed"):
        explain(Wavering)


def test_a_rule_that_changes_is_refused():
    class Boasts(Corridor):
        def step(self, action):
            *result, info = super().step(action)
            return *result, {"success": True} if result[1] else info  # and never that it has failed

    with pytest.raises(ReplayError, match=r"one episode succeeds if .* another if .* info\['success'\]"):
        explain(Boasts)


def test_names_are_of_an_enum_in_the_order_of_its_values():
    class Swapped(Corridor):
        actions = IntEnum("Ways", {"dig": 2, "right": 1, "left": 0})

    class Numbered(Corridor):
        actions = np.array([-1, 1, 0])

    assert choices_in(Swapped).names == ("left", "right", "dig")
    assert choices_in(Numbered).names == ("action 0", "action 1", "action 2")


@pytest.mark.parametrize("given", [(np.array([1]), None), {"a": 1}, [[1], [2, 3]]])
def test_what_is_no_array_is_no_action(given):
    with pytest.raises(ReplayError, match="the policy returns"):
        explain(policy=lambda env, rng: lambda observation: given)
    with pytest.raises(ReplayError, match="the policy returns"):
        explain(Slider, lambda env, rng: lambda observation: given)


def test_what_cannot_be_explained_is_named():
    class Steered(Corridor):
        action_space = spaces.Box(-1, np.inf, (2,))

    def digs_at_two(env, rng):
        return lambda observation: 2 if observation["at"] == 2 else 1

    with pytest.raises(ReplayError, match=r"actions are Box.*nor a bounded Box"):
        explain(Steered)
    with pytest.raises(ReplayError, match="the episode succeeds"):
        explain(policy=digs_at_two)
    with pytest.raises(ReplayError, match=r"4 decisions among 3 actions are more than 5 episodes.*--hold"):
        explain(most=5)


def test_a_correction_may_be_held():
    """Two steps back are needed where one is not enough: decisions last, and are as many fewer."""

    class Pit(Corridor):
        """Falls into the pit at 4 unless it was at 1 after the fourth step."""

        def step(self, action):
            self.at += (-1, 1, 0)[action]
            self.done = getattr(self, "done", 0) + 1
            saved = self.done == 4 and self.at == 0
            return {"at": self.at, "said": "dig"}, float(saved), self.done == 4, False, {}

    assert explain(Pit).decisive is None
    told = explain(Pit, hold=2)
    assert (told.averted.shape, told.done.tolist()) == ((2, 3), [[False, True, False]] * 2)
    assert told.correction == Correction(0, 0, 2)
    assert told.to_json()["decisive"] == (0, 0)
    assert "at step 0, left instead of right for 2 steps. At 2 of 2 decisions some other action" in in_words(told)
    assert "no other action that is held for 3 steps averts that" in in_words(explain(Pit, hold=3))


def test_what_was_done_in_turn_is_none_of_the_choices():
    def hesitates(env, rng):
        ways = iter([1, 0, 1, 1, 1, 1])
        return lambda observation: next(ways, 1)

    told = explain(policy=hesitates, hold=2)
    assert told.done.tolist() == [[False] * 3, [False, True, False], [False, True, False]]
    assert told.did(0) == "right then left"
    assert told.averted.tolist() == [[False] * 3, [False, False, False], [False, False, True]]
    assert told.necessity.tolist() == [0, 0, 0.5]


class Slider(gymnasium.Env):
    """Slides by up to 1 a step; who is beyond 3.9 after six steps has got there."""

    action_space = spaces.Box(-1, 1, (1,), np.float32)
    observation_space = spaces.Box(-9, 9, (1,))

    def reset(self, *, seed=None, options=None):
        self.at, self.count = 0.0, 0
        return np.array([0.0]), {}

    def step(self, action):
        assert action.dtype == np.float32
        assert action.shape == (1,)
        self.at += float(action[0])
        self.count += 1
        return np.array([self.at]), float(self.at > 3.9), self.count == 6, False, {}


def creeps(env, rng):
    return lambda observation: [0.65 - 0.05]


def test_continuous_actions_are_corrected_to_their_ends_and_the_middle():
    told = explain(Slider, creeps)
    assert told.log.actions == (pytest.approx((0.6,)),) * 6
    assert told.averted.tolist() == [[False, False, True]] * 6
    assert not told.done.any()
    assert told.necessity.tolist() == pytest.approx([1 / 3] * 6)
    assert "at step 0, 1 instead of 0.6. At 6 of 6 steps" in in_words(told)
    assert told.measures.plausibility is None
    assert told.measures.cost == 6 * 3 + 3
    assert explain(Slider, lambda env, rng: lambda observation: 0.0).decisive is None


def test_choices_of_a_box():
    assert Points.of(spaces.Box(-2, 2, (1,))).names == ("-2", "0", "2")
    assert len(Points.of(spaces.Box(-1, 1, (2,))).names) == 9
    many = Points.of(spaces.Box(-1, 1, (2, 2)))
    assert many.names[:3] == ("all in the middle", "action[0] = -1", "action[0] = 1")
    wanted = many.read(np.array([[0.25, 5], [-5, 0]]))
    assert wanted == (0.25, 1, -1, 0)
    assert many.instead(5, wanted) == (0.25, 1, -1, 0)
    assert many.instead(6, wanted) == (0.25, 1, 1, 0)
    assert many.sent(wanted).tolist() == [[0.25, 1], [-1, 0]]
    for given in ([0.0], None, "left", [0, 0, 0, np.nan], [[0, 1], [2]]):
        with pytest.raises(ReplayError, match="which is no action of Box"):
            many.read(given)


def test_babyai_repeats_itself():
    pytest.importorskip("minigrid")
    from embodied_cf.envs.babyai import make_babyai

    def goes_forward(env, rng):
        return lambda observation: 2

    told = explain_env_episode(Reexecution(partial(make_babyai, tile=4, max_steps=4), goes_forward, seed=1))
    assert told.averted.shape == (4, 7)


def test_digests_tell_observations_apart():
    same = {"a": np.arange(3), "b": ("x", 1)}
    assert digest(same) == digest({"b": ("x", 1), "a": np.arange(3)})
    others = [{**same, "a": np.arange(3.0)}, {**same, "b": ("y", 1)}, {"a": np.arange(3)}]
    assert digest(same) not in {digest(other) for other in others}
