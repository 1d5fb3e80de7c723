"""Policies as they are deployed, and driving many errands under them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from benchmarks.crm_navigation.context import STEERING, USED, settings, situation
from benchmarks.crm_navigation.drives import begin, finish
from benchmarks.crm_navigation.errands import errands
from benchmarks.crm_navigation.logs import Logged, write_logs
from embodied_cf.crm.improve import Candidate
from embodied_cf.crm.log_files import read_log
from embodied_cf.crm.logs import DecisionLog
from embodied_cf.crm.policies import draw
from embodied_cf.datasets.randomness import generator, number

REWARDS = (-1.0, 0.0)
"""Reward is minus the cost, which lies in [0, 1]."""
_BATCH = 64


@dataclass(frozen=True)
class Acting:
    """What was learned where logs covered it; elsewhere what acted before, at first the same for every setting."""

    name: str
    candidate: Candidate | None = None
    before: "Acting | None" = None

    @property
    def theta(self) -> Float64[np.ndarray, " p"]:
        return np.zeros(STEERING.size) if self.candidate is None else self.candidate.deployed.theta

    def log_probs(self, context: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n k"]:
        own = np.asarray(STEERING.log_probs(self.theta, context))
        if self.candidate is None or self.before is None:
            return own
        return np.where(self.candidate.covers(context)[:, None], own, self.before.log_probs(context))


Choose = Callable[[Float64[np.ndarray, "n d"], np.random.Generator], tuple[Int64[np.ndarray, " n"], np.ndarray]]
"""From contexts to settings and their log probabilities."""


def by(policy: Acting) -> Choose:
    def choose(context: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        table = policy.log_probs(context)
        action = draw(np.exp(table), rng)
        return action, table[np.arange(len(action)), action]

    return choose


def drive(seeds: Sequence[int], choose: Choose, rng: np.random.Generator) -> Logged:
    """Drive one batch of errands."""
    moment = begin(errands(seeds))
    context = situation(moment).astype(np.float32).astype(np.float64)  # as the log holds it
    action, log_prob = choose(context[:, USED], rng)
    return Logged(moment, context, action, log_prob, finish(moment, settings(action)))


def fresh(seed: int, purpose: str, count: int) -> list[list[int]]:
    """Return batches of errands' seeds that nothing else uses."""
    seeds = [number(seed, "crm_navigation", purpose, str(index)) % 2**62 for index in range(count)]
    return [seeds[at : at + _BATCH] for at in range(0, count, _BATCH)]


def deploy(policy: Acting, seed: int, purpose: str, count: int, directory: Path) -> DecisionLog:
    """Log `count` episodes as RLDS, unless that has been done, and read them back."""
    if not (directory / "dataset_info.json").is_file():
        rng = generator(seed, "crm_navigation", "steer", purpose)
        write_logs(directory, policy.name, [drive(part, by(policy), rng) for part in fresh(seed, purpose, count)])
    log = read_log(directory, REWARDS).log
    return replace(log, context=log.context[:, USED])
