"""Navigation by instruction as gymnasium environments: many at once, and one as a view of it.

Observation: `image` (h, w, 3) uint8; `pose` (3,) x m, y m, yaw rad (not wrapped) in the frame where the episode
began; `instruction`. Action: (v m/s, w rad/s) for one control period with control="velocity", or with
control="chunk" the robot's next 8 places, see `tracking.follow`, of which `execute` periods are carried out.
Reward: the gain in progress, so that the return of an episode is the progress that it reached; 1 is success.
An episode terminates when the instruction is carried out or can no longer be, and truncates at its time limit.

Info: success, progress, collisions and wall_contacts (control periods), travelled and shortest_path (m),
instruction (canonical form), family, seed (of the task).
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Float64, UInt8

from embodied_cf.datasets.randomness import number
from embodied_cf.envs.driving.planner import path_length
from embodied_cf.envs.episodes import LONGEST, Episodes, drive, start_episodes
from embodied_cf.envs.motion.tracking import follow, pose_from, seen_from
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.rendering.topdown import draw_map
from embodied_cf.envs.scene import MAX_PEOPLE
from embodied_cf.envs.setting import Setting
from embodied_cf.envs.state import PERIOD_S, Noise, draw_noise
from embodied_cf.envs.tasks import Task
from embodied_cf.errors import UsageError
from embodied_cf.language.grammar import canonical
from embodied_cf.language.instruction import family

METADATA = {"render_modes": ["rgb_array"], "render_fps": round(1 / PERIOD_S)}
PICTURE = 224
"""Height of what `render` returns, pixels."""

Observation: TypeAlias = dict[str, Any]
Info: TypeAlias = dict[str, Any]


class NavigationVectorEnv(VectorEnv):
    """B environments in arrays; the keywords are the fields of `Setting`.

    An episode that is over begins anew at the next step, whose action is not used (AutoresetMode.NEXT_STEP).
    Environment i after reset(seed=s) does what `NavigationEnv` does after reset(seed=s + i).
    """

    metadata: dict[str, Any] = {**METADATA, "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 as gymnasium's

    def __init__(self, num_envs: int = 1, render_mode: str | None = None, **setting: Any) -> None:
        if num_envs < 1:
            raise UsageError(f"num_envs={num_envs} is less than 1")
        self.setting = Setting(**setting)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.single_observation_space = self.setting.observation_space
        self.single_action_space = self.setting.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.tasks: dict[int, Task] = {}
        """The task of each environment."""
        kinds = {"shortest_path": np.float64, "instruction": object, "family": object, "seed": np.int64}
        self._facts = {name: np.zeros(num_envs, kind) for name, kind in kinds.items()}
        self._texts: tuple[str, ...] = ()
        self._camera = Camera(self.setting.size, self.setting.size)
        self._roots: list[int | None] = [None] * num_envs
        self._begun = [0] * num_envs
        self._episodes: Episodes | None = None
        self._noise = Noise(np.zeros((num_envs, LONGEST, 2)), np.zeros((num_envs, LONGEST, MAX_PEOPLE, 2)))

    @property
    def episodes(self) -> Episodes:
        """Worlds, state and standing of what runs now. With `noise` it is what `branch` needs."""
        if self._episodes is None:
            raise UsageError("the environment has not begun", remedy="Call reset first.")
        return self._episodes

    @property
    def noise(self) -> Noise:
        """A copy of all chance of the running episodes, from their start on; row i is at episodes.clock[i] now."""
        return Noise(self._noise.slip.copy(), self._noise.person.copy())

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begin an episode in each environment: the first of its seed, or without a seed its next one."""
        super().reset(seed=seed if isinstance(seed, int) else None)
        seeds = [seed + row for row in range(self.num_envs)] if isinstance(seed, int) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise UsageError(f"{len(seeds)} seeds for {self.num_envs} environments")
        for row, root in enumerate(seeds or [None] * self.num_envs):
            if root is not None:
                self._roots[row], self._begun[row] = root, 0
        self._episodes = self._start(list(range(self.num_envs)))
        return self._observe(), self._info()

    def _start(self, rows: Sequence[int]) -> Episodes:
        facts = {name: column.copy() for name, column in self._facts.items()}
        for row in rows:
            self._begun[row] += 1
            if self._roots[row] is None:
                self._roots[row] = int(self.np_random.integers(2**63))
            seed = number(self._roots[row] or 0, "episode", str(self._begun[row])) >> 65  # 63 bits
            self.tasks[row] = self.setting.task(seed)
            for name, value in facts_of(self.tasks[row], seed).items():
                facts[name][row] = value
        self._facts, self._texts = facts, tuple(task.text for _, task in sorted(self.tasks.items()))
        fresh = draw_noise(facts["seed"][rows].tolist(), LONGEST)
        self._noise.slip[rows], self._noise.person[rows] = fresh.slip, fresh.person
        return start_episodes([self.tasks[row] for row in rows])

    def step(self, actions: np.ndarray) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Carry out actions (b, 8, 2) or (b, 2). Raises UsageError for another shape or what is not finite."""
        actions, begun = self._checked(actions), self.episodes
        over = np.flatnonzero(begun.over)
        now = self._drive(actions)
        if len(over):
            now = now.replaced(over, self._start(over.tolist()))
        gain = np.where(begun.over, 0.0, progress_of(now) - progress_of(begun))
        self._episodes = now
        return self._observe(), gain, now.terminated, now.truncated, self._info()

    def _checked(self, actions: np.ndarray) -> Float64[np.ndarray, "b *a"]:
        actions, shape = np.asarray(actions, np.float64), self.action_space.shape
        if actions.shape != shape:
            raise UsageError(f"actions are {shape} for control={self.setting.control}, got {actions.shape}")
        broken = ~np.isfinite(actions).reshape(self.num_envs, -1).all(axis=1)
        if broken.any():
            raise UsageError("an action is not finite", where=f"environment {broken.argmax()}")
        return actions

    def _drive(self, actions: np.ndarray) -> Episodes:
        now = self.episodes
        if self.setting.control == "velocity":
            return self._move(now, actions)
        origin = now.state.pose
        for step in range(self.setting.execute):
            chunk = seen_from(actions[:, step:], origin, now.state.pose)
            action = follow(chunk, np.ones(chunk.shape[:2], bool))
            now = self._move(now, action)
        return now

    def _move(self, now: Episodes, action: Float64[np.ndarray, "b 2"]) -> Episodes:
        """Return the episodes one control period later."""
        return drive(now, action, self._noise, self.setting.collision_fails)

    def _see(self, camera: Camera) -> UInt8[np.ndarray, "b h w 3"]:
        """Return what each robot sees."""
        return render(self.episodes.worlds, self.episodes.state, camera).rgb

    def _observe(self) -> Observation:
        now = self.episodes
        return {
            "image": self._see(self._camera),
            "pose": pose_from(now.start, now.state.pose).astype(np.float32),
            "instruction": self._texts,
        }

    def _info(self) -> Info:
        now = self.episodes
        info = {
            "success": now.success,
            "progress": progress_of(now),
            "collisions": now.collisions,
            "wall_contacts": now.wall_contacts,
            "travelled": now.travelled,
            **self._facts,
        }
        return info | {f"_{name}": np.ones(self.num_envs, bool) for name in info}

    def render(self) -> tuple[UInt8[np.ndarray, "h w 3"], ...] | None:
        """Return for each environment what the robot sees beside the map, with render_mode="rgb_array"."""
        if self.render_mode is None:
            return None
        now = self.episodes
        seen = self._see(Camera(PICTURE, PICTURE))
        maps = [draw_map(task.scene, PICTURE, state=now.state.take([row])) for row, task in self.tasks.items()]
        return tuple(np.concatenate(pair, axis=1) for pair in zip(seen, maps, strict=True))


class NavigationEnv(gym.Env):
    """One environment: a view of `NavigationVectorEnv` without automatic resets; same keywords."""

    metadata: dict[str, Any] = METADATA
    kind: type[NavigationVectorEnv] = NavigationVectorEnv
    """What it is a view of."""

    def __init__(self, render_mode: str | None = None, **setting: Any) -> None:
        self.vector = self.kind(1, render_mode, **setting)
        self.render_mode = render_mode
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """Begin the first episode of a seed, or without one the next episode."""
        super().reset(seed=seed)
        observation, info = self.vector.reset(seed=seed)
        return _first(observation), _first(info)

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, Info]:
        """Carry out an action (8, 2) or (2,). Raises UsageError if it is neither, not finite, or after the end."""
        if self.vector.episodes.over[0]:
            raise UsageError("the episode is over", remedy="Call reset.")
        observation, gain, terminated, truncated, info = self.vector.step(np.asarray(action)[None])
        return _first(observation), float(gain[0]), bool(terminated[0]), bool(truncated[0]), _first(info)

    def render(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return what the robot sees beside the map, with render_mode="rgb_array"."""
        pictures = self.vector.render()
        return pictures[0] if pictures else None

    def close(self) -> None:
        """Free what it holds."""
        self.vector.close()


def facts_of(task: Task, seed: int) -> dict[str, Any]:
    """Return the part of the info that stays through an episode."""
    way = sum(path_length(route.path) for route in task.routes)
    return {"shortest_path": way, "instruction": canonical(task.instruction),
            "family": family(task.instruction), "seed": seed}  # fmt: skip


def progress_of(episodes: Episodes) -> Float64[np.ndarray, " b"]:
    """Return the progress in [0, 1]; a crash keeps what was reached before, and is never 1."""
    return np.where(episodes.success, 1.0, np.minimum(episodes.tracker.progress, 0.99))


def _first(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(column[0]) for name, column in batch.items() if not name.startswith("_")}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
