import pytest
import torch

from embodied_cf.train.config import OptimiserConfig, ScheduleConfig
from embodied_cf.train.optimise import Optimiser, rate_at

SCHEDULE = ScheduleConfig(steps=12, warmup=2, rate=1.0, floor=0.1)


def test_rates_by_hand():
    assert [rate_at(step, SCHEDULE) for step in (0, 1, 2, 7, 12, 99)] == pytest.approx([0.5, 1.0, 1.0, 0.55, 0.1, 0.1])
    assert rate_at(0, ScheduleConfig(steps=1, warmup=1, rate=1.0, floor=0.5)) == 1.0


def optimiser(**options):
    torch.manual_seed(0)
    return Optimiser(torch.nn.Linear(3, 2), OptimiserConfig(**options), SCHEDULE)


def loss(model):
    return (model(torch.ones(1, 3)) - 4).square().sum()


def test_accumulated_gradients_are_their_mean():
    one, two = optimiser(), optimiser()
    one.step([loss(one.model)], 1)
    two.step((loss(two.model) for _ in range(2)), 2)
    assert torch.allclose(one.model.weight, two.model.weight)


def test_norm_is_told_before_clipping():
    short = optimiser(clip=1e-3)
    assert short.step([loss(short.model)], 1) > 1


def test_average_follows_from_behind():
    # decay after n steps is min(0.995, (1 + n) / (10 + n)): 2/11 after the first
    made = optimiser()
    before = made.model.bias.detach().clone()
    made.step([loss(made.model)], 1)
    after = made.model.bias.detach()
    assert torch.allclose(made.averaged()["bias"], before + (after - before) * 9 / 11)


def test_without_average_the_weights_are_the_policy():
    made = optimiser(ema=0.0)
    made.step([loss(made.model)], 1)
    assert torch.equal(made.averaged()["weight"], made.model.weight)


def test_only_matrices_decay():
    made = optimiser(weight_decay=0.5)
    with torch.no_grad():
        made.model.bias.fill_(1.0)
        made.model.weight.fill_(1.0)
    made.step([0 * loss(made.model)], 1)
    assert made.model.bias.tolist() == [1.0, 1.0]
    assert torch.allclose(made.model.weight, torch.tensor(0.75))  # rate 0.5, decay 0.5


def test_restored_state_goes_on_the_same():
    one, other = optimiser(), optimiser()
    for _ in range(3):
        one.step([loss(one.model)], 1)
    other.restore(3, one.state(), one.averaged())
    for made in (one, other):
        made.step([loss(made.model)], 1)
    assert all(torch.equal(one.state()[name], other.state()[name]) for name in one.state())
    assert torch.equal(one.averaged()["weight"], other.averaged()["weight"])


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_restored_beside_its_parameters():
    # on CUDA, fused AdamW refuses moments and counts that lie elsewhere; "meta" stands for any device but the CPU
    made = optimiser()
    made.step([loss(made.model)], 1)
    elsewhere = Optimiser(torch.nn.Linear(3, 2, device="meta"), OptimiserConfig(), SCHEDULE)
    elsewhere.restore(1, made.state(), made.averaged())
    assert {value.device.type for moments in elsewhere._adam.state.values() for value in moments.values()} == {"meta"}
