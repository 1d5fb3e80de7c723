"""Policies, objectives and fitting: published values and gradients, densities, lanes, scipy beside it."""

import jax.numpy as jnp
import numpy as np
import pytest
import recipes
from scipy import optimize, stats

from embodied_cf.crm.fit import Decisions, fit, lanes, value_and_grad
from embodied_cf.crm.objectives import LagrangeShift, LogSmoothed, Poem, VariancePenalised
from embodied_cf.crm.policies import BernoulliProduct, LinearGaussian, LinearLognormal, Softmax
from embodied_cf.crm.steering import Choice, Knobs, Menu, Proposal, Steer, Steering
from embodied_cf.errors import UsageError

PRICER = LinearGaussian(10, 0.5)


def prices():
    x, a, propensity, loss, theta = recipes.prices()
    return Decisions(x, a, np.log(propensity), loss), theta


@pytest.mark.parametrize("lam", recipes.PRICES)
def test_published_objective_and_gradient(lam):
    decisions, theta = prices()
    value, gradient = value_and_grad(PRICER, VariancePenalised(lam), theta, decisions)
    assert value == pytest.approx(recipes.PRICES[lam][0], abs=1e-10)
    assert gradient == pytest.approx(np.array(recipes.PRICES[lam][1]), abs=1e-10)


def test_published_mixture():
    decisions, theta = prices()
    parts = [np.exp(PRICER.log_prob(theta + d, decisions.context, decisions.action)) for d in (0.0, 0.1)]
    density = 0.4 * parts[0] + 0.6 * parts[1]
    assert density[:5] == pytest.approx(np.array(recipes.PRICES_MIXTURE_DENSITY), abs=1e-10)
    mixture = decisions._replace(log_propensity=np.log(np.maximum(density, 1e-5)))
    objective = VariancePenalised(0.1, alpha=0.0, control_variate=False, ddof=1)
    assert value_and_grad(PRICER, objective, theta, mixture)[0] == pytest.approx(recipes.PRICES_MIXTURE, abs=1e-10)


def test_objectives_by_hand():
    """One context, two logged actions, weights 2 and 0.5 at theta = 0 of a softmax over two actions."""
    policy, theta = Softmax(1, 2), np.zeros(4)
    decisions = Decisions(np.zeros((2, 1)), np.array([0, 1]), np.log([0.25, 1.0]), np.array([-1.0, -2.0]))
    value = lambda objective: value_and_grad(policy, objective, theta, decisions)[0]  # noqa: E731
    assert value(VariancePenalised(1.0, alpha=0.0)) == pytest.approx(-1.5 + 1.0)  # l (w - 1) = -1, 1
    assert value(VariancePenalised(1.0, alpha=0.0, scaling="sqrt_n")) == pytest.approx(-1.5 + 1 / np.sqrt(2))
    assert value(VariancePenalised(0.0)) == pytest.approx((-2 / 2 - 1 / 1.25) / 2)  # alpha = 1/2
    assert value(Poem(1.0, 1.5)) == pytest.approx(-1.25 + np.sqrt(0.125) / np.sqrt(2))  # -1.5, -1
    assert value(LagrangeShift(-1.0)) == pytest.approx(-0.25)  # 0 * 2, -1 * 0.5
    assert value(LogSmoothed(0.5)) == pytest.approx(-(np.log(2) + np.log(1.5)) / 0.5 / 2)


def test_staying_with_the_logger_costs_nothing():
    """All l (w - 1) are 0 there: the penalty vanishes, and its gradient is not nan."""
    policy, theta = Softmax(1, 2), np.zeros(4)
    decisions = Decisions(np.ones((4, 1)), np.array([0, 1, 0, 1]), np.log(np.full(4, 0.5)), -np.arange(4.0))
    value, gradient = value_and_grad(policy, VariancePenalised(1.0, alpha=0.0), theta, decisions)
    assert value == pytest.approx(-1.5)
    assert np.isfinite(gradient).all()


def test_lanes_agree_with_scipy_and_with_single_fits():
    decisions, theta = prices()
    few = Decisions(*(column[:300] for column in decisions))
    lam = np.array([0.0, 0.1, 1.0])
    found = fit(PRICER, VariancePenalised(lam), np.tile(theta, (3, 1)), lanes(few, 3))
    assert found.converged.all()
    for lane, penalty in list(enumerate(lam))[1:]:
        objective = VariancePenalised(penalty)
        goal = optimize.minimize(
            lambda t, o=objective: value_and_grad(PRICER, o, t, few), found.theta[lane] + 0.01, jac=True, tol=1e-10
        )
        assert found.value[lane] == pytest.approx(goal.fun, abs=1e-6), "no descent is left"
        alone = fit(PRICER, VariancePenalised(lam[lane : lane + 1]), theta[None], lanes(few, 1))
        assert alone.theta[0] == pytest.approx(found.theta[lane], abs=1e-8)


def test_single_precision_comes_close():
    decisions, theta = prices()
    decisions, lam = Decisions(*(column[:300] for column in decisions)), np.array([0.1])
    double = fit(PRICER, VariancePenalised(lam), theta[None], lanes(decisions, 1))
    single = fit(PRICER, VariancePenalised(lam), theta[None].astype(np.float32), lanes(decisions, 1))
    assert single.theta.dtype == np.float32
    assert single.value[0] == pytest.approx(double.value[0], abs=1e-4)


def test_the_sign_is_enforced():
    decisions, theta = prices()
    costs = decisions._replace(loss=-decisions.loss)
    with pytest.raises(UsageError, match=r"above the largest loss 0\. Shrunk weights would be optimistic"):
        fit(PRICER, VariancePenalised(np.zeros(1)), theta[None], lanes(costs, 1))
    largest = float(costs.loss.max())
    shifted = fit(PRICER, LogSmoothed(np.full(1, 0.01)), theta[None], lanes(costs, 1), largest_loss=largest)
    assert shifted.value[0] < 0


def test_densities_are_densities():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 2))
    a = np.exp(rng.normal(size=5))
    theta = np.array([0.1, 0.2, -0.3])
    mean = theta[0] + x @ theta[1:]
    assert LinearGaussian(2, 0.4).log_prob(theta, x, a) == pytest.approx(stats.norm(mean, 0.4).logpdf(a))
    assert LinearLognormal(2, 0.4).log_prob(theta, x, a) == pytest.approx(
        stats.lognorm(0.4, scale=np.exp(mean)).logpdf(a)
    )
    knobs = Knobs(1, (0.2,), (1.5,), 0.5)
    grid = np.linspace(0.2, 1.5, 20_001)[1:-1]
    density = np.exp(knobs.log_prob(np.array([0.3, 0.1]), np.ones((len(grid), 1)), grid[:, None]))
    assert density.sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("hidden", [0, 4])
def test_softmax_sums_to_one_and_samples_as_it_says(hidden):
    rng = np.random.default_rng(1)
    policy = Softmax(2, 3, hidden)
    theta = rng.normal(size=policy.size)
    context = np.tile(rng.normal(size=(1, 2)), (20_000, 1))
    probability = np.exp(policy.log_probs(theta, context))
    assert probability.sum(axis=1) == pytest.approx(1)
    share = np.bincount(policy.sample(theta, context, rng), minlength=3) / len(context)
    assert share == pytest.approx(probability[0], abs=0.02)


def test_multi_label_policies():
    rng = np.random.default_rng(2)
    policy = BernoulliProduct(2, 3)
    theta = rng.normal(size=policy.size)
    every = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)], float)
    assert np.exp(policy.log_prob(theta, np.ones((8, 2)), every)).sum() == pytest.approx(1)
    context = np.ones((20_000, 2))
    share = policy.sample(theta, context, rng).mean(axis=0)
    assert share == pytest.approx(1 / (1 + np.exp(-policy.logits(theta, context)[0])), abs=0.02)


def test_a_menu_by_hand():
    """Three settings of two attributes; log odds 0, x and 2 x with x = log 2: shares 1, 2, 4 of 7, mixed with 1 / 3."""
    menu = Menu(1, ((0.0, 0.0), (1.0, 0.0), (0.0, 2.0)), explore=0.3)
    theta = np.array([0.0, 0.0, 1.0, 1.0])
    context = np.array([[np.log(2.0)]])
    expected = 0.7 * np.array([1, 2, 4]) / 7 + 0.1
    assert np.exp(menu.log_probs(theta, context))[0] == pytest.approx(expected)
    assert np.exp(menu.log_prob(theta, context, np.array([2]))) == pytest.approx(expected[2])
    many = menu.sample(theta, np.repeat(context, 20_000, axis=0), np.random.default_rng(0))
    assert np.bincount(many) / 20_000 == pytest.approx(expected, abs=0.015)
    assert menu.size == 4


def test_a_shift_is_taken_from_every_loss():
    loss, weight = jnp.array([-0.7, -0.2]), jnp.array([2.0, 0.5])
    shifted = VariancePenalised(0.5, shift=-0.4)(loss, weight)
    assert float(shifted) == pytest.approx(float(VariancePenalised(0.5)(loss + 0.4, weight)), rel=1e-6)


def test_steering_learns_which_candidate_and_how_fast():
    """The first feature of a candidate is its merit, the best speed is 0.8: both are found from a blind logger."""
    rng = np.random.default_rng(3)
    n = 3000
    policy = Steering(Choice(2), Knobs(1, (0.2,), (1.0,), 0.7))
    seen = Proposal(rng.normal(size=(n, 4, 2)), rng.normal(size=(n, 1)))
    blind = np.zeros(policy.size)
    act = policy.sample(blind, seen, rng)
    merit = seen.candidates[np.arange(n), act.choice, 0]
    loss = -np.exp(-((act.knobs[:, 0] - 0.8) ** 2) * 8) / (1 + np.exp(-2 * merit))
    logged = Decisions(seen, act, policy.log_prob(blind, seen, act), loss)
    found = fit(policy, VariancePenalised(np.full(1, 0.1)), blind[None], lanes(logged, 1)).theta[0]
    assert found[0] > max(1.0, 2 * abs(found[1]))
    steered = policy.sample(found, seen, rng)
    assert isinstance(steered, Steer)
    assert 0.66 < np.median(steered.knobs) < 0.85, "the blind logger's is 0.6"
    assert ((steered.knobs > 0.2) & (steered.knobs < 1.0)).all()


def test_a_search_that_finds_no_number_has_not_converged():
    """Its gradient is 0 from the beginning, for it never got one."""
    decisions = Decisions(np.zeros((4, 1)), np.array([0.0, np.nan, 1.0, 2.0]), np.zeros(4), -np.ones(4))
    found = fit(LinearGaussian(1, 0.5), LagrangeShift(np.zeros(1)), np.zeros((1, 2)), lanes(decisions, 1))
    assert not found.converged[0]
