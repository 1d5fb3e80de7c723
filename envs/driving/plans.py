"""Plans: a route for every clause of an instruction, rehearsed without people and without slip before it is kept."""

from dataclasses import dataclass, replace

import numpy as np

from embodied_cf.envs.driving.driver import Progress, drive, notice
from embodied_cf.envs.driving.pursuit import Route, Routes
from embodied_cf.envs.driving.routes import Ground, routes_for
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.scene import MAX_PEOPLE, Scene, Worlds, stack
from embodied_cf.envs.state import HIT_OBJECT, PERIOD_S, Noise, State, initial_state
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import TIME_LIMIT_S, Instruction, family
from embodied_cf.language.predicate import Program, compile_instruction, stack_programs

QUIET = Noise(np.zeros((1, 1, 2)), np.zeros((1, 1, MAX_PEOPLE, 2)))
"""One step in which nothing is left to chance."""
TRIES = 6
"""Routes that are rehearsed for a clause before the plan is given up."""
SLACK = 0.75
"""Share of the time limit within which a rehearsal must succeed: people may be in the way later."""


@dataclass(frozen=True)
class Planner:
    """One instruction in one scene."""

    ground: Ground
    program: Program
    empty: Worlds
    """The scene without its people."""
    steps: int
    """Control periods that a rehearsal may take."""

    @classmethod
    def of(cls, scene: Scene, instruction: Instruction) -> "Planner":
        """Raise InstructionError for words that fit nothing in the scene."""
        program = compile_instruction(instruction, scene.surroundings())
        steps = int(TIME_LIMIT_S[family(instruction)] * SLACK / PERIOD_S)
        return cls(Ground.of(scene), program, stack([unpeopled(scene)]), steps)

    def route(self, progress: Progress, state: State) -> tuple[Route, Progress, State] | None:
        """Return a route for the clause that begins at `state`, and how and where it ends; None if none is found.

        Progress and state are of one robot.
        """
        clause = int(progress.tracker.clause[0])
        options = routes_for(self.ground, self.program, clause, state.pose[0])
        for _, route in zip(range(TRIES), options, strict=False):
            end = self._rehearse(route, progress, state)
            if end is not None:
                return route, *end
        return None

    def _rehearse(self, route: Route, progress: Progress, state: State) -> tuple[Progress, State] | None:
        """Drive a route until its clause ends well; None if it does not, or something is hit."""
        programs = stack_programs([self.program])
        clause = int(progress.tracker.clause[0])
        table = Routes.of([[route] * (clause + 1)])
        for _ in range(self.steps):
            action, progress = drive(self.empty, table, progress, state)
            state = step(self.empty, state, action, QUIET)
            progress = notice(programs, progress, state)
            if progress.tracker.success[0] or progress.tracker.clause[0] > clause:
                return progress, state
            if progress.tracker.done[0] or state.hit[0] & HIT_OBJECT:
                return None
        return None


def plan(scene: Scene, instruction: Instruction) -> tuple[Route, ...]:
    """Return a route for each clause that, with nobody about, carries the instruction out well within its time.

    Raises InstructionError for words that fit nothing, UsageError where no such route is found.
    """
    planner = Planner.of(scene, instruction)
    state = initial_state([unpeopled(scene)])
    progress = replace(Progress.at_start(stack_programs([planner.program]), state.pose), fresh=np.zeros(1, bool))
    routes: list[Route] = []
    for clause in range(int(planner.program.count)):
        found = planner.route(progress, state)
        if found is None:
            raise UsageError(f"clause {clause + 1} of the instruction cannot be carried out here",
                             remedy="Choose another instruction for the scene, or another start.")  # fmt: skip
        route, progress, state = found
        routes.append(route)
    return tuple(routes)


def unpeopled(scene: Scene) -> Scene:
    """Return a scene without its people."""
    return replace(scene, person=scene.person[:0], person_goals=scene.person_goals[:0],
                   person_speed=scene.person_speed[:0], person_look=scene.person_look[:0])  # fmt: skip
