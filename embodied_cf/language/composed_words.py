"""Composed instructions in words."""

import math
from collections.abc import Callable

from embodied_cf.language.composed import AnyOrder, Away, Composed, IfVisible, Then, Within
from embodied_cf.language.grammar import canonical
from embodied_cf.language.instruction import Clause, Thing


def say(instruction: Composed, clause: Callable[[Clause], str] = canonical) -> str:
    """Return an instruction in words, each clause as `clause` says it. What comes first holds for all that follows.

    >>> say(Within(Then((GoTo(Thing("chair")), GoTo(Thing("box")))), seconds=20))
    'in less than 20 s, go to the chair, then go to the box'
    """
    match instruction:
        case Then(parts=parts):
            return ", then ".join(say(part, clause) for part in parts)
        case AnyOrder(parts=parts):
            return "in any order, " + " and ".join(say(part, clause) for part in parts)
        case IfVisible(thing=thing, then=then, otherwise=otherwise):
            return f"if you can see {_the(thing)}, {say(then, clause)}; otherwise, {say(otherwise, clause)}"
        case Within(part=part):
            return f"{_limits(instruction)}, {say(part, clause)}"
        case Away(part=part, thing=thing, metres=metres):
            return f"staying at least {metres:g} m away from {_the(thing)}, {say(part, clause)}"
        case single:
            return clause(single)


def _limits(limit: Within) -> str:
    said = [f"in less than {limit.seconds:g} s"] * math.isfinite(limit.seconds)
    said += [f"driving no more than {limit.metres:g} m"] * math.isfinite(limit.metres)
    return " and ".join(said)


def _the(thing: Thing) -> str:
    return " ".join(filter(None, ("the", thing.colour, thing.kind)))
