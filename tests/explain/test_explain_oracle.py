"""The search against the exact oracle, in the reference's tabular world."""

import numpy as np
import pytest
import torch
from tabular_env import INITIAL, LOGITS, REWARD, TRANSITION, Table, TabularEnvs

from embodied_cf.counterfactual import tabular
from embodied_cf.counterfactual.descent import divergence_gradient
from embodied_cf.counterfactual.errors import UnreachableError
from embodied_cf.errors import UsageError
from embodied_cf.explain.options import SearchOptions
from embodied_cf.explain.policy.distance import Returns
from embodied_cf.explain.policy.explanation import explain_policy, returns_before
from embodied_cf.explain.policy.objective import gradient
from embodied_cf.explain.policy.search import Estimate, _Search, search
from embodied_cf.explain.rollout import play

TARGET = 4.069208109359
POLICY = Table().probabilities()
DUAL = SearchOptions(episodes=250, iterations=250, rate=0.1, confirm=1000, clip=100.0)


def excess(found):
    """How much further a policy is from the original than the oracle at the same return; and that return."""
    changed = found.probabilities()
    value = tabular.value(TRANSITION, REWARD, changed, INITIAL)
    oracle = tabular.minimal_change(TRANSITION, REWARD, POLICY, INITIAL, value)
    return tabular.trajectory_kl(TRANSITION, changed, POLICY, INITIAL) / oracle.kl - 1, value


def find(options, target=TARGET, delta=0.05, seed=0):
    return search(Table(), TabularEnvs, target, options, delta=delta, scale=1.0, rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def dual():
    torch.set_num_threads(1)
    return find(DUAL)


def test_the_dual_is_within_one_percent_of_the_oracle(dual):
    assert dual.valid
    assert dual.check.episodes == 2 * DUAL.confirm, "it was looked at twice"
    beyond, value = excess(dual.policy)
    assert value == pytest.approx(TARGET, abs=0.05)
    assert 0 <= beyond < 0.01


def test_the_multiplier_is_the_oracles(dual):
    assert dual.multiplier == pytest.approx(-2.7539, rel=0.05)


def test_pivoting_changes_more_than_needed():
    paper = SearchOptions("paper", episodes=200, iterations=600, rate=0.05, proximity=8.0, confirm=1000, clip=100.0)
    found = find(paper)
    assert found.valid
    assert excess(found.policy)[0] > 0.02


def exact(policy, cost):
    """Gradient over logits by the published formula: d_t(s) pi_t(a|s) (Q_t(s,a) - V_t(s))."""
    after = np.zeros(len(INITIAL))
    advantage = np.zeros_like(policy)
    for t in reversed(range(len(policy))):
        quality = cost[t] + TRANSITION @ after
        after = (policy[t] * quality).sum(axis=1)
        advantage[t] = quality - after[:, None]
    occupied, slopes = INITIAL, np.zeros_like(policy)
    for t in range(len(policy)):
        slopes[t] = occupied[:, None] * policy[t] * advantage[t]
        occupied = np.einsum("s,sa,sax->x", occupied, policy[t], TRANSITION)
    return slopes


def sampled(policy, pivot, lanes, on_return, on_divergence, seed=0):
    batch = play(policy, TabularEnvs(lanes), np.random.default_rng(seed))
    baseline = gradient(policy, pivot, batch, None, on_return=0, on_divergence=0).baseline
    batch = play(policy, TabularEnvs(lanes), np.random.default_rng(seed + 1))
    told = gradient(policy, pivot, batch, baseline, on_return=on_return, on_divergence=on_divergence)
    policy.zero_grad()
    told.surrogate.backward()
    return policy.logits.grad.double().numpy().ravel()


def test_sampled_gradients_approach_the_exact_ones_as_one_over_root_n():
    elsewhere = Table(LOGITS[::-1].copy())
    cost = 2 * REWARD + 3 * (np.log(POLICY) - np.log(elsewhere.probabilities()))
    truth = exact(POLICY, cost).ravel()
    errors = [
        np.mean([np.linalg.norm(sampled(Table(), elsewhere, lanes, 2.0, 3.0, seed) - truth) for seed in range(6)])
        for lanes in (100, 1600)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)
    many = sampled(Table(), elsewhere, 20_000, 2.0, 3.0)
    assert many @ truth / np.linalg.norm(many) / np.linalg.norm(truth) > 0.99


def test_the_exact_divergence_gradient_is_the_published_formula():
    elsewhere = Table(LOGITS[::-1].copy()).probabilities()
    formula = exact(POLICY, np.log(POLICY) - np.log(elsewhere))
    np.testing.assert_allclose(divergence_gradient(TRANSITION, LOGITS, elsewhere, INITIAL), formula, atol=1e-7)


def test_the_divergence_term_has_no_gradient_at_the_pivot():
    assert np.abs(sampled(Table(), Table(), 100, 0.0, 1.0)).max() == pytest.approx(0, abs=1e-7)


def test_the_present_return_gives_the_policy_back():
    present = tabular.value(TRANSITION, REWARD, POLICY, INITIAL)
    told = explain_policy(Table(), TabularEnvs, present, SearchOptions(confirm=2000))
    assert told.unchanged
    assert told.valid
    assert (told.policy.logits == Table().logits).all()
    assert told.proximity.trajectory_kl == 0
    assert told.cost.environment_steps == 0


@pytest.mark.parametrize("mode", ["dual", "paper"])
def test_an_unreachable_return_says_what_was_reached(mode):
    options = SearchOptions(mode, episodes=50, iterations=20, rate=0.5, polish=1, confirm=200, delta=0.05)
    with pytest.raises(
        UnreachableError, match=r"no policy with return 20 was found: the nearest has \d.* the original 5"
    ):
        explain_policy(Table(), TabularEnvs, 20.0, options)


STILL = SearchOptions("paper", episodes=10, iterations=3, rate=1e-9, confirm=200, delta=0.05)
"""Its candidates are all but the original policy, which has a return of 5.165."""


@pytest.mark.parametrize("seed", range(4))
def test_the_nearest_is_looked_at_again_on_as_many_episodes_as_confirm(seed):
    """A look of 40 episodes picks it, by luck."""
    told = search(Table(), TabularEnvs, 20.0, STILL, delta=0.05, scale=1.0, rng=np.random.default_rng(seed),
                  before=Estimate(4.9, 0.1, 400))  # fmt: skip
    assert not told.valid
    assert told.check.episodes == STILL.confirm
    assert told.check.mean == pytest.approx(5.165, abs=0.3)


@pytest.mark.parametrize(("target", "valid"), [(5.165, True), (6.5, False)])
def test_the_nearest_is_taken_if_new_episodes_confirm_it(target, valid):
    """Its first look, of 40 episodes, was off by bad luck."""
    run = _Search(Table(), TabularEnvs, target, STILL, 0.05, 1.0, np.random.default_rng(0), TabularEnvs)
    run.nearest = Estimate(4.5, 0.2, 40), Table()
    found = run._found(False, None)
    assert found.valid is valid
    assert found.check.episodes == STILL.confirm


def test_what_is_no_nearer_than_the_original_is_not_the_nearest():
    known = Returns(Estimate(6.5, 0.1, 400), Estimate(6.5, 0.1, 100), (6.5,))
    with pytest.raises(UnreachableError) as told:
        explain_policy(Table(), TabularEnvs, 20.0, STILL, before=known)
    assert "nor one nearer to it than the original, which has 6.5 ± 0.1 (400 episodes)" in str(told.value)
    assert "between" not in str(told.value)


def test_a_target_within_two_standard_errors_is_met_already():
    """By the rule by which a changed policy is valid, however small delta is."""
    known = Returns(Estimate(5.3, 0.1, 400), Estimate(5.3, 0.1, 100), (5.3,))
    told = explain_policy(Table(), TabularEnvs, 5.165, STILL, before=known)
    assert told.unchanged
    assert told.cost.iterations == 0


@pytest.mark.parametrize("target", [np.nan, np.inf])
def test_a_target_that_is_no_number_is_refused(target):
    with pytest.raises(UsageError, match="is no return"):
        explain_policy(Table(), TabularEnvs, target, STILL)


def test_the_same_seed_gives_the_same_answer():
    options = SearchOptions(episodes=50, iterations=30, rate=0.05, polish=40, confirm=100, delta=0.2)
    known = returns_before(Table(), TabularEnvs, options.confirm, seed=3)
    told = [explain_policy(Table(), TabularEnvs, 4.7, options, seed=3, before=given) for given in (None, known)]
    assert told[0].before == told[1].before
    assert (told[0].policy.logits == told[1].policy.logits).all()
    assert told[0].after == told[1].after
    assert told[0].valid
