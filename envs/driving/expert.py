"""The expert: knows the map and what the instruction means, and drives accordingly."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from embodied_cf.envs.driving.driver import Progress, drive, is_lost, notice
from embodied_cf.envs.driving.plans import QUIET, Planner, plan
from embodied_cf.envs.driving.pursuit import Route, Routes
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.scene import Scene, Worlds, stack
from embodied_cf.envs.state import State, initial_state
from embodied_cf.language.instruction import Instruction
from embodied_cf.language.predicate import Programs, compile_instruction, stack_programs
from embodied_cf.language.predicate_geometry import in_frame

CHUNK = 8
"""Waypoints of a chunk, one control period apart."""


@dataclass
class Expert:
    """Drives B robots, each by its own instruction. Only `progress` and `plans` change."""

    scenes: tuple[Scene, ...]
    instructions: tuple[Instruction, ...]
    worlds: Worlds
    programs: Programs
    plans: list[tuple[Route, ...]]
    """A route for each clause; planned anew when a clause begins elsewhere than was foreseen."""
    progress: Progress

    def __post_init__(self) -> None:
        self._routes = Routes.of(self.plans)

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
        return cls(tuple(scenes), tuple(instructions), stack(scenes), programs, list(plans), start)

    def act(self, state: State) -> Float64[np.ndarray, "b 2"]:
        """Return the action v m/s, w rad/s of this step; to be asked once a step."""
        before = self.progress.tracker
        self.progress = notice(self.programs, self.progress, state)
        after = self.progress.tracker
        begins = (after.clause > before.clause) & ~after.done
        self._plan_anew(np.flatnonzero(begins | is_lost(self._routes, self.progress)), state)
        action, self.progress = drive(self.worlds, self._routes, self.progress, state)
        return action

    def chunk(self, state: State) -> Float64[np.ndarray, "b h 2"]:
        """Return where the expert would be after 1..CHUNK steps if nothing slipped, x, y m in the robot's frame.

        To be asked before `act`. People react to it. Its progress stays as it is.
        """
        progress, origin, places = self.progress, state.pose, []
        for _ in range(CHUNK):
            progress = notice(self.programs, progress, state)
            action, progress = drive(self.worlds, self._routes, progress, state)
            state = step(self.worlds, state, action, QUIET)
            places.append(state.pose[:, :2])
        return in_frame(origin, np.stack(places, axis=1))

    def _plan_anew(self, rows: Int64[np.ndarray, " n"], state: State) -> None:
        for row in rows.tolist():
            planner = Planner.of(self.scenes[row], self.instructions[row])
            progress = Progress(self.progress.tracker.take([row]), self.progress.point[[row]], np.zeros(1, bool))
            found = planner.route(progress, _alone(state.take([row])))
            if found is not None:
                clause = int(progress.tracker.clause[0])
                self.progress.point[row] = 0
                self.plans[row] = (*self.plans[row][:clause], found[0], *self.plans[row][clause + 1 :])
        if len(rows):
            self._routes = Routes.of(self.plans)


def _alone(state: State) -> State:
    """Return a state as it is where nobody is about: their rows are not looked at."""
    return replace(state, person=np.zeros_like(state.person))
