"""Plans: a route for every clause of an instruction, rehearsed without people and without slip before it is kept."""

from dataclasses import replace

import numpy as np

from embodied_cf.envs.driver import Progress, decide
from embodied_cf.envs.dynamics import step
from embodied_cf.envs.pursuit import Route, Routes
from embodied_cf.envs.routes import Ground, routes_for
from embodied_cf.envs.scene import Scene, Worlds, stack
from embodied_cf.envs.state import HIT_OBJECT, MAX_PEOPLE, PERIOD_S, Noise, State, initial_state
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import TIME_LIMIT_S, Instruction, family
from embodied_cf.language.predicate import Programs, compile_instruction, stack_programs

QUIET = Noise(np.zeros((1, 1, 2)), np.zeros((1, 1, MAX_PEOPLE, 2)))
"""One step in which nothing is left to chance."""
TRIES = 6
"""Routes that are rehearsed for a clause before the plan is given up."""
SLACK = 0.75
"""Share of the time limit within which a rehearsal must succeed: people may be in the way later."""


def plan(scene: Scene, instruction: Instruction) -> tuple[Route, ...]:
    """Return a route for each clause that, with nobody about, carries the instruction out in time.

    Raises InstructionError for words that fit nothing, UsageError where no such route is found.
    """
    program = compile_instruction(instruction, scene.surroundings())
    programs, worlds, ground = stack_programs([program]), stack([replace(scene, **_NOBODY)]), Ground.of(scene)
    state = initial_state([scene])
    progress, routes = Progress.at_start(programs, state.pose), ()
    left = int(TIME_LIMIT_S[family(instruction)] * SLACK / PERIOD_S)
    for clause in range(int(program.count)):
        for _, route in zip(range(TRIES), routes_for(ground, program, clause, state.pose[0]), strict=False):
            found = _rehearse(worlds, programs, (*routes, route), progress, state, left)
            if found is not None:
                state, progress, left = found
                routes = (*routes, route)
                break
        else:
            raise UsageError(f"clause {clause + 1} of the instruction cannot be carried out here",
                             remedy="Choose another instruction for the scene, or another start.")  # fmt: skip
    return routes


_NOBODY = {"person": np.zeros((0, 2)), "person_goals": np.zeros((0, 1, 2)), "person_speed": np.zeros(0),
           "person_look": np.zeros(0, np.int32)}  # fmt: skip


def _rehearse(
    worlds: Worlds, programs: Programs, routes: tuple[Route, ...], progress: Progress, state: State, steps: int
) -> tuple[State, Progress, int] | None:
    """Drive the last of the routes; return where its clause ends and the steps left, or None if it does not."""
    table, clause = Routes.of([routes]), len(routes) - 1
    for step_index in range(steps):
        action, after = decide(worlds, programs, table, progress, state)
        if after.tracker.success[0]:
            return state, after, 0
        if after.tracker.clause[0] > clause:
            return state, progress, steps - step_index
        if after.tracker.done[0]:
            return None
        state, progress = step(worlds, state, action, QUIET), after
        if state.hit[0] & HIT_OBJECT:
            return None
    return None
