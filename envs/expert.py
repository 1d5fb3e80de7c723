"""The expert: knows the map and what the instruction means, and drives accordingly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.driver import Progress, decide
from embodied_cf.envs.dynamics import step
from embodied_cf.envs.plans import QUIET, plan
from embodied_cf.envs.pursuit import Route, Routes
from embodied_cf.envs.scene import Scene, Worlds, stack
from embodied_cf.envs.state import State, initial_state
from embodied_cf.language.instruction import Instruction
from embodied_cf.language.predicate import Programs, compile_instruction, stack_programs
from embodied_cf.language.predicate_geometry import in_frame

CHUNK = 8
"""Waypoints of a chunk, one control period apart."""


@dataclass
class Expert:
    """Drives B robots, each by its own instruction. `progress` is all that changes."""

    worlds: Worlds
    programs: Programs
    routes: Routes
    progress: Progress

    @classmethod
    def of(cls, scenes: Sequence[Scene], instructions: Sequence[Instruction]) -> "Expert":
        """Plan for scenes at their starts. Raises UsageError or InstructionError where `plan` does."""
        return cls.by(scenes, instructions, [plan(*pair) for pair in zip(scenes, instructions, strict=True)])

    @classmethod
    def by(
        cls, scenes: Sequence[Scene], instructions: Sequence[Instruction], plans: Sequence[tuple[Route, ...]]
    ) -> "Expert":
        """Drive by plans made before."""
        pairs = zip(scenes, instructions, strict=True)
        programs = stack_programs([compile_instruction(told, scene.surroundings()) for scene, told in pairs])
        start = Progress.at_start(programs, initial_state(scenes).pose)
        return cls(stack(scenes), programs, Routes.of(plans), start)

    def act(self, state: State) -> Float64[np.ndarray, "b 2"]:
        """Return the action v m/s, w rad/s of this step; to be asked once a step."""
        action, self.progress = decide(self.worlds, self.programs, self.routes, self.progress, state)
        return action

    def chunk(self, state: State) -> Float64[np.ndarray, "b h 2"]:
        """Return where the expert would be after 1..CHUNK steps if nothing slipped, x, y m in the robot's frame.

        People react to it. Its progress stays as it is.
        """
        progress, origin, places = self.progress, state.pose, []
        for _ in range(CHUNK):
            action, progress = decide(self.worlds, self.programs, self.routes, progress, state)
            state = step(self.worlds, state, action, QUIET)
            places.append(state.pose[:, :2])
        return in_frame(origin, np.stack(places, axis=1))
