"""The table of measures for a changed policy."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from embodied_cf.explain.measure_table import Measures, Reading, simulate
from embodied_cf.explain.policies import distribution, divergence, variation
from embodied_cf.explain.policy.change_map import change_map
from embodied_cf.explain.policy.distance import Visits
from embodied_cf.explain.policy.explanation import PolicyExplanation

_MOST, _CELLS = 0.9, 8
"""Share of the divergence that counts as the change; cells a side of the map that a reader is shown."""


def policy_measures(told: PolicyExplanation, original: nn.Module, others: Sequence[PolicyExplanation] = ()) -> Measures:
    """Sum an explanation up; `others` are of the same policy and target, by searches from other seeds."""
    near, reading = told.proximity, _readers(told.visits)
    return Measures(
        kind="policy",
        validity=float(told.valid),
        proximity=near.trajectory_kl,
        sparsity=_sparsity(told.visits),
        plausibility=near.plausibility,
        diversity=_mean([_apart(told, it) for it in others]),
        placebo=None,
        stability=_mean([_alike(told, it, original) for it in others]),
        simulatability=reading.told if reading else None,
        blind_reader=reading.blind if reading else None,
        cost=told.cost.seconds,
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values and np.isfinite(values).all() else None


def _sparsity(visits: Visits) -> float:
    kl = np.sort(visits.kl[visits.changed > 0].double().numpy())[::-1]
    return float(np.searchsorted(np.cumsum(kl), _MOST * kl.sum()) + 1) / len(kl) if kl.sum() > 0 else 0.0


def _own_states(told: PolicyExplanation) -> Float[Tensor, "n *o"]:
    return told.visits.observation[told.visits.changed > 0]


def _apart(told: PolicyExplanation, other: PolicyExplanation) -> float:
    at = _own_states(told)
    with torch.no_grad():
        between = variation(distribution(told.policy, at), distribution(other.policy, at), np.random.default_rng(0))
    return float(between.mean())


def _alike(told: PolicyExplanation, other: PolicyExplanation, original: nn.Module) -> float:
    """Return the correlation of both answers' divergences from the original; nan where one changes nothing."""
    at = _own_states(told)
    with torch.no_grad():
        was = distribution(original, at)
        one, two = (divergence(distribution(it.policy, at), was).double().numpy() for it in (told, other))
    return float(np.corrcoef(one, two)[0, 1]) if one.std() > 0 and two.std() > 0 else float("nan")


def _readers(visits: Visits) -> Reading | None:
    """Show a reader every other episode on the map of the two dimensions that tell most, and ask about the rest."""
    observation = visits.context.double().numpy()[:, list(change_map(visits).dimensions)]
    cell = np.stack([_bins(column) for column in observation.T], axis=1).tolist()
    pairs = [(tuple(at), way) for at, way in zip(cell, visits.way.tolist(), strict=True)]
    odd = (visits.episode % 2).tolist()
    shown, asked = ([pair for pair, it in zip(pairs, odd, strict=True) if it == which] for which in (0, 1))
    return simulate(shown, asked)


def _bins(values: Float[np.ndarray, " n"]) -> np.ndarray:
    """Return a cell for each value, cells of equal counts."""
    inner = np.quantile(values, np.linspace(0, 1, _CELLS + 1)[1:-1])
    return np.searchsorted(inner, values, side="right")
