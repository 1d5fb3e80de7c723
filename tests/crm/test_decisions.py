"""Estimators of single decisions: published values, values by hand, formulas that must agree, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import recipes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embodied_cf.crm import ContinuousBatch, EmbeddedBatch, LoggedBatch, MultiLoggedBatch, diagnose
from embodied_cf.crm import estimators as E  # noqa: N812 (the name that the documentation uses)
from embodied_cf.errors import RecordError, UsageError


def small(**changes):
    """Weights 2, 0.5, 1; model off by known amounts."""
    batch = LoggedBatch(
        reward=np.array([1.0, 0.0, 2.0]),
        propensity=np.array([0.25, 0.5, 0.5]),
        target_propensity=np.array([0.5, 0.25, 0.5]),
        q_logged=np.array([0.5, 0.5, 1.0]),
        q_target=np.array([0.6, 0.3, 0.9]),
    )
    return replace(batch, **changes)


@pytest.mark.parametrize(
    ("name", "estimator"),
    [("ipw", E.IPS()), ("snipw", E.SNIPS()), ("dm", E.DM()), ("dr", E.DR()), ("switch_2", E.SwitchDR(2.0))],
)
def test_published_values(name, estimator):
    found = estimator(recipes.decision_batch())
    assert found.value == pytest.approx(recipes.DECISIONS[name], abs=1e-10)
    assert found.terms.mean() == pytest.approx(found.value, abs=1e-12)


def test_the_truth_of_the_recipe():
    d = recipes.decisions()
    assert (d["target"] * d["q_true"]).sum(axis=1).mean() == pytest.approx(recipes.DECISIONS["true"], abs=1e-12)


# terms by hand: w r = 2, 0, 2; residuals r - q = 0.5, -0.5, 1; w residual = 1, -0.25, 1; model mean 0.6
BY_HAND = [
    (E.IPS(), 4 / 3),
    (E.ClippedIPS(1.5), (1.5 + 0 + 2) / 3),
    (E.SNIPS(), 4 / 3.5),
    (E.ImplicitExploration(0.5), (2 / 2 + 0 + 2 / 1.5) / 3),
    (E.LogSmoothing(0.5), (np.log(2) + 0 + np.log(2)) / 0.5 / 3),
    (E.SubGaussianIPS(0.5), (2 / 1.5 + 0 + 2 * 1) / 3),
    (E.DM(), 0.6),
    (E.DR(), 0.6 + 1.75 / 3),
    (E.DR(max_weight=1.5), 0.6 + (0.75 - 0.25 + 1) / 3),
    (E.SNDR(), 0.6 + 1.75 / 3.5),
    (E.SwitchDR(1.0), 0.6 + (0 - 0.25 + 1) / 3),
    (E.DRos(1.0), 0.6 + (2 / 5 * 0.5 + 0.5 / 1.25 * -0.5 + 0.5 * 1) / 3),
    (E.SubGaussianDR(0.5), 0.6 + (4 / 3 * 0.5 + 2 / 3 * -0.5 + 1) / 3),
]


@pytest.mark.parametrize(("estimator", "value"), BY_HAND)
def test_by_hand(estimator, value):
    found = estimator(small())
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.terms.mean() == pytest.approx(value, abs=1e-12), "terms average to the value"


def test_implicit_exploration_of_prices():
    x, a, propensity, loss, theta = recipes.prices()
    density = np.exp(-((a - theta[0] - x @ theta[1:]) ** 2) / 2 / 0.25) / np.sqrt(2 * np.pi) / 0.5
    batch = LoggedBatch(loss, propensity, density)
    assert E.IPS()(batch).value == pytest.approx(recipes.PRICES_IPS, abs=1e-10)
    assert E.ImplicitExploration(1 / 1000)(batch).value == pytest.approx(recipes.PRICES[0.0][0], abs=1e-10)
    z = density / (propensity + density / 1000)
    assert diagnose(LoggedBatch(loss, np.ones(1000), z)).effective_sample_size == pytest.approx(
        recipes.PRICES_EFFECTIVE, rel=1e-10
    )
    assert z.mean() == pytest.approx(recipes.PRICES_MEAN_WEIGHT, abs=1e-12)


def test_limits_lead_back():
    """Every tamed estimator is IPS or DR at the end of its dial."""
    batch = recipes.decision_batch()
    ips, dr, dm = E.IPS()(batch).value, E.DR()(batch).value, E.DM()(batch).value
    same = [E.ClippedIPS(1e9), E.ImplicitExploration(0.0), E.LogSmoothing(1e-9), E.SubGaussianIPS(0.0)]
    assert [e(batch).value for e in same] == pytest.approx([ips] * 4, abs=1e-6)
    assert [e(batch).value for e in (E.SwitchDR(1e9), E.DRos(1e12), E.SubGaussianDR(0.0))] == pytest.approx(
        [dr] * 3, abs=1e-6
    )
    assert [e(batch).value for e in (E.SwitchDR(0.0), E.DR(0.0), E.DRos(0.0))] == pytest.approx([dm] * 3, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    reward=hnp.arrays(float, 12, elements=st.floats(0, 1)),
    weight=hnp.arrays(float, 12, elements=st.floats(0.01, 50)),
)
def test_shrinking_errs_towards_zero_on_both_signs(reward, weight):
    def run(estimator, sign):
        return estimator(LoggedBatch(sign * reward, np.ones(12), weight))

    for estimator in (E.ClippedIPS(3.0), E.ImplicitExploration(0.1)):
        low, high = run(estimator, 1), run(estimator, -1)
        assert low.value <= run(E.IPS(), 1).value + 1e-12
        assert high.value >= run(E.IPS(), -1).value - 1e-12
        assert low.leaning == "too low"
        if reward.any():
            assert high.leaning == "too high"
    assert run(E.LogSmoothing(0.3), 1).value <= run(E.IPS(), 1).value + 1e-12
    assert reward.min() - 1e-9 <= run(E.SNIPS(), 1).value <= reward.max() + 1e-9


def test_log_smoothing_refuses_costs():
    with pytest.raises(UsageError, match=r"rewards >= 0\. Subtract the lowest"):
        E.LogSmoothing(0.1)(small(reward=np.array([-1.0, 0.0, 0.0])))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"propensity": np.array([0.0, 0.5, 0.5])}, "propensity 0"),
        ({"target_propensity": np.array([-0.1, 0.5, 0.5])}, "negative"),
        ({"reward": np.array([np.nan, 0.0, 0.0])}, "reward is not finite"),
    ],
)
def test_batches_refuse_what_no_log_holds(change, text):
    with pytest.raises(RecordError, match=text):
        small(**change)


def test_empty_and_mismatched_batches():
    with pytest.raises(RecordError, match="no decisions"):
        LoggedBatch(np.zeros(0), np.zeros(0), np.zeros(0))


def test_a_model_must_be_there():
    with pytest.raises(UsageError, match="needs a reward model"):
        E.DR()(small(q_logged=None))


def test_all_weights_zero():
    with pytest.raises(UsageError, match="hold no action of the target"):
        E.SNIPS()(small(target_propensity=np.zeros(3)))


def test_a_bad_value_is_never_told_alone():
    told = str(E.IPS()(small()))
    assert "1.33333" in told
    assert "only 2.3 decisions" in told
    assert str(E.IPS()(recipes.decision_batch())).endswith("(standard error, approximate)")


def test_diagnostics_name_what_is_wrong():
    n = 1000
    fine = LoggedBatch(np.zeros(n), np.full(n, 0.5), np.full(n, 0.5))
    assert diagnose(fine).clean
    assert diagnose(fine).overlap == 1.0
    one = replace(fine, target_propensity=np.where(np.arange(n) == 0, 500.0, 0.5))
    assert "one record carries 50 % of all weight" in diagnose(one).problems
    wrong = replace(fine, propensity=np.full(n, 0.25))
    assert any("mean weight is 2 " in text for text in diagnose(wrong).problems)
    assert diagnose(replace(fine, guaranteed=False)).problems == (
        "propensities were estimated, not recorded: no guarantee",
    )


def test_embeddings():
    """MIPS is IPS where the embedding is the action; elsewhere the joint embedding counts, not its marginals."""
    d = recipes.decisions()
    identity = EmbeddedBatch(d["reward"], d["behaviour"], d["target"], np.eye(8)[d["action"]])
    assert E.MIPS()(identity).value == pytest.approx(recipes.DECISIONS["ipw"], abs=1e-10)
    table, seen = recipes.embedding()
    likelihood = table[:, seen[:, 0], 0].T * table[:, seen[:, 1], 1].T
    batch = EmbeddedBatch(d["reward"], d["behaviour"], d["target"], likelihood)
    weight = (d["target"] * likelihood).sum(1) / (d["behaviour"] * likelihood).sum(1)
    assert E.MIPS()(batch).value == pytest.approx((weight * d["reward"]).mean(), abs=1e-12)
    assert E.MIPS(E.SNIPS())(batch).value == pytest.approx((weight * d["reward"]).sum() / weight.sum(), abs=1e-12)
    assert weight.var() < recipes.decision_batch().weight.var() / 10
    assert abs(E.MIPS()(batch).value - recipes.DECISIONS["true"]) > 0.02, "the reward does not act through e: biased"


@pytest.mark.parametrize("shape", ["gaussian", "epanechnikov", "triangular", "cosine"])
def test_kernels(shape):
    """A density each; the estimate of E[r | a = target] approaches the truth as the bandwidth falls."""
    from embodied_cf.crm._composed import kernel

    u = np.linspace(-6, 6, 200_001)
    assert kernel(u, shape).sum() * (u[1] - u[0]) == pytest.approx(1, abs=1e-6)
    rng = np.random.default_rng(0)
    action = rng.uniform(0, 1, 200_000)
    reward = action**2
    batch = ContinuousBatch(
        reward, action, np.ones(len(action)), np.full(len(action), 0.5), reward, np.full(len(action), 0.2)
    )
    assert E.Kernel(0.02, shape)(batch).value == pytest.approx(0.25, abs=0.02)
    assert E.Kernel(0.02, shape, E.SNIPS())(batch).value == pytest.approx(0.25, abs=0.002)
    assert E.Kernel(0.02, shape, E.DR())(batch).value == pytest.approx(0.2, abs=1e-12), "the model is exact on logged"


def test_several_loggers():
    rng = np.random.default_rng(1)
    n, p = 40_000, np.array([[0.9, 0.1], [0.3, 0.7]])
    logger = rng.integers(2, size=n)
    action = (rng.random(n) >= p[logger, 0]).astype(int)
    reward = np.where(action == 1, 1.0, 0.2) + rng.normal(scale=0.1, size=n)
    target = np.array([0.1, 0.9])
    batch = MultiLoggedBatch(reward, logger, p[:, action].T, target[action])
    truth = 0.1 * 0.2 + 0.9
    naive, balanced, weighted = E.IPS()(batch.naive()), E.Balanced()(batch), E.Weighted()(batch)
    for found in (naive, balanced, weighted):
        assert abs(found.value - truth) < 5 * found.standard_error
    assert balanced.standard_error < 0.6 * naive.standard_error
    assert weighted.standard_error < 0.6 * naive.standard_error
    strata = [E.IPS()(stratum) for stratum in batch.strata()]
    share = np.array([len(s.terms) / s.terms.var() for s in strata])
    assert weighted.value == pytest.approx(np.dot(share, [s.value for s in strata]) / share.sum(), abs=1e-12)
    assert balanced.estimator == "Balanced(IPS)"


@pytest.mark.parametrize(
    "make",
    [lambda: E.LogSmoothing(0.0), lambda: E.DRos(np.inf), lambda: E.DRos(-1.0), lambda: E.SubGaussianIPS(1.5),
     lambda: E.SubGaussianDR(-0.1), lambda: E.ImplicitExploration(-0.2), lambda: E.ClippedIPS(-1.0),
     lambda: E.DR(float("nan"))],
)  # fmt: skip
def test_dials_out_of_range_are_refused(make):
    with pytest.raises(UsageError, match=r"(lam|alpha|max_weight) is .*, and must be between"):
        make()


def test_weights_of_0_at_the_ends_of_dials():
    batch = small(target_propensity=np.array([0.5, 0.0, 0.5]))
    assert E.DRos(0.0)(batch).value == pytest.approx(E.DM()(batch).value)
    assert E.SubGaussianIPS(1.0)(batch).value == pytest.approx((1.0 + 0.0 + 2.0) / 3)


def test_a_logger_without_spread_does_not_take_all_weight():
    """A logger of one decision has no variance: by 1 / variance it alone would be the estimate."""
    rng = np.random.default_rng(0)
    logger = np.array([0] * 999 + [1])
    batch = MultiLoggedBatch(rng.random(1000), logger, np.full((1000, 2), 0.5), np.full(1000, 0.5))
    with pytest.raises(UsageError, match=r"of 1 of 2 loggers do not vary.*Use Balanced"):
        E.Weighted()(batch)
    certain = replace(batch, reward=np.ones(1000))
    assert E.Weighted()(certain).value == pytest.approx(1.0)


def test_what_is_composed_claims_no_more_than_its_parts():
    rng = np.random.default_rng(0)
    batch = MultiLoggedBatch(rng.random(100), np.arange(100) % 2, rng.uniform(0.2, 0.8, (100, 2)), np.full(100, 0.5))
    assert E.Weighted()(batch).leaning == "consistent"
    assert E.Weighted(E.ClippedIPS(1.1))(batch).leaning == "too low"
    chosen = ContinuousBatch(rng.random(100), rng.normal(size=100), np.full(100, 0.3), np.zeros(100))
    assert E.Kernel(0.5)(chosen).leaning == "unknown", "biased by the bandwidth"


def test_one_logger_is_no_special_case():
    plain = recipes.decision_batch()
    batch = MultiLoggedBatch(plain.reward, np.zeros(len(plain), int), plain.propensity[:, None],
                             plain.target_propensity, plain.q_logged, plain.q_target)  # fmt: skip
    for inner in (E.IPS(), E.DR(), E.SNIPS()):
        assert E.Balanced(inner)(batch).value == pytest.approx(inner(plain).value, abs=1e-12)
        assert E.Weighted(inner)(batch).value == pytest.approx(inner(plain).value, abs=1e-12)
