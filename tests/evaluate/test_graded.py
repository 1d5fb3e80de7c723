"""Graded tasks can be met, are judged by all that they demand, and are scored by level."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from embodied_cf.errors import UsageError
from embodied_cf.evaluate.graded import Tried, make_graded, score, try_all
from embodied_cf.evaluate.graded_levels import LEVELS, ground_of, rehearsed
from embodied_cf.evaluate.otherwise import drive_otherwise
from embodied_cf.evaluate.statistics import all_of
from embodied_cf.language.composed import Away, IfVisible, Then, Within, constraints

SEED = 3


@pytest.fixture(scope="module")
def graded():
    """All levels in a scene without people."""
    made = {level: make_graded(level, "rooms", "train", SEED, (0, 0)) for level in LEVELS}
    return {level: one for level, one in made.items() if one}


@pytest.fixture(scope="module")
def paths(graded):
    return {level: rehearsed(one.task) for level, one in graded.items()}


def test_every_level_has_tasks(graded):
    assert set(graded) == set(LEVELS)


def test_the_rehearsal_meets_every_task(graded, paths):
    for level, one in graded.items():
        assert one.met(paths[level], 0)
        assert not one.met(paths[level], 1)
        assert not one.met(paths[level][:4], 0)


def test_demands_are_counted(graded):
    for demands in range(1, 5):
        assert constraints(graded[f"{demands}-constraint{'s' * (demands > 1)}"].instruction) == demands


def demands(instruction):
    """The metres, the seconds and the thing to stay away from that an instruction names."""
    away, inner = (True, instruction.part) if isinstance(instruction, Away) else (False, instruction)
    limits = (inner.metres, inner.seconds) if isinstance(inner, Within) else (np.inf, np.inf)
    named = zip(("metres", "seconds", "away"), (*map(np.isfinite, limits), away), strict=True)
    return {name for name, asked in named if asked}


def test_each_constraint_comes_first_for_some_seeds():
    first = []
    for seed in range(SEED, SEED + 3):
        ground = ground_of("rooms", "train", seed, (0, 0))
        made = [demands(next(LEVELS[level](ground))) for level in list(LEVELS)[:4]]
        assert [len(asked) for asked in made] == [0, 1, 2, 3]
        assert all(fewer < more for fewer, more in itertools.pairwise(made))
        first.append(*made[1])
    assert first == ["metres", "seconds", "away"]


def test_limits_are_those_of_the_rehearsal(graded, paths):
    limit, path = graded["3-constraints"].instruction, paths["3-constraints"]
    driven = np.hypot(*np.diff(path[:, :2], axis=0).T).sum()
    assert 1.4 * driven <= limit.metres <= 1.4 * driven + 0.5
    assert 1.4 * 0.25 * len(path) <= limit.seconds <= 1.4 * 0.25 * len(path) + 1


def test_the_order_matters_for_two_things_in_turn(graded, paths):
    forth, back = graded["then"], graded["reversed"]
    assert forth.instruction == Then(back.instruction.parts[::-1])
    assert not forth.met(paths["reversed"], 0)
    assert graded["any-order"].met(paths["reversed"], 0)


def test_tries_differ_in_words_and_chance_only(graded):
    one = graded["then"]
    tries = [one.attempt(index) for index in range(4)]
    assert len({task.seed for task in tries}) == 4
    assert len({task.text for task in tries}) > 1
    assert all(task.scene is one.task.scene and task.routes is one.task.routes for task in tries)
    assert one.task.text == tries[0].text


def test_the_expert_scores(graded):
    some = [graded["1-constraint"], graded["then"]]

    def told_truly(tasks, told):
        assert told == [task.text for task in tasks]
        return drive_otherwise(tasks, [task.instruction for task in tasks])

    tried = try_all(some, 2, told_truly)
    assert [one.success for one in tried] == [(True, True)] * 2
    assert [len(one.told) for one in tried] == [2, 2]


def test_a_condition_that_does_not_hold_sends_elsewhere(graded, paths):
    one = graded["if-visible"]
    turned = IfVisible(one.instruction.thing, one.instruction.otherwise, one.instruction.then)
    assert not replace(one, instruction=turned).met(paths["if-visible"], 0)


def test_scores_by_hand():
    tried = [
        Tried("then", 1, ("", ""), (True, True)), Tried("reversed", 1, ("", ""), (True, False)),
        Tried("then", 2, ("", ""), (True, False)), Tried("reversed", 2, ("", ""), (False, False)),
        Tried("then", 3, ("", ""), (False, False)),
    ]  # fmt: skip
    found = score(tried)
    assert list(found["levels"]) == ["then", "reversed"]
    then = found["levels"]["then"]
    assert (then["success"]["rate"], then["success"]["n"]) == (pytest.approx(2 / 3), 3)
    assert then["mean"] == 0.5
    assert then["all_of"] == pytest.approx([0.5, 1 / 3])
    assert found["order"] == {"rate": 0.5, "ci95": pytest.approx([0.0945, 0.9055], abs=1e-3), "n": 2}
    assert score(tried[:1])["order"] is None


def test_all_of_k_tries_by_hand():
    success = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)
    assert [all_of(success, k) for k in (1, 2, 3, 4)] == pytest.approx([0.5, 0.25, 0.125, 0.0])


def test_an_unknown_level_is_refused():
    with pytest.raises(UsageError, match="unknown level '5-constraints'"):
        make_graded("5-constraints", "rooms", "train", 0)
