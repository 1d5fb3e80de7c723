"""Instructions compiled against a scene: numbers only, in arrays of fixed size, so that many stack."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.errors import InstructionError
from embodied_cf.language import nav
from embodied_cf.language.columns import Columns
from embodied_cf.language.instruction import (
    ArcAround,
    Clause,
    Do,
    FollowWall,
    GoTo,
    Instruction,
    KeepSide,
    PassBetween,
    StopBeside,
    Thing,
    clauses,
)
from embodied_cf.language.referents import gaps, nearest, referents
from embodied_cf.language.surroundings import Surroundings

MAX_CLAUSES, MAX_MATCHES, MAX_WALLS = 4, 16, 64
FAR = 1e6
"""m, where the unused rows of things, gaps and walls lie: out of every rule's reach."""


class Rule(IntEnum):
    """What a clause asks for; sides and things are kept apart."""

    GO_TO = 0
    STOP_BESIDE = 1
    PASS_BETWEEN = 2
    FOLLOW_WALL = 3
    KEEP_SIDE = 4
    ARC_AROUND = 5
    FORWARD = 6
    TURN = 7
    ADJUST = 8
    STOP = 9


_STOPS = (Rule.STOP_BESIDE, Rule.STOP)
"""End with a stop wherever they stand in a chain."""
STOPS_LAST = (Rule.GO_TO, Rule.PASS_BETWEEN)
"""End with one only as the last clause."""


@dataclass(frozen=True)
class Program:
    """One instruction in one scene. C clauses, M things or gaps that the words fit, W walls; unused rows FAR."""

    count: Int64[np.ndarray, ""]
    """Clauses in use."""
    rule: Int64[np.ndarray, " c"]
    """A `Rule`, -1 in unused rows."""
    stops: Bool[np.ndarray, " c"]
    """Whether the clause ends with a stop."""
    side: Float64[np.ndarray, " c"]
    """1 left, -1 right, 0 neither."""
    things: Float64[np.ndarray, "c m 3"]
    """Centre x, y and radius, m."""
    gaps: Float64[np.ndarray, "c m 4"]
    """Segments x0, y0, x1, y1, m."""
    num_matches: Int64[np.ndarray, " c"]
    """Things or gaps in use."""
    walls: Float64[np.ndarray, "w 4"]
    num_walls: Int64[np.ndarray, ""]


@dataclass(frozen=True)
class Programs(Columns):
    """B programs. Fields as in `Program`."""

    count: Int64[np.ndarray, " b"]
    rule: Int64[np.ndarray, "b c"]
    stops: Bool[np.ndarray, "b c"]
    side: Float64[np.ndarray, "b c"]
    things: Float64[np.ndarray, "b c m 3"]
    gaps: Float64[np.ndarray, "b c m 4"]
    num_matches: Int64[np.ndarray, "b c"]
    walls: Float64[np.ndarray, "b w 4"]
    num_walls: Int64[np.ndarray, " b"]

    def __len__(self) -> int:
        return len(self.count)


def compile_instruction(instruction: Instruction, surroundings: Surroundings) -> Program:
    """Return the program of an instruction. A noun that fits several things means any of them.

    Raises InstructionError where it names what the scene does not have, or more than there is room for.
    """
    parts, walls = clauses(instruction), surroundings.walls
    _fits(len(parts), MAX_CLAUSES, "clauses")
    _fits(len(walls), MAX_WALLS, "walls")
    program = _blank(len(parts), len(walls))
    program.walls[: len(walls)] = walls
    for at, part in enumerate(parts):
        rule, program.side[at] = rule_of(part)
        program.rule[at] = rule
        program.stops[at] = rule in _STOPS or (at == len(parts) - 1 and rule in STOPS_LAST)
        if isinstance(part, PassBetween):
            rows, table = gaps(part.first, part.second, surroundings), program.gaps
        else:
            rows, table = _things(part, surroundings), program.things
        _fits(len(rows), MAX_MATCHES, "things that the words fit")
        table[at, : len(rows)] = rows
        program.num_matches[at] = len(rows)
    return program


def stack_programs(programs: Sequence[Program]) -> Programs:
    """Return the programs side by side; needs at least one."""
    return Programs(*(np.stack([getattr(one, item.name) for one in programs]) for item in fields(Program)))


def rule_of(clause: Clause) -> tuple[Rule, int]:
    """Return what a clause asks for, and its side: 1 left, -1 right, 0 neither. Raises InstructionError."""
    match clause:
        case GoTo():
            return Rule.GO_TO, 0
        case PassBetween():
            return Rule.PASS_BETWEEN, 0
        case StopBeside(side=side):
            return Rule.STOP_BESIDE, _sign(side)
        case FollowWall(side=side):
            return Rule.FOLLOW_WALL, _sign(side)
        case KeepSide(side=side):
            return Rule.KEEP_SIDE, _sign(side)
        case ArcAround(side=side):
            return Rule.ARC_AROUND, _sign(side)
        case Do(command=command):
            if command not in nav.VOCABULARY.index:
                known = ", ".join(nav.VOCABULARY.names)
                raise InstructionError(f"{command!r} is no driving command", remedy=f"There are: {known}.")
            verb, _, toward = command.partition("_")
            return Rule[verb.upper()], _sign(toward)


def _sign(side: str) -> int:
    return {"left": 1, "right": -1}.get(side, 0)


def _things(clause: Clause, surroundings: Surroundings) -> Float64[np.ndarray, "n 3"]:
    match clause:
        case GoTo(thing=thing, near=None) | StopBeside(thing=thing) | ArcAround(thing=thing):
            rows = referents(thing, surroundings)
        case GoTo(thing=thing, near=Thing() as anchor):
            rows = nearest(thing, anchor, surroundings)
        case _:
            return np.zeros((0, 3))
    return np.column_stack([surroundings.position[rows], surroundings.radius[rows]])


def _blank(count: int, num_walls: int) -> Program:
    c, m = MAX_CLAUSES, MAX_MATCHES
    return Program(
        np.array(count), np.full(c, -1), np.zeros(c, bool), np.zeros(c), np.full((c, m, 3), FAR),
        np.full((c, m, 4), FAR), np.zeros(c, np.int64), np.full((MAX_WALLS, 4), FAR), np.array(num_walls),
    )  # fmt: skip


def _fits(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise InstructionError(f"there are {count} {what}, and at most {limit} can be judged")
