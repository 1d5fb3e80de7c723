"""From a command or goal to an action chunk that carries it out, or the reason why none can."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.language import arm, nav
from embodied_cf.language.scale import MotionScale
from embodied_cf.relabel.profile import Pool, Profile, entry_state
from embodied_cf.relabel.stages import Context, Proposals, Synthesis

_ADJUSTMENT = 0.45
"""Share of a full turn that an adjustment makes: the middle of its range."""
NO_GOAL = "the synthesizer reaches commands, not things in the image"
OUT_OF_REACH = "leaves the reach that the data shows"
RUNS_INTO = "runs into something that stands there"
GRIPPER = "the gripper is so already"
_SHORTEST = 1.5
"""Typical steps: an arm that can go no further than this is not told to."""
_SHORT_OF = 0.5
"""Typical steps before the border of its reach at which an arm stops: downwards, the border is the table."""


@dataclass(frozen=True)
class PrimitiveSynthesizer:
    """Motion primitives at the data's own typical step: arcs for nav, straight displacements for arm."""

    profile: Profile
    body: Embodiment
    commanded: bool = False
    """Whether the track's gripper is the command in force: it is then kept as it is. A measured one may have been
    stopped by what it holds: it is kept open or closed, so that nothing is let go."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {"synthesizer": "primitive"}

    @cached_property
    def table(self) -> Float32[np.ndarray, "c h a"]:
        """The chunk of every command."""
        make = nav_primitives if self.body.kind == "nav" else _arm_primitives
        return make(self.profile.scale, self.body.chunk_length)

    def synthesize(self, context: Context, proposals: Proposals) -> Synthesis:
        """Return the primitive of each proposed command; goals are not feasible here."""
        command = np.maximum(proposals.command, 0)
        action = self.table[command]
        if self.body.kind == "arm":
            here = context.track[proposals.start]
            action = _with_gripper(_to_the_border(self.profile, here, action), proposals.command, here, self.commanded)
        mask = np.ones(action.shape[:2], bool)
        reason = first_reason(
            len(proposals), {NO_GOAL: proposals.command < 0, **self._limits(context, proposals, action)}
        )
        return Synthesis(action, mask, reason, np.ones(len(proposals)))

    def _limits(self, context: Context, proposals: Proposals, action: np.ndarray) -> dict[str, np.ndarray]:
        if self.body.kind == "nav":
            return {}
        left = np.abs(action[:, -1, :3]).max(axis=1)
        at_border = (proposals.command < arm.ROTATE_LEFT) & (left < _SHORTEST * self.profile.scale.step)
        limits = arm_limits(self.profile, context, proposals, action)
        return {**limits, OUT_OF_REACH: limits[OUT_OF_REACH] | at_border}


@dataclass(frozen=True)
class RetrievalSynthesizer:
    """The real segment that carried out the command and was entered most alike, moved to the branch point.

    An arm's gripper stays as it is there, unless the command is about it.
    """

    profile: Profile
    body: Embodiment
    commanded: bool = False
    """As in `PrimitiveSynthesizer`."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {"synthesizer": "retrieval"}

    def synthesize(self, context: Context, proposals: Proposals) -> Synthesis:
        """Return the matched segment of each proposed command; infeasible where the data has none."""
        count, shape = len(proposals), (self.body.chunk_length, self.body.chunk_dimensions)
        action, mask = np.zeros((count, *shape), np.float32), np.ones((count, shape[0]), bool)
        distance, found = np.zeros(count), np.zeros(count, bool)
        entry = entry_state(context.track, proposals.start, self.profile.scale, self.body)
        for index, name in enumerate(context.meaning.vocabulary.names):
            rows = np.flatnonzero(proposals.command == index)
            if len(rows) and name in self.profile.pools:
                pool = self.profile.pools[name]
                match, distance[rows] = _nearest(pool, entry[rows])
                action[rows], mask[rows], found[rows] = pool.action[match], pool.mask[match], True
        reasons = {
            NO_GOAL: proposals.command < 0,
            "no segment of the data does it": ~found,
            "entered too differently": distance > 50.0,
        }
        if self.body.kind == "arm":
            action = _with_gripper(action, proposals.command, context.track[proposals.start], self.commanded)
            reasons |= arm_limits(self.profile, context, proposals, action)
        return Synthesis(action, mask, first_reason(count, reasons), 1.0 / (1.0 + 0.1 * distance))


def arm_limits(
    profile: Profile, context: Context, proposals: Proposals, action: Float32[np.ndarray, "p h a"]
) -> dict[str, Bool[np.ndarray, " p"]]:
    """Return which arm chunks leave the workspace that the data shows, or ask of the gripper what it is already."""
    here = context.track[proposals.start]
    there = here[:, None, :3] + action[..., :3]
    inside = (there >= profile.low).all(axis=(1, 2)) & (there <= profile.high).all(axis=(1, 2))
    moves = proposals.command < arm.ROTATE_LEFT
    is_open = here[:, 6] >= 0.5
    idle = ((proposals.command == arm.OPEN) & is_open) | ((proposals.command == arm.CLOSE) & ~is_open)
    return {OUT_OF_REACH: moves & ~inside, GRIPPER: idle}


def arcs(length: Float[np.ndarray, " n"], heading: Float[np.ndarray, " n"], rows: int) -> Float32[np.ndarray, "n h 2"]:
    """Return `rows` points, evenly spaced along circular arcs of a length (m) and total heading change (rad).

    arcs([1], [0], 2) is [[[.5, 0], [1, 0]]]; a left turn has a positive heading and ends at positive y.
    """
    part = np.arange(1, rows + 1) / rows
    angle = heading[:, None] * part  # (n, h)
    half = angle / 2
    chord = length[:, None] * part * np.sinc(half / np.pi)
    return np.stack([chord * np.cos(half), chord * np.sin(half)], axis=-1).astype(np.float32)


def nav_primitives(scale: MotionScale, rows: int) -> Float32[np.ndarray, "c h 2"]:
    """Return the arc of each driving command, in `rows` points, m in the robot's frame; "stop" stands."""
    heading = np.zeros(len(nav.VOCABULARY.names))
    heading[[nav.TURN_LEFT, nav.TURN_RIGHT]] = scale.turn, -scale.turn
    heading[[nav.ADJUST_LEFT, nav.ADJUST_RIGHT]] = _ADJUSTMENT * scale.turn, -_ADJUSTMENT * scale.turn
    length = np.full(len(heading), scale.step * rows)
    length[nav.STOP] = 0.0
    return arcs(length, heading, rows)


def _arm_primitives(scale: MotionScale, rows: int) -> Float32[np.ndarray, "c h 7"]:
    table = np.zeros((len(arm.VOCABULARY.names), rows, 7), np.float32)
    part = np.arange(1, rows + 1)
    for command, (axis, sign) in enumerate(arm.MOVES):
        table[command, :, axis] = sign * scale.step * part
    table[arm.ROTATE_LEFT, :, 5] = scale.turn * part / rows
    table[arm.ROTATE_RIGHT, :, 5] = -scale.turn * part / rows
    return table


def _to_the_border(
    profile: Profile, here: Float[np.ndarray, "p 7"], action: Float32[np.ndarray, "p h 7"]
) -> Float32[np.ndarray, "p h 7"]:
    """Return straight moves that stop before the reach of the data ends: a whole chunk of steps seldom fits in."""
    inner = _SHORT_OF * profile.scale.step
    room = np.minimum(profile.low + inner - here[:, :3], 0.0), np.maximum(profile.high - inner - here[:, :3], 0.0)
    low, high = (side[:, None].astype(np.float32) for side in room)
    return np.concatenate([np.clip(action[..., :3], low, high), action[..., 3:]], axis=-1)


def _with_gripper(
    action: Float32[np.ndarray, "p h 7"],
    command: Int64[np.ndarray, " p"],
    here: Float[np.ndarray, "p 7"],
    commanded: bool,
) -> Float32[np.ndarray, "p h 7"]:
    """Return chunks that open or close the gripper if the command says so, and else keep it."""
    kept = here[:, 6] if commanded else here[:, 6] >= 0.5
    out = action.copy()
    out[..., 6] = np.where(command == arm.OPEN, 1.0, np.where(command == arm.CLOSE, 0.0, kept))[:, None]
    return out


def _nearest(pool: Pool, entry: Float[np.ndarray, "n e"]) -> tuple[np.ndarray, np.ndarray]:
    distance = np.linalg.norm(entry[:, None] - pool.entry[None], axis=2)
    match = distance.argmin(axis=1)
    return match, distance[np.arange(len(entry)), match]


def first_reason(count: int, conditions: Mapping[str, Bool[np.ndarray, " p"]]) -> tuple[str, ...]:
    """Return the first condition that holds for each row, "" where none does."""
    index = np.full(count, len(conditions))
    for position, holds in reversed(list(enumerate(conditions.values()))):
        index = np.where(holds, position, index)
    names = (*conditions, "")
    return tuple([names[i] for i in index.tolist()])
