"""How good an explanation of an episode of any environment is, by re-execution or by a learned model."""

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.explain.measure_table import Measures, Reading, simulate


def env_measures(
    averted: Float64[np.ndarray, "t a"],
    taken: Int64[np.ndarray, " t"],
    decisive: tuple[int, int] | None,
    validity: float | None,
    placebo: float,
    cost: int,
) -> Measures:
    """Measure what is known of T decisions: the share of outcomes in which each of A choices averts the failure.

    taken: the choice that was made at each, -1 where what was done is none of them.
    """
    reading = _readers(averted > 0.5, taken)
    foreseen, blindly = (reading.told, reading.blind) if reading else (None, None)
    if decisive is None:
        return Measures("actions", None, None, None, None, None, placebo, None, foreseen, blindly, float(cost))
    step, action = decisive
    others = np.delete(taken, step)
    return Measures(
        kind="actions",
        validity=validity,
        proximity=None,
        sparsity=1 / len(taken),
        plausibility=float((others == action).mean()) if (others >= 0).any() else None,
        diversity=None,
        placebo=placebo,
        stability=_beside(averted.max(axis=1) > 0.5, step),
        simulatability=foreseen,
        blind_reader=blindly,
        cost=float(cost),
    )


def _beside(mended: Bool[np.ndarray, " t"], step: int) -> float | None:
    beside = np.delete(mended[max(step - 1, 0) : step + 2], min(step, 1))
    return float(beside.mean()) if len(beside) else None


def _readers(averts: Bool[np.ndarray, "t a"], taken: Int64[np.ndarray, " t"]) -> Reading | None:
    """Show a reader what each other action does at steps 0, 2, 4, ... and ask what it does one step later."""
    told = [((step // 2, action), bool(averts[step, action]), step % 2)
            for step, action in np.ndindex(*averts.shape) if action != taken[step]]  # fmt: skip
    return simulate([(what, it) for what, it, odd in told if not odd], [(what, it) for what, it, odd in told if odd])
