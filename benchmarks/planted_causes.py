"""How often explanations of inputs recover causes that were planted, and what they find where nothing is changed.

Planted policies (`explain.input.known_causes`) see pixels and hear words: one drives to a colour and hears nothing, one
drives to the colour that it is told, one takes the side that it is told with its eyes shut, one reads a corner of the
image. Two draw what they do: one whatever it sees and hears, and one about the side that it is told. Recovered
means: every planted cause is named, and no factor that the policy cannot depend on is. A thing of another kind may hide
the one that is driven to: that is a cause, and counts as false only where the one driven to is itself of another kind.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.expert_success import wilson
from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.layouts.scenes import make_scene
from embodied_cf.envs.rendering.render import FIRST_OBJECT, Camera, render
from embodied_cf.envs.scene import Scene, stack
from embodied_cf.envs.state import State, initial_state
from embodied_cf.evaluate.rollout import PIXELS
from embodied_cf.explain.input.asking import View
from embodied_cf.explain.input.edits import SCENE_FACTORS, WORD_FACTORS
from embodied_cf.explain.input.explanation import InputExplanation, explain_input
from embodied_cf.explain.input.known_causes import (
    ColourSeeker,
    CornerReader,
    Listener,
    Planted,
    SideTaker,
    Wavering,
    looks,
)
from embodied_cf.explain.options import InputOptions
from embodied_cf.language.instruction import COLOURS, KINDS

WORLDS = ("rooms", "corridors", "courtyard")
_SEEN = 40
"""Pixels of a target's colour that are shown; at most a tenth as many may lie outside it."""


@dataclass(frozen=True)
class Case:
    """A view in which a planted policy has something to act on."""

    view: View
    target: str
    """Such as "red chair"."""

    @property
    def colour(self) -> str:
        return self.target.split()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cases", type=int, default=100, help="for each policy")
    parser.add_argument("--first-seed", type=int, default=80_000)
    arguments = parser.parse_args()
    count, result = 5 if arguments.quick else arguments.cases, []
    cases = list(zip(range(count), views(arguments.first_seed), strict=False))
    for name, (policy, told, is_recovered) in PLANTED.items():
        rows = [measure(case, policy(case), told(case), is_recovered, seed) for seed, case in cases]
        result.append({"policy": name, **summary(rows)})
        print(result[-1], flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def views(first_seed: int) -> Iterator[Case]:
    """Yield views of generated scenes in which one thing has a colour that nothing else shows."""
    seed = first_seed
    while True:
        scene = make_scene(WORLDS[seed % 3], "dev", seed, people=(0, 1))
        rng = generator(seed, "planted causes")
        seed += 1
        row = int(rng.integers(len(scene.kind)))
        view, shown = facing(scene, row, rng)
        colour = COLOURS[scene.colour[row]]
        mask = looks(shown.rgb[0], colour)
        inside = int((mask & (shown.segmentation[0] == FIRST_OBJECT + row)).sum())
        if inside >= _SEEN and mask.sum() <= 1.1 * inside and sum(scene.colour == scene.colour[row]) == 1:
            yield Case(view, f"{colour} {KINDS[scene.kind[row]]}")


def facing(scene: Scene, row: int, rng: np.random.Generator):  # type: ignore[no-untyped-def]
    """Turn the robot so that a thing is in view, off the middle."""
    towards = np.arctan2(*(scene.position[row] - scene.start[:2])[::-1])
    yaw = towards + rng.choice((-1.0, 1.0)) * rng.uniform(0.2, 0.6)
    state: State = initial_state([scene])
    state.pose[0, 2] = yaw
    view = View.of(scene, (state, state), "")
    return view, render(stack([view.scene]), state, Camera(PIXELS, PIXELS))


def measure(
    case: Case, policy: Planted, told: str, is_recovered: Callable[[Case, InputExplanation], bool], seed: int
) -> dict:
    """Explain one view."""
    view = View(case.view.scene, case.view.states, told)
    found = explain_input(policy, view, InputOptions(nearby=2), seed=seed)
    return {
        "recovered": is_recovered(case, found),
        "placebo": [moved > found.threshold for moved in found.placebo],
        "validity": found.measures.validity,
        "stability": found.measures.stability,
        "told reader": found.measures.simulatability,
        "blind reader": found.measures.blind_reader,
        "questions": found.measures.cost,
        "seconds": found.seconds,
    }


def summary(rows: list[dict]) -> dict:
    """Return shares and means."""
    recovered, placebo = sum(row["recovered"] for row in rows), [it for row in rows for it in row["placebo"]]
    names = ("validity", "stability", "told reader", "blind reader", "questions", "seconds")
    means = {name: [row[name] for row in rows if row[name] is not None] for name in names}
    return {
        "cases": len(rows), "recovered": recovered / len(rows), "interval": wilson(recovered, len(rows)),
        "placebo": float(np.mean(placebo)), "placebo queries": len(placebo),
        **{name: round(float(np.mean(values)), 4) for name, values in means.items() if values},
    }  # fmt: skip


def _colour_only(case: Case, found: InputExplanation) -> bool:
    false = _by_kind(case, found) or found.factors & set(WORD_FACTORS)
    return ("colour", case.target) in found.causes and not false


def _colour_as_told(case: Case, found: InputExplanation) -> bool:
    named = {("colour", case.target), ("colour word", case.colour)}
    false = _by_kind(case, found) or found.factors & {"noun", "side word"}
    return named <= found.causes and not false


def _by_kind(case: Case, found: InputExplanation) -> bool:
    """Whether the kind of the thing that is driven to is named, which nothing planted looks at."""
    return ("kind", case.target) in found.causes


def _side_only(case: Case, found: InputExplanation) -> bool:
    return "side word" in found.factors and not found.factors & {"colour word", "noun", *SCENE_FACTORS}


def _corner_only(case: Case, found: InputExplanation) -> bool:
    return found.regions.smallest == ((0, 0),) and not found.factors & set(WORD_FACTORS)


def _nothing(case: Case, found: InputExplanation) -> bool:
    return not found.smallest and not found.regions.smallest


PLANTED = {
    "drives to a colour, hears nothing": (lambda case: ColourSeeker(colour=case.colour),
                                          lambda case: f"go to the {case.target}", _colour_only),
    "drives to the colour that it is told": (lambda case: Listener(), lambda case: f"go to the {case.target}",
                                             _colour_as_told),
    "takes the side that it is told": (lambda case: SideTaker(), lambda case: f"stop left of the {case.target}",
                                       _side_only),
    "draws, whatever it sees and hears": (lambda case: Wavering(), lambda case: f"go to the {case.target}", _nothing),
    "draws about the side that it is told": (lambda case: Wavering(of=SideTaker()),
                                             lambda case: f"stop left of the {case.target}", _side_only),
    "reads a corner of the image": (lambda case: CornerReader(), lambda case: f"go to the {case.target}",
                                    _corner_only),
}  # fmt: skip


if __name__ == "__main__":
    main()
