"""The multi-label benchmark's shape on a synthetic set: products of Bernoulli policies, redeployed four times.

`python -m benchmarks.crm_multilabel [--quick] [--json PATH]`. 2000 contexts of 21 features, 6 labels, a third held
out; loss is the share of wrong labels less 1, so that it is <= 0. The first logger is a weak classifier with noise;
each later batch comes from the policy learned last (scrm) or from the first logger (crm), 500 decisions each.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from embodied_cf.crm.fit import Decisions, fit
from embodied_cf.crm.objectives import LagrangeShift, LogSmoothed, Objective, VariancePenalised
from embodied_cf.crm.policies import BernoulliProduct
from embodied_cf.datasets.randomness import generator

FEATURES, LABELS, ROWS, BATCH = 21, 6, 2000, 500
POLICY = BernoulliProduct(FEATURES, LABELS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    seeds = range(2 if arguments.quick else 10)
    worlds = [world(seed) for seed in seeds]
    start = np.stack([w[2] for w in worlds])
    rows = {"first logger": hamming(worlds, start).tolist()}
    for name, objective in objectives(len(worlds)).items():
        for redeploy in (False, True):
            theta = learn(worlds, start, objective, redeploy, 2 if arguments.quick else 4)
            rows[f"{name}, {'scrm' if redeploy else 'crm'}"] = hamming(worlds, theta).tolist()
    for name, losses in rows.items():
        print(f"{name:34} Hamming loss {np.mean(losses):.4f} ± {np.std(losses) / len(losses) ** 0.5:.4f} (s.e.)")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def objectives(lanes: int) -> dict[str, Objective]:
    fill = lambda value: np.full(lanes, value)  # noqa: E731
    return {
        "variance, lambda 1 / sqrt(n)": VariancePenalised(fill(1.0), scaling="sqrt_n"),
        "log smoothing, 0.1": LogSmoothed(fill(0.1)),
        "self-normalised, shift -0.6": LagrangeShift(fill(-0.6)),
    }


def world(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return contexts, true labels, and the first logger: the truth's weights, shrunk and disturbed."""
    rng = generator(seed, "multilabel")
    context, theta = rng.normal(size=(ROWS, FEATURES)), rng.normal(size=POLICY.size)
    labels = (POLICY.logits(theta, context) + rng.logistic(size=(ROWS, LABELS)) > 0).astype(float)
    return context, labels, 0.15 * theta + 0.1 * rng.normal(size=POLICY.size)


def learn(worlds: list, start: np.ndarray, objective: Objective, redeploy: bool, rollouts: int) -> np.ndarray:
    theta = start
    for rollout in range(rollouts):
        loggers = theta if redeploy else start
        batches = [log(w, t, rollout, seed) for seed, (w, t) in enumerate(zip(worlds, loggers, strict=True))]
        data = Decisions(*(np.stack(column) for column in zip(*batches, strict=True)))
        theta = fit(POLICY, objective, theta, data).theta
    return theta


def log(w: tuple, theta: np.ndarray, rollout: int, seed: int) -> tuple:
    rng = generator(seed, "multilabel", "log", str(rollout))
    rows = rng.integers(ROWS * 2 // 3, size=BATCH)
    context, labels = w[0][rows], w[1][rows]
    action = POLICY.sample(theta, context, rng)
    return context, action, np.asarray(POLICY.log_prob(theta, context, action)), (action != labels).mean(axis=1) - 1


def hamming(worlds: list, theta: np.ndarray) -> np.ndarray:
    """Return the expected share of wrong labels on the held-out third."""
    held = slice(ROWS * 2 // 3, None)
    chance = [0.5 + np.tanh(POLICY.logits(t, w[0][held]) / 2) / 2 for w, t in zip(worlds, theta, strict=True)]
    return np.array([np.abs(p - w[1][held]).mean() for w, p in zip(worlds, chance, strict=True)])


if __name__ == "__main__":
    main()
