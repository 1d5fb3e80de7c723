"""Data drawn by written-out recipes, and the values that published libraries gave for them.

The recipes are this project's own; the values were made once with obp 0.5.7 (decisions), SCOPE-RL 0.2.1
(episodes) and the published code of sequential CRM in double precision (prices). Numbers only.
"""

from functools import cache

import numpy as np

from embodied_cf.crm import LoggedBatch, TrajectoryBatch

DECISIONS = {
    "true": 0.6251365651827495,
    "ipw": 0.6254769049035102,
    "snipw": 0.6319802038808787,
    "dm": 0.6606114551602059,
    "dr": 0.6334155305590772,
    "switch_2": 0.6432649056973546,
}
EPISODES = {
    "true": 4.08235923071339,
    "tis": (4.055389599889588, 4.356861103861398),
    "pdis": (4.080624561054149, 2.7161952947502486),
    "dr": (4.111195497781044, 1.2293251768948183),
}
"""Value and standard deviation over episodes."""
PRICES = {
    0.0: (-3.6872614992546224, [-2.4866776978726026, -3.8061348929058334, -3.7246861147893595, -3.8040750489100597,
           -3.7173882316710536, -3.814022313902323, -3.806404083483981, -3.776811103255555,
           -3.7056781042424674, -3.666209402650514, -3.7735043477092973]),
    0.01: (-3.646963866649863, [-2.5025295289447467, -3.8321294359392946, -3.751819019800745, -3.8299187745168943,
           -3.740631306039803, -3.838042912683925, -3.8311581519254583, -3.7999117128940036,
           -3.7296789538974835, -3.690484920049805, -3.797106650180881]),
    0.1: (-3.284285173207029, [-2.645196008594045, -4.066080323240507, -3.99601516490326, -4.062512304978358,
           -3.9498189753586237, -4.054228301718338, -4.053944767898776, -4.007817199640052,
           -3.945686600792619, -3.9089645766434318, -4.00952737242509]),
    1.0: (0.3425017612213108, [-4.071860805087014, -6.405589196252584, -6.437976615928434, -6.38844760959293,
           -6.041695668546795, -6.21608219206254, -6.281810927631994, -6.08687206710061,
           -6.105763069743996, -6.093761142579664, -6.133734594867264]),
}  # fmt: skip
"""Penalty weight to objective and gradient."""
PRICES_IPS = -3.693347941874001
PRICES_MIXTURE = -4.587775671374629
PRICES_EFFECTIVE = 588.9156295548049
PRICES_MEAN_WEIGHT = 0.974049315363925
PRICES_MIXTURE_DENSITY = [0.013285097519510604, 0.2495552038347205, 0.22453941348964443, 0.19345866793641406,
                          0.2776373520994855]  # fmt: skip


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


@cache
def decisions(n=10_000, actions=8, features=5):
    """One-step decisions with binary rewards and a reward model that is biased on purpose."""
    g = np.random.default_rng(12345)
    x, w, b = g.normal(size=(n, features)), g.normal(size=(features, actions)), g.normal(size=actions) * 0.5
    q_true = 1 / (1 + np.exp(-(x @ w / np.sqrt(features) + b - 0.5)))
    behaviour = softmax(x @ g.normal(size=(features, actions)) / np.sqrt(features) + 0.5 * q_true)
    target = softmax(6 * q_true)
    action = (behaviour.cumsum(1) < g.random(n)[:, None]).sum(1).clip(0, actions - 1)
    rows = np.arange(n)
    reward = (g.random(n) < q_true[rows, action]).astype(float)
    q_hat = np.clip(q_true + 0.10 * np.sin(7 * q_true + np.arange(actions)) + 0.05, 0, 1)
    return {"x": x, "q_true": q_true, "behaviour": behaviour, "target": target, "action": action, "reward": reward,
            "q_hat": q_hat, "rows": rows}  # fmt: skip


def decision_batch():
    d = decisions()
    at = (d["rows"], d["action"])
    return LoggedBatch(
        d["reward"], d["behaviour"][at], d["target"][at], d["q_hat"][at], (d["target"] * d["q_hat"]).sum(axis=1)
    )


@cache
def embedding():
    """Likelihoods p(e|a), (actions, categories, 2), and an embedding of each decision's action."""
    g, d = np.random.default_rng(7), decisions()
    tables = [np.pad(softmax(g.normal(size=(8, c))), ((0, 0), (0, 4 - c))) for c in (3, 4)]
    seen = [
        (table[d["action"]].cumsum(1) < g.random(len(d["reward"]))[:, None]).sum(1).clip(0, c - 1)
        for table, c in zip(tables, (3, 4), strict=True)
    ]
    return np.stack(tables, axis=2), np.stack(seen, axis=1)


@cache
def episodes(states=6, actions=3, steps=10, n=5000, discount=0.95):
    """Episodes of a tabular decision process, its exact value, and action values that are biased on purpose."""
    g = np.random.default_rng(777)
    move, mean = g.dirichlet(0.5 * np.ones(states), size=(states, actions)), g.random((states, actions))
    first, logits = g.dirichlet(np.ones(states)), g.normal(size=(states, actions))
    behaviour, target = softmax(0.7 * logits), softmax(0.7 * logits + 0.8 * mean)
    q, value = np.zeros((steps, states, actions)), np.zeros(states)
    for t in reversed(range(steps)):
        q[t] = mean + discount * move @ value
        value = (target * q[t]).sum(axis=1)
    s = (first.cumsum()[None] < g.random(n)[:, None]).sum(1).clip(0, states - 1)
    state, action, reward = np.zeros((n, steps), int), np.zeros((n, steps), int), np.zeros((n, steps))
    for t in range(steps):
        state[:, t] = s
        action[:, t] = (behaviour[s].cumsum(1) < g.random(n)[:, None]).sum(1).clip(0, actions - 1)
        reward[:, t] = g.random(n) < mean[s, action[:, t]]
        s = (move[s, action[:, t]].cumsum(1) < g.random(n)[:, None]).sum(1).clip(0, states - 1)
    q_hat = 0.9 * q[np.arange(steps), state] + 0.05
    return {"state": state, "action": action, "reward": reward,
            "behaviour": behaviour, "target": target, "q_hat": q_hat,
            "value": float(first @ value), "discount": discount}  # fmt: skip


def episode_batch(rows=slice(None)):
    d = episodes()
    state, action = d["state"][rows], d["action"][rows]
    q_hat = d["q_hat"][rows]
    return TrajectoryBatch(
        d["reward"][rows],
        d["behaviour"][state, action],
        d["target"][state, action],
        np.take_along_axis(q_hat, action[:, :, None], axis=2)[:, :, 0],
        (d["target"][state] * q_hat).sum(axis=2),
        discount=d["discount"],
    )


@cache
def prices(n=1000):
    """Prices of a Gaussian logger, as one draws them after a test set of 10 000 from the same generator."""
    r = np.random.RandomState(0)
    for size in (10_000, n):
        x = r.uniform(1, 2, size=(size, 10))
        mean = x[:, :3].mean(axis=1)
        a = r.normal(loc=mean, scale=1)
        loss = np.minimum(-(a * (2 * mean**2 - 0.6 * mean * a) + r.normal(loc=np.zeros(size), scale=1)), 0)
    propensity = np.exp(-((a - mean) ** 2) / 2) / np.sqrt(2 * np.pi)
    theta = np.concatenate([[1.0], np.random.RandomState(0).normal(scale=0.01, size=10)])
    return x, a, propensity, loss, theta
