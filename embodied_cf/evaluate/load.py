"""From what a user names to a policy: a run, `package.module:factory`, or the URL of a server."""

import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from embodied_cf.errors import UsageError
from embodied_cf.policies.config import DeviceName
from embodied_cf.policies.contract import Policy

_REMEDY = "Name a run directory, package.module:factory, or the http:// address of `embodied-cf serve`."


def load(name: str, guidance: float = 1.0, device: DeviceName = "cpu") -> Policy:
    """Return a policy. Raises UsageError or CheckpointError if there is none, or if it is for another robot, and
    UsageError for a guidance that is not finite, a device that is not there, or either for what is no run.
    """
    policy = _find(name, guidance, device)
    if policy.embodiment.kind != "nav":
        raise UsageError(f"a policy for {policy.embodiment.name!r}, not for a robot that drives", where=name)
    return policy


def checkpoint_of(name: str) -> str:
    """Return the digest of a run's checkpoint; nothing of policies that are no run, which only their name tells."""
    if name.startswith(("http://", "https://")) or not Path(name).is_dir():
        return ""
    from embodied_cf.policies.checkpoint import checkpoint_digest

    return checkpoint_digest(Path(name))


def _find(name: str, guidance: float, device: DeviceName) -> Policy:
    if not math.isfinite(guidance):
        raise UsageError(f"--guidance {guidance:g} is no number to steer by")
    if not Path(name).is_dir():
        _refuse_of_runs(name, f"--guidance {guidance:g}" if guidance != 1.0 else "")
        _refuse_of_runs(name, f"--device {device}" if device != "cpu" else "")
    if name.startswith(("http://", "https://")):
        from embodied_cf.policies.client import RemotePolicy

        return RemotePolicy(name)
    if Path(name).is_dir():
        from embodied_cf.policies.checkpoint import load_policy

        return replace(load_policy(Path(name), device=device), guidance=guidance)
    made = factory(name)()
    if not isinstance(made, Policy):
        told = f"{type(made).__name__} is no policy: it needs camera, history, embodiment and act"
        raise UsageError(told, where=name, remedy=_REMEDY)
    return made


def _refuse_of_runs(name: str, option: str) -> None:
    if option:
        remedy = f"Leave it out; `embodied-cf serve` takes {option.split()[0]} for the run that it serves."
        raise UsageError(f"no run directory, so that {option} cannot be set", where=name, remedy=remedy)


def factory(name: str, takes: Sequence[str] = (), remedy: str = _REMEDY) -> Callable[..., Any]:
    """Return the function that `package.module:name` names. Raises UsageError if it cannot be called with arguments
    for `takes`."""
    found = imported(name, remedy)
    try:
        inspect.signature(found).bind(*takes)
    except TypeError as error:
        given = f"with ({', '.join(takes)})" if takes else "without arguments"
        raise UsageError(f"cannot be called {given}: {error}", where=name, remedy=remedy) from None
    except ValueError:
        pass  # some of what is built in does not tell its signature
    return found


def imported(name: str, remedy: str) -> Any:
    """Return what `package.module:name` names. Raises UsageError if nothing is there."""
    module, _, attribute = name.partition(":")
    if not module or module.startswith(".") or not attribute:
        raise UsageError("no run, factory or address", where=name, remedy=remedy)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"cannot be imported ({error})", where=name, remedy=remedy) from None
