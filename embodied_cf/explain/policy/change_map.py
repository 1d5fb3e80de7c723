"""Where a policy changed: divergence over the two observation dimensions that tell most about it."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from embodied_cf.explain.policy.distance import Visits

_CELLS = 24
_FEWEST = 4
"""Visits below which a cell stays empty."""
_BINS = 8
"""Quantile bins in which a dimension's say is measured."""


@dataclass(frozen=True)
class ChangeMap:
    """Mean divergence in cells of a plane through the states that either policy visits."""

    dimensions: tuple[int, int]
    """Observation dimensions along x and y."""
    low: tuple[float, float]
    high: tuple[float, float]
    kl: Float[np.ndarray, "y x"]
    """Mean KL(changed, original) in nats; nan where the policies rarely go."""
    moved: Float[np.ndarray, "y x"]
    """(visits of the changed - of the original policy) / (their sum), each as a share of its own; nan likewise."""
    explained: tuple[float, float]
    """Share of the divergence's variance that each dimension explains alone."""

    def to_json(self) -> dict[str, Any]:
        """Return the map row by row from `low` upwards; null where the policies rarely go."""
        cells = {name: [[None if np.isnan(cell) else cell for cell in row] for row in getattr(self, name).tolist()]
                 for name in ("kl", "moved")}  # fmt: skip
        return asdict(self) | cells


def change_map(visits: Visits, cells: int = _CELLS) -> ChangeMap:
    """Draw the map over the central 98 % of the visited states; a single dimension is drawn against itself."""
    observation = visits.context.double().numpy()
    kl, changed = visits.kl.double().numpy(), visits.changed.double().numpy()
    share = np.array([_explained(column, kl) for column in observation.T])
    order = np.argsort(-share, kind="stable")
    first, second = int(order[0]), int(order[min(1, len(order) - 1)])
    edges = [_edges(observation[:, dimension], cells) for dimension in (first, second)]

    def total(weight: Float[np.ndarray, " n"]) -> Float[np.ndarray, "y x"]:
        return np.histogram2d(observation[:, second], observation[:, first], edges[::-1], weights=weight)[0]

    count = total(np.ones_like(kl))
    new, old = total(changed / changed.sum()), total((1 - changed) / (1 - changed).sum())
    count[count < _FEWEST] = np.nan
    with np.errstate(invalid="ignore"):
        return ChangeMap(
            dimensions=(first, second),
            low=(float(edges[0][0]), float(edges[1][0])),
            high=(float(edges[0][-1]), float(edges[1][-1])),
            kl=total(kl) / count,
            moved=np.where(np.isnan(count), np.nan, (new - old) / (new + old)),
            explained=(float(share[first]), float(share[second])),
        )


def _edges(values: Float[np.ndarray, " n"], cells: int) -> Float[np.ndarray, " edges"]:
    low, high = np.quantile(values, [0.01, 0.99])
    return np.linspace(low, high if high > low else low + 1.0, cells + 1)


def _explained(values: Float[np.ndarray, " n"], kl: Float[np.ndarray, " n"]) -> float:
    """Return how much of the divergence's variance lies between quantile bins of one dimension (correlation ratio)."""
    if not kl.var() > 0:
        return 0.0
    inner = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]))
    group = np.searchsorted(inner, values, side="right")
    count = np.bincount(group)
    mean = np.bincount(group, kl)[count > 0] / count[count > 0]
    return float((count[count > 0] * (mean - kl.mean()) ** 2).sum() / (len(kl) * kl.var()))
