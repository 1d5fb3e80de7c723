"""One replicate: log, improve offline, let it through a gate, and again; every answer is held against the truth."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.crm_navigation.acting import REWARDS, Acting, by, deploy, drive, fresh
from benchmarks.crm_navigation.context import EXPLORE, MENU, STEERING
from benchmarks.crm_navigation.truth import Truth
from embodied_cf.crm import bounds, page
from embodied_cf.crm.gate import Gate, Traffic
from embodied_cf.crm.improve import Deployed, Improvement, Learner, improve
from embodied_cf.crm.learn_logs import as_data
from embodied_cf.crm.logs import DecisionLog
from embodied_cf.crm.objectives import VariancePenalised
from embodied_cf.datasets.files import write_text
from embodied_cf.datasets.randomness import generator

DELTA = 0.05
OBJECTIVE = VariancePenalised(np.array([4.0]), shift=np.array([-0.7]), scaling="sqrt_n")
"""About as much penalty as the test's bound asks for; losses (cost - 1) are measured from about their mean."""


@dataclass(frozen=True)
class Schedule:
    """How much is driven."""

    sizes: tuple[int, ...] = (1000, 1000)
    """Episodes logged at each stage."""
    truth: int = 256
    """Errands of the true evaluation."""
    gate: int = 128
    """Most episodes of a gate's traffic."""


def replicate(seed: int, schedule: Schedule, truth: Truth, work: Path) -> dict[str, Any]:
    """Return what happened, stage by stage, and the true costs."""
    first = acting = Acting("steering@0")
    pool: list[DecisionLog] = []
    stages, deployed = [], [first]
    for stage, size in enumerate(schedule.sizes):
        pool.append(deploy(acting, seed, f"stage {stage}", size, work / f"stage_{stage}"))
        log = joined(pool)
        found = improved(log, acting, seed)
        write_text(work / f"stage_{stage}.html", improvement_page(found, log))
        candidate = Acting(f"steering@{len(deployed)}", found.tested[0].candidate, acting)
        told = {"stage": stage, **offline(found, log, acting, candidate, first, truth)}
        if found.chosen is not None:
            told["gate"] = through_gate(acting, candidate, seed, stage, schedule.gate)
            if told["gate"]["verdict"] != "roll back":
                acting, pool = candidate, []
                deployed.append(acting)
        stages.append(told)
    ends = [true_costs(policy, truth) for policy in deployed]
    return {"stages": stages, "deployed": ends, "final": truth.gain(acting, first), "each": each(truth, deployed)}


def improved(log: DecisionLog, acting: Acting, seed: int) -> Improvement:
    """Ask for a policy that beats the very first one. No context is thin: every setting keeps being tried in all.

    Against the first logger itself no weight exceeds k times the largest probability that a policy can give.
    """
    learner = Learner(STEERING, acting.theta, OBJECTIVE, train_share=0.35, fall_back=False)
    if acting.candidate is None:
        most = (1 + 1e-6) * ((1 - EXPLORE) * len(MENU) + EXPLORE)  # logs hold propensities in single precision
        return improve(log, "logger", DELTA, learner=replace(learner, max_weight=most), seed=seed)
    return improve(log, Deployed(STEERING, np.zeros(STEERING.size)), DELTA, learner=learner, seed=seed)


def joined(logs: list[DecisionLog]) -> DecisionLog:
    """Return logs of one logger as one, episodes numbered on; how they ended is left out."""
    columns = {name: np.concatenate([getattr(log, name) for log in logs])
               for name in ("context", "action", "log_prob", "reward")}  # fmt: skip
    loggers = tuple(name for log in logs for name in log.logger)
    return DecisionLog(**columns, reward_range=REWARDS, logger=loggers, episode=np.arange(len(loggers)))


def offline(
    found: Improvement, log: DecisionLog, acting: Acting, candidate: Acting, first: Acting, truth: Truth
) -> dict[str, Any]:
    """Return what the logs promised beside what is true."""
    test, true = found.tested[0], truth.gain(candidate, first)
    low, high = (float(end) for end in found.baseline_value)
    value = float(truth.of(first).mean())
    return {
        "logger": acting.name, "episodes": len(log), "decision": found.decision, "lower": test.lower,
        "estimate": test.gain, "predicted": test.predicted, "true": true, "held": test.lower <= true["gain"],
        "true_against_logger": truth.gain(candidate, acting), "logged_cost": -float(log.reward.mean()),
        "first_cost_interval": [-high, -low], "first_true_cost": value, "first_cost_held": -high <= value <= -low,
        "effective": test.diagnostics.effective_sample_size, "problems": list(test.diagnostics.problems),
    }  # fmt: skip


def through_gate(acting: Acting, candidate: Acting, seed: int, stage: int, most: int) -> dict[str, Any]:
    """Give the candidate a fifth of the traffic, then half, and look after each batch."""
    gate = Gate(*REWARDS, delta=DELTA, stages=(0.2, 0.5), patience=most // 3)
    traffic, share, verdict = Traffic(gate), gate.stages[0], "go on"
    rng = generator(seed, "crm_navigation", "gate", str(stage))
    for part in fresh(seed, f"gate {stage}", most):
        chosen = rng.random(len(part)) < share
        logged = drive(part, mixed(acting, candidate, chosen), rng)
        traffic = traffic.seen(share, chosen, -logged.outcome.cost)
        verdict = traffic.verdict()
        share = gate.stages[1] if verdict == "next stage" else share
        if verdict in ("promote", "roll back"):
            break
    lower, upper = traffic.gain()
    return {"verdict": verdict, "episodes": len(traffic.reward), "lower": float(lower), "upper": float(upper)}


def mixed(acting: Acting, candidate: Acting, chosen: np.ndarray):  # type: ignore[no-untyped-def] # a Choose
    def choose(context: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        ours, theirs = by(candidate)(context, rng), by(acting)(context, rng)
        return np.where(chosen, ours[0], theirs[0]), np.where(chosen, ours[1], theirs[1])

    return choose


def true_costs(policy: Acting, truth: Truth) -> dict[str, Any]:
    """Return the true mean cost with a 95 % interval over errands, and what it is made of."""
    lower, upper = bounds.student_t(truth.of(policy), 0.05)
    parts = {name: float(truth.of(policy, name).mean()) for name in ("cost", "arrived", "collided", "perturbation")}
    return {"logger": policy.name, **parts, "low": float(lower), "high": float(upper)}


def each(truth: Truth, deployed: list[Acting]) -> list[list[float]]:
    """Return each errand's expected cost under the first and the last policy."""
    return [np.round(truth.of(policy), 5).tolist() for policy in (deployed[0], deployed[-1])]


def improvement_page(found: Improvement, log: DecisionLog) -> str:
    return page.improvement(as_data(found, log, ""), [test.candidate.weight(log, "logger") for test in found.tested])
