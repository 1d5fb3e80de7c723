"""Weights that are trained, apart from those that are frozen: a checkpoint holds only the former."""

import copy
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def kept_state(model: nn.Module) -> dict[str, Tensor]:
    """Return what a checkpoint holds: weights and buffers, without frozen weights, which stay where they came from."""
    frozen = _frozen(model)
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def load_kept(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Fill a model with what `kept_state` returned. Raises RuntimeError if that is another model's."""
    missing, unexpected = model.load_state_dict(state, strict=False)
    absent = sorted(set(missing) - _frozen(model))
    if absent or unexpected:
        raise RuntimeError(f"missing {', '.join(absent) or 'nothing'}; unexpected {', '.join(unexpected) or 'nothing'}")


def with_weights(model: Module, state: Mapping[str, Tensor]) -> Module:
    """Return a copy with other weights. Frozen ones are shared, however large."""
    shared = {id(value): value for value in model.parameters() if not value.requires_grad}
    other = copy.deepcopy(model, shared)
    load_kept(other, state)
    return other


def trained_parameters(model: nn.Module) -> int:
    """Return how many numbers training changes."""
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


def _frozen(model: nn.Module) -> set[str]:
    named = model.named_parameters(remove_duplicate=False)
    return {name for name, value in named if not value.requires_grad}
