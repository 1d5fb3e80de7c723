"""No GPU is needed to see that nothing mixes devices: on `meta`, tensors have a place and no numbers."""

import pytest
from test_losses import objective, rng

from embodied_cf.train.config import LossConfig

ALL = LossConfig(contrastive=1.0, preference=1.0, score_power=1.0)


@pytest.mark.parametrize("head", ["l1", "bins", "flow"])
def test_losses_are_where_the_model_is(head):
    asked, batch = objective(ALL, head)
    asked.model.to("meta")
    losses = asked(batch, rng())
    assert losses.total(ALL).device.type == "meta"
    assert asked.per_sample(batch, 0).device.type == "meta"
    losses.total(ALL).backward()
