"""Average effects of concepts on a policy's actions, over many views, with placebo."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embodied_cf.explain.edits import SCENE_FACTORS, WORD_FACTORS
from embodied_cf.explain.input import InputExplanation

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
    """Share of edits that change the action."""


def concept_effects(told: Sequence[InputExplanation]) -> tuple[ConceptEffect, ...]:
    """Return the average treatment effect of each factor, and of edits that nobody can perceive."""
    table: defaultdict[str, list[list[tuple[float, bool]]]] = defaultdict(list)
    for one in told:
        here: defaultdict[str, list[tuple[float, bool]]] = defaultdict(list)
        for it in one.effects:
            here[_concept(it.edit.factor, it.edit.about, one.view.told)].append((it.moved, it.changed))
        here[PLACEBO] = [(moved, moved > one.threshold) for moved in one.placebo]
        for concept, outcomes in here.items():
            if outcomes:
                table[concept].append(outcomes)
    return tuple(_average(name, table[name]) for name in sorted(table, key=_order))


def _concept(factor: str, about: str, told: str) -> str:
    if factor in WORD_FACTORS:
        return factor
    colour, kind = about.split(" ")
    return f"{factor} of the thing spoken of" if colour in told or kind in told else f"{factor} of other things"


def _order(concept: str) -> tuple[int, str]:
    names = (*WORD_FACTORS, *SCENE_FACTORS, PLACEBO)
    return next(at for at, name in enumerate(names) if concept == name or concept.startswith(f"{name} of")), concept


def _average(concept: str, views: list[list[tuple[float, bool]]]) -> ConceptEffect:
    means = np.array([np.mean([moved for moved, _ in outcomes]) for outcomes in views])
    error = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")
    changed = float(np.mean([changed for outcomes in views for _, changed in outcomes]))
    return ConceptEffect(concept, len(views), sum(map(len, views)), float(means.mean()), error, changed)
