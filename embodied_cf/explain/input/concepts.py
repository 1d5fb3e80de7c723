"""Average effects of concepts on a policy's actions, over many views, with placebo."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embodied_cf.errors import InstructionError
from embodied_cf.explain.input.edits import SCENE_FACTORS, WORD_FACTORS, says_any
from embodied_cf.explain.input.explanation import InputExplanation
from embodied_cf.language.grammar import parse
from embodied_cf.language.instruction import WALL, Clause, GoTo, clauses, named
from embodied_cf.language.phrasing import COLOUR_WORDS, NOUNS
from embodied_cf.language.referents import nearest, referents
from embodied_cf.language.surroundings import Surroundings

PLACEBO = "placebo"


@dataclass(frozen=True)
class ConceptEffect:
    """What changing one concept does on average; the unit is a view, whose edits are averaged first."""

    concept: str
    """A factor of edits, for the thing that is spoken of or for others; or `placebo`."""
    views: int
    edits: int
    moved: float
    """m: mean distance between the chunks' points."""
    error: float
    """m: its standard error over views; nan for fewer than two."""
    changed: float
    """Mean over views of the share of edits that change the action."""


def concept_effects(told: Sequence[InputExplanation]) -> tuple[ConceptEffect, ...]:
    """Return the average treatment effect of each factor, and of edits that nobody can perceive."""
    table: defaultdict[str, list[list[tuple[float, bool]]]] = defaultdict(list)
    for one in told:
        here: defaultdict[str, list[tuple[float, bool]]] = defaultdict(list)
        spoken = spoken_of(one.view.scene.surroundings(), one.view.told)
        for it in one.effects:
            here[_concept(it.edit.factor, it.edit.about, spoken)].append((it.moved, it.changed))
        here[PLACEBO] = [(moved, moved > one.threshold) for moved in one.placebo]
        for concept, outcomes in here.items():
            if outcomes:
                table[concept].append(outcomes)
    return tuple(_average(name, table[name]) for name in sorted(table, key=_order))


def spoken_of(surroundings: Surroundings, told: str) -> frozenset[str]:
    """Return the names, such as "red chair", of the things that an instruction means or goes by.

    Of what cannot be read those whose noun is said, and whose colour is if any is.
    """
    names = [f"{colour} {kind}" for colour, kind in zip(surroundings.colour, surroundings.kind, strict=True)]
    try:
        rows = [row for clause in clauses(parse(told)) for row in _rows(clause, surroundings)]
    except InstructionError:
        return frozenset(name for name in names if _is_named(name, told))
    return frozenset(names[row] for row in rows)


def _rows(clause: Clause, surroundings: Surroundings) -> list[int]:
    things = [thing for thing in named(clause) if thing.kind != WALL]
    if isinstance(clause, GoTo) and clause.near is not None:
        chosen = nearest(clause.thing, clause.near, surroundings).tolist()
        return chosen + [row for thing in things[1:] for row in referents(thing, surroundings).tolist()]
    return [row for thing in things for row in referents(thing, surroundings).tolist()]


def _is_named(name: str, told: str) -> bool:
    colour, kind = name.split(" ")
    coloured = any(says_any(told, wording) for wording in COLOUR_WORDS.values())
    return says_any(told, NOUNS[kind]) and (says_any(told, COLOUR_WORDS[colour]) or not coloured)


def _concept(factor: str, about: str, spoken: frozenset[str]) -> str:
    if factor in WORD_FACTORS:
        return factor
    return f"{factor} of the thing spoken of" if about in spoken else f"{factor} of other things"


def _order(concept: str) -> tuple[int, str]:
    names = (*WORD_FACTORS, *SCENE_FACTORS, PLACEBO)
    return next(at for at, name in enumerate(names) if concept == name or concept.startswith(f"{name} of")), concept


def _average(concept: str, views: list[list[tuple[float, bool]]]) -> ConceptEffect:
    means = np.array([np.mean([moved for moved, _ in outcomes]) for outcomes in views])
    error = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")
    changed = float(np.mean([np.mean([changed for _, changed in outcomes]) for outcomes in views]))
    return ConceptEffect(concept, len(views), sum(map(len, views)), float(means.mean()), error, changed)
