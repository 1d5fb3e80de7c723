"""Collectors: drivers who know no language and leave logs like those of real robots, for relabelling.

They go to things, follow passages and wander, at changing speeds, on arcs, with pauses and hesitation, and hit
nothing. With `bias` 1 what they do follows from what they see, as CAST (arXiv 2508.13446) warns of real logs: a
policy trained on such logs need not listen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.driving.avoid import avoid
from embodied_cf.envs.driving.collector_goals import choose_goal
from embodied_cf.envs.driving.pursuit import head_for
from embodied_cf.envs.scene import MAX_OBJECTS, Scene, Worlds, stack
from embodied_cf.envs.state import PERIOD_S, State
from embodied_cf.errors import UsageError

ARRIVED_M = 0.3
SPEED = (0.45, 1.0)
"""Cruising speed of a leg, m/s."""
PAUSES, PAUSE_STEPS = 0.6, (2, 9)
"""Share of legs that end with a pause, and its length."""
HESITATION, HESITATION_STEPS = 0.012, (1, 5)
"""Chance of halting in any step, and for how long."""
SWAY, SWAY_KEPT = 0.09, 0.85
"""Of the turn rate: what is added in each step, rad/s, and the share of the former that stays."""
PATIENCE_S = (6.0, 14.0)
"""Time after which a leg is given up."""


@dataclass(frozen=True)
class Memory:
    """What B drivers have in mind."""

    goal: Float64[np.ndarray, "b 2"]
    thing: Int64[np.ndarray, " b"]
    """Row of the object that is driven to, or -1."""
    visited: Bool[np.ndarray, "b o"]
    speed: Float64[np.ndarray, " b"]
    sway: Float64[np.ndarray, " b"]
    left: Int64[np.ndarray, " b"]
    """Steps until the leg is given up; 0 asks for a new one."""
    pause: Int64[np.ndarray, " b"]
    """Steps to stand still."""

    @classmethod
    def blank(cls, count: int) -> "Memory":
        """Begin with nothing in mind."""
        none = np.zeros(count, np.int64)
        return cls(np.zeros((count, 2)), none - 1, np.zeros((count, MAX_OBJECTS), bool), np.zeros(count),
                   np.zeros(count), none, none)  # fmt: skip


@dataclass
class Collector:
    """Drives B robots. What a robot does depends on its scene, the seed, its episode and the bias alone."""

    scenes: tuple[Scene, ...]
    worlds: Worlds
    bias: float
    rngs: tuple[np.random.Generator, ...]
    memory: Memory

    @classmethod
    def of(cls, scenes: Sequence[Scene], seed: int, episodes: Sequence[int], bias: float) -> "Collector":
        """Begin episodes, one for each scene. `bias` is the share of legs that lead to the nearest unvisited thing.

        Raises UsageError for a bias outside [0, 1].
        """
        if not 0.0 <= bias <= 1.0:
            raise UsageError(f"bias {bias} is no share", remedy="Give a number from 0 to 1.")
        pairs = zip(scenes, episodes, strict=True)
        rngs = tuple(generator(seed, "collector", str(episode)) for _, episode in pairs)
        return cls(tuple(scenes), stack(scenes), bias, rngs, Memory.blank(len(scenes)))

    def act(self, state: State) -> Float64[np.ndarray, "b 2"]:
        """Return the action v m/s, w rad/s of this step; to be asked once a step."""
        chance = np.stack([rng.random(3) for rng in self.rngs])
        self.memory = self._renewed(_arrived(self.memory, state.pose, chance), state.pose)
        wanted = head_for(state.pose, self.memory.goal, self.memory.speed)
        wanted[:, 1] += self.memory.sway
        wanted[self.memory.pause > 0] = 0.0
        return avoid(self.worlds, state, wanted, np.zeros(len(state), bool))

    def _renewed(self, memory: Memory, pose: Float64[np.ndarray, "b 3"]) -> Memory:
        """Give a new leg to whoever has none."""
        columns = {name: column.copy() for name, column in vars(memory).items()}
        for row in np.flatnonzero((memory.left == 0) & (memory.pause == 0)).tolist():
            rng = self.rngs[row]
            goal = choose_goal(self.scenes[row], pose[row], memory.visited[row], self.bias, rng)
            columns["goal"][row], columns["thing"][row] = goal.place, goal.thing
            columns["speed"][row] = rng.uniform(*SPEED)
            columns["left"][row] = round(rng.uniform(*PATIENCE_S) / PERIOD_S)
        return Memory(**columns)


def _arrived(memory: Memory, pose: Float64[np.ndarray, "b 3"], chance: Float64[np.ndarray, "b 3"]) -> Memory:
    """Return what is in mind one step later: legs that end, pauses that begin and pass, another sway."""
    offset = memory.goal - pose[:, :2]
    here = (memory.left > 0) & (np.hypot(offset[:, 0], offset[:, 1]) < ARRIVED_M)
    visited = memory.visited.copy()
    there = np.flatnonzero((here | (memory.left == 1)) & (memory.thing >= 0))  # given up counts too: try another
    visited[there, memory.thing[there]] = True
    pause = np.maximum(memory.pause - 1, 0)
    begin = here & (chance[:, 0] < PAUSES)
    halt = ~here & (memory.pause == 0) & (chance[:, 0] < HESITATION)
    pause = np.where(halt, _between(HESITATION_STEPS, chance[:, 1]), pause)
    pause = np.where(begin, _between(PAUSE_STEPS, chance[:, 1]), pause)
    sway = SWAY_KEPT * memory.sway + SWAY * (2 * chance[:, 2] - 1)
    left = np.where(here, 0, np.maximum(memory.left - 1, 0))
    return Memory(memory.goal, memory.thing, visited, memory.speed, sway, left, pause)


def _between(limits: tuple[int, int], share: Float64[np.ndarray, " b"]) -> Int64[np.ndarray, " b"]:
    return (limits[0] + share * (limits[1] - limits[0] + 1)).astype(np.int64)
