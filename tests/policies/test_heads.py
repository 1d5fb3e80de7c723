import math

import pytest
import torch

from embodied_cf.policies.config import HeadConfig
from embodied_cf.policies.heads import BinsHead, Features, L1Head, build_head

WIDTH, ROWS, NUMBERS = 6, 4, 2


def noise(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["l1", "bins", "flow"])
def head(request):
    torch.manual_seed(0)
    return build_head(HeadConfig(request.param, bins=8), WIDTH, ROWS, NUMBERS)


def tokens(samples=3):
    return torch.randn(samples, ROWS, WIDTH, generator=noise(7))


@pytest.mark.parametrize("samples", [1, 3])
def test_shapes(head, samples):
    features, target = Features(tokens(samples)), torch.zeros(samples, ROWS, NUMBERS)
    assert head.loss(features.told, target, noise()).shape == (samples, ROWS)
    assert head.mean(features).shape == head.sample(features, noise()).shape == target.shape


def test_same_generator_same_draw(head):
    features = Features(tokens())
    one, same, other = (head.sample(features, noise(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_learns_chunks(head):
    target = torch.randn(16, ROWS, NUMBERS, generator=noise(3))
    head.fit(target, torch.ones(16, ROWS, dtype=torch.bool))
    told = torch.nn.Parameter(torch.randn(16, ROWS, WIDTH, generator=noise(4)))
    adam = torch.optim.Adam([told, *head.parameters()], 0.02)
    for step in range(300):
        adam.zero_grad()
        head.loss(told, target, noise(step)).mean().backward()
        adam.step()
    assert (head.mean(Features(told)) - target).abs().mean() < 0.5 * target.abs().mean()


def test_guidance_of_one_is_none_and_of_zero_is_deaf(head):
    told, untold = tokens(), tokens().flip(0)
    assert torch.allclose(head.mean(Features(told, untold, 1.0)), head.mean(Features(told)), atol=1e-5)
    assert torch.allclose(head.mean(Features(told, untold, 0.0)), head.mean(Features(untold)), atol=1e-5)


def test_l1_guidance_follows_the_formula():
    head, told, untold = L1Head(WIDTH, ROWS, NUMBERS), tokens(), tokens().flip(0)
    a, a0 = head.mean(Features(told)), head.mean(Features(untold))
    assert torch.allclose(head.mean(Features(told, untold, 2.5)), a0 + 2.5 * (a - a0), atol=1e-5)


def test_l1_is_a_laplace_law():
    head, features = L1Head(WIDTH, 1, 1), Features(torch.zeros(4000, 1, WIDTH))
    with torch.no_grad():
        head.log_scale.fill_(math.log(0.5))
        drawn = head.sample(features, noise()) - head.chunk.bias
    assert drawn.abs().mean().item() == pytest.approx(0.5, rel=0.05)  # the mean distance is the scale
    assert drawn.median().item() == pytest.approx(0.0, abs=0.03)
    density = head.log_probability(Features(torch.zeros(1, 1, WIDTH)), head.chunk.bias.view(1, 1, 1) + 1.0)
    assert density.item() == pytest.approx(-1.0 / 0.5 - math.log(2 * 0.5))


def test_l1_learns_the_scale_of_its_errors():
    head, target = L1Head(WIDTH, 1, 1), torch.tensor([[[3.0]], [[-3.0]]])
    told = torch.zeros(2, 1, WIDTH)
    adam = torch.optim.Adam(head.parameters(), 0.05)
    for _ in range(200):
        adam.zero_grad()
        head.loss(told, target, noise()).mean().backward()
        adam.step()
    assert head.log_scale.exp().item() == pytest.approx(3.0, rel=0.05)


class TestBins:
    def head(self, values, bins):
        head = BinsHead(WIDTH, 1, 1, bins)
        head.fit(torch.tensor(values).view(-1, 1, 1), torch.ones(len(values), 1, dtype=torch.bool))
        return head

    def test_edges_and_centres_by_hand(self):
        head = self.head([0.0, 1.0, 2.0, 10.0], 2)
        assert head.edges.flatten().tolist() == [1.5]
        assert head.centres.flatten().tolist() == [0.5, 6.0]

    def test_equal_values_leave_bins_unused(self):
        head = self.head([0.0, 0.0, 0.0, 0.0, 1.0, 1.0], 3)
        assert head.edges.flatten().tolist() == [0.5, 0.5]
        assert head.used.flatten().tolist() == [True, False, True]
        drawn = head.sample(Features(torch.zeros(500, 1, WIDTH)), noise())
        assert set(drawn.flatten().tolist()) == {0.0, 1.0}

    def test_a_single_value(self):
        head = self.head([2.0], 4)
        assert head.mean(Features(tokens(1)[:, :1])).item() == pytest.approx(2.0)

    def test_more_than_was_seen_is_the_outer_bin(self):
        head = self.head([0.0, 1.0, 2.0, 3.0], 4)
        law = head.log_probability(Features(tokens(1)[:, :1]), torch.tensor([[[99.0]]]))
        assert torch.isfinite(law).all()

    def test_probabilities_of_all_bins_add_up_to_one(self):
        head = self.head([0.0, 0.0, 1.0, 2.0, 3.0, 5.0], 4)
        told = tokens(1)[:, :1]
        centres = head.centres[head.used]
        laws = [head.log_probability(Features(told), centre.view(1, 1, 1)).exp() for centre in centres]
        assert sum(law.item() for law in laws) == pytest.approx(1.0)

    def test_a_row_that_no_chunk_reaches_stays_finite(self):
        head = BinsHead(WIDTH, 2, 1, 4)
        head.fit(torch.randn(9, 2, 1, generator=noise()), torch.tensor([[True, False]] * 9))
        assert torch.isfinite(head.mean(Features(torch.zeros(1, 2, WIDTH)))).all()


def test_flow_has_no_log_probability():
    head = build_head(HeadConfig("flow"), WIDTH, ROWS, NUMBERS)
    assert head.log_probability(Features(tokens()), torch.zeros(3, ROWS, NUMBERS)) is None
