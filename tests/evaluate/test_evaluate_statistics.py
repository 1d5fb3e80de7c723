"""Intervals against published or hand-computed values, and their coverage in simulations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_cf.evaluate.statistics import (
    closed,
    counted,
    followed,
    following,
    mcnemar,
    normalised,
    over_seeds,
    paired_gain,
    rate,
    wilson,
)


def outcomes(both, only, other, neither):
    """Two arms' successes on the same episodes."""
    ours = [True] * (both + only) + [False] * (other + neither)
    theirs = [True] * both + [False] * only + [True] * other + [False] * neither
    return np.array(ours), np.array(theirs)


def test_wilson():
    assert wilson(8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert wilson(0, 10) == pytest.approx((0.0, 0.27754), abs=1e-5)
    assert wilson(10, 10) == pytest.approx((0.72246, 1.0), abs=1e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    assert rate(np.array([True, False, True, True])).value == 0.75


def test_paired_gain_by_hand():
    """By hand: p = 21/44 and 14/44, Wilson (.33764, .62056) and (.20003, .46554), phi = (252 - 18 - 22) / 718.5."""
    found = paired_gain(*outcomes(12, 9, 2, 21))
    assert found.value == pytest.approx(7 / 44)
    phi = 212 / np.sqrt(21 * 23 * 14 * 30)
    below = np.sqrt(0.13963**2 - 2 * phi * 0.13963 * 0.14736 + 0.14736**2)
    above = np.sqrt(0.14329**2 - 2 * phi * 0.14329 * 0.11815 + 0.11815**2)
    assert (found.low, found.high) == pytest.approx((7 / 44 - below, 7 / 44 + above), abs=2e-4)


def test_paired_gain_where_nothing_varies():
    same = paired_gain(*outcomes(0, 0, 0, 20))
    assert (same.value, same.low) == pytest.approx((0.0, -same.high))
    assert same.high > 0.1
    won = paired_gain(*outcomes(0, 20, 0, 0))
    assert (won.value, won.high) == (1.0, 1.0)
    assert 0.5 < won.low < 0.9


@settings(max_examples=60, deadline=None)
@given(*[st.integers(0, 30)] * 4)
def test_a_gain_is_the_loss_of_the_other(both, only, other, neither):
    ours, theirs = outcomes(both, only, other, neither + 1)
    there, back = paired_gain(ours, theirs), paired_gain(theirs, ours)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert -1 <= there.low <= there.value <= there.high <= 1


def test_paired_gain_covers():
    rng = np.random.default_rng(0)
    probability, n, hits = (0.4, 0.25, 0.1, 0.25), 80, 0
    for _ in range(600):
        found = paired_gain(*outcomes(*rng.multinomial(n, probability).tolist()))
        hits += found.low <= 0.15 <= found.high
    assert 0.93 <= hits / 600 <= 0.985


def test_mcnemar_by_hand():
    assert mcnemar(*outcomes(5, 6, 1, 9)) == 2 * (1 + 7) / 2**7
    assert mcnemar(*outcomes(5, 0, 0, 9)) == 1.0
    assert mcnemar(*outcomes(0, 3, 3, 0)) == 1.0
    assert mcnemar(*outcomes(0, 10, 0, 4)) == 2 / 2**10


def test_normalised():
    table = np.array([[0.2, 0.9], [0.55, 0.2]])
    assert normalised(table, 0.2, 0.9) == pytest.approx(np.array([[0.0, 1.0], [0.5, 0.0]]))


def test_over_seeds_counts_cells_alike():
    cells = [np.ones((3, 4)), np.zeros((3, 400))]
    found = over_seeds(cells, np.random.default_rng(0))
    assert (found.value, found.low, found.high, found.n) == (0.5, 0.5, 0.5, 404)


def test_over_one_seed_is_a_bootstrap_of_episodes():
    wins = (np.arange(100) < 40).astype(float)[None]
    found = over_seeds([wins], np.random.default_rng(0))
    half = 1.96 * np.sqrt(0.4 * 0.6 / 100)
    assert (found.value, found.low, found.high) == pytest.approx((0.4, 0.4 - half, 0.4 + half), abs=0.011)


def test_over_seeds_knows_that_few_seeds_say_little():
    """Three seeds of .4, .5, .6: Student's interval is .5 ± 4.303 * .1 / sqrt(3) = .5 ± .248."""
    cell = np.repeat(np.array([[0.4], [0.5], [0.6]]), 50, axis=1)
    found = over_seeds([cell], np.random.default_rng(0))
    assert (found.low, found.high) == pytest.approx((0.5 - 0.248, 0.5 + 0.248), abs=0.04)


@pytest.mark.parametrize(("episodes", "training"), [(60, 0.05), (200, 0.1), (200, 0.0)])
def test_over_seeds_covers(episodes, training):
    """Three trainings that differ by so much; episodes that differ in difficulty, the same for all seeds."""
    rng, hits, trials = np.random.default_rng(0), 0, 200
    for _ in range(trials):
        skill, hard = rng.normal(0, training, (3, 1)), rng.normal(0, 0.2, episodes)
        table = (rng.random((3, episodes)) < np.clip(0.5 + skill + hard, 0, 1)).astype(float)
        found = over_seeds([table], rng, draws=300)
        hits += found.low <= 0.5 <= found.high
    assert hits / trials >= 0.92


def test_share_closed():
    """Two cells; from .2 to .8 of one and from 0 to .4 of the other, half of which is closed."""

    def arm(*shares):
        return [np.repeat((np.arange(10) < 10 * share).astype(float)[None], 3, axis=0) for share in shares]

    found = closed(arm(0.5, 0.2), arm(0.2, 0.0), arm(0.8, 0.4), np.random.default_rng(0))
    assert found.value == pytest.approx(0.5)
    assert 0.1 < found.low < 0.5 < found.high < 0.95
    whole = closed(arm(0.8), arm(0.2), arm(0.8), np.random.default_rng(0))
    assert (whole.value, whole.low, whole.high) == pytest.approx((1.0, 1.0, 1.0))
    assert closed(arm(0.8), arm(0.5), arm(0.5), np.random.default_rng(0)) is None


def flags(*counts):
    return np.repeat(np.arange(len(counts)) % 2 == 0, counts)


def test_a_listener_earns_what_a_deaf_policy_cannot():
    rng = np.random.default_rng(0)
    told, chance = flags(80, 20), flags(10, 90)
    deaf = following(told, told, chance, rng)
    assert (deaf.value, deaf.low, deaf.high) == (0.0, 0.0, 0.0)
    listener = following(told, chance, chance, rng)
    assert (listener.value, listener.low, listener.high) == (1.0, 1.0, 1.0)
    half = following(told, flags(45, 55), chance, rng)
    assert half.value == pytest.approx(0.5)
    assert 0.3 < half.low < 0.5 < half.high < 0.65


def test_nothing_to_explain_has_no_score():
    assert following(flags(10, 90), flags(5, 95), flags(10, 90), np.random.default_rng(0)) is None


def test_several_seeds_together_are_scored_like_one():
    told, shuffled, chance = flags(60, 40), flags(45, 55), flags(10, 90)
    one = following(told, shuffled, chance, np.random.default_rng(0))
    alone = followed([told[None] * 1.0], [shuffled[None] * 1.0], [chance[None] * 1.0], np.random.default_rng(0))
    assert alone.value == pytest.approx(one.value)
    assert (alone.low, alone.high) == pytest.approx((one.low, one.high), abs=0.02)
    seeds = [np.stack([told * 1.0, other * 1.0]) for other in (told, shuffled, chance)]  # one follows, one does not
    assert followed([seeds[0]], [seeds[1]], [seeds[2]], np.random.default_rng(0)) is None  # two that differ say little
    deaf = [flags(10, 90)[None] * 1.0]
    assert followed(deaf, deaf, deaf, np.random.default_rng(0)) is None


def test_counted_gives_the_spread_of_those_that_count():
    rng = np.random.default_rng(0)
    table, which = (rng.random((1, 400)) < 0.3) * 1.0, rng.random((1, 400)) < 0.25
    found = over_seeds([counted(table, which)], np.random.default_rng(1))
    alone = over_seeds([table[:, which[0]]], np.random.default_rng(1))
    assert found.value == pytest.approx(alone.value)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.01)
    np.testing.assert_allclose(counted(table, np.ones_like(which)), table)
