from typing import get_args

import pytest

from embodied_cf.explain.measure_table import MEANING, Kind, Measures, diversity, jaccard, simulate


def test_the_told_reader_knows_what_was_shown_and_the_blind_one_what_is_usual():
    shown = [("a", True), ("a", True), ("b", False), ("c", False), ("c", False)]
    asked = [("a", True), ("b", False), ("c", False), ("d", False), ("a", False)]
    reading = simulate(shown, asked)
    assert reading.told == 4 / 5
    assert reading.blind == 4 / 5
    assert simulate([("a", True), ("b", False), ("c", False)], [("a", True), ("b", False)]).blind == 1 / 2
    assert simulate([], asked) is None
    assert simulate(shown, []) is None


def test_sets_are_compared_by_what_they_share():
    assert jaccard(frozenset("ab"), frozenset("bc")) == pytest.approx(1 / 3)
    assert jaccard(frozenset(), frozenset()) == 1.0
    assert diversity([frozenset("a"), frozenset("b"), frozenset("a")]) == pytest.approx(2 / 3)
    assert diversity([frozenset("a")]) is None


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_measure_has_a_meaning_for_every_kind(kind):
    rows = Measures(kind, *(0.25,) * 9, cost=12.0).rows()
    assert [name for name, *_ in rows] == list(MEANING[kind])
    assert {value for _, value, _ in rows} == {"0.25", "12"}
    assert Measures(kind, *(None,) * 9, cost=1.0).rows()[0][1] == "not measured"
