"""What is the least change of this policy that has return R*, better or worse?"""

import copy
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from embodied_cf.counterfactual.errors import UnreachableError
from embodied_cf.datasets.randomness import generator
from embodied_cf.errors import UsageError
from embodied_cf.explain.options import SearchOptions
from embodied_cf.explain.policy.distance import Proximity, Returns, Visits, measure_change, measure_returns
from embodied_cf.explain.policy.search import Estimate, Found, search
from embodied_cf.explain.rollout import MakeEnvs, check_fits

_COMPARED = 50
"""Fresh episodes of each policy on which distances are measured."""


@dataclass(frozen=True)
class Cost:
    """What the search took; the measurements afterwards are not in it."""

    iterations: int
    environment_steps: int
    seconds: float


@dataclass(frozen=True)
class PolicyExplanation:
    """The changed policy and everything measured of it, on episodes that the search has not seen."""

    target: float
    delta: float
    mode: str
    multiplier: float | None
    """Mode dual: nats that one more unit of return costs; negative downwards. None where the search was too short to
    tell even its sign."""
    unchanged: bool
    """The original policy has the target return already, by the rule of `valid`, and comes back as it is."""
    valid: bool
    """|J - R*| <= max(delta, 2 standard errors) on fresh episodes."""
    before: Returns
    after: Returns
    proximity: Proximity
    cost: Cost
    policy: nn.Module
    visits: Visits

    def to_json(self) -> dict[str, Any]:
        """Return everything but the policy and the visited states."""
        names = ("target", "delta", "mode", "multiplier", "unchanged", "valid")
        rest = {"proximity": asdict(self.proximity), "cost": asdict(self.cost)}
        return {name: getattr(self, name) for name in names} | {
            when: {"stochastic": asdict(returns.stochastic), "greedy": asdict(returns.greedy)}
            for when, returns in (("before", self.before), ("after", self.after))
        } | rest  # fmt: skip


def explain_policy(
    policy: nn.Module,
    make: MakeEnvs,
    target: float,
    options: SearchOptions | None = None,
    *,
    seed: int = 0,
    practice: MakeEnvs | None = None,
    before: Returns | None = None,
) -> PolicyExplanation:
    """Return the least changed policy with return `target` that the search finds, measured on fresh episodes.

    `practice` makes the environments whose episodes the search learns from, if they are not to be those of `make`.
    `before` is what `returns_before` found, for who asks for several targets of one policy.

    Raises UnreachableError with the nearest return if fresh episodes confirm none, PolicyError if the policy does not
    fit the environment or has no log-probabilities, UsageError if the target is not finite.
    """
    options = options or SearchOptions()
    _check(policy, make, target)
    before = before or returns_before(policy, make, options.confirm, seed)
    delta = options.delta or _tenth(before.stochastic)
    unchanged = before.stochastic.meets(target, delta)
    started = time.perf_counter()
    found = (
        Found(copy.deepcopy(policy), True, before.stochastic, 0.0, 0, 0)
        if unchanged
        else search(
            policy,
            make,
            target,
            options,
            delta=delta,
            scale=options.scale or before.stochastic.gap(target),
            rng=generator(seed, "explain", "search", options.mode),
            practice=practice,
            before=before.stochastic,
        )
    )
    seconds = time.perf_counter() - started
    if not found.valid:
        raise unreachable(target, found.check, before.stochastic)
    after = measure_returns(found.policy, make, options.confirm, generator(seed, "explain", "after"))
    rng = generator(seed, "explain", "change")
    proximity, visits = measure_change(found.policy, policy, make, min(_COMPARED, options.confirm), rng)
    return PolicyExplanation(
        target=target,
        delta=delta,
        mode=options.mode,
        multiplier=_price(found.multiplier, target - before.stochastic.mean),
        unchanged=unchanged,
        valid=after.stochastic.meets(target, delta),
        before=before,
        after=after,
        proximity=proximity,
        cost=Cost(found.iterations, found.environment_steps, seconds),
        policy=found.policy,
        visits=visits,
    )


def _price(multiplier: float | None, way: float) -> float | None:
    return None if multiplier is None or multiplier * way < 0 else multiplier


def returns_before(policy: nn.Module, make: MakeEnvs, episodes: int, seed: int = 0) -> Returns:
    """Return what the original policy has, on the episodes that `explain_policy` plays for it."""
    return measure_returns(policy, make, episodes, generator(seed, "explain", "before"))


def unreachable(target: float, nearest: Estimate, original: Estimate) -> UnreachableError:
    """Say what was reached instead, which may be nothing nearer than where the search began."""
    told = f"no policy with return {target:.6g} was found"
    if nearest.gap(target) < original.gap(target):
        return UnreachableError(
            f"{told}: the nearest has {_words(nearest)}, the original {_words(original)}",
            remedy="Choose a target between them, or raise --iterations or --delta.",
        )
    return UnreachableError(
        f"{told}, nor one nearer to it than the original, which has {_words(original)}",
        remedy="Raise --iterations or --delta, or choose a target nearer to that.",
    )


def _words(returns: Estimate) -> str:
    return f"{returns.mean:.6g} ± {returns.error:.2g} ({returns.episodes} episodes)"


def _tenth(returns: Estimate) -> float:
    """A tenth of the deviation of returns; where there is none, a hundredth of the mean."""
    return returns.error * math.sqrt(returns.episodes) / 10 or max(abs(returns.mean) / 100, 1e-6)


def _check(policy: nn.Module, make: MakeEnvs, target: float) -> None:
    if not math.isfinite(target):
        raise UsageError(f"the target {target} is no return", remedy="Choose a finite number.")
    envs = make(1)
    check_fits(policy, envs)
    envs.close()
