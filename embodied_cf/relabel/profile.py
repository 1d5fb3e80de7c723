"""What a first pass over the numbers of a dataset learns: typical scale, reach, and a pool of real segments."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float32

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.motion import future_chunks, typical_scale
from embodied_cf.datasets.randomness import generator
from embodied_cf.language import arm
from embodied_cf.language.arm import wrap
from embodied_cf.language.meaning import Meaning, meaning_for
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.verdict import PASS
from embodied_cf.relabel.stages import Segmenter

_MARGIN = 0.05
"""Share of the data's range by which a target may lie outside it."""
_HALF = 0.5
"""Least speed of a segment that is retrieved, in typical ones."""


@dataclass(frozen=True)
class Pool:
    """Real segments that carry out one command, as chunks in the frame of their start."""

    action: Float32[np.ndarray, "n h a"]
    mask: Bool[np.ndarray, "n h"]
    entry: Float[np.ndarray, "n e"]
    """How the robot entered the segment: `entry_state` at its start."""


@dataclass(frozen=True)
class Profile:
    """The data's own measures. `low` and `high` bound what a target may ask for (see `reach_values`)."""

    scale: MotionScale
    low: Float[np.ndarray, " r"]
    high: Float[np.ndarray, " r"]
    episodes: int
    pools: Mapping[str, Pool] = field(default_factory=dict)

    def meaning(self, body: Embodiment) -> Meaning:
        """Return the meaning of the embodiment's commands at this scale."""
        return meaning_for(body.kind, self.scale, body.thresholds)


def measure(
    tracks: Iterable[tuple[str, Float[np.ndarray, "_ d"]]],
    body: Embodiment,
    segmenter: Segmenter,
    seed: int,
    pool_size: int = 0,
) -> Profile:
    """Return the profile of (episode id, track) pairs. The same set in another order gives the same profile.

    `pool_size` segments are kept for each command, for synthesizers that retrieve.
    """
    named = sorted(tracks, key=lambda pair: pair[0])
    scale = typical_scale([track for _, track in named], body)
    meaning = meaning_for(body.kind, scale, body.thresholds)
    reach = np.concatenate([reach_values(track, body) for _, track in named])
    low, high = np.quantile(reach, [0.01, 0.99], axis=0)
    room = _MARGIN * (high - low) + 1e-9
    pools = _pools(named, body, segmenter, meaning, seed, pool_size) if pool_size else {}
    return Profile(scale, low - room, high + room, len(named), pools)


def reach_values(track: Float[np.ndarray, "t d"], body: Embodiment) -> Float[np.ndarray, "m r"]:
    """Return what the data's reach is measured on: step length for nav, effector position for arm."""
    if body.kind == "arm":
        return track[:, :3]
    return np.hypot(*np.diff(track[:, :2], axis=0).T)[:, None]


def entry_state(track: Float[np.ndarray, "t d"], steps: np.ndarray, scale: MotionScale, body: Embodiment) -> np.ndarray:
    """Return how the robot enters each step: velocity over the last period in typical units, gripper for arm."""
    before = np.maximum(steps - 1, 0)
    if body.kind == "nav":
        speed = np.hypot(*(track[steps, :2] - track[before, :2]).T) / scale.step
        turning = wrap(track[steps, 2] - track[before, 2]) * body.chunk_length / scale.turn
        return np.stack([speed, turning], axis=1)
    velocity = (track[steps, :3] - track[before, :3]) / scale.step
    # the gripper must match: a chunk that starts with it open means nothing to a closed one
    return np.concatenate([velocity, 100.0 * (track[steps, 6:] >= 0.5)], axis=1)


def _pools(
    named: list[tuple[str, np.ndarray]],
    body: Embodiment,
    segmenter: Segmenter,
    meaning: Meaning,
    seed: int,
    size: int,
) -> dict[str, Pool]:
    found: dict[str, list[tuple[float, int, int, int]]] = {name: [] for name in meaning.vocabulary.names}
    for number, (name, track) in enumerate(named):
        segments = segmenter.segment(track, body, meaning)
        draws = generator(seed, name, "retrieval pool").random(len(segments))
        for (start, end, command), draw in zip(segments, draws.tolist(), strict=True):
            if command and (end - start >= body.chunk_length // 2 or "gripper" in command):  # which is soon done
                found[command].append((draw, number, start, end))
    pools = {
        command: _pool([named[number][1] for _, number, _, _ in kept], kept, body, meaning.scale)
        for command, rows in found.items()
        if (kept := sorted(rows)[:size])
    }
    return {
        command: shown
        for command, pool in pools.items()
        if len((shown := _brisk(command, _that_show(command, pool, meaning), body, meaning.scale)).mask)
    }


def _pool(
    tracks: list[np.ndarray], rows: list[tuple[float, int, int, int]], body: Embodiment, scale: MotionScale
) -> Pool:
    chunks, entries = [], []
    for track, (_, _, start, end) in zip(tracks, rows, strict=True):
        at = np.array([start])
        chunks.append(future_chunks(track, body, at, np.array([end])))
        entries.append(entry_state(track, at, scale, body))
    return Pool(
        np.concatenate([action for action, _ in chunks]),
        np.concatenate([mask for _, mask in chunks]),
        np.concatenate(entries),
    )


def _that_show(command: str, pool: Pool, meaning: Meaning) -> Pool:
    """Return the segments whose chunk alone shows the command; turning on the spot, for one, it cannot."""
    origin = np.zeros((len(pool.mask), 7))
    # closing starts from an open gripper and the other way round; for the rest the chunk's own value stands
    origin[:, 6] = 1.0 - pool.action[:, -1, -1] if "gripper" in command else pool.action[:, -1, -1]
    table = meaning.of_chunks(pool.action, pool.mask, origin)
    rows = table[meaning.vocabulary.index[command]] == PASS
    return Pool(pool.action[rows], pool.mask[rows], pool.entry[rows])


def _brisk(command: str, pool: Pool, body: Embodiment, scale: MotionScale) -> Pool:
    """Return the segments in which an arm gets at least half as far as is typical: others hardly show the command."""
    if body.kind == "nav":
        return pool
    index, moved = arm.VOCABULARY.index[command], pool.mask.sum(axis=1)
    end = pool.action[np.arange(len(moved)), moved - 1]
    if index < len(arm.MOVES):
        axis, sign = arm.MOVES[index]
        share = sign * end[:, axis] / (scale.step * moved)
    elif index in (arm.ROTATE_LEFT, arm.ROTATE_RIGHT):
        share = np.abs(end[:, 5]) * body.chunk_length / (scale.turn * moved)
    else:
        return pool
    rows = share >= _HALF
    return Pool(pool.action[rows], pool.mask[rows], pool.entry[rows])
