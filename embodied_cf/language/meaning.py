"""The meaning of atomic commands, behind one interface for both kinds of embodiment.

A *track* is the robot's motion in its own terms, one row per step: (x, y, yaw) for nav, (x, y, z, roll,
pitch, yaw, gripper) for arm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int8, Int64

from embodied_cf.language import arm, nav
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.verdict import UNKNOWN
from embodied_cf.language.vocabulary import Vocabulary


@runtime_checkable
class Meaning(Protocol):
    """What the commands of an embodiment mean for a robot of a given scale. Verdict rows follow `vocabulary`."""

    @property
    def vocabulary(self) -> Vocabulary: ...
    @property
    def unlabelled(self) -> tuple[str, ...]:
        """Reasons why a motion may have no command."""
        ...

    @property
    def scale(self) -> MotionScale: ...

    def of_track(
        self, track: Float[np.ndarray, "t d"], start: Int64[np.ndarray, " n"], end: Int64[np.ndarray, " n"]
    ) -> Int8[np.ndarray, "c n"]:
        """Verdict of every command on each driven or moved range [start, end]."""
        ...

    def of_chunks(
        self,
        chunk: Float[np.ndarray, "n h a"],
        mask: Bool[np.ndarray, "n h"],
        origin: Float[np.ndarray, "n d"],
    ) -> Int8[np.ndarray, "c n"]:
        """Verdict of every command on each action chunk; `origin` is the track at the chunk's start."""
        ...

    def classify(
        self, track: Float[np.ndarray, "t d"], start: Int64[np.ndarray, " n"], end: Int64[np.ndarray, " n"]
    ) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Command index or -1, and index into `unlabelled` or -1, of each range [start, end]."""
        ...


@dataclass(frozen=True)
class NavMeaning:
    """Meaning of the driving commands."""

    scale: MotionScale
    limits: nav.NavThresholds = field(default_factory=nav.NavThresholds)
    vocabulary: Vocabulary = nav.VOCABULARY
    unlabelled: tuple[str, ...] = nav.UNLABELLED

    def of_track(self, track, start, end):  # type: ignore[no-untyped-def]
        return nav.verdicts(nav.pose_motion(track, start, end, self.scale), self.limits)

    def of_chunks(self, chunk, mask, origin):  # type: ignore[no-untyped-def]
        del origin
        return nav.verdicts(nav.chunk_motion(chunk, mask, self.scale), self.limits)

    def classify(self, track, start, end):  # type: ignore[no-untyped-def]
        return nav.classify(nav.pose_motion(track, start, end, self.scale), self.limits)


@dataclass(frozen=True)
class ArmMeaning:
    """Meaning of the arm's commands."""

    scale: MotionScale
    limits: arm.ArmThresholds = field(default_factory=arm.ArmThresholds)
    vocabulary: Vocabulary = arm.VOCABULARY
    unlabelled: tuple[str, ...] = arm.UNLABELLED

    def of_track(self, track, start, end):  # type: ignore[no-untyped-def]
        return arm.verdicts(arm.effector_motion(track, start, end, self.scale), self.limits)

    def of_chunks(self, chunk, mask, origin):  # type: ignore[no-untyped-def]
        return arm.verdicts(arm.chunk_motion(chunk, mask, self.scale, origin[:, 6]), self.limits)

    def classify(self, track, start, end):  # type: ignore[no-untyped-def]
        return arm.classify(arm.effector_motion(track, start, end, self.scale), self.limits)


def threshold_names(kind: str) -> tuple[str, ...]:
    """Return the thresholds that the commands of `nav` or `arm` have."""
    return tuple(item.name for item in fields(nav.NavThresholds if kind == "nav" else arm.ArmThresholds))


def meaning_for(kind: str, scale: MotionScale, thresholds: Mapping[str, float]) -> Meaning:
    """Return the meaning for `nav` or `arm`. Raises ValueError for a threshold that the kind does not have."""
    unknown = sorted(set(thresholds) - set(threshold_names(kind)))
    if unknown:
        raise ValueError(f"unknown thresholds {unknown} for kind {kind!r}; it has {', '.join(threshold_names(kind))}")
    if kind == "nav":
        return NavMeaning(scale, nav.NavThresholds(**thresholds))
    return ArmMeaning(scale, arm.ArmThresholds(**thresholds))


def judge(
    table: Int8[np.ndarray, "c n"], vocabulary: Vocabulary, instructions: tuple[str, ...]
) -> Int8[np.ndarray, " n"]:
    """Return the verdict of each motion on its own instruction; UNKNOWN where it is not one known command."""
    parsed = {text: vocabulary.parse(text) for text in set(instructions)}
    single = {text: vocabulary.index[names[0]] for text, names in parsed.items() if names and len(names) == 1}
    command = np.array([single.get(text, -1) for text in instructions], np.int64)
    picked = table[np.maximum(command, 0), np.arange(len(instructions))]
    return np.where(command >= 0, picked, UNKNOWN).astype(np.int8)
