"""Bounds: widths by hand, coverage on rewards and costs, fixed and adaptive loggers, repeated looks, refusals."""

import numpy as np
import pytest

from embodied_cf.crm import LoggedBatch, bounds
from embodied_cf.crm.intervals import Guarantee, by_episode, value_interval
from embodied_cf.errors import UsageError

PROVEN = {
    "hoeffding": bounds.hoeffding,
    "empirical_bernstein": bounds.empirical_bernstein,
    "betting": bounds.betting,
}
REPEATS = 400
ALLOWED = 0.05 + 3 * np.sqrt(0.05 * 0.95 / REPEATS)


@pytest.mark.parametrize(("n", "half"), [(100, 0.1358), (1000, 0.0429), (10_000, 0.0136)])
def test_hoeffding_by_hand(n, half):
    found = bounds.hoeffding(np.full(n, 0.5), 0.0, 1.0, 0.05)
    assert found.upper - found.lower == pytest.approx(2 * half, abs=1e-4)
    lower, upper = found
    assert (lower, upper) == (found.lower, found.upper)


def test_betting_by_hand():
    """One value x = 1 in [0, inf): the mixture reaches 2 / delta at some m < 1 / (2 / delta)."""
    lower, upper = bounds.betting(np.array([1.0]), 0.0, np.inf, 0.5)
    shares = 2.0 ** -np.arange(1, 12, 2)
    assert np.mean(1 - shares + shares / lower) == pytest.approx(4.0, rel=1e-6)
    assert upper == np.inf


def rewards(rng, adaptive, n):
    """Weighted rewards (REPEATS, n) of a target that does action 1 in 60 %, with mean 0.6 * 0.7 + 0.4 * 0.2 = 0.5.

    The logger does 1 in 50 %; the adaptive one in 80 % after a success and in 20 % after a failure.
    """
    value, last = np.zeros((REPEATS, n)), np.ones(REPEATS)
    for t in range(n):
        p = np.where(last == 1, 0.8, 0.2) if adaptive else np.full(REPEATS, 0.5)
        action = rng.random(REPEATS) < p
        last = (rng.random(REPEATS) < np.where(action, 0.7, 0.2)).astype(float)
        value[:, t] = np.where(action, 0.6 / p, 0.4 / (1 - p)) * last
    return value


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("sign", [1, -1], ids=["rewards", "costs"])
@pytest.mark.parametrize("name", PROVEN)
def test_coverage(name, sign, adaptive):
    values = sign * rewards(np.random.default_rng(0), adaptive, 150)
    low, high = sorted((0.0, sign * 3.0))
    lower, upper = PROVEN[name](values, low, high, 0.05)
    assert np.mean((lower > sign * 0.5) | (upper < sign * 0.5)) <= ALLOWED
    assert np.mean(upper - lower) < {"hoeffding": 0.7, "empirical_bernstein": 0.55, "betting": 0.45}[name]


def test_betting_holds_at_every_look():
    values = rewards(np.random.default_rng(1), True, 120)
    missed = np.zeros(REPEATS, bool)
    narrowest = np.full(REPEATS, np.inf)
    for look in range(10, 121, 10):
        lower, upper = bounds.betting(values[:, :look], 0.0, 3.0, 0.05)
        missed |= (lower > 0.5) | (upper < 0.5)
        assert (upper - lower <= narrowest + 1e-9).all(), "a later look never widens"
        narrowest = upper - lower
    assert missed.mean() <= ALLOWED


def test_betting_takes_ranges_that_change():
    """Values scaled by a stage: (x - 0.5) / s with s fixed before x is seen, mean 0.1 / s * s = 0.1."""
    rng = np.random.default_rng(2)
    low = np.repeat([-10.0, -1.0], 200)
    values = np.where(rng.random((200, 400)) < 0.55, 1.0, -1.0) * np.where(rng.random((200, 400)) < -1 / low, -low, 0.0)
    lower, _ = bounds.betting(values, low, -low, 0.05)
    assert np.mean(lower > 0.1) <= 0.05
    assert np.mean(lower) > -0.3


def test_log_smoothing_covers():
    lower, upper = bounds.log_smoothing(rewards(np.random.default_rng(3), True, 150), 0.0, 0.2, 0.05)
    assert np.mean(lower > 0.5) <= ALLOWED
    assert np.mean(lower) > 0.3
    assert np.isinf(upper).all()


def test_approximate_bounds_are_named_so():
    assert set(bounds.APPROXIMATE) == {"student_t", "bootstrap"}
    values = np.random.default_rng(0).random(500)
    exact = bounds.student_t(values, 0.05)
    again = bounds.bootstrap(values, 0.05, np.random.default_rng(1))
    assert exact.lower == pytest.approx(again.lower, abs=0.01)
    assert exact.upper == pytest.approx(again.upper, abs=0.01)


@pytest.mark.parametrize("name", PROVEN)
def test_bounds_refuse_a_range_that_the_values_leave(name):
    with pytest.raises(UsageError, match=r"from -1 to 0\.5 leave the range"):
        PROVEN[name](np.array([-1.0, 0.5]), 0.0, 1.0, 0.05)
    with pytest.raises(UsageError, match="delta is a probability"):
        PROVEN[name](np.array([0.5]), 0.0, 1.0, 5.0)
    with pytest.raises(UsageError, match="needs values"):
        PROVEN[name](np.zeros(0), 0.0, 1.0, 0.05)


def logged(rng, sign, n=400):
    """A log of costs or rewards; the target's value is sign * 0.5."""
    action = rng.random(n) < 0.5
    reward = sign * (rng.random(n) < np.where(action, 0.7, 0.2))
    return LoggedBatch(reward.astype(float), np.full(n, 0.5), np.where(action, 0.6, 0.4))


@pytest.mark.parametrize("sign", [1, -1], ids=["rewards", "costs"])
@pytest.mark.parametrize("method", ["hoeffding", "empirical_bernstein", "betting", "student_t", "bootstrap"])
def test_intervals_do_not_care_for_the_sign(method, sign):
    guarantee = Guarantee(*sorted((0.0, float(sign))), method=method, max_weight=1.2)
    lower, upper = value_interval(logged(np.random.default_rng(0), sign), guarantee)
    assert lower < sign * 0.5 < upper
    assert guarantee.low <= lower
    assert upper <= guarantee.high


def test_clipping_is_safe_on_both_sides():
    """With weights clipped far below what they are, the interval widens and still covers, for either sign."""
    for sign in (1, -1):
        batch = logged(np.random.default_rng(1), sign)
        clipped = value_interval(batch, Guarantee(*sorted((0.0, float(sign))), max_weight=0.9))
        free = value_interval(batch, Guarantee(*sorted((0.0, float(sign)))))
        assert clipped.lower < sign * 0.5 < clipped.upper
        assert clipped.upper - clipped.lower > free.upper - free.lower


def test_decisions_of_one_episode_are_not_independent():
    """Each decision is paid its episode's outcome: counted one by one the interval misses, by episode it holds."""
    missed = {"decisions": 0, "episodes": 0}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        reward = np.repeat(rng.integers(2, size=60), 25).astype(float)
        batch = LoggedBatch(reward, np.ones(1500), rng.choice([0.5, 1.5], size=1500))
        for name, episode in (("decisions", None), ("episodes", np.repeat(np.arange(60), 25))):
            lower, upper = value_interval(batch, Guarantee(0.0, 1.0), episode=episode)
            missed[name] += not lower <= 0.5 <= upper
    assert missed["decisions"] == 20, "or this shows nothing"
    assert missed["episodes"] <= 2
    assert by_episode(np.array([1.0, 2.0, 4.0]), np.array([7, 3, 7])).tolist() == [2.5, 2.0]


def test_intervals_refuse():
    with pytest.raises(UsageError, match="needs a finite max_weight"):
        Guarantee(0.0, 1.0, method="hoeffding")
    for low, high in ((1.0, 0.0), (0.0, np.inf)):
        with pytest.raises(UsageError, match="is none"):
            Guarantee(low, high)
    for clipped in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="weights are clipped above 0"):
            Guarantee(0.0, 1.0, method="empirical_bernstein", max_weight=clipped)
    with pytest.raises(UsageError, match=r"leave the range \[0\.0, 0\.5\]"):
        value_interval(logged(np.random.default_rng(0), 1), Guarantee(0.0, 0.5))
