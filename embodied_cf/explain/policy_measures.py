"""The table of measures for a changed policy."""

import numpy as np
from jaxtyping import Float

from embodied_cf.explain.change_map import change_map
from embodied_cf.explain.measure_table import Measures, Reading, simulate
from embodied_cf.explain.measures import Visits
from embodied_cf.explain.policy import PolicyExplanation

_TOUCHED, _CELLS = 0.1, 8
"""Nats from which a state counts as changed, as in `measures`; cells a side of the map that a reader is shown."""


def policy_measures(told: PolicyExplanation) -> Measures:
    """Sum an explanation up."""
    near, reading = told.proximity, _readers(told.visits)
    return Measures(
        kind="policy",
        validity=float(told.valid),
        proximity=near.trajectory_kl,
        sparsity=near.touched,
        plausibility=near.plausibility,
        diversity=None,
        placebo=None,
        stability=None,
        simulatability=reading.told if reading else None,
        blind_reader=reading.blind if reading else None,
        cost=told.cost.seconds,
    )


def _readers(visits: Visits) -> Reading | None:
    """Show a reader every other state on the map of the two dimensions that tell most, and ask about the rest."""
    observation = visits.context.double().numpy()[:, list(change_map(visits).dimensions)]
    cell = np.stack([_bins(column) for column in observation.T], axis=1)
    changed = (visits.kl > _TOUCHED).tolist()
    pairs = [(tuple(at), bool(it)) for at, it in zip(cell.tolist(), changed, strict=True)]
    return simulate(pairs[::2], pairs[1::2])


def _bins(values: Float[np.ndarray, " n"]) -> np.ndarray:
    """Return a cell for each value, cells of equal counts."""
    inner = np.quantile(values, np.linspace(0, 1, _CELLS + 1)[1:-1])
    return np.searchsorted(inner, values, side="right")
