"""Instructions as data: four families over things, places beside and between them, walls, and atomic commands.

An instruction says what is asked; `language.grammar` puts it into words and reads it back, `language.predicate`
judges a trajectory by it. Left and right of a thing are as seen from where the robot starts.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Side: TypeAlias = Literal["left", "right"]
OTHER_SIDE: dict[Side, Side] = {"left": "right", "right": "left"}
Family: TypeAlias = Literal["object", "referential", "continuous", "chained"]
FAMILIES: tuple[Family, ...] = ("object", "referential", "continuous", "chained")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
KINDS = ("chair", "table", "box", "cone", "barrel", "plant", "tree", "bin", "ball", "lamp")
DOOR, WALL = "door", "wall"
"""Further nouns: a door has a colour and a place; the wall is whichever is nearest to the other thing named."""
SEEN_KINDS = (*KINDS, DOOR)
"""What a box can be drawn around."""
TIME_LIMIT_S: dict[Family, float] = {"object": 40.0, "referential": 45.0, "continuous": 45.0, "chained": 90.0}
"""Time from the start within which an instruction must be carried out, s."""


@dataclass(frozen=True)
class Thing:
    """A noun phrase: "the red chair", or "the chair" where the colour is ""."""

    kind: str
    colour: str = ""


@dataclass(frozen=True)
class GoTo:
    """Drive up to a thing and stop there; with `near`, the one of its kind that is nearest to that other thing."""

    thing: Thing
    near: Thing | None = None


@dataclass(frozen=True)
class StopBeside:
    """Stop left or right of a thing, as seen from the start."""

    thing: Thing
    side: Side


@dataclass(frozen=True)
class PassBetween:
    """Drive through the gap between two things (the second may be the wall), then stop beyond it."""

    first: Thing
    second: Thing


@dataclass(frozen=True)
class FollowWall:
    """Drive along a wall that stays on the given side."""

    side: Side


@dataclass(frozen=True)
class KeepSide:
    """Drive along a corridor, nearer to the wall on the given side than to the other."""

    side: Side


@dataclass(frozen=True)
class ArcAround:
    """Drive around a thing in a wide arc that passes it on the given side (left: it stays on the robot's right)."""

    thing: Thing
    side: Side


@dataclass(frozen=True)
class Do:
    """Carry out an atomic driving command (`language.nav.VOCABULARY`)."""

    command: str


@dataclass(frozen=True)
class Chain:
    """Carry out several instructions one after the other; none of them is a chain."""

    parts: tuple["Clause", ...]

    def __post_init__(self) -> None:
        if len(self.parts) < 2 or any(isinstance(part, Chain) for part in self.parts):
            raise ValueError(f"a chain has two or more parts that are no chains, got {self.parts}")


Clause: TypeAlias = GoTo | StopBeside | PassBetween | FollowWall | KeepSide | ArcAround | Do
Instruction: TypeAlias = Clause | Chain


def family(instruction: Instruction) -> Family:
    """Return the family that an instruction belongs to."""
    match instruction:
        case Chain():
            return "chained"
        case GoTo(near=None):
            return "object"
        case GoTo() | StopBeside() | PassBetween():
            return "referential"
        case _:
            return "continuous"


def clauses(instruction: Instruction) -> tuple[Clause, ...]:
    """Return the parts of a chain, or the instruction itself as the only part."""
    return instruction.parts if isinstance(instruction, Chain) else (instruction,)


def named(instruction: Instruction) -> tuple[Thing, ...]:
    """Return the things that an instruction names, in its order."""
    values = [value for clause in clauses(instruction) for value in vars(clause).values()]
    return tuple(value for value in values if isinstance(value, Thing))
