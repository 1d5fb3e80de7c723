"""From an episode to motion in the robot's own terms: tracks, real future chunks, typical scale."""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from embodied_cf.datasets.contract import Episode
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.errors import DatasetError, SpecError
from embodied_cf.language.arm import wrap
from embodied_cf.language.scale import MotionScale

_TURN_BOUNDS = {"nav": (0.3, 0.9), "arm": (0.2, 1.6)}
"""rad per chunk; the upper one for nav is the published turn threshold (arXiv 2508.13446)."""


def track_of(episode: Episode, body: Embodiment) -> Float[np.ndarray, "t d"]:
    """Return (T, 3) x, y, yaw for nav, (T, 7) effector pose and gripper for arm."""
    track = episode.pose if body.kind == "nav" else episode.effector
    if track is None:
        raise SpecError(
            f"no track for embodiment {body.name!r}",
            where=episode.episode_id,
            remedy="Name the pose or effector columns in the spec.",
        )
    return track


def future_chunks(
    track: Float[np.ndarray, "t d"],
    body: Embodiment,
    start: Int64[np.ndarray, " n"],
    end: Int64[np.ndarray, " n"],
) -> tuple[Float32[np.ndarray, "n h a"], Bool[np.ndarray, "n h"]]:
    """Return what the robot really did after each `start`, as action chunks masked beyond step `end`.

    Row i is the target at `start + 1 + i` in the robot frame at `start` (see `datasets.contract`). Masked
    rows repeat the last real one.
    """
    at = start[:, None] + 1 + np.arange(body.chunk_length)
    mask = at <= end[:, None]
    there = track[np.minimum(at, end[:, None])]
    here = track[start][:, None]
    chunk = _nav_offset(here, there) if body.kind == "nav" else _arm_offset(here, there)
    return chunk.astype(np.float32), mask


def odometry(poses: Float[np.ndarray, "n k 3"]) -> Float32[np.ndarray, "n k 3"]:
    """Return where a robot was, in its frame at the last of K poses: x m forward, y m left, yaw rad, unwrapped.

    Worked example: from (1, 1, 90 degrees), (1, 0, 0) lay one metre behind, and looked to the right.
    """
    here = poses[:, -1:]
    turned = poses[..., 2:] - here[..., 2:]
    return np.concatenate([_nav_offset(here, poses), turned], axis=-1).astype(np.float32)


def typical_scale(tracks: list[Float[np.ndarray, "_ d"]], body: Embodiment) -> MotionScale:
    """Return the median moving step and the 90th percentile of turning over a chunk, over all tracks.

    Raises DatasetError if nothing in the data moves.
    """
    lengths = np.concatenate([_step_lengths(track, body) for track in tracks] or [np.zeros(0)])
    top = np.quantile(lengths, 0.95) if len(lengths) else 0.0
    if not top > 0:
        raise DatasetError(
            "the robot never moves, so there is no typical step",
            where=f"{len(tracks)} episodes",
            remedy="Check the pose or effector columns of the spec.",
        )
    turns = np.concatenate([_chunk_turns(track, body) for track in tracks])
    low, high = _TURN_BOUNDS[body.kind]
    turn = np.quantile(turns, 0.9) if len(turns) else high
    return MotionScale(float(np.median(lengths[lengths > 0.1 * top])), float(np.clip(turn, low, high)))


def _step_lengths(track: Float[np.ndarray, "t d"], body: Embodiment) -> Float[np.ndarray, " m"]:
    axes = 2 if body.kind == "nav" else 3
    return np.linalg.norm(np.diff(track[:, :axes], axis=0), axis=1)


def _chunk_turns(track: Float[np.ndarray, "t d"], body: Embodiment) -> Float[np.ndarray, " m"]:
    angles = np.unwrap(track[:, 2:3] if body.kind == "nav" else track[:, 3:6], axis=0)
    span = min(body.chunk_length, len(angles) - 1)
    return np.abs(angles[span:] - angles[: len(angles) - span]).max(axis=1, initial=0.0) if span > 0 else np.zeros(0)


def _nav_offset(here: Float[np.ndarray, "n 1 3"], there: Float[np.ndarray, "n h 3"]) -> Float[np.ndarray, "n h 2"]:
    delta = there[..., :2] - here[..., :2]
    cos, sin = np.cos(here[..., 2]), np.sin(here[..., 2])
    return np.stack([cos * delta[..., 0] + sin * delta[..., 1], -sin * delta[..., 0] + cos * delta[..., 1]], axis=-1)


def _arm_offset(here: Float[np.ndarray, "n 1 7"], there: Float[np.ndarray, "n h 7"]) -> Float[np.ndarray, "n h 7"]:
    delta = there - here
    return np.concatenate([delta[..., :3], wrap(delta[..., 3:6]), there[..., 6:]], axis=-1)
