"""The tabular world that the published numbers stand for: 5 states, 3 actions, 8 steps, drawn from seed 0."""

import numpy as np


def _build():
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(0.5 * np.ones(5), size=(5, 3))
    reward = rng.uniform(0, 1, size=(5, 3))
    logits = rng.normal(size=(8, 5, 3))
    policy = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return transition, reward, logits, policy / policy.sum(axis=-1, keepdims=True)


TRANSITION, REWARD, LOGITS, POLICY = _build()
INITIAL = np.full(5, 0.2)
WORLD = (TRANSITION, REWARD, POLICY, INITIAL)
TARGET = 4.069208109359
