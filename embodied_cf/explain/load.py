"""From what a user names to a policy that drives: a run, `package.module:factory`, or the URL of a server."""

import importlib
from pathlib import Path
from typing import Any

from embodied_cf.explain.errors import PolicyError
from embodied_cf.policies.contract import Policy

_REMEDY = "Name a run directory, package.module:factory, or the http:// address of `embodied-cf serve`."


def load_driving_policy(name: str) -> Policy:
    """Return a policy. Raises PolicyError, CheckpointError or UsageError if there is none, or not for driving."""
    policy = _find(name)
    if policy.embodiment.kind != "nav":
        raise PolicyError(f"a policy for {policy.embodiment.name!r}, not for a robot that drives", where=name)
    return policy


def _find(name: str) -> Policy:
    if name.startswith(("http://", "https://")):
        from embodied_cf.policies.client import RemotePolicy

        return RemotePolicy(name)
    if Path(name).is_dir():
        from embodied_cf.policies.checkpoint import load_policy

        return load_policy(Path(name))
    made = imported(name)()
    if not isinstance(made, Policy):
        told = f"{type(made).__name__} is no policy: it needs camera, history, embodiment and act"
        raise PolicyError(told, where=name, remedy=_REMEDY)
    return made


def imported(name: str) -> Any:
    """Return what `package.module:name` names. Raises PolicyError if nothing is there."""
    module, _, attribute = name.partition(":")
    if not attribute:
        raise PolicyError("no run, factory or address", where=name, remedy=_REMEDY)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PolicyError(f"cannot be imported ({error})", where=name, remedy=_REMEDY) from None
