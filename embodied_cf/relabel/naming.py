"""Names of seen things as the grammar has them, and goals about them in words."""

from functools import lru_cache

import numpy as np

from embodied_cf.errors import InstructionError
from embodied_cf.language.grammar import parse, phrase
from embodied_cf.language.instruction import (
    DOOR,
    ArcAround,
    Chain,
    Clause,
    Do,
    FollowWall,
    GoTo,
    KeepSide,
    PassBetween,
    Side,
    StopBeside,
    Thing,
)
from embodied_cf.language.phrasing import GO_TO, going_to
from embodied_cf.language.predicate_program import Rule

_SIDES: dict[int, Side] = {1: "left", -1: "right"}


@lru_cache(maxsize=1 << 16)
def thing_named(name: str) -> Thing | None:
    """Return what a captioner's name means in the grammar, such as "red chair"; None where it has no such thing."""
    try:
        read = parse(going_to(name, 0))
    except InstructionError:
        return None
    return read.thing if isinstance(read, GoTo) and read.near is None else None


def is_door(name: str) -> bool:
    """Whether a captioner's name means a door: it is driven to as a thing is, and kept clear of as a part of a wall."""
    thing = thing_named(name)
    return thing is not None and thing.kind == DOOR


def clause_of(rule: int, side: int, things: tuple[Thing, ...]) -> Clause:
    """Return the clause that a rule, a side (1 left, -1 right) and things make; for GO_TO a second one is the near."""
    match Rule(rule):
        case Rule.GO_TO:
            return GoTo(*things)
        case Rule.STOP_BESIDE:
            return StopBeside(things[0], _SIDES[side])
        case Rule.PASS_BETWEEN:
            return PassBetween(things[0], things[1])
        case Rule.ARC_AROUND:
            return ArcAround(things[0], _SIDES[side])
        case Rule.FOLLOW_WALL:
            return FollowWall(_SIDES[side])
        case Rule.KEEP_SIDE:
            return KeepSide(_SIDES[side])
        case Rule.TURN:
            return Do(f"turn_{_SIDES[side]}")
        case other:
            return Do(other.name.lower())


def in_words(clauses: tuple[Clause, ...], rng: np.random.Generator) -> str:
    """Return a training phrasing of a clause, or of a chain of several."""
    return phrase(clauses[0] if len(clauses) == 1 else Chain(clauses), rng)


def going_to_any(name: str, rng: np.random.Generator) -> str:
    """Return a training phrasing of "go to the ..." for a name that the grammar does not have."""
    return going_to(name, int(rng.integers(len(GO_TO.train))))
