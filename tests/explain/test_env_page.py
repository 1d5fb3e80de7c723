import re
from enum import IntEnum

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from embodied_cf.explain.film import Filmed
from embodied_cf.explain.outside.explanation import explain_env_episode
from embodied_cf.explain.outside.learned import LearnedExplanation
from embodied_cf.explain.outside.learned_data import FAILS, Lived
from embodied_cf.explain.outside.learning import Learned
from embodied_cf.explain.outside.measures import env_measures
from embodied_cf.explain.outside.page import Asked, write_env_page, write_learned_page
from embodied_cf.explain.outside.reexecute import Reexecution
from embodied_cf.explain.outside.success import Rule

NAMES = ["left", "right", "<dig>"]


class Corridor(gymnasium.Env):
    """Places 0 to 4: digging finds the treasure at 2, at 4 is a hole. Brighter pictures are of further places."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    actions = IntEnum("Ways", NAMES, start=0)
    action_space = spaces.Discrete(3)
    observation_space = spaces.Box(0, 9, (1,))

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        self.at = 0
        return np.array([0.0]), {}

    def step(self, action):
        found = action == 2 and self.at == 2
        self.at = max(0, self.at + (-1, 1, 0)[action])
        return np.array([float(self.at)]), float(found), found or self.at == 4, False, {}

    def render(self):
        return np.full((8, 8, 3), 60 * self.at, np.uint8)


class Undrawn(Corridor):
    def __init__(self):
        super().__init__()


def walks_on(env, rng):
    return lambda observation: 1


def page(tmp_path, env=Corridor, hold=1):
    what = Reexecution(env, walks_on, seed=0)
    told = explain_env_episode(what, hold)
    write_env_page(told, what, Asked("mine:walks_on", "Corridor", 0, NAMES), "It <fails>.", tmp_path / "why.html")
    return (tmp_path / "why.html").read_text()


def test_the_page_shows_both_ways_where_they_part(tmp_path):
    shown = page(tmp_path)
    films = re.findall(r'<div class="film"><span>(.*?)</span>(.*?)</div></div>', shown, re.S)
    assert [name for name, _ in films] == ["what happened", "with the correction"]
    happened, corrected = (re.findall(r"<figcaption>(.*?)</figcaption>", film) for _, film in films)
    assert happened == ["step 0", "step 1", "step 2: right", "step 3", "step 4"]
    assert corrected == ["step 0", "step 1", "step 2: &lt;dig&gt;", "step 3"]
    assert "It &lt;fails&gt;." in shown
    assert "<fails>" not in shown


def test_every_outcome_is_on_the_page(tmp_path):
    shown = page(tmp_path, Undrawn)
    assert "<img" not in shown
    titles = re.findall(r'class="(mends|fails|taken)"[^>]*><title>(.*?)</title>', shown)
    assert ("mends", "step 2, &lt;dig&gt;: averts the failure") in titles
    assert ("fails", "steps 0 to 3, left: fails all the same") in titles
    assert ("taken", "steps 0 to 3, right: what was done") in titles
    assert len(titles) == 5
    assert "earliest correction: step 2, &lt;dig&gt;" in shown


def test_decisions_that_last_are_told_in_steps(tmp_path):
    shown = page(tmp_path, Undrawn, hold=2)
    titles = re.findall(r'class="(mends|fails|taken)"[^>]*><title>(.*?)</title>', shown)
    assert ("taken", "steps 0 to 3, right: what was done") in titles
    assert ("mends", "steps 2 to 3, &lt;dig&gt;: averts the failure") in titles
    assert "earliest correction: step 2, &lt;dig&gt;" in shown
    assert "a decision of 2 steps" in shown


def test_a_model_is_marked_and_its_bounds_are_drawn(tmp_path):
    lived = Lived(np.zeros((3, 1)), np.array([1, 1]), FAILS, Rule("reward"))
    averted, low, high = np.array([[0.95, 0], [0.25, 0]]), np.array([[0.6, 0], [0, 0]]), np.array([[1.0, 0], [0.75, 0]])
    unasked = object.__new__(Learned)  # the page is of what was found alone
    told = LearnedExplanation(lived, unasked, averted, low, high, 0.125, 64)
    write_learned_page(told, Asked("mine:p", "Gusty", 3, NAMES[:2]), "By the model.", tmp_path / "why.html")
    shown = (tmp_path / "why.html").read_text()
    assert "<b>learned model, not exact</b>" in shown
    assert "The other actions at step 0" in shown
    assert "<title>95 % (60 to 100 %)</title>" in shown
    assert 'class="mends"' in shown
    assert "step 1, left: undecided" in shown


def test_measures_by_hand():
    averted = np.zeros((4, 3))
    averted[1, 2] = averted[2, 0] = 1.0
    told = env_measures(averted, np.eye(3, dtype=bool)[[0, 1, 2, 2]], (1, 2), 0.75, 0.25, 10)
    assert (told.validity, told.sparsity, told.placebo, told.cost) == (0.75, 0.25, 0.25, 10.0)
    assert told.plausibility == pytest.approx(2 / 3)  # two of the three other actions are the corrected one
    assert told.stability == 0.5  # step 2 has a correction, step 0 has none
    # shown: (0, 1), (0, 2), (2, 1) fail, (2, 0) mends; asked: (1, 0), (3, 0), (3, 1) fail, (1, 2) mends
    assert (told.simulatability, told.blind_reader) == (0.5, 0.75)


def test_measures_where_nothing_averts():
    told = env_measures(np.zeros((1, 2)), np.array([[True, False]]), None, None, 0.0, 3)
    assert (told.validity, told.stability, told.simulatability) == (None, None, None)
    assert env_measures(np.array([[0.0, 1.0]]), np.array([[True, False]]), (0, 1), 1.0, 0.0, 3).stability is None


def test_only_wanted_frames_are_kept_and_the_last():
    env = Filmed(Corridor("rgb_array"), {0, 2})
    env.reset(seed=0)
    for _ in range(4):
        env.step(1)
    assert {at: int(frame[0, 0, 0]) for at, frame in env.frames.items()} == {0: 0, 2: 120, 4: 240}
    env.reset(seed=0)
    assert list(env.frames) == [0]
