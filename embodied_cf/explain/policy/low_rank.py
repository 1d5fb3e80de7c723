"""Changes of low rank (Hu et al. 2022, arXiv 2106.09685): W + B A, with B zero at the start."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize


class _LowRank(nn.Module):
    def __init__(self, shape: torch.Size, rank: int, rng: np.random.Generator) -> None:
        super().__init__()
        out, into = shape
        self.down = nn.Parameter(torch.from_numpy(rng.normal(size=(rank, into)) / np.sqrt(into)).float())
        self.up = nn.Parameter(torch.zeros(out, rank))

    def forward(self, weight: Float[Tensor, "out into"]) -> Float[Tensor, "out into"]:
        return weight + self.up @ self.down


def add_low_rank(policy: nn.Module, rank: int, rng: np.random.Generator) -> None:
    """Freeze a policy and let only a change of each linear layer's weight, of the given rank, be learned.

    Layers that are frozen already stay as they are.
    """
    linear = [module for module in policy.modules() if isinstance(module, nn.Linear) and module.weight.requires_grad]
    policy.requires_grad_(False)
    for layer in linear:
        parametrize.register_parametrization(layer, "weight", _LowRank(layer.weight.shape, rank, rng))


def merge_low_rank(policy: nn.Module) -> None:
    """Fold the changes into the weights: the policy is as plain as before."""
    for layer in [module for module in policy.modules() if parametrize.is_parametrized(module)]:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
