"""`EmbodiedCF/Tabletop-v0`: a gripper over a table that is told in words what to do."""

import string
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float32, UInt8

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.envs.physics.library import Camera
from embodied_cf.envs.rollouts import Reading
from embodied_cf.envs.tabletop.dynamics import MAX_MOVE, MAX_ROTATION, Table, TableState, checked_row, rows_of
from embodied_cf.envs.tabletop.goals import Goal, Tracker, advance, goal_of
from embodied_cf.envs.tabletop.model import CAMERA, HIGH, LOW, PERIOD_S
from embodied_cf.envs.tabletop.tasks import TIME_LIMIT_STEPS, TableTask, make_task
from embodied_cf.errors import UsageError
from embodied_cf.language.tabletop import SKILLS, canonical, skill

MAX_TEXT = 120
CHUNK_ROWS = load_embodiment("arm").chunk_length
_VIEW = 480
READING = Reading(
    embodiment="arm",
    control_period_s=PERIOD_S,
    columns={
        "state": "observation/state",
        "action": "action",
        "effector_position": "observation/state[0:3]",
        "effector_rotation": "observation/state[3:6]",
        "gripper_command": "action[6:7]",
    },
    position_unit="m",
)
"""How its rollouts are read: `envs.rollouts`."""


class TabletopEnv(gymnasium.Env):
    """One table per episode; MuJoCo's physics; nothing is left to chance after the reset.

    Observation: `image` (size, size, 3) from the front, `state` (7,) x, y, z m, roll, pitch, yaw rad, gripper 1 open
    .. 0 closed, `instruction`. Action: one row (7,), or with `action="chunk"` a chunk (8, 7) of the `arm` embodiment,
    of which the first row is carried out. Reward 1 with success, which ends the episode, as does a thing that falls
    off the table; a time limit truncates it. `info` has `success`, `progress` in [0, 1], `instruction` in canonical
    form, `skill` and the task's `seed`. `reset(options={"task": make_task(...)})` gives a table of your own.

    Raises UsageError for an unknown task, split or form of action, for an action that is no finite numbers of the
    right shape, and for a step outside an episode; MissingLibraryError where MuJoCo or OpenGL is absent.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / PERIOD_S)}  # noqa: RUF012 (as gymnasium has it)

    def __init__(
        self,
        task: str = "any",
        split: str = "train",
        size: int = 96,
        action: str = "row",
        render_mode: str | None = None,
    ) -> None:
        if task not in ("any", *SKILLS):
            raise UsageError(f"no tabletop task {task!r}", remedy=f"There are: any, {', '.join(SKILLS)}.")
        if action not in ("row", "chunk"):
            raise UsageError(f"no form of action {action!r}", remedy="There are: row, chunk.")
        if size < 1:
            raise UsageError(f"a picture of {size}x{size} pixels")
        make_task("reach", split, 0)  # refuses an unknown split now, not at the first reset
        self._skills = SKILLS if task == "any" else (task,)
        self._split, self._size, self._chunks, self.render_mode = split, size, action == "chunk", render_mode
        self.observation_space = _observation_space(size)
        self.action_space = _action_space(self._chunks)
        self._cameras: dict[int, Camera] = {}
        self._over = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Begin an episode; see the class for `options`."""
        super().reset(seed=seed)
        name = str(self.np_random.choice(self._skills))
        number = int(self.np_random.integers(2**31))
        given = (options or {}).get("task")
        self.task: TableTask = given or make_task(name, self._split, number)
        self.table = Table(self.task.layout)
        self._state, self._steps, self._over = self.table.initial, 0, False
        begin = self.table.instant(self._state)
        self.goal: Goal = goal_of(self.task.instruction, self.task.layout, begin)
        self.tracker = advance(self.goal, Tracker(), begin)
        return self._observation(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """Carry out one control period of 0.2 s."""
        if self._over:
            raise UsageError("no episode is under way", remedy="Call reset.")
        self._state = self.table.step(self._state, self._row(action))
        self._steps += 1
        self.tracker = advance(self.goal, self.tracker, self.table.instant(self._state))
        limit = TIME_LIMIT_STEPS[skill(self.task.instruction)]
        truncated = self._steps >= limit and not self.tracker.done
        self._over = self.tracker.done or truncated
        reward = float(self.tracker.success)
        return self._observation(), reward, self.tracker.done, truncated, self._info()

    @property
    def state(self) -> TableState:
        """Everything that the future depends on: `env.table.branch(env.state, rows)` says what would happen."""
        return self._state

    def render(self) -> UInt8[np.ndarray, "h w 3"]:
        """Return a larger picture than the observation's."""
        return self._picture(_VIEW)

    def close(self) -> None:
        """Free the cameras."""
        for camera in self._cameras.values():
            camera.close()
        self._cameras.clear()

    def _row(self, action: np.ndarray) -> np.ndarray:
        if not self._chunks:
            return checked_row(action)
        if np.shape(action) != (CHUNK_ROWS, 7):
            raise UsageError(f"a chunk of shape {np.shape(action)} where ({CHUNK_ROWS}, 7) belongs")
        return checked_row(rows_of(np.asarray(action))[0])

    def _observation(self) -> dict[str, Any]:
        state = self.table.instant(self._state).effector.astype(np.float32)
        return {"image": self._picture(self._size), "state": state, "instruction": self.task.text}

    def _picture(self, size: int) -> UInt8[np.ndarray, "h w 3"]:
        if size not in self._cameras:
            self._cameras[size] = Camera(size, size)
        return self._cameras[size].rgb(self.table.model, self.table.scratch(self._state), CAMERA)

    def _info(self) -> dict[str, Any]:
        return {
            "success": self.tracker.success,
            "progress": self.tracker.progress,
            "instruction": canonical(self.task.instruction),
            "skill": skill(self.task.instruction),
            "seed": self.task.seed,
        }


def _observation_space(size: int) -> spaces.Space:
    slack = np.array([0.05, 0.05, 0.05, 0.2, 0.2, 0.2, 0.0], np.float32)  # a blow moves the hand past its limits
    low, high = np.array([*LOW, 0.0], np.float32) - slack, np.array([*HIGH, 1.0], np.float32) + slack
    return spaces.Dict(
        {
            "image": spaces.Box(0, 255, (size, size, 3), np.uint8),
            "state": spaces.Box(low, high, dtype=np.float32),
            "instruction": spaces.Text(MAX_TEXT, charset=string.printable),
        }
    )


def _action_space(chunks: bool) -> spaces.Box:
    limit: Float32[np.ndarray, " 7"] = np.array([MAX_MOVE] * 3 + [MAX_ROTATION] * 3 + [1.0], np.float32)
    if not chunks:
        return spaces.Box(np.where(np.arange(7) == 6, 0, -limit).astype(np.float32), limit)
    rows = np.arange(1, CHUNK_ROWS + 1)[:, None] * limit
    rows[:, 6] = 1.0
    return spaces.Box(np.where(np.arange(7) == 6, 0, -rows).astype(np.float32), rows.astype(np.float32))
