"""What is printed and drawn of replicates."""

from typing import Any

import numpy as np
from jaxtyping import Float64

from benchmarks.crm_navigation.context import MENU
from benchmarks.crm_navigation.driver import WAYS
from benchmarks.crm_navigation.truth import Truth
from embodied_cf.crm.draw import Mark, intervals
from embodied_cf.datasets.randomness import generator
from embodied_cf.evaluate.statistics import Estimate, over_seeds

_LOOK = "<style>text{font:11px sans-serif;fill:#5b6570}circle{fill:#0072b2}.bar{stroke:#0072b2;stroke-width:3}</style>"


def show(key: str, row: dict[str, Any]) -> None:
    for stage in row["stages"]:
        true, gate = stage["true"], stage.get("gate", {})
        print(
            f"{key}, stage {stage['stage']} ({stage['episodes']} episodes of {stage['logger']}): {stage['decision']}; "
            f"gain at least {stage['lower']:+.4f}, estimate {stage['estimate']:+.4f}, "
            f"true {true['gain']:+.4f} [{true['low']:+.4f}, {true['high']:+.4f}], held {stage['held']}; "
            f"gate {gate.get('verdict', '-')}",
            flush=True,
        )
    for end in row["deployed"]:
        parts = f"arrived {end['arrived']:.1%}, collided {end['collided']:.1%}, pushed {end['perturbation']:.2f} m2"
        print(f"  {end['logger']}: true cost {end['cost']:.4f} [{end['low']:.4f}, {end['high']:.4f}], {parts}")
    final = row["final"]
    print(f"  last against first: cost lower by {final['gain']:.4f} [{final['low']:.4f}, {final['high']:.4f}]")


def truth_line(truth: Truth) -> dict[str, Any]:
    """Return the true mean cost of each setting by itself, and of the best for each errand, known by nobody."""
    names = [f"{WAYS[way]} {speed:g}" for way, speed in MENU]
    costs = dict(zip(names, np.round(truth.cost.mean(axis=0), 5).tolist(), strict=True))
    return {"settings": costs, "best for each errand": float(truth.cost.min(axis=1).mean())}


def together(rows: list[dict[str, Any]]) -> Estimate:
    """Return by how much less the last policy costs than the first, for other replicates and other errands."""
    gains: Float64[np.ndarray, "s e"] = np.array([np.subtract(*row["each"]) for row in rows])
    return over_seeds([gains], generator(0, "crm_navigation", "intervals"))


def picture(rows: list[dict[str, Any]]) -> str:
    """Draw the true reward (minus the cost) of every policy that was deployed, replicate by replicate."""
    marks = [
        Mark(f"replicate {number}, {end['logger']}", -end["cost"], -end["high"], -end["low"])
        for number, row in enumerate(rows)
        for end in row["deployed"]
    ]
    return (
        str(intervals(marks))
        .replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        .replace(">", f">{_LOOK}", 1)
    )
