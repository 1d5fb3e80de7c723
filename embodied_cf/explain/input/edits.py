"""Edits of what a policy is shown and told: one thing in the scene, or one word, is otherwise.

Scenes are data, so that an edited scene is rendered as truly as the original: light, occlusion, people and all.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64

from embodied_cf.envs import geometry
from embodied_cf.envs.scene import COLOUR_RGB, RADIUS_M, Scene
from embodied_cf.errors import InstructionError
from embodied_cf.language.grammar import parse
from embodied_cf.language.instruction import COLOURS, DOOR, KINDS
from embodied_cf.language.phrasing import COLOUR_WORDS, NOUNS, Wording
from embodied_cf.language.predicate import compile_instruction
from embodied_cf.language.vocabulary import mirror_text

Factor: TypeAlias = Literal[
    "colour", "kind", "presence", "place", "colour word", "noun", "side word", "instruction", "region"
]
SCENE_FACTORS: tuple[Factor, ...] = ("colour", "kind", "presence", "place")
WORD_FACTORS: tuple[Factor, ...] = ("colour word", "noun", "side word", "instruction")
_ROOM_M = 0.15
"""Free ground that a moved thing keeps around itself."""


@dataclass(frozen=True)
class Edit:
    """One change. `told` and `scene` are what they are after it."""

    factor: Factor
    about: str
    """What it changes: "red chair", or the word."""
    text: str
    """In words: "the red chair is blue"."""
    change_scene: Callable[[Scene], Scene] = lambda scene: scene
    change_told: Callable[[str], str] = lambda told: told

    @property
    def cause(self) -> tuple[str, str]:
        """Return what it would name as the cause: factor and thing."""
        return self.factor, self.about


def edits_of(scene: Scene, told: str, rng: np.random.Generator) -> tuple[Edit, ...]:
    """Return edits of every object and door, each with another colour drawn, and of every word that matters."""
    return (*_objects(scene, told, rng), *_doors(scene, told, rng), *_words(scene, told))


def names_what_is_there(scene: Scene, told: str) -> bool:
    """Return whether an instruction can be read and means something in a scene."""
    try:
        compile_instruction(parse(told), scene.surroundings())
    except InstructionError:
        return False
    return True


def _objects(scene: Scene, told: str, rng: np.random.Generator) -> Iterator[Edit]:
    for row, (kind, colour) in enumerate(zip(scene.kind.tolist(), scene.colour.tolist(), strict=True)):
        name = f"{COLOURS[colour]} {KINDS[kind]}"
        other, shape = _other(COLOURS, colour, scene.colour, told, rng), _other(KINDS, kind, scene.kind, told, rng)
        yield Edit("colour", name, f"the {name} is {COLOURS[other]}", _column(row, "colour", other))
        yield Edit("kind", name, f"the {name} is a {KINDS[shape]}", _column(row, "kind", shape))
        yield Edit("presence", name, f"the {name} is gone", _without(row))
        moved = _other_side(scene, row)
        if moved is not None:
            yield Edit("place", name, f"the {name} stands on the other side", _column(row, "position", moved))


def _other(names: tuple[str, ...], now: int, present: np.ndarray, told: str, rng: np.random.Generator) -> int:
    """Draw a name that nothing in the scene has and nobody speaks of, if there is one."""
    free = [at for at, name in enumerate(names) if at != now and at not in present and name not in told]
    options = free or [at for at in range(len(names)) if at != now]
    return options[int(rng.integers(len(options)))]


def _column(row: int, name: str, value: int | Float64[np.ndarray, " 2"]) -> Callable[[Scene], Scene]:
    def change(scene: Scene) -> Scene:
        column = getattr(scene, name).copy()
        column[row] = value
        return replace(scene, **{name: column})

    return change


def _without(row: int) -> Callable[[Scene], Scene]:
    """Put a thing far away: rows keep their meaning for further edits."""
    return _column(row, "position", np.array([1e4, 1e4]))


def _other_side(scene: Scene, row: int) -> Float64[np.ndarray, " 2"] | None:
    """Return the place mirrored in the robot's line of sight, as nearby as is free; None if nothing is."""
    x, y, yaw = scene.start
    ahead = np.array([np.cos(yaw), np.sin(yaw)])
    left = np.array([-ahead[1], ahead[0]])
    offset = scene.position[row] - (x, y)
    along, across = float(offset @ ahead), float(offset @ left)
    shares = np.array([1.0, 0.85, 1.15, 0.7, 1.3, 0.5])
    places = (x, y) + shares[:, None] * along * ahead - (shares * across)[:, None] * left
    free = np.flatnonzero(_is_free(scene, row, places))
    return places[free[0]] if len(free) and abs(across) > RADIUS_M[KINDS[scene.kind[row]]] else None


def _is_free(scene: Scene, row: int, place: Float64[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    """Return which places a thing fits into, in the robot's line of sight of the room and clear of it."""
    others = np.arange(len(scene.position)) != row
    bodies = np.concatenate([scene.position[others], scene.person, scene.start[None, :2]])
    radius = np.concatenate([scene.radius[others], np.full(len(scene.person) + 1, 0.3)])
    gap = np.linalg.norm(place[:, None] - bodies, axis=2) - radius - scene.radius[row]
    wall = geometry.segment_distance(place, scene.walls).min(axis=1) - scene.radius[row]
    return (gap.min(axis=1) >= _ROOM_M) & (wall >= 0.0) & ~_behind_walls(scene, place)


def _behind_walls(scene: Scene, place: Float64[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    """Return which places the straight way from the robot does not reach."""
    ways = np.linspace(0.0, 1.0, 41)[None, :, None]
    path = scene.start[:2] + ways * (place[:, None] - scene.start[:2])
    near = geometry.segment_distance(path.reshape(-1, 2), scene.walls).min(axis=1).reshape(len(place), -1)
    return (near < 0.05).any(axis=1)


def _doors(scene: Scene, told: str, rng: np.random.Generator) -> Iterator[Edit]:
    for row in np.flatnonzero(scene.door_colour >= 0).tolist():
        colour = int(scene.door_colour[row])
        other = _other(COLOURS, colour, np.concatenate([scene.colour, scene.door_colour]), told, rng)
        name = f"{COLOURS[colour]} {DOOR}"
        yield Edit("colour", name, f"the {name} is {COLOURS[other]}", _painted(row, other))


def _painted(row: int, colour: int) -> Callable[[Scene], Scene]:
    def change(scene: Scene) -> Scene:
        door, rgb = scene.door_colour.copy(), scene.wall_rgb.copy()
        door[row], rgb[row] = colour, COLOUR_RGB[COLOURS[colour]]
        return replace(scene, door_colour=door, wall_rgb=rgb)

    return change


def _words(scene: Scene, told: str) -> Iterator[Edit]:
    """Yield for each noun and colour word that is said all others of what is there, the other side, and silence."""
    seen = scene.surroundings()
    yield from _swapped("colour word", COLOUR_WORDS, seen.colour, told)
    yield from _swapped("noun", NOUNS, seen.kind, told)
    if mirror_text(told) != told:
        yield Edit("side word", "side", f"told: {mirror_text(told)}", change_told=mirror_text)
    yield Edit("instruction", "instruction", "told nothing", change_told=lambda told: "")


def _swapped(factor: Factor, table: dict[str, Wording], present: tuple[str, ...], told: str) -> Iterator[Edit]:
    for name, wording in table.items():
        said = next((word for word in sorted(wording.all, key=len, reverse=True) if _says(told, word)), None)
        others = [other for other in dict.fromkeys(present) if other != name]
        if said is None or not others:
            continue
        for other in others:
            word = table[other].train[0]
            change = _replacing(said, word)
            yield Edit(factor, said, f"told: {change(told)}", change_told=change)


def says_any(told: str, wording: Wording) -> bool:
    """Return whether an instruction has a word for something."""
    return any(_says(told, word) for word in wording.all)


def _says(told: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", told, re.IGNORECASE) is not None


def _replacing(word: str, other: str) -> Callable[[str], str]:
    return lambda told: re.sub(rf"\b{re.escape(word)}\b", other, told, flags=re.IGNORECASE)
