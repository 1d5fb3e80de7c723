from dataclasses import replace

import numpy as np
import pytest
import torch

from embodied_cf.datasets import normalise
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.policies.config import HeadConfig, ModelCard, NavVlaTinyConfig
from embodied_cf.policies.nav_vla_tiny import NavVlaTiny
from embodied_cf.policies.text import vocabulary_of
from embodied_cf.train.config import LossConfig
from embodied_cf.train.losses import Losses, Objective, candidates, rejected, without

NAV = load_embodiment("nav")
SMALL = NavVlaTinyConfig(size=32, channels=(8, 8, 16), width=16, layers=1, heads=2, text_width=16)
PLAIN = LossConfig(instruction_dropout=0.0)


def rng(seed=0):
    return np.random.default_rng(seed)


def objective(config, head="l1"):
    model_config = replace(SMALL, head=HeadConfig(head, bins=8))
    batch = model_config.fake_batch(16, NAV)
    torch.manual_seed(0)
    model = NavVlaTiny(ModelCard(model_config, NAV, vocabulary_of(batch.instruction)))
    normalizer = normalise.fit([(batch.action, batch.mask)], "mean_std", NAV, "fake")
    return Objective(model, normalizer, config), batch


def test_imitation_by_hand():
    asked, batch = objective(PLAIN)
    losses = asked(batch, rng())
    with torch.no_grad():
        done = asked.model.head.chunk(asked.model(torch.from_numpy(batch.image), batch.instruction)).numpy()
    error = np.abs(done - asked.normalizer.normalise(batch.action)).mean(-1)
    law = (error * batch.mask).sum(1) / batch.mask.sum(1)
    assert losses.imitation.item() == pytest.approx(law.mean(), rel=1e-4)
    assert losses.contrastive == losses.preference == 0


def test_unsupervised_rows_do_not_count():
    asked, batch = objective(PLAIN)
    action = np.where(batch.mask[..., None], batch.action, 1e3).astype(np.float32)
    assert asked(replace(batch, action=action), rng()).imitation == asked(batch, rng()).imitation


def test_score_weighs_samples():
    asked, batch = objective(replace(PLAIN, score_power=1.0))
    score = np.zeros(16, np.float32)
    score[3] = 0.5
    alone = asked.per_sample(batch, 0)[3]
    assert asked(replace(batch, score=score), rng()).imitation.item() == pytest.approx(alone.item(), rel=1e-5)


def test_dropout_of_all_instructions_is_deaf():
    asked, batch = objective(replace(PLAIN, instruction_dropout=1.0))
    silent = objective(PLAIN)[0](replace(batch, instruction=("",) * 16), rng())
    assert asked(batch, rng()).imitation.item() == pytest.approx(silent.imitation.item(), rel=1e-5)
    assert without(("a", "b"), np.array([True, False])) == ("", "b")


def test_total_weighs_the_parts():
    parts = Losses(*(torch.tensor(value) for value in (1.0, 10.0, 100.0, 1000.0)))
    config = LossConfig(stop=0.1, contrastive=0.2, preference=0.3)
    assert parts.total(config).item() == pytest.approx(1 + 1 + 20 + 300)


@pytest.mark.parametrize("head", ["l1", "bins", "flow"])
@pytest.mark.parametrize("switch", ["contrastive", "preference"])
def test_listening_terms_are_learnt(head, switch):
    asked, batch = objective(replace(PLAIN, **{switch: 1.0}), head)
    adam = torch.optim.Adam(asked.model.parameters(), 3e-3)
    seen = []
    for _ in range(25):
        part = getattr(asked(batch, rng()), switch)
        adam.zero_grad()
        part.backward()
        adam.step()
        seen.append(part.item())
    assert seen[-1] < 0.8 * seen[0]


def test_a_deaf_model_cannot_tell_instructions_apart():
    asked, batch = objective(replace(PLAIN, contrastive=1.0, candidates=2))
    for parameter in asked.model.text.parameters():
        torch.nn.init.zeros_(parameter)
    assert asked(batch, rng()).contrastive.item() == pytest.approx(np.log(3), rel=1e-4)


def test_candidates_prefer_the_same_observation():
    _, batch = objective(PLAIN)  # rows 2i and 2i + 1 show one observation
    other, valid = candidates(batch, rng(), 3)
    assert other[:, 0].tolist() == [row + 1 - 2 * (row % 2) for row in range(16)]
    assert valid.all()
    said = np.array(batch.instruction)
    assert (said[other] != said[:, None]).all()


def test_no_candidates_where_all_are_told_the_same():
    _, batch = objective(PLAIN)
    _, valid = candidates(replace(batch, instruction=("stop",) * 16), rng(), 2)
    assert not valid.any()


def test_rejected_needs_a_counterfactual_of_the_same_observation():
    _, batch = objective(PLAIN)
    other, valid = rejected(batch, rng())
    assert valid.all()
    assert (batch.observation[other] == batch.observation).all()
    factual = replace(batch, kind=np.zeros(16, np.uint8))
    assert not rejected(factual, rng())[1].any()
    apart = replace(batch, observation=np.arange(16))
    assert not rejected(apart, rng())[1].any()


def test_preference_of_nothing_is_nothing():
    asked, batch = objective(replace(PLAIN, preference=1.0))
    assert asked(replace(batch, observation=np.arange(16)), rng()).preference == 0
