"""What `embodied-cf crm` takes. Nothing numerical is loaded before a verb runs."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from embodied_cf.errors import UsageError

Positional = tyro.conf.Positional
PolicyKind = Literal["softmax", "gaussian", "lognormal"]
ObjectiveKind = Literal["variance", "poem", "self-normalised", "log-smoothing"]


@dataclass(frozen=True)
class LogOptions:
    """Which logs, and what holds of their rewards by construction."""

    logs: Positional[Path]
    """Logged decisions: a .parquet or .npz file, or the version directory of RLDS rollouts (docs/crm.md)."""
    low: float
    """Least reward that can be (for costs: minus the largest cost)."""
    high: float
    """Largest reward that can be."""
    logger: str | None = None
    """Only decisions of this logger, as the column `logger` names it; default all."""
    delta: float = 0.05
    """Probability with which a bound may be wrong."""
    seed: int = 0
    """Same seed, same result."""
    json: Path | None = None
    """Write the result here, for machines."""
    html: Path | None = None
    """Write a page with pictures here."""


@dataclass(frozen=True)
class PolicyOptions:
    """What is learned and how."""

    policy: PolicyKind | None = None
    """Class of policies; default softmax for whole-number actions, gaussian otherwise."""
    hidden: int = 0
    """Units of a softmax policy's hidden layer; 0 for linear."""
    scale: float = 0.5
    """Standard deviation of gaussian and lognormal policies (of the logarithm)."""
    objective: ObjectiveKind = "variance"
    """What is minimised."""
    grid: tuple[float, ...] = ()
    """Penalties, smoothings or shifts to choose among, without test data; default a grid of the objective's own."""

    def __post_init__(self) -> None:
        if self.hidden < 0 or not 0 < self.scale < math.inf:
            raise UsageError(f"hidden is at least 0 and scale positive, got {self.hidden} and {self.scale:g}")
        smoothing = self.objective == "log-smoothing"
        if not all((value > 0 if smoothing else value >= 0) and value < math.inf for value in self.grid):
            least = "above 0" if smoothing else "at least 0"
            raise UsageError(f"--grid takes finite numbers {least} for {self.objective}, got {self.grid}")


@dataclass(frozen=True)
class Evaluate:
    """Estimate what another policy would have earned: diagnostics first, then values, then an interval that holds."""

    options: Annotated[LogOptions, tyro.conf.arg(name="")]
    target: Path | None = None
    """Policy file of `crm fit` or `crm improve`; default the column target_log_prob, else the one logger itself."""
    method: Literal["betting", "empirical_bernstein", "hoeffding", "student_t", "bootstrap"] = "betting"
    """Kind of interval; the last two are approximate."""
    max_weight: float | None = None
    """Clip weights here, chosen beforehand; empirical_bernstein and hoeffding need it."""

    def run(self) -> int:
        """Evaluate and print."""
        from embodied_cf.crm.evaluate_logs import run_evaluate

        return run_evaluate(self)


@dataclass(frozen=True)
class FitPolicy:
    """Learn a policy from the logs; its hyper-parameter is chosen by cross-validation. No safety is promised."""

    options: Annotated[LogOptions, tyro.conf.arg(name="")]
    out: Path
    """Policy file to write."""
    learn: Annotated[PolicyOptions, tyro.conf.arg(name="")] = PolicyOptions()

    def run(self) -> int:
        """Fit and print."""
        from embodied_cf.crm.learn_logs import run_fit

        return run_fit(self)


@dataclass(frozen=True)
class Improve:
    """Find a policy that beats the one that logged, with a bound, or advise to keep it. Exit code 0 either way."""

    options: Annotated[LogOptions, tyro.conf.arg(name="")]
    out: Path
    """Policy file to write if one is found."""
    learn: Annotated[PolicyOptions, tyro.conf.arg(name="")] = PolicyOptions()
    tests: int = 1
    """How many candidates may be tested; they share delta."""

    def __post_init__(self) -> None:
        if self.tests < 1:
            raise UsageError(f"--tests is {self.tests}, and at least one candidate is tested")

    def run(self) -> int:
        """Improve and print."""
        from embodied_cf.crm.learn_logs import run_improve

        return run_improve(self)


@dataclass(frozen=True)
class Crm:
    """Offline estimates, learning and safe improvement from a deployed policy's logs."""

    action: (
        Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[FitPolicy, tyro.conf.subcommand("fit")]
        | Annotated[Improve, tyro.conf.subcommand("improve")]
    )

    def run(self) -> int:
        """Run the chosen action."""
        return self.action.run()
