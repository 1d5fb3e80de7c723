"""Instructions for a gripper over a table: reach, push and place, as data, in words and read back.

Directions are those of the arm's base frame, which are also the camera's: left is +y, forward is +x.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal, TypeAlias

import numpy as np

from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import COLOURS, Thing
from embodied_cf.language.vocabulary import normalise

Direction: TypeAlias = Literal["left", "right", "forward", "back"]
Relation: TypeAlias = Literal["in", "on", "left", "right"]
Skill: TypeAlias = Literal["reach", "push", "place"]
SKILLS: tuple[Skill, ...] = ("reach", "push", "place")
MOVABLE = ("cube", "ball", "can", "brick")
"""What fits between the fingers."""
TABLE_KINDS = (*MOVABLE, "bowl", "plate")


@dataclass(frozen=True)
class Reach:
    """Bring the fingertips to a thing and hold them there."""

    thing: Thing


@dataclass(frozen=True)
class Push:
    """Push a thing over the table in a direction."""

    thing: Thing
    direction: Direction


@dataclass(frozen=True)
class PushTo:
    """Push a thing over the table until it stands at another."""

    thing: Thing
    other: Thing


@dataclass(frozen=True)
class Place:
    """Pick a thing up and let it go in, on, left or right of another."""

    thing: Thing
    relation: Relation
    other: Thing


ArmInstruction: TypeAlias = Reach | Push | PushTo | Place
_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "direction": {
        "left": ("to the left", "left", "leftwards"),
        "right": ("to the right", "right", "rightwards"),
        "forward": ("forward", "away from you", "to the far side"),
        "back": ("back", "towards you", "to the near side"),
    },
    "relation": {
        "in": ("in", "into", "inside"),
        "on": ("on", "onto", "on top of"),
        "left": ("left of", "to the left of", "on the left side of"),
        "right": ("right of", "to the right of", "on the right side of"),
    },
}
"""The first of each is the canonical one."""
_FORMS: dict[type, tuple[str, ...]] = {
    Reach: ("reach {thing}", "touch {thing}", "go to {thing}", "move the gripper to {thing}", "reach for {thing}",
            "bring your fingers to {thing}"),
    Push: ("push {thing} {direction}", "slide {thing} {direction}", "shove {thing} {direction}",
           "move {thing} {direction}", "give {thing} a push {direction}"),
    PushTo: ("push {thing} to {other}", "slide {thing} to {other}", "push {thing} up to {other}",
             "shove {thing} against {other}", "move {thing} over the table to {other}"),
    Place: ("put {thing} {relation} {other}", "place {thing} {relation} {other}", "set {thing} {relation} {other}",
            "pick up {thing} and put it {relation} {other}", "take {thing} and place it {relation} {other}"),
}  # fmt: skip
"""Canonical form first, then the paraphrases of training."""
_HELD_OUT: dict[type, tuple[str, ...]] = {
    Reach: ("approach {thing}", "hold your hand at {thing}"),
    Push: ("nudge {thing} {direction}", "shift {thing} across the table {direction}"),
    PushTo: ("nudge {thing} until it is at {other}", "make {thing} touch {other} by pushing it"),
    Place: ("lift {thing} and drop it {relation} {other}", "{thing} belongs {relation} {other}"),
}


def canonical(instruction: ArmInstruction) -> str:
    """Return the one form of an instruction that stands for all its phrasings."""
    return _fill(_FORMS[type(instruction)][0], instruction, itemgetter(0))


def phrase(instruction: ArmInstruction, rng: np.random.Generator, held_out: bool = False) -> str:
    """Return one of the phrasings; those held out never occur in training."""
    forms = (_HELD_OUT if held_out else _FORMS)[type(instruction)]
    return _fill(str(rng.choice(forms)), instruction, lambda choices: str(rng.choice(choices)))


def phrasings(instruction: ArmInstruction) -> Iterator[str]:
    """Yield every phrasing, the held-out ones last."""
    form = type(instruction)
    count = len(_WORDS["relation"]["in"]) if form in (Push, Place) else 1
    for template in (*_FORMS[form], *_HELD_OUT[form]):
        for word in range(count):
            yield _fill(template, instruction, itemgetter(word))


def parse(text: str) -> ArmInstruction:
    """Return what a canonical form or paraphrase asks for. Raises UsageError if it is none."""
    words = normalise(text)
    for form, pattern in _PATTERNS:
        if match := pattern.fullmatch(words):
            return form(**_slots(match))
    raise UsageError(f"cannot read the instruction {text!r}", remedy="An example: 'put the red cube in the blue bowl'.")


def skill(instruction: ArmInstruction) -> Skill:
    """Return the skill that an instruction exercises."""
    match instruction:
        case Reach():
            return "reach"
        case Push() | PushTo():
            return "push"
        case Place():
            return "place"


def things(instruction: ArmInstruction) -> tuple[Thing, ...]:
    """Return the things that are named, the one to act on first."""
    return (instruction.thing, instruction.other) if isinstance(instruction, PushTo | Place) else (instruction.thing,)


def find(thing: Thing, kinds: Sequence[str], colours: Sequence[str]) -> int:
    """Return which of the things on the table is meant. Raises UsageError unless it is exactly one."""
    found = [
        index
        for index, (kind, colour) in enumerate(zip(kinds, colours, strict=True))
        if kind == thing.kind and thing.colour in ("", colour)
    ]
    if len(found) != 1:
        raise UsageError(f"{noun(thing)!r} names {len(found)} things on the table, not one")
    return found[0]


def noun(thing: Thing) -> str:
    """Return "the red cube", or "the cube" where the colour is not said."""
    return f"the {thing.colour} {thing.kind}" if thing.colour else f"the {thing.kind}"


def _fill(template: str, instruction: ArmInstruction, choose: Callable[[Sequence[str]], str]) -> str:
    slots = {}
    for name in re.findall(r"{(\w+)}", template):
        value = getattr(instruction, name)
        slots[name] = noun(value) if isinstance(value, Thing) else choose(_WORDS[name][value])
    return template.format(**slots)


def _slots(match: re.Match[str]) -> dict[str, Any]:
    slots: dict[str, Any] = {}
    for name, text in match.groupdict().items():
        if name in _WORDS:
            slots[name] = next(value for value, words in _WORDS[name].items() if text in words)
        else:
            *colour, kind = text.removeprefix("the ").split()
            slots[name] = Thing(kind, *colour)
    return slots


def _pattern(template: str) -> re.Pattern[str]:
    thing = rf"the (?:(?:{'|'.join(COLOURS)}) )?(?:{'|'.join(TABLE_KINDS)})"
    choices = {name: "|".join(word for words in table.values() for word in words) for name, table in _WORDS.items()}
    slots = {"thing": thing, "other": thing, **choices}
    return re.compile(re.sub(r"{(\w+)}", lambda slot: f"(?P<{slot[1]}>{slots[slot[1]]})", template))


_PATTERNS = [
    (form, _pattern(template)) for forms in (_FORMS, _HELD_OUT) for form, texts in forms.items() for template in texts
]
