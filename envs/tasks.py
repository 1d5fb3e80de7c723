"""Tasks: a scene, what the robot is told there, and the promise that it can be done.

A task depends on (world, family, split, seed) and nothing else. It is only handed out once a way was planned and
rehearsed (`envs.driving.plans`), so that every generated episode is solvable.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from embodied_cf.datasets.randomness import generator, number
from embodied_cf.envs.candidates import candidates
from embodied_cf.envs.driving.plans import plan
from embodied_cf.envs.driving.pursuit import Route
from embodied_cf.envs.layouts.scenes import make_scene
from embodied_cf.envs.scene import Scene
from embodied_cf.envs.splits import Split, as_split, uses_held_out_phrasing
from embodied_cf.errors import UsageError
from embodied_cf.language.grammar import phrase
from embodied_cf.language.instruction import (
    FAMILIES,
    Chain,
    Clause,
    Do,
    Family,
    FollowWall,
    GoTo,
    Instruction,
    KeepSide,
    PassBetween,
    clauses,
)
from embodied_cf.language.predicate import compile_instruction
from embodied_cf.language.predicate_geometry import blocked

_SCENES, _TRIES = 48, 6
"""Scenes that are drawn, and instructions that are tried in each, before a task is given up."""
_IN_VIEW = 0.8
"""Share of tasks that name a thing whose start is turned so that this thing lies in the field of view, with no wall
before it and near enough to be made out. The others begin wherever and face anywhere."""
_VIEW_RAD, _VIEW_M = 0.7, 6.0
"""How far to either side of the heading it then lies at most (inside a camera's 90 degrees), and how far away."""
_BEFORE_M = 0.05
"""By so much a wall with a door in it does not hide the door."""
_LONG_CHAIN = 0.3
"""Share of chains that have three parts."""


@dataclass(frozen=True)
class Task:
    """What one episode is about."""

    scene: Scene
    instruction: Instruction
    text: str
    """The instruction in words."""
    seed: int
    routes: tuple[Route, ...]
    """The rehearsed way, one route for each clause: the expert drives it."""


def make_task(world: str, family: str, split: str, seed: int, people: tuple[int, int] = (0, 2)) -> Task:
    """Return the task of (world, family, split, seed); `people` are the least and most in the scene.

    Raises UsageError for unknown names, or if no scene of this seed offers a task that can be done.
    """
    kinds = [name for name in FAMILIES if name == family]
    if not kinds:
        raise UsageError(f"unknown instruction family {family!r}", remedy=f"Choose one of {', '.join(FAMILIES)}.")
    part = as_split(split)
    in_view = bool(generator(seed, "task in view", world, family).random() < _IN_VIEW)
    for attempt in range(_SCENES):
        rng = generator(seed, "task", world, family, split, str(attempt))
        scene = make_scene(world, part, number(seed, "task scene", family, str(attempt)) >> 64, people)
        for instruction, turned in _options(scene, part, kinds[0], in_view, rng):
            try:
                routes = plan(turned, instruction)
            except UsageError:
                continue
            text = phrase(instruction, rng, uses_held_out_phrasing(part))
            return Task(turned, instruction, text, seed, routes)
    raise UsageError(f"no {family} task can be done in {world}, split {split}, seed {seed}", remedy="Try another seed.")


def _options(
    scene: Scene, split: Split, family: Family, in_view: bool, rng: np.random.Generator
) -> Iterator[tuple[Instruction, Scene]]:
    """Yield instructions that make sense in the scene, with the robot turned as each task wants it.

    Kinds of clauses come up equally often, however many things there are to name.
    """
    found = candidates(scene, split, family)
    by_kind: dict[str, list[Clause]] = {}
    for clause in found:
        by_kind.setdefault(_kind(clause), []).append(clause)
    kinds = sorted(by_kind)
    for _ in range(_TRIES if kinds else 0):
        instruction = _chain(by_kind, rng) if family == "chained" else _one(by_kind[_one(kinds, rng)], rng)
        if instruction is None:
            return
        turned = _turned(scene, instruction, rng) if in_view else scene
        if turned is not None:
            yield instruction, turned


def _kind(clause: Clause) -> str:
    return "nearest" if isinstance(clause, GoTo) and clause.near else type(clause).__name__


def _one(items, rng: np.random.Generator):  # type: ignore[no-untyped-def]
    return items[int(rng.integers(len(items)))]


def _chain(by_kind: dict[str, list[Clause]], rng: np.random.Generator) -> Chain | None:
    """Chain two or three clauses, the last of which names a thing; no thing twice in a row, no command but first.

    None where there is only one clause to be told after another.
    """
    length = 3 if rng.random() < _LONG_CHAIN else 2
    naming = [kind for kind in sorted(by_kind) if kind != "Do"]
    if sum(len(by_kind[kind]) for kind in naming) < 2:
        return None
    parts: list[Clause] = []
    while len(parts) < length:
        kinds = sorted(by_kind) if not parts else naming
        clause = _one(by_kind[_one(kinds, rng)], rng)
        if not parts or clause != parts[-1]:
            parts.append(clause)
    return Chain(tuple(parts))


def _turned(scene: Scene, instruction: Instruction, rng: np.random.Generator) -> Scene | None:
    """Turn the robot so that the thing named first, if any, is in view; None if it cannot be seen."""
    first = clauses(instruction)[0]
    if isinstance(first, Do | FollowWall | KeepSide):
        return scene
    here, place = scene.start[:2], _place_of(first, scene)
    away = float(np.hypot(*(place - here)))
    if away > _VIEW_M or blocked(here[None], place[None], scene.walls[None])[0]:
        return None
    towards = np.arctan2(*(place - here)[::-1]) + rng.uniform(-_VIEW_RAD, _VIEW_RAD)
    return replace(scene, start=np.array([*here, towards]))


def _place_of(clause: Clause, scene: Scene) -> Float64[np.ndarray, " 2"]:
    """Return the middle of the gap or thing that a clause names; of a door, a point just before it."""
    program = compile_instruction(clause, scene.surroundings())
    if isinstance(clause, PassBetween):
        return program.gaps[0, 0].reshape(2, 2).mean(axis=0)
    place = program.things[0, 0, :2]
    back = scene.start[:2] - place
    return place + _BEFORE_M * back / np.hypot(*back)
