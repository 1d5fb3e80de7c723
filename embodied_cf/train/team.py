"""The processes of one run, one per device, as torchrun or `accelerate launch` starts them.

Each draws its share of every batch; gradients are averaged, so all make the same step. The first one leads: it alone
logs, validates and saves.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed

Found = TypeVar("Found")


@dataclass(frozen=True)
class Team:
    """A process among those of its run. Alone, everything here does nothing."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def average_gradients(self, weights: Sequence[Tensor]) -> None:
        """Replace gradients by their mean over the processes. One that no process has stays absent."""
        if self.world == 1:
            return
        present = torch.tensor([weight.grad is not None for weight in weights]).to(weights[0])
        parts = [weight.grad if weight.grad is not None else torch.zeros_like(weight) for weight in weights]
        flat = torch.cat([present, *(part.flatten() for part in parts)])
        distributed.all_reduce(flat)
        sums = flat[len(weights) :].split([weight.numel() for weight in weights])
        for weight, held, total in zip(weights, flat.tolist(), sums, strict=False):
            if held:
                weight.grad = total.view_as(weight) / self.world

    def average(self, values: dict[str, float]) -> dict[str, float]:
        """Return the mean of each value over the processes."""
        if self.world == 1:
            return values
        tables: list[dict[str, float]] = [{}] * self.world
        distributed.all_gather_object(tables, values)
        return {name: sum(table[name] for table in tables) / self.world for name in values}

    def told(self, find: Callable[[], Found]) -> Found:
        """Return what the leader finds; the others wait for it and do not look."""
        if self.world == 1:
            return find()
        found = [find() if self.leads else None]
        distributed.broadcast_object_list(found)
        return found[0]  # type: ignore[return-value] # what the leader put there


ALONE = Team()
"""The only process of its run."""


@contextmanager
def joined() -> Iterator[Team]:
    """Join the processes that a launcher started, if one did."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    distributed.init_process_group()
    try:
        yield Team(distributed.get_rank(), world)
    finally:
        distributed.destroy_process_group()
