"""Instructions put together from clauses: in order, in any order, by what is seen, within limits.

Each says when, on a path, it has been carried out, so that it is judged on whole trajectories (`predicate` judges
step by step, and what a single clause means is said there). All parts may be nested.

| instruction | is carried out |
|---|---|
| a clause | when its predicate holds, as in `predicate.advance` |
| `Then(a, b)` | when b is, begun when a was |
| `AnyOrder(a, b)` | when all are, one after the other in one of the orders |
| `IfVisible(thing, a, b)` | when a is if the thing is in view where this part begins, else when b is |
| `Within(a, metres, seconds)` | when a is, if no more than so much has been driven, in less time, since it began |
| `Away(a, thing, metres)` | when a is, if the robot's centre has stayed at least so far from the thing's surface |
"""

import math
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from embodied_cf.language.instruction import Clause, Thing
from embodied_cf.language.predicate import advance, begin, compile_instruction, stack_programs
from embodied_cf.language.predicate_geometry import blocked, in_frame, length
from embodied_cf.language.predicate_program import STOPS_LAST
from embodied_cf.language.referents import referents
from embodied_cf.language.surroundings import Surroundings

VIEW_RAD = math.pi / 4
"""To either side of the heading: half of a camera's field of view."""

Path = Float64[np.ndarray, "t 3"]


@dataclass(frozen=True)
class Then:
    """One after the other."""

    parts: tuple["Composed", ...]


@dataclass(frozen=True)
class AnyOrder:
    """All of them, in whichever order; two to four."""

    parts: tuple["Composed", ...]


@dataclass(frozen=True)
class IfVisible:
    """One or the other, by whether a thing is in view when this part begins: no wall before it, things look over."""

    thing: Thing
    then: "Composed"
    otherwise: "Composed"


@dataclass(frozen=True)
class Within:
    """With limits on what is driven, m, and on the time that it takes, s."""

    part: "Composed"
    metres: float = math.inf
    seconds: float = math.inf


@dataclass(frozen=True)
class Away:
    """With a distance that is kept from the surface of every thing of a name, m."""

    part: "Composed"
    thing: Thing
    metres: float


Composed: TypeAlias = Clause | Then | AnyOrder | IfVisible | Within | Away


@dataclass(frozen=True)
class Driven:
    """A robot's way through a scene, one pose x m, y m, yaw rad per control period."""

    path: Path
    surroundings: Surroundings
    period: float
    """s"""

    def metres(self, first: int, last: int) -> float:
        """Return the length driven between two steps."""
        return float(length(np.diff(self.path[first : last + 1, :2], axis=0)).sum())


def carried_out(instruction: Composed, driven: Driven) -> int | None:
    """Return the first step at which an instruction has been carried out, None if it never is.

    Raises InstructionError where it names what the scene does not have.
    """
    return _end(instruction, driven, 0, True)


def resolved(instruction: Composed, surroundings: Surroundings, pose: Float64[np.ndarray, " 3"]) -> tuple[Clause, ...]:
    """Return clauses that carry an instruction out from a pose: conditions as they are there, any order as written."""
    match instruction:
        case Then(parts=parts) | AnyOrder(parts=parts):
            return tuple(clause for part in parts for clause in resolved(part, surroundings, pose))
        case IfVisible():
            return resolved(_chosen(instruction, surroundings, pose), surroundings, pose)
        case Within(part=part) | Away(part=part):
            return resolved(part, surroundings, pose)
        case clause:
            return (clause,)


def visible(thing: Thing, surroundings: Surroundings, pose: Float64[np.ndarray, " 3"]) -> bool:
    """Return whether the middle of a thing is in the field of view with no wall before its surface."""
    rows = referents(thing, surroundings)
    place, here = surroundings.position[rows], pose[None, :2]
    ahead = in_frame(pose[None], place[None])[0]
    offset = place - here
    near = here + offset * np.maximum(0.0, 1 - surroundings.radius[rows] / length(offset))[:, None]
    walls = np.broadcast_to(surroundings.walls, (len(rows), *surroundings.walls.shape))
    in_view = np.abs(np.arctan2(ahead[:, 1], ahead[:, 0])) <= VIEW_RAD
    return bool((in_view & ~blocked(np.broadcast_to(here, near.shape), near, walls)).any())


def _end(instruction: Composed, driven: Driven, start: int, last: bool) -> int | None:
    """Return the step at which it is carried out if it begins at `start`; `last`: whether it must end with a stop."""
    match instruction:
        case Then(parts=parts):
            return _in_turn(parts, driven, start, last)
        case AnyOrder(parts=parts):
            ends = [_in_turn(order, driven, start, last) for order in permutations(parts)]
            return min((end for end in ends if end is not None), default=None)
        case IfVisible():
            chosen = _chosen(instruction, driven.surroundings, driven.path[start])
            return _end(chosen, driven, start, last)
        case Within(part=part) | Away(part=part):
            end = _end(part, driven, start, last)
            return end if end is not None and _kept(instruction, driven, start, end) else None
        case clause:
            return _end_of_clause(clause, driven, start, last)


def _in_turn(parts: tuple[Composed, ...], driven: Driven, start: int, last: bool) -> int | None:
    end: int | None = start
    for number, part in enumerate(parts):
        if end is None:
            return None
        end = _end(part, driven, end, last and number == len(parts) - 1)
    return end


def _chosen(instruction: IfVisible, surroundings: Surroundings, pose: Float64[np.ndarray, " 3"]) -> Composed:
    return instruction.then if visible(instruction.thing, surroundings, pose) else instruction.otherwise


def _kept(limit: Within | Away, driven: Driven, start: int, end: int) -> bool:
    if isinstance(limit, Within):
        return driven.metres(start, end) <= limit.metres and (end - start) * driven.period < limit.seconds
    rows = referents(limit.thing, driven.surroundings)
    away = length(driven.path[start : end + 1, None, :2] - driven.surroundings.position[rows])
    return bool((away - driven.surroundings.radius[rows] >= limit.metres).all())


def _end_of_clause(clause: Clause, driven: Driven, start: int, last: bool) -> int | None:
    program = compile_instruction(clause, driven.surroundings)
    if not last and program.rule[0] in STOPS_LAST:
        program = replace(program, stops=np.zeros_like(program.stops))
    programs = stack_programs([program])
    tracker = begin(programs, driven.path[start : start + 1])
    for step in range(start + 1, len(driven.path)):
        tracker = advance(programs, tracker, driven.path[step : step + 1])
        if tracker.done[0]:
            return step if tracker.success[0] else None
    return None


def constraints(instruction: Composed) -> int:
    """Return how many demands an instruction makes: goals, conditions, orders apart, and each limit."""
    match instruction:
        case Then(parts=parts) | AnyOrder(parts=parts):
            return sum(constraints(part) for part in parts)
        case IfVisible(then=then, otherwise=otherwise):
            return 1 + max(constraints(then), constraints(otherwise))
        case Within(part=part, metres=metres, seconds=seconds):
            return constraints(part) + math.isfinite(metres) + math.isfinite(seconds)
        case Away(part=part):
            return constraints(part) + 1
        case _:
            return 1
