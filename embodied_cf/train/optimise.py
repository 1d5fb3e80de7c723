"""One step of optimisation, and everything that it carries from step to step."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from embodied_cf.policies.kept import kept_state, load_kept
from embodied_cf.train.config import OptimiserConfig, ScheduleConfig
from embodied_cf.train.team import ALONE, Team

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def rate_at(step: int, schedule: ScheduleConfig) -> float:
    """Return the learning rate of the step numbered `step` from 0.

    >>> [round(rate_at(step, ScheduleConfig(steps=10, warmup=2, rate=1.0, floor=0.0)), 2) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < schedule.warmup:
        return schedule.rate * (step + 1) / schedule.warmup
    share = min(1.0, (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup))
    return schedule.rate * (schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * share)) / 2)


class Optimiser:
    """AdamW (arXiv 1711.05101) on a schedule, gradient clipping, and a moving average of the weights."""

    def __init__(self, model: nn.Module, config: OptimiserConfig, schedule: ScheduleConfig, team: Team = ALONE) -> None:
        self.model, self.config, self.schedule, self.team = model, config, schedule, team
        self.step_number = 0
        self._named = {name: value for name, value in model.named_parameters() if value.requires_grad}
        decayed = [value for value in self._named.values() if value.ndim > 1]
        plain = [value for value in self._named.values() if value.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self._adam = torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98), fused=True)
        self._average = {name: value.detach().clone() for name, value in self._named.items()}

    def step(self, losses: Iterable[Tensor], count: int) -> float:
        """Make one step down the mean of `count` losses (of every process), each let go before the next is asked for.

        Returns the gradient's norm before clipping.
        """
        self._adam.zero_grad(set_to_none=True)
        for loss in losses:
            (loss / count).backward()
        self.team.average_gradients(list(self._named.values()))
        norm = nn.utils.clip_grad_norm_(self._named.values(), self.config.clip)
        for group in self._adam.param_groups:
            group["lr"] = rate_at(self.step_number, self.schedule)
        self._adam.step()
        self.step_number += 1
        self._follow()
        return float(norm)

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self.config.ema, (1 + self.step_number) / (10 + self.step_number))
        torch._foreach_lerp_(list(self._average.values()), list(self._named.values()), 1 - decay)

    def averaged(self) -> dict[str, Tensor]:
        """Return the model's kept state with averaged weights: what becomes the policy."""
        return {**kept_state(self.model), **self._average}

    def state(self) -> dict[str, Tensor]:
        """Return everything but the average, as named tensors; `restore` is the inverse."""
        weights = {f"weight/{name}": value for name, value in kept_state(self.model).items()}
        moments = {
            f"{part}/{name}": self._adam.state[value][part]
            for part in _MOMENTS
            for name, value in self._named.items()
            if value in self._adam.state
        }
        return {**weights, **moments}

    def restore(self, step_number: int, state: dict[str, Tensor], averaged: dict[str, Tensor]) -> None:
        """Go on from a saved state. Raises KeyError or RuntimeError if it is another model's."""
        self.step_number = step_number
        load_kept(self.model, _under("weight", state))
        moments = {part: _under(part, state) for part in _MOMENTS}
        for name, value in self._named.items():
            self._average[name].copy_(averaged[name])
            if name in moments["step"]:
                kept = {part: moments[part][name].to(value.device, copy=True) for part in _MOMENTS}
                self._adam.state[value] = kept  # the count, too: fused AdamW wants it beside its parameter


def _under(part: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): value for name, value in state.items() if name.startswith(f"{part}/")}
