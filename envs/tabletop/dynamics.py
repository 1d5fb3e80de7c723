"""How a table moves: one pure step for one action row, and exact branches from any state.

A row is (dx, dy, dz m; droll, dpitch, dyaw rad; gripper 1 open .. 0 closed): the displacement of the point between
the fingertips over one control period of PERIOD_S, in the base's axes, and the gripper's absolute command.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from embodied_cf.envs.physics.library import load_mujoco
from embodied_cf.envs.tabletop.layout import Layout
from embodied_cf.envs.tabletop.model import (
    FINGERS,
    HAND_JOINTS,
    HIGH,
    LOW,
    OPENING_M,
    PERIOD_S,
    THING,
    TIMESTEP_S,
    build_model,
)
from embodied_cf.errors import UsageError

MAX_MOVE, MAX_ROTATION = 0.05, 0.5
"""Limits of one row per axis, m and rad; more is cut off."""
_SUBSTEPS = round(PERIOD_S / TIMESTEP_S)
_RAMP = 0.8
"""Share of the period in which the setpoint moves; in the rest the hand settles."""

Row = Float[np.ndarray, " 7"]


@dataclass(frozen=True)
class TableState:
    """All of MuJoCo's state: positions, velocities, controls, warm start. Equal states have equal futures."""

    vector: Float64[np.ndarray, " s"]


@dataclass(frozen=True)
class Instant:
    """What matters of a state to words."""

    effector: Float64[np.ndarray, " 7"]
    """x, y, z m, roll, pitch, yaw rad, gripper 1 open .. 0 closed, as measured."""
    position: Float64[np.ndarray, "n 3"]
    """Centre of each thing, m."""
    yaw: Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class TableRun:
    """T steps: states and instants 0..T, and the T rows that led from each to the next."""

    states: tuple[TableState, ...]
    instants: tuple[Instant, ...]
    rows: Float64[np.ndarray, "t 7"]


class Table:
    """The physics of one layout. Its methods are pure: the scratch data inside carries nothing over."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.model: Any = build_model(layout)
        self._mujoco = load_mujoco()
        self._all = self._mujoco.mjtState.mjSTATE_INTEGRATION
        self._data: Any = self._mujoco.MjData(self.model)

    @cached_property
    def initial(self) -> TableState:
        """The gripper open at the layout's start, everything at rest."""
        data = self._mujoco.MjData(self.model)
        pose = np.array([*self.layout.start, 0.0, 0.0, 0.0])
        data.qpos[self._hand] = pose
        data.qpos[self._finger] = OPENING_M
        data.ctrl[:] = [*pose, OPENING_M, OPENING_M]
        for _ in range(_SUBSTEPS):  # things settle
            self._mujoco.mj_step(self.model, data)
        return self._read(data)

    def step(self, state: TableState, row: Row) -> TableState:
        """Return the state one control period later. Raises UsageError unless the row is seven finite numbers."""
        data = self._restored(state)
        begin, end = data.qpos[self._hand].copy(), self._setpoint(data, checked_row(row))
        data.ctrl[6:] = OPENING_M * np.clip(row[6], 0.0, 1.0)
        for share in np.minimum(np.arange(1, _SUBSTEPS + 1) / (_RAMP * _SUBSTEPS), 1.0):
            data.ctrl[:6] = begin + (end - begin) * share**2 * (3 - 2 * share)
            self._mujoco.mj_step(self.model, data)
        return self._read(data)

    def branch(self, state: TableState, rows: Float[np.ndarray, "t 7"]) -> TableRun:
        """Return what happens from `state` under other rows: exact, since nothing here is left to chance."""
        states = [state]
        for row in rows:
            states.append(self.step(states[-1], row))
        return TableRun(tuple(states), tuple(map(self.instant, states)), np.asarray(rows, np.float64))

    def instant(self, state: TableState) -> Instant:
        """Return where hand and things are."""
        data = self._restored(state)
        x, y, z, yaw, pitch, roll = data.qpos[self._hand].tolist()
        gripper = float(np.clip(data.qpos[self._finger].mean() / OPENING_M, 0.0, 1.0))
        pose = data.qpos[self._thing[:, None] + np.arange(7)]  # (n, 7): place, then quaternion w, x, y, z
        w, i, j, k = pose[:, 3:].T
        turn = np.arctan2(2 * (w * k + i * j), 1 - 2 * (j * j + k * k))
        return Instant(np.array([x, y, z, roll, pitch, yaw, gripper]), pose[:, :3].copy(), turn)

    def scratch(self, state: TableState) -> Any:
        """Return MuJoCo's data at a state, with everything derived, for drawing; valid until the next call."""
        data = self._restored(state)
        self._mujoco.mj_forward(self.model, data)
        return data

    @cached_property
    def _hand(self) -> np.ndarray:
        return self._addresses(HAND_JOINTS)

    @cached_property
    def _finger(self) -> np.ndarray:
        return self._addresses(FINGERS)

    @cached_property
    def _thing(self) -> np.ndarray:
        bodies = [self.model.body(THING.format(index)) for index in range(len(self.layout.kind))]
        return np.array([self.model.jnt_qposadr[body.jntadr[0]] for body in bodies])

    def _addresses(self, joints: Sequence[str]) -> np.ndarray:
        return np.array([self.model.joint(name).qposadr[0] for name in joints])

    def _restored(self, state: TableState) -> Any:
        self._mujoco.mj_setState(self.model, self._data, state.vector, self._all)
        return self._data

    def _read(self, data: Any) -> TableState:
        vector = np.empty(self._mujoco.mj_stateSize(self.model, self._all))
        self._mujoco.mj_getState(self.model, data, vector, self._all)
        return TableState(vector)

    def _setpoint(self, data: Any, row: Row) -> Float64[np.ndarray, " 6"]:
        """Return where the hand's joints should be; measured from where the hand is, so that a push never winds up."""
        x, y, z, yaw, pitch, roll = data.qpos[self._hand].tolist()
        limit = np.repeat([MAX_MOVE, MAX_ROTATION], 3)
        goal = np.clip(np.array([x, y, z, roll, pitch, yaw]) + np.clip(row[:6], -limit, limit), LOW, HIGH)
        return goal[[0, 1, 2, 5, 4, 3]]


def checked_row(row: np.ndarray) -> Row:
    """Return an action row, or raise UsageError that says what is wrong with it."""
    if np.shape(row) != (7,):
        raise UsageError(
            f"an action row of shape {np.shape(row)} where (7,) belongs",
            remedy="Seven numbers: dx, dy, dz in m, droll, dpitch, dyaw in rad, gripper 1 open .. 0 closed.",
        )
    if not np.isfinite(row).all():
        raise UsageError(f"an action row that is not finite: {np.asarray(row).tolist()}")
    return np.asarray(row, np.float64)


def rows_of(chunk: Float[np.ndarray, "h 7"]) -> Float64[np.ndarray, "h 7"]:
    """Return the rows that carry out an action chunk of the `arm` embodiment, whose displacements are cumulative."""
    rows = np.diff(np.asarray(chunk, np.float64), axis=0, prepend=np.zeros((1, 7)))
    rows[:, 6] = chunk[:, 6]
    return rows
