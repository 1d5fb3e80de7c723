"""Learned policies on disk: one JSON file with class, settings, parameters and, if improved, where they act."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float

from embodied_cf.crm.cells import Cells
from embodied_cf.crm.improve import Baseline, Candidate, Deployed
from embodied_cf.crm.logs import DecisionLog
from embodied_cf.crm.policies import LinearGaussian, LinearLognormal, Policy, Softmax
from embodied_cf.datasets.files import write_json
from embodied_cf.errors import DatasetError, UsageError

_CLASSES = {kind.__name__: kind for kind in (LinearGaussian, LinearLognormal, Softmax)}
_FORMAT = "embodied-cf policy 1"


def save_policy(path: Path, policy: Deployed | Candidate) -> None:
    """Write a policy."""
    deployed = policy.deployed if isinstance(policy, Candidate) else policy
    table: dict[str, object] = {
        "format": _FORMAT,
        "class": type(deployed.policy).__name__,
        "settings": asdict(deployed.policy),  # type: ignore[call-overload]
        "theta": deployed.theta.tolist(),
    }
    if isinstance(policy, Candidate):
        cells = policy.cells
        table["cells"] = {"centres": cells.centres.tolist(), "scale": cells.scale.tolist(), "covered": policy.covered}
    write_json(path, table)


def load_policy(path: Path) -> Deployed | Candidate:
    """Read a policy. Raises DatasetError if the file is none."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["format"] != _FORMAT:
            raise ValueError(f"format {table['format']!r}")
        deployed = Deployed(_CLASSES[table["class"]](**table["settings"]), np.array(table["theta"], np.float64))
        if "cells" not in table:
            return deployed
        cells = Cells(np.array(table["cells"]["centres"]), np.array(table["cells"]["scale"]))
        return Candidate(deployed, cells, tuple(table["cells"]["covered"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"not a policy file ({error})", where=path, remedy="Make one with `embodied-cf crm fit` or `crm improve`."
        ) from error


def _refuse_misfit(policy: Policy, log: DecisionLog) -> None:
    """Raise UsageError for a policy of other contexts or actions than the log's."""
    choices, features = log.action.dtype.kind in "iu", log.context.shape[1]
    reads = getattr(policy, "features", features)
    if reads != features:
        raise UsageError(f"the policy reads {reads} features of a context, and the log has {features}")
    if isinstance(policy, Softmax) != choices or log.action.ndim != 1:
        kind, each = "choices" if choices else "settings", log.action.shape[1:] or "one number"
        raise UsageError(f"a {type(policy).__name__} policy does not fit {kind} of {each} each")
    if isinstance(policy, Softmax) and log.action.max() >= policy.actions:
        raise UsageError(
            f"the log has a choice {log.action.max()}, and the policy knows 0 to {policy.actions - 1}",
            remedy="Evaluate a policy that was fitted to logs with all choices.",
        )


def log_target(
    policy: Deployed | Candidate, log: DecisionLog, baseline: Baseline = "logger"
) -> Float[np.ndarray, " n"]:
    """Return the policy's log probabilities of the logged actions, the fallback to the logger included.

    Raises UsageError for a policy that does not fit the log, and for a fallback to several loggers.
    """
    _refuse_misfit((policy if isinstance(policy, Deployed) else policy.deployed).policy, log)
    if isinstance(policy, Deployed):
        return policy.log_prob(log)
    if baseline == "logger" and not all(policy.covered):
        log.refuse_several("the policy leaves some contexts to the one that it was made to improve")
    with np.errstate(divide="ignore"):
        return np.log(policy.weight(log, baseline)) + log.log_prob
