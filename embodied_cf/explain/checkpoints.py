"""Policies from files: this project's safetensors, stable-baselines3 archives, and factories of the user's own code.

stable-baselines3 is not needed: its archives hold weights, read by `torch_archive`, and JSON. Nothing that a pickle
asks for is run.
"""

import io
import json
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, cast, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from embodied_cf.datasets.files import atomic_path
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.load import factory
from embodied_cf.explain.errors import PolicyError
from embodied_cf.explain.policies import Activation, MlpPolicy
from embodied_cf.explain.torch_archive import read_entry, read_state_dict

_FORMAT = "embodied-cf mlp policy 1"
_KNOWN = "Known: .safetensors of this project, .zip of stable-baselines3 (A2C, PPO), package.module:factory."


def load_policy(source: str) -> nn.Module:
    """Load a policy from a file or call a factory `package.module:factory`.

    Raises PolicyError if the format is unknown, the file is damaged, weights are not finite, or the policy has no
    log-probabilities.
    """
    policy = _loaded(source)
    broken = [name for name, weight in policy.named_parameters() if not torch.isfinite(weight).all()]
    if broken:
        raise PolicyError(f"weights that are not finite: {', '.join(broken)}", where=source)
    return policy


def _loaded(source: str) -> nn.Module:
    path = Path(source)
    if path.suffix == ".safetensors":
        return _load_own(_existing(path))
    if path.suffix == ".zip":
        return _load_sb3(_existing(path))
    if re.fullmatch(r"[\w.]+:\w+", source):
        return _call_factory(source)
    raise PolicyError("unknown policy format", where=source, remedy=_KNOWN)


def save_policy(policy: MlpPolicy, path: Path) -> None:
    """Write a policy as safetensors, its shape in the metadata."""
    shape = {"sizes": policy.sizes, "actions": policy.actions, "activation": policy.activation}
    tensors = {name: value.detach().contiguous() for name, value in policy.state_dict().items()}
    with atomic_path(path) as temporary:
        # one entry: more have no fixed order; and as bytes, since safetensors' own files are for their owner alone
        temporary.write_bytes(save(tensors, metadata={_FORMAT: json.dumps(shape)}))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise PolicyError("there is no such file", where=path)
    return path


def _load_own(path: Path) -> MlpPolicy:
    try:
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise PolicyError(f"damaged safetensors file ({error})", where=path) from error
    if _FORMAT not in told:
        raise PolicyError(f"the file's metadata do not say `{_FORMAT}`", where=path, remedy=_KNOWN)
    try:
        return _filled(json.loads(told[_FORMAT]), tensors)
    except (ValueError, TypeError, LookupError, RuntimeError) as error:
        raise PolicyError(f"not the weights of a policy ({_one_line(error)})", where=path) from error


def _filled(shape: dict[str, Any], tensors: dict[str, Tensor]) -> MlpPolicy:
    """Return a policy of given weights; nothing is allotted for a shape that they do not have."""
    with torch.device("meta"):
        policy = MlpPolicy(**shape)
    policy.load_state_dict({name: value.float() for name, value in tensors.items()}, assign=True)
    return policy


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _load_sb3(path: Path) -> MlpPolicy:
    try:
        with zipfile.ZipFile(path) as archive:
            told = json.loads(read_entry(archive, "data"))
            weights = read_state_dict(io.BytesIO(read_entry(archive, "policy.pth")))
        if not isinstance(told, dict):
            raise ValueError("its data are no table")
        return _from_sb3(weights, told, path)
    except (zipfile.BadZipFile, zlib.error, LookupError, ValueError, RuntimeError, AttributeError) as error:
        told = f"no stable-baselines3 archive ({_one_line(error)})"
        raise PolicyError(told, where=path, remedy=_KNOWN) from error


def _from_sb3(weights: dict[str, Tensor], told: dict[str, Any], path: Path) -> MlpPolicy:
    if "action_net.weight" not in weights:
        squashed = any(name.startswith("actor.log_std") for name in weights)
        what = ("a squashed Gaussian (SAC): it has log-probabilities, but only A2C and PPO are read" if squashed else
                "a deterministic or value-based policy, without log-probabilities of actions")  # fmt: skip
        remedy = "Explain a policy of A2C or PPO, or give package.module:factory."
        raise PolicyError(f"the checkpoint holds {what}", where=path, remedy=remedy)
    _refuse_what_is_no_mlp(weights, path)
    hidden = sorted({int(name.split(".")[2]) for name in weights if name.startswith("mlp_extractor.policy_net.")})
    names = [f"mlp_extractor.policy_net.{at}" for at in hidden] + ["action_net"]
    sizes = [weights[f"{names[0]}.weight"].shape[1]] + [len(weights[f"{name}.bias"]) for name in names]
    actions, activation = "gaussian" if "log_std" in weights else "categorical", _sb3_activation(told, path)
    state = {f"layers.{2 * at}.{part}": weights[f"{name}.{part}"] for at, name in enumerate(names)
             for part in ("weight", "bias")}  # fmt: skip
    state |= {"log_std": weights["log_std"]} if "log_std" in weights else {}
    return _filled({"sizes": sizes, "actions": actions, "activation": activation}, state)


def _refuse_what_is_no_mlp(weights: dict[str, Tensor], path: Path) -> None:
    extractors = [name for name in weights if "features_extractor" in name]
    if extractors or weights.get("log_std", torch.zeros(1)).ndim != 1:
        what = f"a feature extractor of its own ({extractors[0]})" if extractors else "state-dependent exploration"
        raise PolicyError(f"the policy has {what}", where=path, remedy="Give it as package.module:factory.")


def _sb3_activation(told: dict[str, Any], path: Path) -> Activation:
    """Read the activation off the archive's printed policy arguments; stable-baselines3's default is tanh."""
    printed = str(told.get("policy_kwargs", {}).get("activation_fn", "Tanh"))
    name = re.split(r"\W", printed.rstrip("'>"))[-1].lower()
    if name not in get_args(Activation):
        raise PolicyError(f"unknown activation {printed}", where=path, remedy=f"Known: {get_args(Activation)}.")
    return cast(Activation, name)


def _call_factory(source: str) -> nn.Module:
    try:
        make = factory(source)
    except UsageError as error:
        raise PolicyError(f"the factory {error.what}", where=source, remedy=_KNOWN) from error
    if isinstance(make, nn.Module):
        raise PolicyError("this is a policy, and no function that returns one", where=source)
    policy = make()
    if not isinstance(policy, nn.Module):
        raise PolicyError(f"the factory returns {type(policy).__name__}, not a torch module", where=source)
    return policy
