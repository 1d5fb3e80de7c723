"""How often `improve` returns a policy that is no better, and how often it finds one that is.

`python -m benchmarks.crm_improve [--quick] [--json PATH] [--lines PATH]`. 1000 repetitions of each case at delta 0.05;
one JSON line per repetition goes to `--lines`, and a run with the same file goes on where it stopped.

* flat: reward does not depend on the action, so that every candidate gains exactly 0, the hardest case;
* worse: the logger knows a rule (the sign of a product) that no linear candidate can express, so all are worse;
* better: the reward of the right action exceeds that of the others by `effect`; the logger is blind.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embodied_cf.crm.improve import Learner, improve
from embodied_cf.crm.logs import DecisionLog, from_arrays
from embodied_cf.crm.policies import Softmax
from embodied_cf.datasets.randomness import generator

DELTA = 0.05
POLICY = Softmax(2, 2)


@dataclass(frozen=True)
class Case:
    """One setting."""

    kind: str
    n: int
    effect: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.kind} n={self.n} effect={self.effect:g}"


CASES = [Case("flat", 1000), Case("worse", 1000)] + [
    Case("better", n, effect) for n in (500, 2000) for effect in (0.05, 0.1, 0.2, 0.4)
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--lines", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    lines = read(arguments.lines)
    for case in CASES:
        null = case.kind != "better"
        for repetition in range(20 if arguments.quick else 1000 if null else 100):
            key = f"{case.name} #{repetition}"
            if key not in lines:
                lines[key] = once(case, repetition)
                append(arguments.lines, {"key": key, **lines[key]})
        show(case, [line for key, line in lines.items() if key.startswith(f"{case.name} #")])
    if arguments.json:
        arguments.json.write_text(json.dumps(lines, indent=2) + "\n")


def once(case: Case, repetition: int) -> dict:
    rng = generator(repetition, "crm_improve", case.name)
    learner = Learner(POLICY, np.zeros(POLICY.size), fall_back=case.kind != "worse")
    found = improve(log(case, rng, case.n), "logger", DELTA, learner=learner, seed=repetition)
    test = found.tested[0]
    return {"deployed": found.chosen is not None, "gain": true_gain(case, test), "lower": test.lower}


def log(case: Case, rng: np.random.Generator, n: int) -> DecisionLog:
    context = rng.normal(size=(n, 2))
    p = np.where(right(case, context) == 1, logger(case), 1 - logger(case))
    action = (rng.random(n) < p).astype(int)
    reward = (rng.random(n) < mean_reward(case, context, action)).astype(float)
    return from_arrays(context, action, np.where(action == 1, p, 1 - p), reward, (0.0, 1.0))


def logger(case: Case) -> float:
    """Probability with which the logger takes the right action."""
    return 0.9 if case.kind == "worse" else 0.5


def right(case: Case, context: np.ndarray) -> np.ndarray:
    product = context[:, 0] * context[:, 1] if case.kind == "worse" else context.sum(axis=1)
    return (product > 0).astype(int)


def mean_reward(case: Case, context: np.ndarray, action: np.ndarray) -> np.ndarray:
    effect = {"flat": 0.0, "worse": 0.4, "better": case.effect}[case.kind]
    return 0.5 + effect * ((action == right(case, context)) - 0.5)


def true_gain(case: Case, test) -> float:
    """Return the true gain of a tested candidate over the logger, by 20 000 contexts and exact probabilities."""
    context = generator(0, "crm_improve", "truth").normal(size=(20_000, 2))
    rows = right(case, context)
    fitted = np.exp(POLICY.log_probs(test.candidate.deployed.theta, context))[np.arange(len(rows)), rows]
    p = np.where(test.candidate.covers(context), fitted, logger(case))
    effect = {"flat": 0.0, "worse": 0.4, "better": case.effect}[case.kind]
    return float(effect * (p.mean() - logger(case)))


def show(case: Case, rows: list[dict]) -> None:
    deployed = np.array([row["deployed"] for row in rows])
    gain, lower = np.array([row["gain"] for row in rows]), np.array([row["lower"] for row in rows])
    false = deployed & (gain <= 0)
    print(
        f"{case.name:28} n {len(rows):5}  deployed {wilson(deployed)}  false {wilson(false)}  "
        f"bound missed {wilson(lower > gain)}  gain of tested: mean {gain.mean():+.3f}, max {gain.max():+.3f}"
    )
    sys.stdout.flush()


def wilson(hits: np.ndarray, z: float = 1.96) -> str:
    n, p = len(hits), hits.mean()
    centre, half = (
        (p + z * z / 2 / n) / (1 + z * z / n),
        z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n),
    )
    return f"{p:6.1%} [{max(centre - half, 0):.1%}, {centre + half:.1%}]"


def read(path: Path | None) -> dict[str, dict]:
    if path is None or not path.is_file():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row.pop("key"): row for row in rows}


def append(path: Path | None, row: dict) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
