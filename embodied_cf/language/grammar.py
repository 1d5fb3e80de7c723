"""Instructions in words: the canonical form, many phrasings, and the way back."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TypeAlias, TypeVar

import numpy as np

from embodied_cf.language import connectives
from embodied_cf.language.grammar_parse import parse
from embodied_cf.language.instruction import (
    OTHER_SIDE,
    ArcAround,
    Chain,
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
from embodied_cf.language.nav import VOCABULARY
from embodied_cf.language.phrasing import (
    ARC_AROUND,
    COLOUR_WORDS,
    FOLLOW_WALL,
    GO_TO,
    GO_TO_NEAR,
    KEEP_SIDE,
    NOUNS,
    PASS_BETWEEN,
    STOP_BESIDE,
    Wording,
)

__all__ = ["canonical", "mirror", "parse", "phrase", "phrasings"]

T = TypeVar("T")
Say: TypeAlias = Callable[[Wording], str]
"""Picks one of several ways to say something."""


def canonical(instruction: Instruction) -> str:
    """Return the one form that every instruction has; `parse` is its inverse.

    >>> canonical(Chain((GoTo(Thing("chair", "red")), Do("turn_left"))))
    'go to the red chair, then turn left'
    """
    return connectives.join(tuple(_say(part, _first, _first) for part in clauses(instruction)))


def phrase(instruction: Instruction, rng: np.random.Generator, held_out: bool = False) -> str:
    """Return a random phrasing of the instruction, of the training ones or of those kept from training.

    A held-out text has held-out clauses and connectives throughout; its names of things and colours are of both.
    """

    def say(wording: Wording) -> str:
        return _pick(wording.all if held_out else wording.train, rng)

    def template(wording: Wording) -> str:
        return _pick(wording.held_out if held_out else wording.train, rng)

    said = tuple(_say(part, template, say) for part in clauses(instruction))
    return connectives.join(said, _pick(connectives.HELD_OUT if held_out else connectives.TRAIN, rng))


def phrasings(clause: Clause, held_out: bool = False) -> tuple[str, ...]:
    """Return every phrasing of one set, with the canonical names of things and colours."""
    wording, slots = _wording(clause), _slots(clause, _first)
    return tuple(form.format(**slots) for form in (wording.held_out if held_out else wording.train))


def mirror(instruction: Instruction) -> Instruction:
    """Return the instruction with left and right exchanged: what it is in a mirrored scene."""
    match instruction:
        case Chain(parts=parts):
            return Chain(tuple(_mirror(part) for part in parts))
        case _:
            return _mirror(instruction)


def _mirror(clause: Clause) -> Clause:
    match clause:
        case StopBeside() | FollowWall() | KeepSide() | ArcAround():
            return replace(clause, side=OTHER_SIDE[clause.side])
        case Do(command=command):
            return Do(VOCABULARY.commands[VOCABULARY.index[command]].mirror)
        case _:
            return clause


def _first(wording: Wording) -> str:
    return wording.train[0]


def _pick(options: Sequence[T], rng: np.random.Generator) -> T:
    return options[int(rng.integers(len(options)))]


def _say(clause: Clause, template: Say, word: Say) -> str:
    """Return the clause in words: `template` picks its form, `word` the names in it."""
    return template(_wording(clause)).format(**_slots(clause, word))


def _wording(clause: Clause) -> Wording:
    match clause:
        case GoTo(near=None):
            return GO_TO
        case GoTo():
            return GO_TO_NEAR
        case StopBeside():
            return STOP_BESIDE
        case PassBetween():
            return PASS_BETWEEN
        case FollowWall():
            return FOLLOW_WALL
        case KeepSide():
            return KEEP_SIDE
        case ArcAround():
            return ARC_AROUND
        case Do(command=command):
            known = VOCABULARY.commands[VOCABULARY.index[command]]
            return Wording(known.phrases, known.held_out)


def _slots(clause: Clause, word: Say) -> dict[str, str]:
    """Words for what the clause's fields hold."""
    slots = {}
    for item in fields(clause):
        match getattr(clause, item.name):
            case Thing() as thing:
                slots[item.name] = _noun(thing, word)
            case "left" | "right" as side:
                slots |= {"side": side, "other": OTHER_SIDE[side]}
    return slots


def _noun(thing: Thing, word: Say) -> str:
    colour = word(COLOUR_WORDS[thing.colour]) + " " if thing.colour else ""
    return f"the {colour}{word(NOUNS[thing.kind])}"
