"""Bounds on counterfactuals that hold whatever couples the two outcomes (Haugh & Singal 2023, arXiv 2205.13832)."""

import numpy as np
from jaxtyping import Float

from embodied_cf.counterfactual.precision import Probabilities, pair


def bounds(
    p: Probabilities, q: Probabilities
) -> tuple[Float[np.ndarray, "*batch n n"], Float[np.ndarray, "*batch n n"]]:
    """Return the least and the largest P(counterfactual j under q | factual i under p) over all couplings.

    max(0, p_i + q_j - 1) / p_i and min(p_i, q_j) / p_i (Fréchet & Hoeffding), entry by entry: not all are attained by
    one coupling. Where p_i = 0 they are the limits of vanishing p_i. Leading axes are batch axes.
    Raises UsageError if p or q is no distribution or their shapes do not go together.
    """
    first, second = pair(p, q)
    rest = second @ (1 - np.eye(second.shape[-1]))  # 1 - q_j without its rounding, which division by p_i would blow up
    row, column, rest = np.broadcast_arrays(first[..., :, None], second[..., None, :], rest[..., None, :])
    safe = np.where(row > 0, row, 1.0)
    lower = np.where(row > 0, np.maximum(0.0, row - rest) / safe, rest <= 0)
    upper = np.where(row > 0, np.minimum(row, column) / safe, column > 0)
    return lower, upper
