from functools import partial

import gymnasium
import numpy as np
import pytest
from balloon import GUST, MOVE, Balloon, Still, new_weather, timid, truth

from embodied_cf.counterfactual.bijective import FlowOptions
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.options import EnvOptions, LearnOptions
from embodied_cf.explain.outside.explanation import explain_env_episode
from embodied_cf.explain.outside.learned import LearnedExplanation, explain_learned, in_words
from embodied_cf.explain.outside.learned_data import FAILS, GOES_ON, SUCCEEDS, Lived, Source, Transitions, repeats
from embodied_cf.explain.outside.learned_model import Fit, learn
from embodied_cf.explain.outside.learning import Learned, learn_env
from embodied_cf.explain.outside.reexecute import Reexecution
from embodied_cf.explain.outside.success import Rule

SMALL = FlowOptions(2, 8, 300, 3e-2)
NAMES = ["sink", "hold", "rise"]
PAID = Rule("reward")


class Watched(Balloon):
    """Keeps its last episode's gusts."""

    last: list = []  # noqa: RUF012

    def close(self):
        Watched.last = getattr(self, "gusts", None) or Watched.last


@pytest.fixture(autouse=True)
def weather():
    new_weather(8)


@pytest.fixture(scope="module")
def failed():
    """A failed episode, its gusts, and what is learnt of the balloon."""
    new_weather(7)
    source = Source(Watched, timid)
    learned = learn_env(source, LearnOptions(learn=160, imagine=8), 0, SMALL)
    for seed in range(900, 999):
        lived = source.live(seed)
        if lived.ends == FAILS:
            return source, seed, lived, np.array(Watched.last), learned
    raise AssertionError


@pytest.fixture(scope="module")
def explained(failed):
    source, seed, lived, _, learned = failed
    return explain_learned(source, lived, learned, seed, draws=8)


def test_it_cannot_be_re_executed(failed):
    source, seed, lived, _, _ = failed
    assert not repeats(source, seed, lived)
    with pytest.raises(ReplayError, match=r"does not repeat itself.*--learn"):
        explain_env_episode(Reexecution(Balloon, lambda env, rng: lambda observation: 0, seed))
    still = Source(Still, timid)
    assert repeats(still, 3, still.live(3))


def test_the_fit_is_measured_on_other_episodes(failed):
    learned = failed[-1]
    assert learned.fit.faults() == []
    assert learned.fit.coverage[0] == pytest.approx(0.9, abs=0.05)
    assert learned.fit.ends > 0.9
    assert learned.model_success == pytest.approx(learned.real_success, abs=0.2)


def test_the_next_state_is_that_of_exact_replay(failed):
    """The gust of every step is read off and blows again under the other actions."""
    _, _, lived, gusts, learned = failed
    noise, before = learned.model.abduct(Transitions.of([lived])), lived.observation[:-1]
    for action in range(3):
        there = learned.model.push(before, np.full(len(before), action), noise)[:, 0]
        exact = before[:, 0] + MOVE[action] + GUST * gusts
        assert np.sqrt(np.square(there - exact).mean()) < 0.4 * GUST


def test_outcomes_are_near_those_of_exact_replay(failed, explained):
    _, _, lived, gusts, _ = failed
    rng = np.random.default_rng(0)
    exact = np.array([[truth(lived.observation[:, 0], lived.action, gusts, t, a, rng, 16) for a in range(3)]
                      for t in range(len(lived.action))])  # fmt: skip
    exact[np.arange(len(lived.action)), lived.action] = 0.0
    assert np.abs(explained.averted - exact).mean() < 0.12
    assert explained.placebo == 0.0


def test_it_says_what_it_rests_on(explained):
    said = in_words(explained, NAMES)
    assert said.startswith("[learned model, not exact: ")
    told = explained.to_json()
    assert told["mark"] == "learned model, not exact"
    assert np.shape(told["verdict"]) == explained.averted.shape
    assert (explained.low <= explained.high + 1e-12).all()


def hand_made(averted, low, high):
    lived = Lived(np.zeros((2, 1)), np.array([0]), FAILS, PAID)
    unasked = object.__new__(Learned)  # a verdict rests on what was found alone
    return LearnedExplanation(lived, unasked, *(np.array([[0.0, it]]) for it in (averted, low, high)), 0.0, 2)


@pytest.mark.parametrize(
    ("averted", "low", "high", "verdict"),
    [(1.0, 0.6, 1.0, "yes"), (1.0, 0.2, 1.0, "undecided"), (0.0, 0.0, 0.4, "no"), (0.0, 0.0, 0.9, "undecided")],
)
def test_verdicts(averted, low, high, verdict):
    assert hand_made(averted, low, high).verdict(0, 1) == verdict


def test_the_interval_is_that_of_all_couplings():
    """Failure 0.8 when done as done, success 0.9 otherwise: (0.8 + 0.9 - 1) / 0.8 to 1."""
    from embodied_cf.explain.outside.learned import _interval

    low, high = _interval(np.array([[0.2, 0.9]]), np.array([0]))
    np.testing.assert_allclose(low, [[0, 0.875]])
    np.testing.assert_allclose(high, [[0, 1]])


def test_a_model_of_too_little_is_refused():
    with pytest.raises(ReplayError, match=r"the learned model does not fit \d+ held-out steps.*Collect more"):
        learn_env(Source(Balloon, timid), LearnOptions(learn=8, explore=0.9), 0, FlowOptions(8, 32, 400, 3e-2))


def test_an_action_that_was_never_tried_is_refused():
    steps = Transitions.of([Source(Balloon, timid).live(seed) for seed in range(4)])
    with pytest.raises(ReplayError, match=r"action 1 was never tried in \d+ steps.*--explore"):
        learn(steps, 3, np.random.default_rng(0), SMALL)


def test_steps_of_episodes():
    lived = [Lived(np.array([[0.0], [1.0], [2.0]]), np.array([1, 0]), SUCCEEDS, PAID),
             Lived(np.array([[5.0], [6.0]]), np.array([2]), GOES_ON, PAID)]  # fmt: skip
    steps = Transitions.of(lived)
    assert steps.before.tolist() == [[0], [1], [5]]
    assert steps.after.tolist() == [[1], [2], [6]]
    assert steps.action.tolist() == [1, 0, 2]
    assert steps.ends.tolist() == [GOES_ON, SUCCEEDS, GOES_ON]


def test_a_dimension_without_noise_needs_none():
    assert Fit(9, (0.01,), (0.2,), (0.9,), 1.0).faults() == []
    assert len(Fit(9, (0.5, 0.5), (0.5, 0.9), (0.05, 0.3), 0.5).faults()) == 3


def test_spaces_that_cannot_be_learnt():
    class Steered(Balloon):
        action_space = gymnasium.spaces.Box(-1, 1, (2,))

    class Told(Balloon):
        observation_space = gymnasium.spaces.Dict({})

    with pytest.raises(ReplayError, match="actions are Box"):
        Source(Steered, timid).choices()
    with pytest.raises(ReplayError, match="observations are Dict"):
        Source(Told, timid).choices()


def test_the_command(tmp_path, capsys):
    import json

    from embodied_cf.explain.episode.command import EpisodeOutputs
    from embodied_cf.explain.outside.command import run_env_episode

    gymnasium.register("Balloon-v0", entry_point=partial(Balloon))
    try:
        out = tmp_path / "why.json"
        few = LearnOptions(learn=120, fit=150, imagine=2)
        outputs = EpisodeOutputs(out, tmp_path / "why.html")
        code = run_env_episode("balloon:timid", EnvOptions("Balloon-v0"), 0, 20, outputs, few)
    finally:
        del gymnasium.registry["Balloon-v0"]
    assert code == 0
    told = json.loads(out.read_text())
    assert told["mark"] == "learned model, not exact"
    assert told["measures"]["cost"] == 2 * 2 * 3 * len(told["actions"])  # draws with and without its own chance
    assert "<b>learned model, not exact</b>" in (tmp_path / "why.html").read_text()
    assert "learned model, not exact" in " ".join(capsys.readouterr().err.split())
