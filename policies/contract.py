"""What a policy is: observations and an instruction in, action chunks out, batched. Numpy only."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float16, Float32, Int64, UInt8

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.errors import UsageError


@dataclass(frozen=True)
class Observation:
    """B observations, each a short history of the primary camera."""

    image: UInt8[np.ndarray, "b t h w 3"] | Float16[np.ndarray, "b t m"]
    """RGB, oldest frame first; the last is the present one. Frames from before the robot was told are not shown: the
    first since then is repeated. Or what the policy's reader said of each frame, if it has one."""
    odometry: Float32[np.ndarray, "b t1 3"] | None = None
    """Where the robot was when it was told, and then at each frame, in its frame of the present: x m forward, y m left,
    yaw rad. None where nobody knows."""

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: Int64[np.ndarray, " n"]) -> "Observation":
        """Return some of the observations."""
        return Observation(self.image[rows], None if self.odometry is None else self.odometry[rows])


@dataclass(frozen=True)
class ActionChunk:
    """B action chunks. Time, frame and units are those of `datasets.contract.Labels`; standing still is all zeros."""

    chunk: Float32[np.ndarray, "b k a"]
    mask: Bool[np.ndarray, "b k"]
    """Rows that are meant to be carried out: a prefix."""
    log_probability: Float32[np.ndarray, " b"] | None = None
    """Of drawing this chunk, where the policy draws and its law is known (see the head for what it is a law over)."""


@runtime_checkable
class Policy(Protocol):
    """Something that follows instructions.

    It may have four properties more: `stride`, control periods between the frames that it wants (else 1),
    `needs_odometry`, true if it does not act without, `reader`, a `datasets.streams.FrameReader` whose rows it
    takes in the place of frames, and `by_parts`, true if it wants to be told chains part by part, each until it would
    stand (`policies.chains`); its past begins anew with each.
    """

    @property
    def camera(self) -> tuple[int, int]:
        """Height and width of the frames it wants, in pixels."""
        ...

    @property
    def history(self) -> int:
        """T, frames it wants."""
        ...

    @property
    def embodiment(self) -> Embodiment:
        """The body that its chunks are for."""
        ...

    def act(self, observation: Observation, instruction: tuple[str, ...], rng: np.random.Generator) -> ActionChunk:
        """Return a chunk for each observation; "" is no instruction. Same input and generator state, same chunks."""
        ...


def check_observation(policy: Policy, observation: Observation, instruction: tuple[str, ...]) -> None:
    """Raise UsageError if frames or instructions are not what the policy declares."""
    given, reader = observation.image.shape[1:4], getattr(policy, "reader", None)
    wanted: tuple[int, ...] = (policy.history, *policy.camera)
    if observation.image.ndim == 3 and reader is not None:
        wanted = policy.history, reader.width
    if given != wanted:
        raise UsageError(
            f"frames of shape (t, h, w) = {given} where the policy wants {wanted}",
            remedy="Scale frames by `datasets.images.resized` and give `history` of them, oldest first.",
        )
    if observation.odometry is None and getattr(policy, "needs_odometry", False):
        raise UsageError(
            "no odometry, which this policy remembers things by",
            remedy="Give where the robot was told and where each frame was taken (`policies.contract.Observation`), or "
            "train with --set model.history=1.",
        )
    past, places = observation.odometry, (len(observation), policy.history + 1, 3)
    if past is not None and past.shape != places:
        raise UsageError(f"odometry of shape {past.shape} where {places} is wanted: where it was told, and each frame")
    if len(instruction) != len(observation):
        raise UsageError(f"{len(instruction)} instructions for {len(observation)} observations")


def check_answer(policy: Policy, answer: object, count: int) -> None:
    """Raise UsageError unless an answer is so many chunks of the policy's body, finite where they are meant.

    numpy would stretch some others to fit, and who drives nowhere for NaN looks like one that fails.
    """
    if not isinstance(answer, ActionChunk):
        raise UsageError(f"the policy answers with {type(answer).__name__}, which is no ActionChunk")
    body, given = policy.embodiment, np.shape(answer.chunk)
    wanted = count, body.chunk_length, body.chunk_dimensions
    if given != wanted or np.shape(answer.mask) != wanted[:2]:
        raise UsageError(
            f"the policy answers with chunks of shape {given} and a mask of shape {np.shape(answer.mask)}, where "
            f"{count} observations and the embodiment {body.name!r} want {wanted} and {wanted[:2]}",
            remedy="Give every row of every chunk; `mask` tells which are meant.",
        )
    meant = np.asarray(answer.mask, bool) | (np.arange(body.chunk_length) == 0)  # the first row is held where none is
    if not np.isfinite(answer.chunk[meant]).all():
        raise UsageError("the policy answers with numbers that are not finite")
