"""The expert: knows the map and what the instruction means, and drives accordingly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.avoid import avoid
from embodied_cf.envs.dynamics import step
from embodied_cf.envs.pursuit import Progress, Routes, pursue
from embodied_cf.envs.routes import plan
from embodied_cf.envs.scene import Scene, Worlds, stack
from embodied_cf.envs.state import MAX_PEOPLE, Noise, State, initial_state
from embodied_cf.language.instruction import Instruction

CHUNK = 8
"""Waypoints of a chunk, one control period apart."""


@dataclass
class Expert:
    """Drives B robots, each by its own instruction. `progress` is all that changes."""

    worlds: Worlds
    routes: Routes
    progress: Progress

    @classmethod
    def of(cls, scenes: Sequence[Scene], instructions: Sequence[Instruction]) -> "Expert":
        """Plan for scenes at their starts. Raises UsageError for an instruction that its scene cannot fulfil."""
        routes = Routes.of([plan(scene, told) for scene, told in zip(scenes, instructions, strict=True)])
        return cls(stack(scenes), routes, Progress.at_start(initial_state(scenes).pose))

    def act(self, state: State) -> Float64[np.ndarray, "b 2"]:
        """Return the action v m/s, w rad/s of this step; to be asked once a step."""
        action, self.progress = self._decide(state, self.progress)
        return action

    def chunk(self, state: State) -> Float64[np.ndarray, "b h 2"]:
        """Return the places where the expert would be after 1..CHUNK steps if nothing slipped: x, y m in the robot's
        present frame, people reacting. Progress stays as it is."""
        progress, places, origin = self.progress, [], state.pose
        still = Noise(np.zeros((1, 1, 2)), np.zeros((1, 1, MAX_PEOPLE, 2)))
        for _ in range(CHUNK):
            action, progress = self._decide(state, progress)
            state = step(self.worlds, state, action, still)
            places.append(state.pose[:, :2] - origin[:, :2])
        cos, sin = np.cos(origin[:, 2]), np.sin(origin[:, 2])
        return np.einsum("bij,bhj->bhi", np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1), np.stack(places, axis=1))

    def _decide(self, state: State, progress: Progress) -> tuple[Float64[np.ndarray, "b 2"], Progress]:
        wanted, progress = pursue(self.routes, progress, state.pose)
        return avoid(self.worlds, state, wanted), progress
