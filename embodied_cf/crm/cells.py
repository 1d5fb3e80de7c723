"""Where logs say enough of a candidate: contexts in cells, each with its effective number of decisions.

In thinly covered cells an improved policy keeps to the baseline: safe policy improvement with baseline bootstrapping
(Laroche, Trichelair & Tachet des Combes 2019, arXiv 1712.06924), with counts replaced by effective sample sizes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from embodied_cf.crm.diagnostics import effective_sample_size

MIN_EFFECTIVE = 20.0
_ROUNDS = 15


@dataclass(frozen=True)
class Cells:
    """A partition of contexts by the nearest of c centres."""

    centres: Float[np.ndarray, "c d"]
    scale: Float[np.ndarray, " d"]
    """Standard deviation of each feature, by which distances are measured."""

    def of(self, context: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """Return the cell of each context."""
        gap = context[:, None] / self.scale - self.centres[None] / self.scale
        return (gap**2).sum(axis=2).argmin(axis=1)

    def covered(
        self, context: Float[np.ndarray, "n d"], weight: Float[np.ndarray, " n"], least: float = MIN_EFFECTIVE
    ) -> Bool[np.ndarray, " c"]:
        """Return which cells hold at least `least` effective decisions of a candidate."""
        cell = self.of(context)
        found = [effective_sample_size(weight[cell == c]) for c in range(len(self.centres))]
        return np.array(found) >= least


def make_cells(context: Float[np.ndarray, "n d"], rng: np.random.Generator, most: int = 16) -> Cells:
    """Return cells by k-means: about one per 50 contexts, at most `most`."""
    spread = context.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    count = max(1, min(most, len(context) // 50))
    cells = Cells(context[rng.choice(len(context), count, replace=False)], scale)
    for _ in range(_ROUNDS):
        cell = cells.of(context)
        centres = [context[cell == c].mean(axis=0) if (cell == c).any() else cells.centres[c] for c in range(count)]
        cells = Cells(np.stack(centres), scale)
    return cells
