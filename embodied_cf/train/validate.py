"""Held-out episodes while training: loss and error per kind, and whether the policy listens."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from embodied_cf.datasets.batch import Batch
from embodied_cf.datasets.contract import KINDS
from embodied_cf.datasets.randomness import generator
from embodied_cf.policies.contract import Observation
from embodied_cf.policies.vla import POSITION, VlaPolicy
from embodied_cf.train.config import LossConfig
from embodied_cf.train.losses import Objective, candidates


@dataclass(frozen=True)
class Validation:
    """What was seen on held-out samples."""

    loss: dict[str, float]
    """The head's loss by kind of label."""
    error_m: dict[str, float]
    """Mean distance of the last supervised row from the label's, metres, by kind."""
    sensitivity_m: float
    """Instruction sensitivity: mean distance, over rows, between what is done when told this and when told something
    else, metres. 0: the policy is deaf. Something else is another instruction for the same observation, if the batch
    has one."""

    def to_json(self) -> dict[str, object]:
        """Return the values rounded as they are logged."""
        tables = {name: {kind: round(value, 5) for kind, value in getattr(self, name).items()}
                  for name in ("loss", "error_m")}  # fmt: skip
        return {**tables, "sensitivity_m": round(self.sensitivity_m, 5)}


@torch.inference_mode()
def validate(policy: VlaPolicy, batches: Iterable[Batch], seed: int) -> Validation | None:
    """Return what a policy does on batches; None if there are none. Same seed, same answer."""
    objective = Objective(policy.model.eval(), policy.normalizer, LossConfig())
    rng = generator(seed, "validation")
    rows = [_look(policy, objective, batch, rng) for batch in batches]
    if not rows:
        return None
    kind, loss, error, moved = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Validation(_by_kind(kind, loss), _by_kind(kind, error), float(moved.mean()) if len(moved) else 0.0)


def _look(policy: VlaPolicy, objective: Objective, batch: Batch, rng: np.random.Generator) -> tuple:
    loss = objective.per_sample(batch, int(rng.integers(2**63))).cpu().numpy()
    other, valid = candidates(batch, rng, 1)
    seen = Observation(batch.image, batch.odometry)
    done = policy.act(seen, batch.instruction, rng).chunk
    else_done = policy.act(seen, tuple(batch.instruction[row] for row in other[:, 0].tolist()), rng).chunk
    last = batch.mask.sum(1) - 1
    error = distance(policy, done, batch.action)[np.arange(len(batch)), last]
    moved = distance(policy, done, else_done).mean(1)[valid[:, 0]]
    return batch.kind, loss, error, moved


def distance(
    policy: VlaPolicy, one: Float[np.ndarray, "b k a"], other: Float[np.ndarray, "b k a"]
) -> Float[np.ndarray, "b k"]:
    """Return how far the positions of two chunks lie apart, metres."""
    return np.linalg.norm((one - other)[..., : POSITION[policy.embodiment.kind]], axis=-1)


def _by_kind(kind: np.ndarray, value: np.ndarray) -> dict[str, float]:
    return {KINDS[index]: float(value[kind == index].mean()) for index in np.unique(kind).tolist()}
