"""Learned policies on disk: one JSON file with class, settings, parameters and, if improved, where they act."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float

from embodied_cf.crm.cells import Cells
from embodied_cf.crm.improve import Baseline, Candidate, Deployed
from embodied_cf.crm.logs import DecisionLog
from embodied_cf.crm.policies import LinearGaussian, LinearLognormal, Softmax
from embodied_cf.datasets.files import write_json
from embodied_cf.errors import DatasetError

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


def log_target(
    policy: Deployed | Candidate, log: DecisionLog, baseline: Baseline = "logger"
) -> Float[np.ndarray, " n"]:
    """Return the policy's log probabilities of the logged actions, the fallback to the logger included."""
    if isinstance(policy, Deployed):
        return policy.log_prob(log)
    with np.errstate(divide="ignore"):
        return np.log(policy.weight(log, baseline)) + log.log_prob
