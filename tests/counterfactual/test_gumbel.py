import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embodied_cf.counterfactual import copula, gumbel
from embodied_cf.errors import UsageError

P, Q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.3])
LAW = np.array([[0.4, 0.387097, 0.212903], [0, 1, 0], [0, 0.032258, 0.967742]])


@st.composite
def pairs(draw):
    """Two distributions over the same outcomes, zeros and very small entries among them."""
    n = draw(st.sampled_from([1, 2, 3, 7, 12]))
    entry = st.one_of(st.just(0.0), st.floats(1e-9, 1e-6), st.floats(0.01, 1.0))
    weights = draw(arrays(float, (2, n), elements=entry))
    weights[:, draw(st.integers(0, n - 1))] += 0.5
    return weights / weights.sum(axis=1, keepdims=True)


def test_the_reference_matrix():
    np.testing.assert_allclose(gumbel.counterfactual_law(P, Q), LAW, atol=1e-6)


def test_the_copula_bounds_of_the_reference():
    lower, upper = copula.bounds(P, Q)
    assert not lower.any()
    np.testing.assert_allclose(upper, [[0.4, 1, 0.6], [2 / 3, 1, 1], [1, 1, 1]], atol=1e-12)


def test_lists_and_single_precision_are_accepted():
    np.testing.assert_allclose(gumbel.counterfactual_law([0.5, 0.3, 0.2], [0.2, 0.5, 0.3]), LAW, atol=1e-6)
    single = gumbel.counterfactual_law(P.astype(np.float32), Q.astype(np.float32))
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, LAW, atol=1e-6)


def test_four_million_draws_agree():
    rng = np.random.default_rng(0)
    counts = np.zeros((3, 3))
    for _ in range(8):
        noise = rng.gumbel(size=(500_000, 3))
        pair = 3 * np.argmax(np.log(P) + noise, axis=1) + np.argmax(np.log(Q) + noise, axis=1)
        counts += np.bincount(pair, minlength=9).reshape(3, 3)
    joint = gumbel.joint_law(P, Q)
    error = np.sqrt(joint * (1 - joint) / 4e6)
    assert (np.abs(counts / 4e6 - joint) <= 4.5 * error).all()


@settings(max_examples=100, deadline=None)
@given(pairs())
def test_marginals_rows_and_bounds(pair):
    p, q = pair
    law = gumbel.counterfactual_law(p, q)
    lower, upper = copula.bounds(p, q)
    np.testing.assert_allclose(law.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(p @ law, q, atol=1e-12)
    assert (law >= lower - 1e-11).all()
    assert (law <= upper + 1e-11).all()
    variation = np.abs(p - q).sum() / 2
    agreement = p @ np.diag(law)
    assert (1 - variation) / (1 + variation) - 1e-12 <= agreement <= 1 - variation + 1e-12


@settings(max_examples=50, deadline=None)
@given(pairs())
def test_stability_forbids_moves_to_what_grew_less(pair):
    p, q = pair
    law = gumbel.counterfactual_law(p, q)
    for i, j in np.argwhere(law > 1e-13):
        assert i == j or q[i] * p[j] <= q[j] * p[i]


def test_nothing_changes_where_nothing_changed():
    p = np.array([0.2, 0.0, 0.5, 0.3])
    law = gumbel.counterfactual_law(p, p)
    np.testing.assert_allclose(law[p > 0], np.eye(4)[p > 0], atol=1e-15)


def test_a_chance_that_vanishes_beside_one_still_counts():
    """q_2 is 1 in float64, but what p never did may still become the first."""
    p, q = np.array([0.0, 1.0, 0.0]), np.array([1e-20, 1.0, 0.0])
    lower, upper = copula.bounds(p, q)
    law = gumbel.counterfactual_law(p, q)
    assert law[0].tolist() == [1.0, 0.0, 0.0]
    assert (lower <= law).all()
    assert (law <= upper).all()


def test_disjoint_supports_follow_q():
    law = gumbel.counterfactual_law(np.array([1.0, 0, 0]), np.array([0, 0.3, 0.7]))
    np.testing.assert_allclose(law[0], [0, 0.3, 0.7], atol=1e-15)


def test_batches_are_pairs_one_by_one():
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(5), size=(2, 4, 3))
    batched = gumbel.counterfactual_law(p, q)
    assert batched.shape == (4, 3, 5, 5)
    np.testing.assert_allclose(batched[2, 1], gumbel.counterfactual_law(p[2, 1], q[2, 1]), atol=1e-15)


def test_a_single_outcome():
    assert gumbel.counterfactual_law(np.ones(1), np.ones(1)).tolist() == [[1.0]]


def test_hindsight_noise_reproduces_what_was_seen():
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.ones(6), size=1000) * (rng.uniform(size=(1000, 6)) > 0.3) + 1e-300
    p /= p.sum(axis=1, keepdims=True)
    observed = np.argmax(p * rng.uniform(size=p.shape), axis=1)
    assert (gumbel.replay(p, gumbel.hindsight_noise(p, observed, rng)) == observed).all()


def test_hindsight_noise_follows_the_exact_law():
    rng = np.random.default_rng(3)
    n = 200_000
    for factual in range(3):
        noise = gumbel.hindsight_noise(np.tile(P, (n, 1)), np.full(n, factual), rng)
        rate = np.bincount(gumbel.replay(np.tile(Q, (n, 1)), noise), minlength=3) / n
        law = gumbel.counterfactual_law(P, Q)[factual]
        assert (np.abs(rate - law) <= 4.5 * np.sqrt(law * (1 - law) / n) + 1e-15).all()


def test_hindsight_noise_of_impossible_outcomes_is_free():
    """Gumbel noise has mean 0.5772 and variance pi²/6 = 1.645."""
    noise = gumbel.hindsight_noise(np.tile([1.0, 0.0], (100_000, 1)), np.zeros(100_000, int), np.random.default_rng(4))
    assert noise[:, 1].mean() == pytest.approx(0.5772, abs=0.02)
    assert noise[:, 1].var() == pytest.approx(1.645, abs=0.05)


def test_what_is_no_distribution_is_refused():
    with pytest.raises(UsageError, match=r"`p` is no distribution: it sums to 0.9"):
        gumbel.counterfactual_law(np.array([0.5, 0.4]), np.array([0.5, 0.5]))
    with pytest.raises(UsageError, match=r"`q` is no distribution: it has negative"):
        copula.bounds(np.array([0.5, 0.5]), np.array([1.5, -0.5]))
    with pytest.raises(UsageError, match="p has 2 outcomes, q has 3"):
        gumbel.counterfactual_law(np.array([0.5, 0.5]), P)
    with pytest.raises(UsageError, match="p has 3 outcomes, q has 1"):
        copula.bounds(P, np.ones(1))
    with pytest.raises(UsageError, match="probability zero"):
        gumbel.hindsight_noise(np.array([1.0, 0.0]), np.array(1), np.random.default_rng(0))


@pytest.mark.parametrize("ask", [gumbel.counterfactual_law, gumbel.joint_law, copula.bounds])
@pytest.mark.parametrize(
    ("p", "q", "words"),
    [
        (1.0, 1.0, "`p` is a single number"),
        (P, "x", "`q` is no array of numbers"),
        ([[0.5, 0.5], [1.0]], P, "`p` is no array of numbers"),
        (np.tile(P, (2, 1)), np.tile(Q, (3, 1)), r"p has batch axes \(2,\), q has \(3,\)"),
        (P, np.zeros(0), "`q` is no distribution"),
    ],
)
@pytest.mark.usefixtures("users_call")
def test_shapes_that_do_not_go_together_are_refused(ask, p, q, words):
    with pytest.raises(UsageError, match=words):
        ask(p, q)


@pytest.mark.usefixtures("users_call")
def test_hindsight_asks_for_one_outcome_per_distribution():
    rng, many = np.random.default_rng(0), np.tile(P, (4, 1))
    for observed, words in (
        (np.zeros(3, int), r"p has batch axes \(4,\), the observed outcomes have \(3,\)"),
        (np.full(4, 3), "not one of 0 to 2"),
        (np.full(4, -1), "not one of 0 to 2"),
        (np.zeros(4), "not one of 0 to 2"),
    ):
        with pytest.raises(UsageError, match=words):
            gumbel.hindsight_noise(many, observed, rng)
    with pytest.raises(UsageError, match=r"q has shape \(4, 3\), the noise \(3,\)"):
        gumbel.replay(many, rng.gumbel(size=3))


def test_double_precision_stays_in_the_room():
    import jax.numpy as jnp

    gumbel.counterfactual_law(P, Q)
    assert jnp.ones(1).dtype == jnp.float32
