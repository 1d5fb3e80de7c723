"""Since when a robot may have been told where to go."""

import numpy as np

from embodied_cf.language.predicate_program import Rule
from embodied_cf.relabel.asked import Asked
from embodied_cf.relabel.telling import EARLIER, told_before


def goals(count, rule=Rule.GO_TO, then=-1):
    """So many goals about the first landmark."""
    asked = Asked.nothing(count)
    asked.rule[:, 0], asked.rule[:, 1], asked.landmark[:, 0, 0] = rule, then, 0
    return asked


def tell(asked, told, seen):
    return told_before(asked, np.full(len(asked), told), np.array([seen], bool), np.random.default_rng(0))


def test_ways_to_one_thing_were_often_told_before():
    share, most = EARLIER
    told = tell(goals(4000), 50, [True] * 60)
    back = 50 - told
    assert abs((back > 0).mean() - share) < 0.03
    assert set(back.tolist()) == set(range(most + 1))
    assert tell(goals(200), 3, [True] * 60).min() == 0, "not before the episode began"


def test_what_depends_on_where_it_was_told_is_left_as_it_is():
    for asked in (goals(50, Rule.STOP_BESIDE), goals(50, Rule.GO_TO, Rule.STOP_BESIDE), Asked.nothing(50)):
        assert (tell(asked, 50, [True] * 60) == 50).all()


def test_what_is_out_of_view_was_not_seen_since():
    seen = [step < 41 for step in range(60)]
    assert set(tell(goals(400), 50, seen).tolist()) == set(range(41, 51))
    assert tell(goals(400), 50, [False] * 60).min() == 30
