import numpy as np
import pytest
from reference_world import INITIAL, LOGITS, POLICY, REWARD, TARGET, TRANSITION, WORLD

from embodied_cf.counterfactual import tabular
from embodied_cf.counterfactual.descent import descend, divergence_gradient
from embodied_cf.counterfactual.errors import UnreachableError
from embodied_cf.errors import UsageError


def run(proximity, pivot_every, steps, delta):
    return descend(TRANSITION, REWARD, LOGITS, INITIAL, TARGET,
                   proximity=proximity, pivot_every=pivot_every, steps=steps, delta=delta)  # fmt: skip


def test_the_world_is_the_published_one():
    assert TRANSITION[0, 0, :2] == pytest.approx([0.207026349599, 0.000797771962], abs=1e-12)
    assert REWARD.sum() == pytest.approx(9.471677025750, abs=1e-12)
    assert LOGITS.sum() == pytest.approx(-16.370019472944, abs=1e-11)
    assert tabular.value(*WORLD) == pytest.approx(5.165301306767, abs=1e-11)
    ends = [tabular.value(TRANSITION, REWARD, tabular.soft_policy(*WORLD, side), INITIAL) for side in (-200.0, 200.0)]
    assert ends == pytest.approx([3.026136183528, 7.198423886854], abs=1e-11)
    assert ends[0] + (ends[1] - ends[0]) / 4 == pytest.approx(TARGET, abs=1e-11)


def test_the_oracle():
    found = tabular.minimal_change(*WORLD, TARGET)
    assert found.kl == pytest.approx(1.3886301434, abs=1e-9)
    assert found.multiplier == pytest.approx(-2.7538653206, abs=1e-9)
    assert found.value == pytest.approx(TARGET, abs=1e-12)
    assert tabular.trajectory_kl(TRANSITION, found.policy, POLICY, INITIAL) == pytest.approx(found.kl, abs=1e-12)
    np.testing.assert_allclose(found.policy.sum(axis=-1), 1, atol=1e-14)


@pytest.mark.parametrize(
    ("proximity", "multiplier", "value", "kl"),
    [
        (1.0, -1.15126881, 4.64484251, 0.29539724),
        (0.1, -2.36451831, 4.18743402, 1.08653025),
        (0.01, -2.70680773, 4.08274215, 1.35167847),
    ],
)
def test_stationary_points_of_a_fixed_pivot(proximity, multiplier, value, kl):
    assert value - TARGET == pytest.approx(-proximity * multiplier / 2, abs=1e-7)
    found = tabular.minimal_change(*WORLD, value)
    assert found.multiplier == pytest.approx(multiplier, abs=1e-6)
    assert found.kl == pytest.approx(kl, abs=1e-6)


def test_descent_with_a_fixed_pivot_stops_on_the_frontier_beside_the_target():
    found = run(1.0, None, 6000, 1e-9)
    assert found.value == pytest.approx(4.64484, abs=1e-5)
    assert found.kl == pytest.approx(0.29540, abs=1e-5)
    assert found.kl == pytest.approx(tabular.minimal_change(*WORLD, found.value).kl, rel=1e-6)


def test_descent_without_proximity():
    found = run(0.0, None, 6000, 1e-9)
    assert (found.value, found.kl) == pytest.approx((4.06921, 1.60069), abs=1e-5)


@pytest.mark.parametrize(
    ("proximity", "kl", "steps", "excess"), [(1.0, 1.46570, 2865, 0.0557), (0.1, 1.57940, 1862, 0.1376)]
)
def test_a_moving_pivot_reaches_the_target_with_more_change_than_needed(proximity, kl, steps, excess):
    found = run(proximity, 100, 40_000, 1e-4)
    assert found.value == pytest.approx(4.06931, abs=1e-5)
    assert found.kl == pytest.approx(kl, abs=1e-5)
    assert found.steps == steps
    assert found.kl / tabular.minimal_change(*WORLD, found.value).kl - 1 == pytest.approx(excess, abs=1e-4)


def test_the_divergence_has_no_slope_at_the_pivot():
    assert np.abs(divergence_gradient(TRANSITION, LOGITS, POLICY, INITIAL)).max() < 1e-14
    assert np.abs(divergence_gradient(TRANSITION, 1.1 * LOGITS, POLICY, INITIAL)).max() > 1e-3


def test_the_present_return_gives_the_policy_back():
    found = tabular.minimal_change(*WORLD, tabular.value(*WORLD))
    assert (found.policy == POLICY).all()
    assert (found.kl, found.multiplier) == (0.0, 0.0)


def test_a_better_target_has_a_positive_multiplier():
    found = tabular.minimal_change(*WORLD, 6.5)
    assert found.multiplier > 0
    assert found.value == pytest.approx(6.5, abs=1e-12)


BANDIT = (np.ones((1, 2, 1)), np.array([[0.0, 1.0]]), np.array([[[0.5, 0.5]]]), np.ones(1))


def test_one_step_by_hand():
    """Raising P(good) from 1/2 to 3/4 costs KL = .75 ln 1.5 + .25 ln .5; the odds are 3 = exp(lambda)."""
    found = tabular.minimal_change(*BANDIT, 0.75)
    assert found.multiplier == pytest.approx(np.log(3), abs=1e-12)
    assert found.kl == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5), abs=1e-12)


def test_the_end_of_the_range_is_reached_in_the_limit():
    found = tabular.minimal_change(*BANDIT, 1.0)
    assert found.value == pytest.approx(1.0, abs=1e-11)
    assert found.kl == pytest.approx(np.log(2), abs=1e-9)


def test_actions_that_the_policy_never_takes_stay_untaken():
    policy = np.array([[[0.5, 0.5, 0.0]]])
    world = (np.ones((1, 3, 1)), np.array([[0.0, 1.0, 9.0]]), policy, np.ones(1))
    assert tabular.value_range(*world) == (0.0, 1.0)
    np.testing.assert_allclose(tabular.minimal_change(*world, 0.75).policy, [[[0.25, 0.75, 0]]], atol=1e-12)
    with pytest.raises(UnreachableError, match=r"return 2.*outside \[0, 1\]"):
        tabular.minimal_change(*world, 2.0)


def test_a_constant_reward_reaches_nothing_else():
    world = (BANDIT[0], np.ones((1, 2)), BANDIT[2], BANDIT[3])
    assert tabular.minimal_change(*world, 1.0).kl == 0.0
    with pytest.raises(UnreachableError):
        tabular.minimal_change(*world, 0.5)


def test_what_is_no_world_is_refused():
    with pytest.raises(UsageError, match="`transition` is no distribution"):
        tabular.value(2 * BANDIT[0], *BANDIT[1:])
    with pytest.raises(UsageError, match="not finite"):
        tabular.value(BANDIT[0], np.array([[0.0, np.inf]]), *BANDIT[2:])


@pytest.mark.parametrize(
    ("at", "shape", "words"),
    [
        (0, (3, 5), r"`transition` has shape \(3, 5\), not \(S,A,S\)"),
        (0, (5, 3, 4), r"`transition` has shape \(5, 3, 4\), not \(S,A,S\)"),
        (1, (5, 1), r"`reward` has shape \(5, 1\), not \(S,A\) with S = 5, A = 3"),
        (1, (), r"`reward` has shape \(\), not \(S,A\)"),
        (2, (5, 3), r"`policy` has shape \(5, 3\), not \(H,S,A\) with S = 5, A = 3"),
        (2, (8, 3, 5), r"`policy` has shape"),
        (3, (1,), r"`initial` has shape \(1,\), not \(S\) with S = 5"),
        (3, (5, 1), r"`initial` has shape"),
    ],
)
@pytest.mark.parametrize(
    "ask", [tabular.value, tabular.value_range, lambda *w: tabular.minimal_change(*w, 4.0),
            lambda *w: tabular.soft_policy(*w, 1.0)]
)  # fmt: skip
@pytest.mark.usefixtures("users_call")
def test_shapes_that_would_be_broadcast_are_refused(ask, at, shape, words):
    world = list(WORLD)
    world[at] = np.full(shape, 1 / shape[-1] if shape else 1.0)
    with pytest.raises(UsageError, match=words):
        ask(*world)


@pytest.mark.usefixtures("users_call")
def test_policies_of_other_horizons_have_no_divergence():
    with pytest.raises(UsageError, match=r"`reference` has shape \(1, 5, 3\), not \(H,S,A\) with S = 5, A = 3, H = 8"):
        tabular.trajectory_kl(TRANSITION, POLICY, POLICY[:1], INITIAL)


def test_divergences_are_of_distributions():
    with pytest.raises(UsageError, match="`policy` is no distribution"):
        tabular.trajectory_kl(TRANSITION, 2 * POLICY, POLICY, INITIAL)
    with pytest.raises(UsageError, match="`transition` is no distribution"):
        tabular.value_range(5 * TRANSITION, REWARD, POLICY, INITIAL)


@pytest.mark.parametrize("target", [None, np.array([1.0]), float("nan"), "4"])
@pytest.mark.usefixtures("users_call")
def test_a_target_is_a_number(target):
    with pytest.raises(UsageError, match=r"`target` is .*, no finite number"):
        tabular.minimal_change(*WORLD, target)


@pytest.mark.usefixtures("users_call")
def test_descent_is_asked_about_worlds():
    settings = {"proximity": 1.0, "pivot_every": None, "steps": 2, "delta": 1e-3}
    with pytest.raises(UsageError, match=r"`reward` has shape \(5, 1\)"):
        descend(TRANSITION, REWARD[:, :1], LOGITS, INITIAL, TARGET, **settings)
    with pytest.raises(UsageError, match="`transition` is no distribution"):
        descend(2 * TRANSITION, REWARD, LOGITS, INITIAL, TARGET, **settings)
    with pytest.raises(UsageError, match="`target` is nan"):
        descend(TRANSITION, REWARD, LOGITS, INITIAL, float("nan"), **settings)
