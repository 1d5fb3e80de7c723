"""The search for a policy with a given return that is changed as little as possible: COUNTERPOL and its dual.

COUNTERPOL (arXiv 2307.13192) descends on (J - R*)² / range² + k KL(pi, pivot) with a pivot that follows. Here actions
are drawn, not greedy; the divergence is one, per environment step, closed-form at each state; and a return that meets
the target on the batch that trained it must meet it again on fresh episodes. The dual mode minimises
KL_traj(pi, original) subject to J = R*: descent on KL_traj - lambda J while lambda follows the gap R* - J.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor, nn

from embodied_cf.explain.errors import PolicyError
from embodied_cf.explain.options import SearchOptions
from embodied_cf.explain.policies import distribution, log_likelihood
from embodied_cf.explain.policy.ascent import Ascent
from embodied_cf.explain.policy.low_rank import add_low_rank, merge_low_rank
from embodied_cf.explain.policy.objective import Baseline, Gradient, gradient
from embodied_cf.explain.rollout import Episodes, MakeEnvs, play

_LOOKS = (40, 120)
"""Fresh episodes after which a candidate that is clearly off is dropped: most are, and long before all are played."""
_BETWEEN = 10
"""Mode paper: gradient steps after a failed look before the next one: few change little, and a look is dear."""
_SLOWEST = 0.05
"""Least share of the learning rate."""


@dataclass(frozen=True)
class Estimate:
    """A mean return over fresh episodes."""

    mean: float
    error: float
    """Standard error."""
    episodes: int

    @staticmethod
    def of(returns: Tensor) -> "Estimate":
        """Return the estimate that so many returns give."""
        spread = float(returns.std()) if len(returns) > 1 else math.inf
        return Estimate(float(returns.mean()), spread / math.sqrt(len(returns)), len(returns))

    def gap(self, target: float) -> float:
        """Return how far the mean is from a target."""
        return abs(self.mean - target)

    def meets(self, target: float, delta: float) -> bool:
        """Say whether returns agree with a target: within delta, or two standard errors if those are more."""
        return self.gap(target) <= max(delta, 2 * self.error)


@dataclass(frozen=True)
class Found:
    """Where a search ended."""

    policy: nn.Module
    valid: bool
    """Fresh episodes confirmed the return."""
    check: Estimate
    """The confirmation; if none was accepted, a new look at the nearest candidate, or what the original has if no
    candidate seemed nearer."""
    multiplier: float | None
    """Mode dual: nats per unit of return, as long as the policy was held where it is; noisy after few steps."""
    iterations: int
    environment_steps: int


def search(
    policy: nn.Module,
    make: MakeEnvs,
    target: float,
    options: SearchOptions,
    *,
    delta: float,
    scale: float,
    rng: np.random.Generator,
    practice: MakeEnvs | None = None,
    before: Estimate | None = None,
) -> Found:
    """Look for the least changed policy whose expected return is within `delta` of `target`.

    It learns from episodes of `practice`, or else of `make`, of which those are that confirm it. `before` is what the
    policy has: candidates that are no nearer to the target are not the nearest.
    """
    run = _Search(policy, make, target, options, delta, scale, rng, practice or make)
    run.nearest = (before, policy) if before else None
    return run.paper() if options.mode == "paper" else run.dual()


class _Search:
    """One search: the policy as it changes, and what it has cost."""

    def __init__(
        self,
        policy: nn.Module,
        make: MakeEnvs,
        target: float,
        options: SearchOptions,
        delta: float,
        scale: float,
        rng: np.random.Generator,
        practice: MakeEnvs,
    ) -> None:
        self.original, self.options, self.rng = policy, options, rng
        self.target, self.delta, self.scale = target, delta, scale
        self.policy = copy.deepcopy(policy)
        if options.rank:
            add_low_rank(self.policy, options.rank, rng)
        self.weights = _free(self.policy, options.rank)
        self.envs = practice(options.episodes)
        looks = [0, *(at for at in _LOOKS if at < options.confirm), options.confirm]
        self.judges = [make(more - before) for before, more in pairwise(looks)]
        self.optimizer = torch.optim.Adam(self.weights, lr=options.rate)
        self.baseline: Baseline | None = None
        self.iterations = self.steps = 0
        self.nearest: tuple[Estimate, nn.Module] | None = None
        self.seen = Estimate(math.nan, math.inf, 0)

    def paper(self) -> Found:
        pivot, rested = copy.deepcopy(self.policy), 0
        while self.iterations < self.options.iterations:
            batch = self._play()
            gap = float(batch.returns.mean()) - self.target
            if abs(gap) < self.delta and self.iterations >= rested:
                if self._confirm(self.policy):
                    return self._found(True, None)
                rested = self.iterations + _BETWEEN
            length = len(batch.reward) / batch.count
            done = self.iterations
            self._learn(pivot, batch, 2 * gap / self.scale**2, self.options.proximity / length)
            if self.iterations // self.options.pivot_every > done // self.options.pivot_every:
                pivot = copy.deepcopy(self.policy)
        return self._found(self._confirm(self.policy), None)

    def dual(self) -> Found:
        ascent, share = Ascent(self.target), 1.0
        for length in [self.options.iterations] + [max(1, self.options.iterations // 8)] * self.options.polish:
            averaged, price = self._descend(ascent, length, share)
            if self._confirm(averaged):
                return self._found(True, price)
            share = min(1.0, self.seen.gap(self.target) / ascent.gap)  # steps as large as what is left
        return self._found(False, price)

    def _descend(self, ascent: Ascent, length: int, share: float) -> tuple[nn.Module, float]:
        """Descend for a round, at a share of the rate that falls; return the means over its last half of the weights,
        and of the price of return that held them there.
        """
        sums, price, taken = [torch.zeros_like(weight) for weight in self.weights], 0.0, 0
        for at in range(0, length, self.options.reuse):
            falling = share * (1 + math.cos(math.pi * at / length)) / 2
            self.optimizer.param_groups[0]["lr"] = self.options.rate * max(falling, _SLOWEST)
            batch = self._play()
            ascent.see(batch.returns, self.options.reuse)
            self._learn(self.original, batch, -ascent.pulled, 1.0)
            if at >= length // 2:
                taken, price = taken + 1, price + ascent.pulled
                for total, weight in zip(sums, self.weights, strict=True):
                    total += weight.detach()
        with self._replaced([total / taken for total in sums]):
            return copy.deepcopy(self.policy), price / taken

    @contextmanager
    def _replaced(self, values: list[Tensor]) -> Iterator[None]:
        kept = [weight.detach().clone() for weight in self.weights]
        self._assign(values)
        yield
        self._assign(kept)

    def _assign(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for weight, value in zip(self.weights, values, strict=True):
                weight.copy_(value)

    def _play(self) -> Episodes:
        batch = play(self.policy, self.envs, self.rng)
        self.steps += len(batch.reward)
        return batch

    def _learn(self, reference: nn.Module, batch: Episodes, on_return: float, on_divergence: float) -> None:
        """Take as many steps on a batch as it is to be used for."""
        played = None
        if self.options.reuse > 1:
            with torch.no_grad():
                played = log_likelihood(distribution(self.policy, batch.observation), batch.action).double()
        for _ in range(self.options.reuse):
            told = self._step(reference, batch, on_return, on_divergence, played)
        self.baseline = told.baseline

    def _step(
        self, reference: nn.Module, batch: Episodes, on_return: float, on_divergence: float, played: Tensor | None
    ) -> Gradient:
        told = gradient(
            self.policy,
            reference,
            batch,
            self.baseline,
            on_return=on_return,
            on_divergence=on_divergence,
            played=played,
        )
        self.optimizer.zero_grad()
        torch.autograd.backward(told.surrogate * batch.count / len(batch.reward))
        torch.nn.utils.clip_grad_norm_(self.weights, self.options.clip)
        self.optimizer.step()
        self.iterations += 1
        return told

    def _confirm(self, candidate: nn.Module) -> bool:
        """Judge on fresh episodes: a few at first, all of them if those are not clearly off, and then as many again:
        of several candidates one passes a single look by luck.
        """
        valid, self.seen = self._judged(candidate)
        if valid or self.nearest is None or self.seen.gap(self.target) < self.nearest[0].gap(self.target):
            self.nearest = self.seen, copy.deepcopy(candidate)
        return valid

    def _judged(self, candidate: nn.Module) -> tuple[bool, Estimate]:
        returns, check = torch.zeros(0, dtype=torch.float64), Estimate(math.nan, math.inf, 0)
        for envs in (*self.judges, *self.judges):
            returns = torch.cat([returns, self._returns(candidate, envs)])
            check = Estimate.of(returns)
            if not check.meets(self.target, self.delta):
                return False, check
        # Half of what is allowed: a later look, at other episodes, should agree too.
        return check.gap(self.target) <= max(self.delta / 2, check.error), check

    def _returns(self, candidate: nn.Module, envs: VectorEnv) -> Tensor:
        batch = play(candidate, envs, self.rng)
        self.steps += len(batch.reward)
        return batch.returns

    def _found(self, valid: bool, multiplier: float | None) -> Found:
        assert self.nearest is not None
        check, policy = self.nearest
        valid |= check.episodes >= self.options.confirm and check.meets(self.target, self.delta)
        if not valid and policy is not self.original:
            # Chosen because its look was near, and that may have been a short look's luck: other episodes say where it
            # is, and they have not chosen it.
            check = Estimate.of(torch.cat([self._returns(policy, envs) for envs in self.judges]))
            valid = check.meets(self.target, self.delta)
        merge_low_rank(policy)
        for name, weight in self.original.named_parameters():
            policy.get_parameter(name).requires_grad_(weight.requires_grad)
        for envs in (self.envs, *self.judges):
            envs.close()
        return Found(policy, valid, check, multiplier, self.iterations, self.steps)


def _free(policy: nn.Module, rank: int | None) -> list[nn.Parameter]:
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    if not weights:
        what, remedy = ("linear layer", "Leave --rank out.") if rank else ("parameter", "")
        raise PolicyError(f"no {what} of the policy may change", where=type(policy).__name__, remedy=remedy)
    return weights
