"""Safe improvement, fallback, the gate, sequential redeployment, choice without test data."""

from dataclasses import replace

import numpy as np
import pytest

from embodied_cf.crm import selection, words
from embodied_cf.crm.cells import Cells, make_cells
from embodied_cf.crm.fit import fit
from embodied_cf.crm.gate import Gate, Traffic
from embodied_cf.crm.improve import Candidate, Deployed, Learner, improve, paired_gain
from embodied_cf.crm.logs import from_arrays
from embodied_cf.crm.objectives import LagrangeShift, VariancePenalised
from embodied_cf.crm.policies import LinearGaussian, Softmax
from embodied_cf.crm.policy_files import load_policy, log_target, save_policy
from embodied_cf.crm.problems import Advertising, Pricing, deploy, true_loss
from embodied_cf.crm.propensity import estimate
from embodied_cf.crm.redeploy import Schedule, _Logged, _pool, sequential_crm
from embodied_cf.crm.selection import best_shift, cross_validate, resample, self_normalised_risk
from embodied_cf.datasets.randomness import generator
from embodied_cf.errors import DatasetError, RecordError, UsageError

POLICY = Softmax(2, 2)
LEARNER = Learner(POLICY, np.zeros(POLICY.size))


def logged(effect, seed, n=400, sign=1.0):
    """A blind logger; the right action is the sign of the context's sum and earns `effect` more."""
    rng = np.random.default_rng(seed)
    context = rng.normal(size=(n, 2))
    action = rng.integers(2, size=n)
    good = action == (context.sum(axis=1) > 0)
    reward = (rng.random(n) < 0.5 + effect * (good - 0.5)).astype(float)
    span = (0.0, 1.0) if sign > 0 else (-1.0, 0.0)
    return from_arrays(context, action, np.full(n, 0.5), reward if sign > 0 else reward - 1, span)


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["rewards", "costs"])
def test_a_better_policy_is_found_and_its_bound_holds(sign):
    found = improve(logged(0.8, 0, sign=sign), "logger", 0.05, learner=LEARNER)
    assert found.decision == "deploy"
    assert 0 < found.chosen.lower < found.chosen.gain
    assert found.chosen.lower < 0.4, "always right gains 0.4"
    assert found.chosen.gain == pytest.approx(0.35, abs=0.15)
    assert "Deploy the candidate: it is better than the baseline by at least" in words.verdict(found)


def test_no_better_policy_is_claimed_where_there_is_none():
    """Reward does not depend on the action: 40 repetitions, at most delta plus 3 standard errors deployed."""
    deployed = [improve(logged(0.0, seed), learner=LEARNER, seed=seed).chosen is not None for seed in range(40)]
    assert np.mean(deployed) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)


def test_logs_too_small_to_split_are_told():
    log = logged(0.8, 0, n=3)
    for episode in (np.zeros(3, int), np.array([0, 0, 1])):  # the second: its one training episode cannot be split
        with pytest.raises(UsageError, match=r"episodes are too few \(1\) to be split|cannot be split into two parts"):
            improve(replace(log, episode=episode), learner=LEARNER)
    with pytest.raises(UsageError, match=r"episodes are too few \(3\) for 4 folds"):
        cross_validate(POLICY, VariancePenalised(np.zeros(1)), np.zeros((1, POLICY.size)), log.decisions(),
                       log.episode, np.random.default_rng(0))  # fmt: skip
    with pytest.raises(UsageError, match="3 episodes cannot be split into 5 folds"):
        estimate(log, POLICY, np.random.default_rng(0))


def test_policies_of_other_logs_are_refused():
    log, policy = logged(0.8, 0), Deployed(POLICY, np.zeros(POLICY.size))
    for change, text in (
        ({"context": log.context[:, :1]}, "reads 2 features of a context, and the log has 1"),
        ({"action": log.action * 2}, "the log has a choice 2, and the policy knows 0 to 1"),
        ({"action": log.action.astype(float)}, "a Softmax policy does not fit settings"),
    ):
        with pytest.raises(UsageError, match=text):
            log_target(policy, replace(log, **change))
    with pytest.raises(UsageError, match="a LinearGaussian policy does not fit choices"):
        log_target(Deployed(LinearGaussian(2, 0.5), np.zeros(3)), log)


def test_a_fallback_to_several_loggers_is_none():
    """The policy leaves uncovered contexts to the one that logged; of two, which?"""
    log = logged(0.8, 0)
    cells = Cells(np.array([[-9.0, 0.0], [9.0, 0.0]]), np.ones(2))
    two = replace(log, logger=("old", "new") * 200)
    deployed = Deployed(POLICY, np.zeros(POLICY.size))
    with pytest.raises(UsageError, match=r"2 loggers took these decisions.*leaves some contexts"):
        log_target(Candidate(deployed, cells, (True, False)), two)
    assert len(log_target(Candidate(deployed, cells, (True, True)), two)) == 400


def test_what_is_not_known_is_said():
    found = improve(logged(0.0, 3), learner=LEARNER)
    assert found.decision == "keep the baseline"
    assert words.verdict(found) == "Keep the baseline: no candidate was shown to be better."
    assert any("not shown to be better is not shown to be worse" in text for text in words.unknown(found))


def test_estimated_propensities_promise_nothing():
    log = replace(logged(0.8, 0), propensity_source="estimated")
    found = improve(log, learner=LEARNER)
    assert found.decision == "keep the baseline"
    assert found.tested[0].lower > 0
    assert "propensities were estimated" in words.verdict(found)


def test_impossible_propensities_are_refused():
    """An action that is always taken, recorded as a toss-up: whoever always takes it has a weight of 2 throughout."""
    log = replace(logged(0.0, 0), action=np.zeros(400, int))
    with pytest.raises(RecordError, match=r"the log's propensities are wrong.*mean weight is at least 1\.\d+"):
        improve(log, learner=LEARNER)


def test_a_named_baseline_is_beaten_or_kept():
    """Against a policy that already does right nothing is gained; against one that does wrong, nearly all."""
    log = logged(0.8, 1)
    right = Deployed(POLICY, np.array([0.0, 0.0, -3.0, 3.0, -3.0, 3.0]))
    wrong = Deployed(POLICY, -right.theta)
    assert improve(log, right, learner=LEARNER).chosen is None
    assert improve(log, wrong, learner=LEARNER).chosen.lower > 0.2


def test_a_known_largest_weight_sharpens_the_test():
    """Costs of 0 or 0.3 at most: rewards lie far from the least, so that measured from there weights stand before
    nearly 1, and before little measured from the mean. The logger is blind between two actions: no weight exceeds 2."""
    log = logged(0.9, 5, n=800, sign=-1.0)
    log = replace(log, reward=log.reward * 0.3)
    shifted = VariancePenalised(np.array([1.0]), shift=np.array([-0.85]), scaling="sqrt_n")
    learner = replace(LEARNER, objective=shifted, fall_back=False)
    plain, sharp = (improve(log, learner=replace(learner, max_weight=most)) for most in (np.inf, 2.0))
    assert plain.tested[0].lower < sharp.tested[0].lower < 0.135, "always right gains 0.3 * 0.45"
    assert sharp.decision == "deploy"
    with pytest.raises(UsageError, match="leave the range that was given"):
        improve(log, learner=replace(learner, max_weight=1.01))


def test_a_known_largest_weight_claims_no_more_than_it_should():
    learner = replace(LEARNER, max_weight=2.0)
    deployed = [improve(logged(0.0, seed), learner=learner, seed=seed).chosen is not None for seed in range(20)]
    assert np.mean(deployed) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20)


def test_paired_gains_by_hand():
    """w = 2, 0.5 against 1: (w - 1) (r - low) = 1 * 1, -0.5 * 2 in one episode of two decisions."""
    log = from_arrays(np.zeros((2, 1)), np.zeros(2, int), np.full(2, 0.5), np.array([0.0, 1.0]), (-1.0, 1.0))
    gain = paired_gain(log, np.array([2.0, 0.5]), np.ones(2))
    assert gain.tolist() == [1.0, -1.0]
    assert paired_gain(replace(log, episode=np.zeros(2, int)), np.array([2.0, 0.5]), np.ones(2)).tolist() == [0.0]
    assert paired_gain(log, np.array([2.0, 0.5]), np.ones(2), level=0.5).tolist() == [-0.5, -0.25]


def test_thin_cells_keep_the_baseline():
    cells = Cells(np.array([[0.0], [10.0]]), np.ones(1))
    context = np.concatenate([np.zeros((50, 1)), np.full((5, 1), 10.0)])
    assert cells.of(context).tolist() == [0] * 50 + [1] * 5
    assert cells.covered(context, np.ones(55), least=20).tolist() == [True, False]
    heavy = np.where(np.arange(55) == 0, 100.0, 0.1)
    assert cells.covered(context, heavy, least=20).tolist() == [False, False]
    made = make_cells(np.random.default_rng(0).normal(size=(400, 2)), np.random.default_rng(1))
    assert made.centres.shape == (8, 2)


def test_policy_files(tmp_path):
    log = logged(0.8, 0)
    found = improve(log, learner=LEARNER).chosen.candidate
    save_policy(tmp_path / "p.json", found)
    assert log_target(load_policy(tmp_path / "p.json"), log) == pytest.approx(log_target(found, log))
    save_policy(tmp_path / "q.json", found.deployed)
    assert log_target(load_policy(tmp_path / "q.json"), log) == pytest.approx(found.deployed.log_prob(log))
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(DatasetError, match="not a policy file"):
        load_policy(tmp_path / "r.json")


def test_logs_that_cannot_be_used():
    log = logged(0.5, 0, n=10)
    with pytest.raises(UsageError, match="which is the baseline"):
        improve(replace(log, logger=("a",) * 5 + ("b",) * 5), learner=LEARNER)
    with pytest.raises(UsageError, match="cannot be split"):
        improve(log.take(np.arange(2)), learner=LEARNER)


def traffic(gate, gain, seed, looks=12, size=150):
    """Send traffic through the gate until it says something final; rewards in {0, 1} around 0.5."""
    rng, stage, now = np.random.default_rng(seed), 0, Traffic(gate)
    for _ in range(looks):
        share = gate.stages[stage]
        candidate = rng.random(size) < share
        reward = (rng.random(size) < np.where(candidate, 0.5 + gain, 0.5)).astype(float)
        now = now.seen(share, candidate, reward)
        match now.verdict():
            case "next stage":
                stage += 1
            case "go on":
                pass
            case final:
                return final, stage
    return "go on", stage


def test_the_gate_promotes_the_better_and_rolls_back_the_worse():
    gate = Gate(0.0, 1.0, stages=(0.2, 0.5), patience=300)
    assert traffic(gate, 0.35, 0)[0] == "promote"
    assert traffic(gate, 0.02, 1) == ("go on", 1), "too little to tell: patience leads to the last stage"
    assert traffic(gate, -0.4, 0)[0] == "roll back"
    said = [traffic(gate, 0.0, seed)[0] for seed in range(10)]
    assert said.count("promote") + said.count("roll back") <= 10 * 0.05 + 3 * np.sqrt(10 * 0.05 * 0.95)


def test_the_gate_before_the_first_decision():
    gate = Gate(-1.0, 0.0)
    assert Traffic(gate).gain() == (-1.0, 1.0)
    assert Traffic(gate).verdict() == "go on"
    with pytest.raises(UsageError, match="shares between 0 and 1"):
        Gate(0.0, 1.0, stages=(0.5, 1.0))


@pytest.mark.parametrize(("problem", "pooling"), [(Pricing(), "latest"), (Advertising(), "mixture")])
def test_sequential_crm_beats_its_logger(problem, pooling):
    """Two redeployments, two lanes of different seeds in one run."""
    schedule = Schedule(rollouts=2, first=300, pooling=pooling)
    found = sequential_crm(problem, VariancePenalised(np.array([0.01, 0.01])), (0, 1), schedule)
    assert found.logged_loss.shape == (2, 2)
    _, own = deploy(problem, None, np.random.default_rng(0), 4000)
    for lane in range(2):
        start, end = (true_loss(problem, found.theta[m, lane], generator(0, "test"), 2000, 3) for m in (0, -1))
        assert end < min(start, own.loss.mean()) - 0.05


def test_mixtures_weigh_by_all_loggers():
    """By hand: 3 decisions of N(m, 1), 6 of the policy; each weighed by 1/3 and 2/3 of both densities."""
    problem, schedule = Pricing(), Schedule(rollouts=2, first=3, pooling="mixture")
    theta = problem.start(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    history = [[_Logged(*deploy(problem, logger, rng, n))] for logger, n in ((None, 3), (theta, 6))]
    pooled = _pool(problem, history, [theta[None], theta[None]], schedule, 0)
    mean = pooled.context[:, :3].mean(axis=1)
    policy = problem.policy.log_prob(theta, pooled.context, pooled.action)
    by_hand = np.exp(-((pooled.action - mean) ** 2) / 2) / np.sqrt(2 * np.pi) / 3 + np.exp(policy) * 2 / 3
    assert np.exp(pooled.log_propensity) == pytest.approx(np.maximum(by_hand, 1e-5))


def test_choices_without_test_data():
    log = logged(0.8, 5)
    decisions = log.decisions()
    grid = VariancePenalised(np.array([0.0, 100.0]), scaling="sqrt_n")
    choice = cross_validate(POLICY, grid, np.zeros((2, 6)), decisions, log.episode, np.random.default_rng(0), folds=2)
    assert choice.best == 0, "a penalty of 100 forbids learning"
    assert choice.risk.shape == (2, 2)
    lanes = resample(decisions, np.random.default_rng(1), 3)
    found = fit(POLICY, LagrangeShift(np.array([-1.0, -0.5, 0.0])), np.zeros((3, 6)), lanes)
    best = best_shift(POLICY, found.theta, decisions)
    risks = [self_normalised_risk(POLICY, theta, decisions) for theta in found.theta]
    assert risks[best] == min(risks)
    assert min(risks) < decisions.loss.mean() - 0.2


@pytest.mark.parametrize("lengths", [(3,) * 10, (1, 2, 7, 1, 1, 4, 2, 2, 5, 5)])
def test_folds_hold_whole_episodes(lengths):
    episode = np.random.default_rng(0).permutation(np.repeat(np.arange(10), lengths))
    parts = selection._folds(episode, np.random.default_rng(1), 4)
    inside = [{*episode[part]} for part in parts]
    assert sum(map(len, inside)) == len(set().union(*inside))
    assert len({*map(len, parts)}) == 1 or len(np.concatenate(parts)) == len(episode)
    assert len({*np.concatenate(parts)}) == len(np.concatenate(parts)) >= 24


def test_what_tells_episodes_apart_is_not_learnt_by_heart():
    """Each episode has a feature and a reward of its own: decisions of one tell of each other, episodes do not."""
    rng = np.random.default_rng(0)
    episode = np.repeat(np.arange(16), 25)
    context, action = np.eye(16)[episode], rng.integers(0, 2, len(episode))
    reward = (action == rng.integers(0, 2, 16)[episode]).astype(float)
    log = from_arrays(context, action, np.full(len(episode), 0.5), reward, (0.0, 1.0))
    choice = cross_validate(Softmax(16, 2), VariancePenalised(np.zeros(1)), np.zeros((1, Softmax(16, 2).size)),
                            log.decisions(), episode, rng)  # fmt: skip
    assert -choice.risk.mean() == pytest.approx(0.5, abs=0.1)
