"""Which part of the image or the instruction caused the action? Grounded what-ifs and the smallest that matter."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float64

from embodied_cf.datasets.randomness import generator
from embodied_cf.explain.input.asking import Asker, View, apart, frames, observed
from embodied_cf.explain.input.edits import Edit, edits_of, names_what_is_there
from embodied_cf.explain.input.noise import Noise, look, noise_in
from embodied_cf.explain.input.regions import GRID, Regions, Shown, probe_regions
from embodied_cf.explain.measure_table import Measures, Reading, diversity, jaccard, simulate
from embodied_cf.explain.options import InputOptions
from embodied_cf.policies.contract import Policy

Cause = tuple[str, str]
_PAIRS_OF, _TRIPLES_OF = 8, 6
"""Edits with the largest effects that are tried together."""


@dataclass(frozen=True)
class Effect:
    """What an edit does to the action."""

    edit: Edit
    moved: float
    """m: mean distance between the chunks' points."""
    pixels: float
    """Share of the frame that it changes."""
    changed: bool
    """Whether the action is another one."""
    plausible: bool
    """Whether such a scene could be, and such words be said in it: they name what is there."""


@dataclass(frozen=True)
class InputExplanation:
    """What a policy's action in one view depends on."""

    view: View
    chunk: Float64[np.ndarray, "k 2"]
    """The action that is explained: x, y m in the robot's frame; the mean of many if the policy draws."""
    effects: tuple[Effect, ...]
    """Of single edits that the policy can perceive, the largest first."""
    placebo: tuple[float, ...]
    """m: effects of asking again, and of edits out of sight."""
    threshold: float
    """m, beyond which an action counts as changed: the tolerance, or what chance alone hardly ever does (`Noise`)."""
    samples: int
    """Answers that were averaged for each question."""
    smallest: tuple[tuple[Effect, ...], ...]
    """The smallest sets of edits that change the action: singles, or else pairs, or else triples."""
    regions: Regions
    measures: Measures
    seconds: float

    @property
    def causes(self) -> frozenset[Cause]:
        """Factors and things that change the action by themselves."""
        return frozenset(effect.edit.cause for effect in self.effects if effect.changed)

    @property
    def factors(self) -> frozenset[str]:
        """Factors that change the action by themselves."""
        return frozenset(factor for factor, _ in self.causes)

    def to_json(self) -> dict[str, Any]:
        """Return everything but frames."""
        return {
            "told": self.view.told,
            "chunk": self.chunk.tolist(),
            "threshold": self.threshold,
            "samples": self.samples,
            "causes": sorted(map(list, self.causes)),
            "smallest": [[effect.edit.text for effect in group] for group in self.smallest],
            "effects": [
                {"factor": it.edit.factor, "about": it.edit.about, "edit": it.edit.text, "moved": it.moved,
                 "pixels": it.pixels, "changed": it.changed, "plausible": it.plausible}
                for it in self.effects
            ],
            "placebo": list(self.placebo),
            "regions": self.regions.moved.tolist(),
            "swapped": self.regions.swapped.tolist(),
            "traced": None if self.regions.traced is None else self.regions.traced.tolist(),
            "smallest_regions": [list(cell) for cell in self.regions.smallest],
            "measures": asdict(self.measures),
        }  # fmt: skip


@dataclass(frozen=True)
class _Answers:
    """What edits of a view do."""

    moved: Float64[np.ndarray, " n"]
    pixels: Float64[np.ndarray, " n"]
    silent: tuple[bool, ...]
    """Whether an edit changes nothing that can be seen or heard."""


def explain_input(
    policy: Policy, view: View, options: InputOptions | None = None, *, seed: int = 0
) -> InputExplanation:
    """Ask what-ifs about one view; the seed is of the edits that are drawn, and of views from nearby."""
    options, started = options or InputOptions(), time.perf_counter()
    asker = Asker(policy, options.samples or 1, seed)
    edits = edits_of(view.scene, view.told, generator(seed, "explain", "edits"))
    looked = look(asker, view, options.tolerance, options.samples)
    noise = looked.noise
    answers, threshold = _ask(asker, view, noise, [(edit,) for edit in edits]), noise.threshold(len(edits))
    singles = [_effect(view, edit, answers, at, threshold) for at, edit in enumerate(edits)]
    seen = tuple(sorted((it for it, silent in zip(singles, answers.silent, strict=True) if not silent),
                        key=lambda it: -it.moved))  # fmt: skip
    hidden = [it.moved for it, silent in zip(singles, answers.silent, strict=True) if silent]
    placebo = (*looked.again.tolist(), *hidden)
    smallest = _smallest(asker, view, noise, seen)
    image, behind = frames([view, view.turned_round()], policy.camera)
    shown = Shown(image, view.odometry, view.told)
    regions = probe_regions(asker, shown, behind, noise.chunk, noise.threshold(GRID * GRID))
    near = [view.nearby(generator(seed, "explain", "nearby", str(at))) for at in range(options.nearby)]
    others = [_nearby(asker, it, noise, edits, smallest) for it in near]
    measures = _measures(seen, placebo, smallest, others, threshold, asker.asked)
    return InputExplanation(view, noise.chunk, seen, placebo, threshold, asker.samples, smallest, regions, measures,
                            time.perf_counter() - started)  # fmt: skip


def _ask(asker: Asker, view: View, noise: Noise, groups: Sequence[tuple[Edit, ...]]) -> _Answers:
    """Ask about groups of edits of a view, whose noise is known."""
    views = [view, *(view.edited(group) for group in groups)]
    seen, told = observed(views, asker.policy.camera), [it.told for it in views[1:]]
    moved = apart(asker.chunks(seen.take(np.arange(1, len(views))), told), noise.chunk[None])
    pixels = (seen.image[1:] != seen.image[:1]).any(axis=-1).mean(axis=(1, 2, 3))
    silent = tuple(bool(share == 0.0) and words == view.told for share, words in zip(pixels, told, strict=True))
    return _Answers(moved, pixels, silent)


def _effect(view: View, edit: Edit, answers: _Answers, at: int, threshold: float) -> Effect:
    moved, told = float(answers.moved[at]), edit.change_told(view.told)
    plausible = told == view.told or names_what_is_there(view.scene, told)
    return Effect(edit, moved, float(answers.pixels[at]), moved > threshold, plausible)


def _smallest(asker: Asker, view: View, noise: Noise, effects: Sequence[Effect]) -> tuple[tuple[Effect, ...], ...]:
    """Return the singles that change the action, the likeliest to be right first; if none does, pairs, then triples."""
    singles = [(it,) for it in effects if it.changed]
    if singles:
        return tuple(sorted(singles, key=lambda group: (not group[0].plausible, group[0].pixels)))
    for size, most in ((2, _PAIRS_OF), (3, _TRIPLES_OF)):
        groups = list(combinations(effects[:most], size))
        if groups:
            answers = _ask(asker, view, noise, [tuple(it.edit for it in group) for group in groups])
            changed = answers.moved > noise.threshold(len(groups))
            found = [group for group, it in zip(groups, changed, strict=True) if it]
            if found:
                return tuple(found)
    return ()


@dataclass(frozen=True)
class _Nearby:
    """What edits do in a view from nearby."""

    outcomes: tuple[tuple[tuple[Cause, str], bool], ...]
    """By (cause, edit) whether the action changes, for edits that can be perceived."""
    smallest_holds: bool | None
    """Whether the smallest edit changes the action there too; None without one."""

    @property
    def causes(self) -> frozenset[Cause]:
        return frozenset(cause for (cause, _), changed in self.outcomes if changed)


def _nearby(
    asker: Asker, view: View, noise: Noise, edits: Sequence[Edit], smallest: Sequence[tuple[Effect, ...]]
) -> _Nearby:
    """Ask about a view from nearby; `noise` is that of the view that is explained."""
    groups = [(edit,) for edit in edits]
    first = [tuple(it.edit for it in smallest[0])] if smallest else []
    same = replace(noise, chunk=asker.again(view, 1)[0])
    here = noise_in(asker, view, noise.tolerance) if noise.draws else same
    answers = _ask(asker, view, here, [*groups, *first])
    changed = answers.moved > here.threshold(len(edits))
    outcomes = tuple(
        ((edit.cause, edit.text), bool(it))
        for edit, it, silent in zip(edits, changed, answers.silent[: len(edits)], strict=False)
        if not silent
    )
    return _Nearby(outcomes, bool(changed[-1]) if first else None)


def _measures(
    effects: Sequence[Effect],
    placebo: Sequence[float],
    smallest: Sequence[tuple[Effect, ...]],
    others: Sequence[_Nearby],
    threshold: float,
    asked: int,
) -> Measures:
    causes = frozenset(it.edit.cause for it in effects if it.changed)
    holds = [it.smallest_holds for it in others if it.smallest_holds is not None]
    shown = [((it.edit.cause, it.edit.text), it.changed) for it in effects]
    reading: Reading | None = simulate(shown, [pair for it in others for pair in it.outcomes])
    return Measures(
        kind="input",
        validity=_mean(holds),
        proximity=sum(it.pixels for it in smallest[0]) if smallest else None,
        sparsity=len(smallest[0]) / len(effects) if smallest else None,
        plausibility=_mean([it.plausible for it in effects]),
        diversity=diversity([frozenset(it.edit.cause for it in group) for group in smallest]),
        placebo=_mean([moved > threshold for moved in placebo]),
        stability=_mean([jaccard(causes, it.causes) for it in others]),
        simulatability=reading.told if reading else None,
        blind_reader=reading.blind if reading else None,
        cost=float(asked),
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
