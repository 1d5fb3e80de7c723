"""Estimators of episodes: published values, values by hand, episodes of any length."""

from dataclasses import replace

import numpy as np
import pytest
import recipes

from embodied_cf.crm import TrajectoryBatch
from embodied_cf.crm import estimators as E  # noqa: N812
from embodied_cf.errors import RecordError, UsageError


@pytest.mark.parametrize(("name", "estimator"), [("tis", E.TIS()), ("pdis", E.PDIS()), ("dr", E.SequentialDR())])
def test_published_values(name, estimator):
    found = estimator(recipes.episode_batch())
    value, deviation = recipes.EPISODES[name]
    assert found.value == pytest.approx(value, abs=1e-10)
    assert found.terms.std() == pytest.approx(deviation, abs=1e-10)
    assert recipes.episodes()["value"] == pytest.approx(recipes.EPISODES["true"], abs=1e-12)


def tiny(**changes):
    """Two episodes, of two steps and of one; rho = (2, 0.5), (1)."""
    batch = TrajectoryBatch(
        reward=np.array([[1.0, 2.0], [3.0, np.nan]]),
        propensity=np.array([[0.25, 0.5], [0.5, 0.0]]),
        target_propensity=np.array([[0.5, 0.25], [0.5, np.nan]]),
        q_logged=np.array([[1.0, 1.0], [2.0, np.nan]]),
        q_target=np.array([[2.0, 1.5], [1.0, np.nan]]),
        mask=np.array([[True, True], [True, False]]),
        discount=0.5,
    )
    return replace(batch, **changes)


# returns 1 + 0.5*2 = 2 and 3; w = (2, 1), (1, 1)
BY_HAND = [
    (E.TIS(), (1 * 2 + 1 * 3) / 2),
    (E.PDIS(), (2 * 1 + 0.5 * 1 * 2 + 3) / 2),
    (E.SNTIS(), (1 * 2 + 1 * 3) / 2),
    (E.SNPDIS(), (2 * 1 + 3) / 3 + 0.5 * (1 * 2) / 2),
    # w (r - q) + w_before v: 2*0 + 2, then 0.5 (1*1 + 2*1.5); 1*1 + 1
    (E.SequentialDR(), (2 + 0.5 * (1 + 3) + 2) / 2),
    # w / mean = (4/3, 1), (2/3, 1): 2 + 0.5 (1 + 4/3*1.5); 2/3*1 + 1
    (E.SNSequentialDR(), (2 + 0.5 * (1 + 2) + 2 / 3 + 1) / 2),
]


@pytest.mark.parametrize(("estimator", "value"), BY_HAND)
def test_by_hand(estimator, value):
    found = estimator(tiny())
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.diagnostics.horizon == 2


def test_one_step_is_a_decision():
    plain = recipes.decision_batch()
    columns = (plain.reward, plain.propensity, plain.target_propensity, plain.q_logged, plain.q_target)
    batch = TrajectoryBatch(*(column[:, None] for column in columns))
    pairs = [
        (E.TIS(), E.IPS()),
        (E.PDIS(), E.IPS()),
        (E.SequentialDR(), E.DR()),
        (E.SNTIS(), E.SNIPS()),
        (E.SNPDIS(), E.SNIPS()),
        (E.SNSequentialDR(), E.SNDR()),
    ]
    for long, short in pairs:
        assert long(batch).value == pytest.approx(short(plain).value, abs=1e-12)


def test_padding_changes_nothing():
    batch = recipes.episode_batch(slice(300))
    grow = lambda column, fill: np.pad(column, ((0, 0), (0, 5)), constant_values=fill)  # noqa: E731
    padded = TrajectoryBatch(
        grow(batch.reward, 7.0), grow(batch.propensity, 0.3), grow(batch.target_propensity, 0.9),
        grow(batch.q_logged, 7.0), grow(batch.q_target, 7.0), grow(np.ones(batch.reward.shape, bool), False), 0.95,
    )  # fmt: skip
    estimators = (E.TIS(), E.PDIS(), E.SequentialDR(), E.SNTIS(), E.SNPDIS(), E.SNSequentialDR())
    for estimator in estimators:
        assert estimator(padded).value == pytest.approx(estimator(batch).value, abs=1e-12)


def test_whole_episodes_as_decisions():
    batch = recipes.episode_batch()
    assert E.IPS()(batch.as_decisions()).value == pytest.approx(recipes.EPISODES["tis"][0], abs=1e-10)


def test_state_based_estimators_come_near_the_truth():
    d, batch = recipes.episodes(), recipes.episode_batch()
    truth = d["value"]
    marginal = E.MarginalisedIS(d["state"])
    assert abs(marginal(batch).value - truth) < 4 * marginal(batch).standard_error
    assert marginal(batch).standard_error < E.PDIS()(batch).standard_error / 1.5
    one_hot = np.eye(18)
    logged = one_hot[d["state"] * 3 + d["action"]]
    target = sum(d["target"][d["state"], a][..., None] * one_hot[d["state"] * 3 + a] for a in range(3))
    fitted = E.FQE(logged, target)
    assert fitted(batch).value == pytest.approx(truth, abs=0.06)
    doubly = E.SequentialDR()(replace(batch, q_logged=fitted.model(batch)[0], q_target=fitted.model(batch)[1]))
    assert doubly.value == pytest.approx(truth, abs=0.06)


def test_fqe_by_hand():
    """One state, one action, episodes of two steps and of one: q_1 = 2, q_0 = mean(1 + 0.5 * 2, 3)."""
    ones = np.ones((2, 2, 1))
    assert E.FQE(ones, ones, ridge=0.0)(tiny()).value == pytest.approx(2.5)


def test_marginal_ratios_by_hand():
    """Both episodes start in state 0; rho_0 = 2 leads to state 1, rho_0 = 1 ends."""
    state = np.array([[0, 1], [0, 0]])
    ratio = E.MarginalisedIS(state).occupancy_ratio(tiny())
    assert ratio[0].tolist() == [1.0, 2.0]
    with pytest.raises(RecordError, match="states have shape"):
        E.MarginalisedIS(state[:, :1])(tiny())


def test_refusals():
    with pytest.raises(RecordError, match="prefix"):
        tiny(mask=np.array([[False, True], [True, True]]))
    with pytest.raises(RecordError, match=r"discount of 1\.5"):
        tiny(discount=1.5)
    with pytest.raises(UsageError, match="no episode of the target"):
        E.SNSequentialDR()(tiny(target_propensity=np.zeros((2, 2))))
