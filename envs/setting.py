"""What a navigation environment is made of, its spaces, and the task of a seed."""

import string
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from gymnasium import spaces

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.layouts.scenes import check_scene
from embodied_cf.envs.state import MAX_SPEED, MAX_TURN, PERIOD_S
from embodied_cf.envs.tasks import Task, make_task
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import FAMILIES

CHUNK = 8
"""Waypoints of an action chunk, one control period apart."""
LONGEST_TEXT = 512
FARTHEST = 1000.0
"""Bound of the pose in the observation space, m and rad."""


@dataclass(frozen=True)
class Setting:
    """What an environment is made of; raises UsageError for what does not go together."""

    world: str = "rooms"
    people: tuple[int, int] = (0, 2)
    """Least and most number of people."""
    split: str = "train"
    family: str = ""
    """One of FAMILIES, or "" for all of them by turns of chance."""
    size: int = 64
    """Width and height of the image."""
    control: str = "chunk"
    """chunk or velocity."""
    execute: int = 4
    """Control periods for which a chunk is followed before the next is asked for."""
    collision_fails: bool = True
    """Whether hitting an object or a person ends the episode."""
    pool: int = 0
    """How many tasks there are, each made once and kept; 0: a new one for each episode."""

    def __post_init__(self) -> None:
        check_scene(self.world, self.split, self.people)
        if self.size < 1 or self.pool < 0:
            raise UsageError(f"size={self.size} and pool={self.pool}: at least 1 and 0 belong")
        if self.control not in ("chunk", "velocity"):
            raise UsageError(f"unknown control {self.control!r}", remedy="Choose chunk or velocity.")
        if self.family and self.family not in FAMILIES:
            raise UsageError(f"unknown family {self.family!r}", remedy=f"Choose one of {', '.join(FAMILIES)}.")
        if not 1 <= self.execute <= CHUNK:
            raise UsageError(f"execute={self.execute} periods of a chunk of {CHUNK}")

    @property
    def observation_space(self) -> spaces.Space:
        """Of one environment."""
        return spaces.Dict({
            "image": spaces.Box(0, 255, (self.size, self.size, 3), np.uint8),
            "pose": spaces.Box(-FARTHEST, FARTHEST, (3,), np.float32),
            "instruction": spaces.Text(LONGEST_TEXT, min_length=0, charset=string.printable),
        })  # fmt: skip

    @property
    def action_space(self) -> spaces.Space:
        """Of one environment."""
        if self.control == "velocity":
            limit = np.array([MAX_SPEED, MAX_TURN], np.float32)
            return spaces.Box(np.array([0.0, -MAX_TURN], np.float32), limit)
        reach = MAX_SPEED * PERIOD_S * CHUNK
        return spaces.Box(-reach, reach, (CHUNK, 2), np.float32)

    def task(self, seed: int) -> Task:
        """Return the task of an episode's seed."""
        return _kept(self, seed % self.pool) if self.pool else self.new_task(seed)

    def new_task(self, seed: int) -> Task:
        """Make the task of a seed, which takes much longer than a step."""
        families = (self.family,) if self.family else FAMILIES
        chosen = families[int(generator(seed, "family").integers(len(families)))]
        return make_task(self.world, chosen, self.split, seed, self.people)


@lru_cache(maxsize=4096)
def _kept(setting: Setting, number: int) -> Task:
    return setting.new_task(number)
