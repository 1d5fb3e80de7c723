"""The truth, as only a simulator has it: fresh errands, each driven under every setting with the same chance.

The cost of any policy over these errands is then exact: no action is drawn, and policies are compared errand by errand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from benchmarks.crm_navigation.acting import Acting, fresh
from benchmarks.crm_navigation.context import MENU, USED, settings, situation
from benchmarks.crm_navigation.drives import begin, finish
from benchmarks.crm_navigation.errands import errands
from embodied_cf.crm import bounds


@dataclass(frozen=True)
class Truth:
    """E errands under k settings."""

    context: Float64[np.ndarray, "e d"]
    arrived: Float64[np.ndarray, "e k"]
    collided: Float64[np.ndarray, "e k"]
    perturbation: Float64[np.ndarray, "e k"]
    cost: Float64[np.ndarray, "e k"]

    def of(self, policy: Acting, column: str = "cost") -> Float64[np.ndarray, " e"]:
        """Return what is to be expected of each errand."""
        return (np.exp(policy.log_probs(self.context)) * getattr(self, column)).sum(axis=1)

    def gain(self, ours: Acting, theirs: Acting) -> dict[str, float]:
        """Return by how much less our policy costs, with a paired 95 % interval over errands."""
        each = self.of(theirs) - self.of(ours)
        lower, upper = bounds.student_t(each, 0.05)
        return {"gain": float(each.mean()), "low": float(lower), "high": float(upper)}


def find_truth(directory: Path, count: int) -> Truth:
    """Drive what has not been driven yet, batch by batch."""
    directory.mkdir(parents=True, exist_ok=True)
    parts = [_part(directory / f"{index:04d}.npz", seeds) for index, seeds in enumerate(fresh(0, "evaluation", count))]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Truth(**columns | {"context": columns["context"][:, USED]})


def _part(file: Path, seeds: list[int]) -> dict[str, np.ndarray]:
    if not file.is_file():
        np.savez_compressed(file, **dict(_driven(seeds)))
    with np.load(file, allow_pickle=False) as stored:
        return dict(stored)


def _driven(seeds: list[int]) -> Iterator[tuple[str, np.ndarray]]:
    moment = begin(errands(seeds))
    yield "context", situation(moment).astype(np.float32).astype(np.float64)
    ends = [finish(moment, settings(np.full(len(seeds), action))) for action in range(len(MENU))]
    for name in ("arrived", "collided", "perturbation", "cost"):
        yield name, np.stack([getattr(end, name) for end in ends], axis=1).astype(np.float64)
