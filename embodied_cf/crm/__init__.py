"""Counterfactual risk minimisation: estimate, bound, learn and safely improve a policy from its logs.

`from embodied_cf.crm import LoggedBatch, TrajectoryBatch, bounds, estimators as E`. Importing this loads numpy
only; what learns (policies, objectives, fit, improve) loads JAX and is imported from its own module.
"""

from embodied_cf.crm import bounds, estimators
from embodied_cf.crm.batches import ContinuousBatch, EmbeddedBatch, LoggedBatch, MultiLoggedBatch, TrajectoryBatch
from embodied_cf.crm.diagnostics import Diagnostics, diagnose

__all__ = [
    "ContinuousBatch",
    "Diagnostics",
    "EmbeddedBatch",
    "LoggedBatch",
    "MultiLoggedBatch",
    "TrajectoryBatch",
    "bounds",
    "diagnose",
    "estimators",
]
