"""From motion to atomic segments that tile the episode, none longer than an action chunk.

Both segmenters choose borders only; the label of each segment is `Meaning.classify` of its whole motion, so a
segment's label agrees with its program by construction. Published segmentation (arXiv 2508.13446) lets chunks
outgrow their limit, drops heading changes between two thresholds and calls turning on the spot a stop.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.language.arm import wrap
from embodied_cf.language.meaning import Meaning
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.segments import Segments

_MOVING = 0.25
"""Typical steps per control period from which the robot counts as moving."""
_GRIPPER_STEPS = 3
"""Control periods that a gripper command is given to act."""


@dataclass(frozen=True)
class ThresholdSegmenter:
    """Grows a segment until the kind of motion changes, a full turn is done, or the chunk is full."""

    def segment(self, track: Float[np.ndarray, "t d"], body: Embodiment, meaning: Meaning) -> Segments:
        """Return the segments of a track (x, y, yaw or effector pose and gripper)."""
        if body.kind == "nav":
            codes, turned = _nav_codes(track, meaning.scale), _turned(track, meaning.scale)
        else:
            codes, turned = _arm_codes(track, body, meaning.scale), np.zeros(len(track))
        return _labelled(track, _grow(_without_flicker(codes), turned, body.chunk_length), meaning)


@dataclass(frozen=True)
class ChangePointSegmenter:
    """Optimal partition into stretches of constant velocity, by dynamic programming with a price per border."""

    penalty: float = 2.0
    """Squared deviation, in typical steps and turns, that a new segment must save."""

    def segment(self, track: Float[np.ndarray, "t d"], body: Embodiment, meaning: Meaning) -> Segments:
        """Return the segments of a track (x, y, yaw or effector pose and gripper)."""
        rates = _rates(track, body, meaning.scale)
        return _labelled(track, _partition(rates, self.penalty, body.chunk_length), meaning)


def _labelled(track: Float[np.ndarray, "t d"], start: Int64[np.ndarray, " n"], meaning: Meaning) -> Segments:
    end = np.append(start[1:], len(track) - 1)[: len(start)]
    command, reason = meaning.classify(track, start, end)
    names, reasons = (*meaning.vocabulary.names, ""), (*meaning.unlabelled, "")
    return Segments(start, end, tuple(names[i] for i in command.tolist()), tuple(reasons[i] for i in reason.tolist()))


def _nav_codes(track: Float[np.ndarray, "t 3"], scale: MotionScale) -> Int64[np.ndarray, " m"]:
    """Kind of motion of each step: standing 0, driving 1, turning on the spot left 2 or right 3."""
    distance = np.hypot(*np.diff(track[:, :2], axis=0).T)
    turn = wrap(np.diff(track[:, 2]))
    spot = np.abs(turn) >= _MOVING * scale.turn / 8
    return np.where(distance >= _MOVING * scale.step, 1, np.where(spot, np.where(turn > 0, 2, 3), 0))


def _turned(track: Float[np.ndarray, "t 3"], scale: MotionScale) -> Float[np.ndarray, " t"]:
    return np.unwrap(track[:, 2]) / scale.turn


def _arm_codes(track: Float[np.ndarray, "t 7"], body: Embodiment, scale: MotionScale) -> Int64[np.ndarray, " m"]:
    """Dominant motion of each step over a window of three: hold 0, axes 1..6, angles 7..12, gripper 13.."""
    count = len(track) - 1
    low, high = np.maximum(np.arange(count) - 1, 0), np.minimum(np.arange(count) + 2, count)
    span = np.maximum(high - low, 1)[:, None]
    move = (track[high, :3] - track[low, :3]) / (scale.step * span)
    turn = wrap(track[high, 3:6] - track[low, 3:6]) * body.chunk_length / (scale.turn * span)
    rates = np.concatenate([move, turn], axis=1)
    axis = np.abs(rates).argmax(axis=1)
    size = np.take_along_axis(rates, axis[:, None], axis=1)[:, 0]
    codes = np.where(np.abs(size) < _MOVING, 0, 1 + 2 * axis + (size < 0))
    return _with_gripper(codes, track[:, 6] >= 0.5)


def _with_gripper(codes: Int64[np.ndarray, " m"], is_open: Bool[np.ndarray, " t"]) -> Int64[np.ndarray, " m"]:
    out = codes.copy()
    for number, step in enumerate(np.flatnonzero(is_open[1:] != is_open[:-1]).tolist()):
        out[step : step + _GRIPPER_STEPS] = 13 + number
    return out


def _without_flicker(codes: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
    """Give a code that lasts a single step to its predecessor, unless a gripper acts there."""
    if len(codes) < 3:
        return codes
    alone = (codes[1:-1] != codes[:-2]) & (codes[1:-1] != codes[2:]) & (codes[1:-1] < 13)
    out = codes.copy()
    for step in (np.flatnonzero(alone) + 1).tolist():
        out[step] = out[step - 1] if out[step - 1] < 13 else out[step]
    return out


def _grow(codes: Int64[np.ndarray, " m"], turned: Float[np.ndarray, " t"], longest: int) -> Int64[np.ndarray, " n"]:
    """Return segment starts: a border where the code changes, a whole turn is complete, or `longest` is reached."""
    kind, angle = codes.tolist(), turned.tolist()
    starts: list[int] = []
    for step in range(len(kind)):
        at = starts[-1] if starts else -longest
        if step - at >= longest or kind[step] != kind[at] or abs(angle[step] - angle[at]) >= 1.0:
            starts.append(step)
    return np.array(starts, np.int64)


def _rates(track: Float[np.ndarray, "t d"], body: Embodiment, scale: MotionScale) -> Float[np.ndarray, "m f"]:
    if body.kind == "nav":
        distance = np.hypot(*np.diff(track[:, :2], axis=0).T) / scale.step
        return np.stack([distance, wrap(np.diff(track[:, 2])) * body.chunk_length / scale.turn], axis=1)
    move = np.diff(track[:, :3], axis=0) / scale.step
    turn = wrap(np.diff(track[:, 3:6], axis=0)) * body.chunk_length / scale.turn
    return np.concatenate([move, turn, 10.0 * np.diff(track[:, 6:] >= 0.5, axis=0)], axis=1)


def _partition(rates: Float[np.ndarray, "m f"], penalty: float, longest: int) -> Int64[np.ndarray, " n"]:
    """Minimise the squared deviation from segment means plus `penalty` per segment, exactly."""
    total = np.concatenate([np.zeros((1, rates.shape[1])), np.cumsum(rates, axis=0)])
    square = np.concatenate([[0.0], np.cumsum((rates**2).sum(axis=1))])
    best, back = np.zeros(len(rates) + 1), np.zeros(len(rates) + 1, np.int64)
    for end in range(1, len(rates) + 1):
        low = max(0, end - longest)
        length = np.arange(end - low, 0, -1)
        mean = total[end] - total[low:end]
        cost = square[end] - square[low:end] - (mean**2).sum(axis=1) / length + best[low:end] + penalty
        back[end] = low + int(cost.argmin())
        best[end] = cost[back[end] - low]
    return _walk_back(back)


def _walk_back(back: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " k"]:
    starts, at = [], len(back) - 1
    while at > 0:
        at = int(back[at])
        starts.append(at)
    return np.array(starts[::-1], np.int64)


SEGMENTERS = {"threshold": ThresholdSegmenter, "changepoint": ChangePointSegmenter}
