import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, Normal

from embodied_cf.envs.adapter import made
from embodied_cf.errors import UsageError
from embodied_cf.explain.errors import PolicyError
from embodied_cf.explain.lanes import RestingEnvs
from embodied_cf.explain.options import SearchOptions
from embodied_cf.explain.policies import MlpPolicy, divergence, variation
from embodied_cf.explain.policy.change_map import change_map
from embodied_cf.explain.policy.distance import Visits, measure_change
from embodied_cf.explain.policy.low_rank import add_low_rank, merge_low_rank
from embodied_cf.explain.policy.objective import gradient
from embodied_cf.explain.policy.search import Estimate, search
from embodied_cf.explain.rollout import Episodes, make_envs, play


def normal(mean, spread):
    return Independent(Normal(torch.tensor([mean]), torch.tensor([spread])), 1)


def test_divergences_in_closed_form():
    """KL of normals, by hand: ln(s2/s1) + (s1² + d²) / (2 s2²) - 1/2 per dimension."""
    told = divergence(normal([0.0, 1.0], [1.0, 2.0]), normal([1.0, 1.0], [2.0, 2.0]))
    assert told.item() == pytest.approx(np.log(2) + 2 / 8 - 0.5, abs=1e-6)
    p, q = Categorical(probs=torch.tensor([[0.5, 0.5]])), Categorical(probs=torch.tensor([[0.9, 0.1]]))
    assert divergence(p, q).item() == pytest.approx(0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(5), abs=1e-6)


def test_total_variation():
    rng = np.random.default_rng(0)
    p, q = Categorical(probs=torch.tensor([[0.5, 0.5]])), Categorical(probs=torch.tensor([[0.9, 0.1]]))
    assert variation(p, q, rng).item() == pytest.approx(0.4, abs=1e-6)
    apart = variation(normal([0.0], [1.0]), normal([2.0], [1.0]), rng, draws=4000)
    assert apart.item() == pytest.approx(0.6827, abs=0.02)  # 2 Phi(1) - 1


def test_a_policy_of_nan_is_refused():
    """A Categorical of nan draws action 0 for ever, and was reported on."""

    class Lost(torch.nn.Module):
        def forward(self, observation):
            return Categorical(logits=torch.full((len(observation), 2), torch.nan), validate_args=False)

    envs = make_envs("CartPole-v1")(2)
    for greedy in (False, True):
        with pytest.raises(PolicyError, match=r"Lost: the policy's distribution over actions is made of nan"):
            play(Lost(), envs, np.random.default_rng(0), greedy=greedy)
    envs.close()


def test_sums_to_go_and_per_episode():
    """Two episodes, of three steps and of one, interleaved as lanes are."""
    step, episode = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 0, 0])
    reward = torch.tensor([1.0, 10.0, 2.0, 3.0], dtype=torch.float64)
    batch = Episodes(torch.zeros(4, 1), torch.zeros(4), reward, step, episode, 2, torch.zeros(4, 1))
    assert batch.returns.tolist() == [6.0, 10.0]
    assert batch.to_go(reward).tolist() == [6.0, 10.0, 5.0, 3.0]


class Countdown(gym.Env):
    """Ends after as many steps as the seed says; pays 1 a step."""

    observation_space = gym.spaces.Box(-1, 100, (1,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        self.left = seed
        return np.array([self.left], np.float32), {}

    def step(self, action):
        assert self.left > 0, "stepped after its end"
        assert abs(float(action[0])) <= 1
        self.left -= 1
        return np.array([self.left], np.float32), 1.0, self.left == 0, False, {}


def test_lanes_rest_when_they_are_done():
    envs = RestingEnvs(Countdown, 3)
    seen, _ = envs.reset(seed=1)
    assert seen[:, 0].tolist() == [1, 2, 3]
    told = [envs.step(np.zeros((3, 1), np.float32)) for _ in range(3)]
    assert [step[1].tolist() for step in told] == [[1, 1, 1], [0, 1, 1], [0, 0, 1]]
    assert told[-1][2].tolist() == [True, True, True]
    envs.close()


def test_continuous_actions_are_clipped_for_the_environment_only():
    class Envs(RestingEnvs):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=2)

    policy = MlpPolicy((1, 1), "gaussian")
    with torch.no_grad():
        policy.layers[0].weight.zero_()
        policy.layers[0].bias.fill_(3.0)
    batch = play(policy, Envs(Countdown, 2), np.random.default_rng(0))
    assert batch.returns.tolist() == [2.0, 3.0]
    assert float(batch.action.max()) > 1


def test_an_environment_whose_library_is_missing_is_named(monkeypatch):
    def needs(name, **options):
        raise gym.error.DependencyNotInstalled("mujoco is not installed")

    monkeypatch.setattr(gym, "make", needs)
    make = make_envs("Pendulum-v1")
    with pytest.raises(UsageError, match=r"`Pendulum-v1` \(mujoco is not installed\)\. Check the id and its extra"):
        make(2)
    with pytest.raises(UsageError, match="mujoco is not installed"):
        made("HalfCheetah-v5")


def test_estimates():
    told = Estimate.of(torch.tensor([1.0, 3.0]))
    assert (told.mean, told.error, told.episodes) == pytest.approx((2.0, 1.0, 2))
    assert Estimate.of(torch.tensor([5.0])).error == float("inf")


def test_low_rank_changes_have_that_rank_and_fold_in():
    policy, rng = MlpPolicy((6, 8, 2), "categorical"), np.random.default_rng(0)
    before = policy.layers[0].weight.detach().clone()
    seen = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    logits = policy(seen).logits.detach()
    add_low_rank(policy, 2, rng)
    torch.testing.assert_close(policy(seen).logits.detach(), logits)
    learned = [weight for weight in policy.parameters() if weight.requires_grad]
    for weight in learned:
        weight.data += torch.from_numpy(rng.normal(size=tuple(weight.shape))).float()
    moved = policy(seen).logits.detach()
    merge_low_rank(policy)
    torch.testing.assert_close(policy(seen).logits.detach(), moved)
    assert sorted(policy.state_dict()) == sorted(MlpPolicy((6, 8, 2), "categorical").state_dict())
    assert torch.linalg.matrix_rank(policy.layers[0].weight.detach() - before, atol=1e-4) == 2


def test_a_low_rank_search_gives_a_plain_policy():
    torch.manual_seed(0)
    base = MlpPolicy((4, 8, 2), "categorical")
    options = SearchOptions("paper", rank=1, iterations=3, confirm=20, episodes=4)
    found = search(base, make_envs("CartPole-v1"), 400.0, options, delta=1, scale=100, rng=np.random.default_rng(0))
    assert not found.valid
    moved = found.policy.layers[0].weight.detach() - base.layers[0].weight.detach()
    assert torch.linalg.matrix_rank(moved, atol=1e-7) == 1
    assert (found.policy.layers[0].bias == base.layers[0].bias).all()


@pytest.mark.parametrize(("rank", "words"), [(2, "no linear layer of the policy may change"), (0, "no parameter of")])
def test_a_policy_of_which_nothing_may_change_is_refused(rank, words):
    class Bias(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(2), requires_grad=rank > 0)

        def forward(self, observation):
            return Categorical(logits=self.bias.expand(len(observation), 2))

    options = SearchOptions(rank=rank, confirm=2)
    with pytest.raises(PolicyError, match=words):
        search(Bias(), make_envs("CartPole-v1"), 40.0, options, delta=1, scale=9, rng=np.random.default_rng(0))


def test_the_gradient_of_a_gaussian_at_the_pivot_is_zero():
    torch.manual_seed(0)
    policy, envs = MlpPolicy((3, 8, 1), "gaussian"), make_envs("Pendulum-v1")(2)
    told = gradient(policy, policy, play(policy, envs, np.random.default_rng(0)), None, on_return=0, on_divergence=1)
    told.surrogate.backward()
    assert max(weight.grad.abs().max().item() for weight in policy.parameters()) < 1e-8
    envs.close()


def test_measures_of_no_change_are_zero():
    policy = MlpPolicy((4, 2), "categorical")
    near, visits = measure_change(policy, policy, make_envs("CartPole-v1"), 5, np.random.default_rng(0))
    zero = (near.trajectory_kl, near.forward_kl, near.reverse_kl, near.total_variation, near.greedy_disagreement)
    assert max(map(abs, zero)) < 1e-12
    assert near.touched == near.parameters == 0
    assert not visits.kl.abs().max() > 0


def test_the_map_finds_the_dimension_of_change():
    rng = np.random.default_rng(0)
    observation = torch.from_numpy(rng.uniform(-1, 1, size=(20_000, 3)))
    kl = (observation[:, 2] > 0).float() + 0.1 * (observation[:, 1] > 0).float()
    changed = (observation[:, 1] > 0).float()
    unasked = torch.zeros(len(kl), dtype=torch.int64)
    told = change_map(Visits(observation.float(), observation.float(), kl, changed, unasked, unasked), cells=4)
    assert told.dimensions == (2, 1)
    assert told.explained[0] > 0.9
    np.testing.assert_allclose(told.kl[:, 0], [0, 0, 0.1, 0.1], atol=0.03)
    np.testing.assert_allclose(told.kl[:, 3], [1, 1, 1.1, 1.1], atol=0.03)
    np.testing.assert_allclose(told.moved[0], -1, atol=0.1)
    np.testing.assert_allclose(told.moved[3], 1, atol=0.1)


def test_rare_cells_stay_empty():
    observation = torch.tensor([[0.0, 0.0]] * 50 + [[1.0, 1.0]] * 50)
    changed, unasked = torch.tensor([0.0, 1.0] * 50), torch.zeros(100, dtype=torch.int64)
    told = change_map(Visits(observation, observation, torch.ones(100), changed, unasked, unasked), cells=2)
    assert np.isfinite(told.kl).tolist() == [[True, False], [False, True]]
