"""How worlds move: a differential drive with slip, collisions, and people who walk and see the robot.

`step` is pure: the same worlds, state, action and noise always give the same next state.
"""

from collections.abc import Mapping
from dataclasses import fields

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.motion.kernel import run
from embodied_cf.envs.scene import Worlds
from embodied_cf.envs.state import Noise, State
from embodied_cf.errors import UsageError

_COLUMNS = tuple(item.name for item in fields(State))


def step(worlds: Worlds, state: State, action: np.ndarray, noise: Noise) -> State:
    """Return the state one control period later.

    action (b, 2): v m/s, clipped to [0, MAX_SPEED], and w rad/s, clipped to ±MAX_TURN. The noise of one step (T = 1)
    scales both by 1 + SLIP * noise. The robot slides along walls, objects and people and says so in `hit`; people
    stop rather than walk into anything. Raises UsageError for an action that is NaN or not (b, 2).
    """
    action = np.asarray(action)
    if action.ndim != 2:
        raise UsageError(f"an action is (b, 2) for b worlds, got {action.shape}")
    return at(trail(worlds, state, action[:, None], noise), 1)


def trail(worlds: Worlds, state: State, actions: np.ndarray, noise: Noise) -> dict[str, np.ndarray]:
    """Return the columns of `State` for b runs of t steps, each (t + 1, b, ...), that begin with `state`.

    actions (b, t, 2). Worlds, state and noise have b rows, or one for all; noise has at least t steps.
    """
    actions = checked(actions)
    rows, steps = actions.shape[:2]
    for name, size in (("worlds", len(worlds)), ("states", len(state)), ("rows of noise", len(noise.slip))):
        if size not in (1, rows):
            raise UsageError(f"there are {rows} rows of actions and {size} {name}", remedy="Give as many, or one.")
    if noise.slip.shape[1] < steps:
        raise UsageError(f"there are {steps} actions and noise for {noise.slip.shape[1]} steps")
    columns = {name: _begin(getattr(state, name), rows, steps) for name in _COLUMNS}
    run(worlds.walls, worlds.num_walls, worlds.position, worlds.radius, worlds.num_objects,
        worlds.person_goals, worlds.person_speed, worlds.num_people, actions,
        np.ascontiguousarray(noise.slip), np.ascontiguousarray(noise.person),
        *(columns[name] for name in _COLUMNS))  # fmt: skip
    return columns


def at(columns: Mapping[str, np.ndarray], step: int) -> State:
    """Return the state after so many steps of a trail."""
    return State(**{name: column[step] for name, column in columns.items()})


def checked(actions: np.ndarray) -> Float64[np.ndarray, "b t 2"]:
    """Return the actions as (b, t, 2) float64, or raise UsageError."""
    actions = np.ascontiguousarray(actions, np.float64)
    if actions.ndim != 3 or actions.shape[2] != 2:
        raise UsageError(f"actions are (v, w) for b worlds and t steps, (b, t, 2), got {actions.shape}")
    if not np.isfinite(actions).all():
        row, at, _ = np.argwhere(~np.isfinite(actions))[0].tolist()
        raise UsageError(f"action {at} is {actions[row, at].tolist()}", where=f"world {row}",
                         remedy="Actions are finite numbers: v m/s and w rad/s.")  # fmt: skip
    return actions


def _begin(column: np.ndarray, rows: int, steps: int) -> np.ndarray:
    whole = np.empty((steps + 1, rows, *column.shape[1:]), column.dtype)
    whole[0] = column
    return whole
