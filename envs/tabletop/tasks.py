"""Tables with something to do on them. The same (skill, split, seed) is the same task; each can be solved."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.splits import Split, as_split, split_of, uses_held_out_phrasing
from embodied_cf.envs.tabletop.goals import AXES, BESIDE_M, PUSH_M
from embodied_cf.envs.tabletop.layout import Layout, draw_layout
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import COLOURS, Thing
from embodied_cf.language.tabletop import (
    MOVABLE,
    SKILLS,
    TABLE_KINDS,
    ArmInstruction,
    Direction,
    Place,
    Push,
    PushTo,
    Reach,
    Relation,
    Skill,
    phrase,
)

TIME_LIMIT_STEPS: dict[Skill, int] = {"reach": 40, "push": 60, "place": 80}
BEHIND_M = 0.045
"""Distance from a thing's footprint at which a push begins."""
_HAND_M = 0.05
"""Room that the hand takes."""
_NEAREST, _FURTHEST, _SIDE = 0.17, 0.68, 0.38
"""Where hand and things may go."""
_STACKS = {"plate": ("cube", "can", "brick"), "cube": ("cube", "can"), "brick": ("cube", "can")}
"""What lies still on what."""


@dataclass(frozen=True)
class TableTask:
    """A table, what is asked, and in which words."""

    layout: Layout
    instruction: ArmInstruction
    text: str
    seed: int


def make_task(skill: str, split: str, seed: int) -> TableTask:
    """Return a task of a skill (reach, push, place). Raises UsageError for an unknown skill or split.

    The thing to act on has a name of its split (`envs.splits`); beside it stand things of that split or of `train`.
    """
    if skill not in SKILLS:
        raise UsageError(f"no tabletop task {skill!r}", remedy=f"There are: {', '.join(SKILLS)}.")
    chosen = as_split(split)
    rng = generator(seed, "table", skill, split)
    pairs = _pairs(chosen)
    while True:
        layout = draw_layout(pairs, rng)
        possible = [each for each in instructions(layout, skill) if _split(each.thing) == chosen]
        if possible:
            # by form first: there are many more places than pushes towards a thing
            forms = sorted({_form(each) for each in possible})
            form = forms[rng.integers(len(forms))]
            asked = [each for each in possible if _form(each) == form]
            instruction = asked[rng.integers(len(asked))]
            return TableTask(layout, instruction, phrase(instruction, rng, uses_held_out_phrasing(chosen)), seed)


def instructions(layout: Layout, skill: str) -> Iterator[ArmInstruction]:
    """Yield what of a skill can be done on a table as it stands at the start."""
    names = [Thing(kind, colour) for kind, colour in zip(layout.kinds, layout.colours, strict=True)]
    movable = [index for index, thing in enumerate(names) if thing.kind in MOVABLE]
    match skill:
        case "reach":
            yield from map(Reach, names)
        case "push":
            for index in movable:
                yield from (Push(names[index], way) for way in AXES if _can_push(layout, index, way))
                for other in range(len(names)):
                    if other != index and _can_push_to(layout, index, other):
                        yield PushTo(names[index], names[other])
        case "place":
            for index in movable:
                for other in range(len(names)):
                    if other != index:
                        yield from (Place(names[index], how, names[other]) for how in _relations(layout, index, other))


def _pairs(split: Split) -> Int32[np.ndarray, "p 2"]:
    table = [(kind, colour) for kind in range(len(TABLE_KINDS)) for colour in range(len(COLOURS))]
    return np.array([(kind, colour) for kind, colour in table if split_of(colour, kind) in ("train", split)], np.int32)


def _split(thing: Thing) -> Split:
    return split_of(COLOURS.index(thing.colour), TABLE_KINDS.index(thing.kind))


def _form(instruction: ArmInstruction) -> str:
    return instruction.relation if isinstance(instruction, Place) else type(instruction).__name__


def _can_push(layout: Layout, index: int, way: Direction) -> bool:
    ahead = np.array(AXES[way])
    return _is_lane(layout, index, ahead, PUSH_M + 0.08, but=-1)


def _can_push_to(layout: Layout, index: int, other: int) -> bool:
    apart = layout.position[other] - layout.position[index]
    distance = float(np.hypot(*apart))
    gap = distance - layout.radius[index] - layout.radius[other]
    return bool(gap > 0.08) and _is_lane(layout, index, apart / distance, distance, but=other)


def _is_lane(layout: Layout, index: int, ahead: Float64[np.ndarray, " 2"], length: float, but: int) -> bool:
    """Return whether the hand fits behind a thing and nothing but `but` stands in its way."""
    start = layout.position[index] - ahead * (layout.radius[index] + BEHIND_M)
    end = layout.position[index] + ahead * length
    lane = start + (end - start) * np.linspace(0, 1, 16)[:, None]
    return _are_free(layout, lane, _HAND_M, (index, but))


def _relations(layout: Layout, index: int, other: int) -> Iterator[Relation]:
    thing, onto = layout.kinds[index], layout.kinds[other]
    if onto == "bowl":
        yield "in"
    if thing in _STACKS.get(onto, ()):
        yield "on"
    sides: tuple[Relation, Relation] = ("left", "right")
    for side, sign in zip(sides, (1.0, -1.0), strict=True):
        away = layout.radius[index] + layout.radius[other] + BESIDE_M / 2
        spot = layout.position[other] + [0.0, sign * away]
        is_new = np.hypot(*(spot - layout.position[index])) > 2 * BESIDE_M
        if is_new and _are_free(layout, spot[None], float(layout.radius[index]) + 0.03, (index, other)):
            yield side


def _are_free(layout: Layout, points: Float64[np.ndarray, "p 2"], room: float, but: tuple[int, ...]) -> bool:
    """Return whether all points are within reach and have room around them."""
    x, y = points.T
    inside = (x >= _NEAREST) & (x <= _FURTHEST) & (np.abs(y) <= _SIDE)
    others = [index for index in range(len(layout.kind)) if index not in but]
    gaps = np.linalg.norm(layout.position[others] - points[:, None], axis=2) - layout.radius[others]
    return bool(inside.all() and gaps.min(initial=np.inf) > room)
