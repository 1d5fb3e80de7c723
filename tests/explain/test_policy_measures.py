import numpy as np
import pytest
import torch
from torch import nn

from embodied_cf.explain.policies import MlpPolicy
from embodied_cf.explain.policy.distance import Proximity, Returns, Visits, measure_change, measure_returns
from embodied_cf.explain.policy.explanation import Cost, PolicyExplanation, _price
from embodied_cf.explain.policy.measures import policy_measures
from embodied_cf.explain.policy.search import Estimate
from embodied_cf.explain.rollout import make_envs

NEAR = Proximity(*[0.5] * 8)
BEFORE = Returns(Estimate(0.0, 1.0, 9), Estimate(0.0, 1.0, 9), (0.0,))


class Leaning(nn.Module):
    """Two actions, equally likely but where the observation is positive, and there the second by so much."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, observation):
        lean = self.by * (observation[:, 0] > 0)
        return torch.distributions.Categorical(logits=torch.stack([torch.zeros_like(lean), lean], dim=1))


def explained(policy, visits):
    return PolicyExplanation(1.0, 0.1, "dual", 0.1, False, True, BEFORE, BEFORE, NEAR, Cost(1, 1, 2.0), policy, visits)


def visits(kl, way=0, episodes=4):
    """States from -1 to 1, of the changed policy's episodes and the same ones of the original's."""
    at, way, kl = torch.linspace(-1, 1, len(kl)), torch.as_tensor(way).expand(len(kl)), torch.as_tensor(kl)
    changed, episode = torch.tensor([1.0, 0.0]), torch.arange(len(kl)) % episodes
    return Visits(at.repeat(2)[:, None], at.repeat(2)[:, None], kl.repeat(2), changed.repeat_interleave(len(kl)),
                  way.repeat(2), torch.cat([episode, episode + episodes]))  # fmt: skip


def test_sparse_is_what_few_states_hold_nine_tenths_of():
    kl = torch.zeros(100)
    kl[:10] = 1.0
    assert policy_measures(explained(Leaning(1.0), visits(kl)), Leaning(0.0)).sparsity == 0.09
    assert policy_measures(explained(Leaning(1.0), visits(torch.ones(100))), Leaning(0.0)).sparsity == 0.9
    assert policy_measures(explained(Leaning(0.0), visits(torch.zeros(100))), Leaning(0.0)).sparsity == 0.0


def test_a_reader_of_the_map_knows_which_way_it_leans():
    """To one side in the left half, to the other in the right: blind, that is a coin; read, it is known."""
    seen = visits(torch.ones(400), way=(torch.linspace(-1, 1, 400) > 0).long())
    told = policy_measures(explained(Leaning(1.0), seen), Leaning(0.0))
    assert told.simulatability > 0.95
    assert told.blind_reader == 0.5


def test_answers_of_other_searches_are_compared_where_this_one_goes():
    seen = visits(torch.ones(100))
    told, other = explained(Leaning(2.0), seen), explained(Leaning(1.0), seen)
    measured = policy_measures(told, Leaning(0.0), [other])
    assert measured.stability == pytest.approx(1.0)
    sigmoid = 1 / (1 + np.exp([-2.0, -1.0]))
    assert measured.diversity == pytest.approx((sigmoid[0] - sigmoid[1]) / 2, abs=1e-6)  # at half of the states
    alone = policy_measures(told, Leaning(0.0))
    assert (alone.stability, alone.diversity) == (None, None)
    assert policy_measures(told, Leaning(0.0), [explained(Leaning(0.0), seen)]).stability is None


def test_visits_tell_which_way_and_in_which_episode():
    original, changed = (MlpPolicy((4, 2), "categorical") for _ in range(2))
    changed.load_state_dict(original.state_dict())
    with torch.no_grad():
        changed.layers[0].bias[1] += 1.0
    _, seen = measure_change(changed, original, make_envs("CartPole-v1"), 3, np.random.default_rng(0))
    assert (seen.way == 1).all()
    assert sorted(set(seen.episode.tolist())) == list(range(6))
    assert (seen.changed[seen.episode < 3] == 1).all()


def test_continuous_actions_move_along_a_dimension():
    original, changed = (MlpPolicy((3, 1), "gaussian") for _ in range(2))
    changed.load_state_dict(original.state_dict())
    with torch.no_grad():
        changed.layers[0].bias += 1.0
    _, seen = measure_change(changed, original, make_envs("Pendulum-v1"), 1, np.random.default_rng(0))
    assert (seen.way == 1).all()
    with torch.no_grad():
        changed.layers[0].bias -= 2.0
    _, seen = measure_change(changed, original, make_envs("Pendulum-v1"), 1, np.random.default_rng(0))
    assert (seen.way == 0).all()


def test_as_many_episodes_as_were_asked_for():
    policy = MlpPolicy((4, 2), "categorical")
    assert measure_returns(policy, make_envs("CartPole-v1"), 450, np.random.default_rng(0)).stochastic.episodes == 450


def test_a_price_of_the_wrong_sign_is_none():
    assert _price(0.3, -5.0) is None
    assert _price(-0.3, -5.0) == -0.3
    assert _price(None, 1.0) is None
