"""How good an explanation of an episode of any environment is, by re-execution or by a learned model."""

import numpy as np
from jaxtyping import Bool, Float64

from embodied_cf.explain.measure_table import Measures, Reading, simulate


def env_measures(
    averted: Float64[np.ndarray, "d a"],
    done: Bool[np.ndarray, "d a"],
    decisive: tuple[int, int] | None,
    validity: float | None,
    placebo: float,
    cost: int,
) -> Measures:
    """Measure what is known of D decisions: the share of outcomes in which each of A choices averts the failure.

    done: which choices are what was done.
    """
    reading = _readers(averted > 0.5, done)
    foreseen, blindly = (reading.told, reading.blind) if reading else (None, None)
    if decisive is None:
        return Measures("actions", None, None, None, None, None, placebo, None, foreseen, blindly, float(cost))
    decision, choice = decisive
    others = np.delete(done, decision, axis=0)
    return Measures(
        kind="actions",
        validity=validity,
        proximity=None,
        sparsity=1 / len(done),
        plausibility=float(others[:, choice].mean()) if others.any() else None,
        diversity=None,
        placebo=placebo,
        stability=_beside(averted.max(axis=1) > 0.5, decision),
        simulatability=foreseen,
        blind_reader=blindly,
        cost=float(cost),
    )


def _beside(mended: Bool[np.ndarray, " d"], decision: int) -> float | None:
    beside = np.delete(mended[max(decision - 1, 0) : decision + 2], min(decision, 1))
    return float(beside.mean()) if len(beside) else None


def _readers(averts: Bool[np.ndarray, "d a"], done: Bool[np.ndarray, "d a"]) -> Reading | None:
    """Show a reader what each other choice does at decisions 0, 2, 4, ... and ask what it does one decision later."""
    told = [((decision // 2, choice), bool(averts[decision, choice]), decision % 2)
            for decision, choice in np.argwhere(~done).tolist()]  # fmt: skip
    return simulate([(what, it) for what, it, odd in told if not odd], [(what, it) for what, it, odd in told if odd])
