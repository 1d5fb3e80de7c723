"""A navigation policy as something that can be explained: perception stays, what is decided about it may change.

Its observations are what the network perceives (`Vla.perceive`), computed once by the environment (`nav_envs`), its
actions are chunks (`chunk_law`).
"""

import copy
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from embodied_cf.errors import UsageError
from embodied_cf.evaluate.load import load
from embodied_cf.explain.chunk_law import ChunkLaw, chunk_law
from embodied_cf.explain.errors import PolicyError
from embodied_cf.policies.checkpoint import save_policy
from embodied_cf.policies.contract import Observation
from embodied_cf.policies.kept import kept_state
from embodied_cf.policies.vla import Vla, VlaPolicy


@dataclass(frozen=True)
class Chunks:
    """From events of a ChunkLaw to metres."""

    policy: VlaPolicy

    def stands(self, event: Float[np.ndarray, "b e"]) -> Bool[np.ndarray, " b"]:
        """Return which events stand still."""
        return event[:, 0] > 0.5

    def metric(self, event: Float[np.ndarray, "b e"]) -> Float32[np.ndarray, "b k a"]:
        """Return chunks in metres, zero where the robot stands still."""
        body = self.policy.embodiment
        numbers = event[:, 1:].reshape(-1, body.chunk_length, body.chunk_dimensions).astype(np.float32)
        metres = self.policy.normalizer.denormalise(numbers)
        metres[self.stands(event)] = 0.0
        return metres


class NavPolicy(nn.Module):
    """The deciding part of a network: what it perceives (b, o) in, a ChunkLaw out. It has no eyes of its own.

    Only the deciding submodules whose weights match one of `layers` (shell patterns; all, if empty) are not frozen.
    """

    def __init__(self, policy: VlaPolicy, layers: tuple[str, ...] = (), width: float = 1.0) -> None:
        super().__init__()
        blind = {id(it): None for name, it in policy.model.named_children() if name not in policy.model.deciding}
        self.model: Vla = copy.deepcopy(policy.model, blind).requires_grad_(False)
        self.width, self.shapes = width, perceived_shapes(policy)
        changing = [name for name, _ in self.model.named_parameters() if self._may_change(name, layers)]
        if not changing:
            known = ", ".join(sorted({name.rpartition(".")[0] for name, _ in self._deciding()}))
            raise UsageError(f"no layer is called {' or '.join(layers)}", remedy=f"Those that decide are {known}.")
        for name in changing:
            self.model.get_parameter(name).requires_grad_(True)

    def _deciding(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, it) for name, it in self.model.named_parameters() if name.split(".")[0] in self.model.deciding]

    def _may_change(self, name: str, layers: tuple[str, ...]) -> bool:
        wanted = not layers or any(fnmatch(name, pattern) or fnmatch(name, f"{pattern}.*") for pattern in layers)
        return wanted and name.split(".")[0] in self.model.deciding

    def forward(self, observation: Float[Tensor, "b o"]) -> ChunkLaw:
        """Return the law of chunks."""
        parts = observation.split([shape.numel() for shape in self.shapes], dim=1)
        perceived = [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]
        tokens = self.model.tokens(*perceived)
        return chunk_law(self.model.head, tokens, self.model.stop_logit(tokens), self.width)


def perceive(policy: VlaPolicy, seen: Observation, told: tuple[str, ...]) -> Float32[np.ndarray, "b o"]:
    """Return what a policy's network perceives, flat."""
    with torch.no_grad():
        image, odometry = policy.tensors(seen)
        parts = policy.model.perceive(image, told, odometry)
    return torch.cat([part.flatten(1) for part in parts], dim=1).numpy()


def perceived_shapes(policy: VlaPolicy) -> list[torch.Size]:
    """Return the shapes of what the network perceives of one observation."""
    image = torch.zeros((1, policy.history, *policy.camera, 3), dtype=torch.uint8)
    with torch.no_grad():
        return [part.shape[1:] for part in policy.model.perceive(image, ("",))]


def load_run(run: str) -> VlaPolicy:
    """Return the policy of a run, to be explained. Raises PolicyError if it tells no log-probabilities."""
    policy = load(run)
    if not isinstance(policy, VlaPolicy):
        told = f"{type(policy).__name__} draws no actions whose log-probabilities it tells"
        raise PolicyError(told, where=run, remedy="Name a run directory of `embodied-cf train`.")
    observation = torch.zeros((1, sum(shape.numel() for shape in perceived_shapes(policy))))
    NavPolicy(policy)(observation)  # a head without a law is refused before anything is driven
    return policy


def changed_policy(original: VlaPolicy, changed: NavPolicy) -> VlaPolicy:
    """Return the changed network as a policy that can be evaluated, served and saved. Frozen weights are shared."""
    frozen = {id(it): it for it in original.model.parameters() if not it.requires_grad}
    model = copy.deepcopy(original.model, frozen)
    with torch.no_grad():  # not load_state_dict: an eye, which the changed one lacks, would ask for its detector
        for name, weight in changed.model.named_parameters():
            model.get_parameter(name).copy_(weight)
    return replace(original, model=model.eval())


def save_run(original: VlaPolicy, changed: NavPolicy, folder: Path) -> None:
    """Write the changed policy as a checkpoint folder, which `evaluate` and the other verbs take."""
    folder.mkdir(parents=True, exist_ok=True)
    model = changed_policy(original, changed).model
    save_policy(folder, model.card, kept_state(model), original.normalizer)
