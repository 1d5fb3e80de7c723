"""The simulator as a gymnasium vector environment whose steps are a navigation policy's decisions.

Observations are what the policy perceives, actions are events of its ChunkLaw, and the return is success, or progress.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Float32, Float64, UInt8

from embodied_cf.datasets.images import resized
from embodied_cf.envs.episodes import LONGEST, drive, start_episodes
from embodied_cf.envs.motion.tracking import follow, seen_from
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.state import draw_noise
from embodied_cf.envs.tasks import Task
from embodied_cf.evaluate.past import Past
from embodied_cf.evaluate.rollout import EXECUTE, PIXELS
from embodied_cf.evaluate.suites import Suite
from embodied_cf.explain.errors import PolicyError
from embodied_cf.explain.navigation.policy import Chunks, perceive, perceived_shapes
from embodied_cf.explain.navigation.situations import context
from embodied_cf.explain.rollout import MakeEnvs
from embodied_cf.policies.contract import Observation
from embodied_cf.policies.vla import VlaPolicy

Measure = Literal["success", "progress"]


@dataclass(frozen=True)
class Tasks:
    """Which episodes a seed means."""

    suite: Suite
    pool: int = 0
    """Only so many tasks, other ones than those of a pool of 0, which never ends."""

    def task(self, seed: int) -> tuple[int, Task]:
        """Return the cell and the task of a seed; a task takes some 40 ms, so few that come again save time."""
        index = seed % self.pool if self.pool else seed
        cell = index % len(self.suite.cells)
        root = self.suite.cells[cell].seed(index, 1 if self.pool else 2)
        return cell, self.suite.cells[cell].task(root)


class NavEnvs(VectorEnv):
    """One episode in each lane, from the seeds of a reset on; a lane that is over rests until the next one."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012 (gymnasium's own name)

    def __init__(
        self, policy: VlaPolicy, tasks: Tasks, lanes: int, measure: Measure = "success", execute: int = EXECUTE
    ) -> None:
        self.num_envs, self.tasks, self.measure, self.execute = lanes, tasks, measure, execute
        self._policy, self._chunks = policy, Chunks(policy)
        self._camera, body = policy.camera, policy.embodiment
        size = sum(shape.numel() for shape in perceived_shapes(policy))
        self.single_observation_space = Box(-np.inf, np.inf, (size,), np.float32)
        event = 1 + body.chunk_length * body.chunk_dimensions
        self.single_action_space = Box(-np.inf, np.inf, (event,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, lanes)
        self.action_space = batch_space(self.single_action_space, lanes)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin new episodes: lane i that of seed + i, under the chance of seed + i."""
        seeds = [seed + lane for lane in range(self.num_envs)]
        self.cells, self.episode_tasks = zip(*(self.tasks.task(at) for at in seeds), strict=True)
        self.now = start_episodes(self.episode_tasks)
        self._noise = draw_noise(seeds, LONGEST)
        self.states = [self.now.state]
        self._past = Past.of(self._policy, self.execute)
        self._past.begin(self._look(np.arange(self.num_envs)))
        shape = self.observation_space.shape
        assert shape is not None, "a Box has one"
        self._perceived = np.zeros(shape, np.float32)
        return self._observe()

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Drive the first periods of each chunk."""
        before, origin = self._worth(), self.now.state.pose
        plan = self._chunks.metric(np.asarray(actions)).astype(np.float64)
        for period in range(self.execute):
            chunk = seen_from(plan[:, period:], origin, self.now.state.pose)
            self.now = drive(self.now, follow(chunk, np.ones(chunk.shape[:2], bool)), self._noise)
            self.states.append(self.now.state)
            self._past.add(self.execute - 1 - period, np.flatnonzero(~self.now.over), self._look)
        observation, info = self._observe()
        return observation, self._worth() - before, self.now.terminated, self.now.truncated, info

    def path(self, lane: int) -> Float64[np.ndarray, "t 3"]:
        """Return the poses of a lane's episode, one control period apart."""
        periods = int(self.now.clock[lane]) + 1
        return np.array([state.pose[lane] for state in self.states[:periods]])

    def _worth(self) -> Float64[np.ndarray, " b"]:
        return self.now.success.astype(np.float64) if self.measure == "success" else self.now.tracker.progress

    def _observe(self) -> tuple[Float32[np.ndarray, "b o"], dict[str, Any]]:
        rows = np.flatnonzero(~self.now.over)
        if len(rows):
            told = tuple(self.episode_tasks[row].text for row in rows.tolist())
            way = self._past.odometry([state.pose for state in self.states])
            self._perceived[rows] = perceive(self._policy, Observation(self._past.frames, way).take(rows), told)
        return self._perceived.copy(), {"context": context(self.now, np.array(self.cells))}

    def _look(self, rows: np.ndarray) -> UInt8[np.ndarray, "r h w 3"]:
        frames = render(self.now.worlds.take(rows), self.now.state.take(rows), Camera(PIXELS, PIXELS)).rgb
        return np.stack([resized(frame, self._camera) for frame in frames])


def nav_envs(
    policy: VlaPolicy, suite: Suite, measure: Measure = "success", execute: int = EXECUTE, pool: int = 0
) -> MakeEnvs:
    """Return a maker of environments of a policy's decisions in a suite.

    Raises PolicyError for chains and a policy that is told them part by part: the next part is told when it has chosen
    to stand, so that one moment may hold two decisions.
    """
    if policy.by_parts and any(cell.family == "chained" for cell in suite.cells):
        raise PolicyError("the policy is told chains part by part, and they cannot be explained so",
                          remedy="Name a suite of other instructions, such as rooms/object/dev.")  # fmt: skip
    return partial(_made, policy, Tasks(suite, pool), measure, execute)


def _made(policy: VlaPolicy, tasks: Tasks, measure: Measure, execute: int, lanes: int) -> VectorEnv:
    return NavEnvs(policy, tasks, lanes, measure, execute)
