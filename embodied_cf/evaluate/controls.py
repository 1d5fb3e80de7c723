"""Controls: the same episodes with one thing changed, so that it shows what a policy's success rests on.

Success is always judged by the task's own instruction. An episode for which a control is not defined (no other thing
that could be named, nothing that has a left and a right) is left out of it, and counted.

| control | what the policy is told, or sees | if it listens and looks |
|---|---|---|
| none | the task's words | succeeds |
| canonical | the same in words that training uses | as before; the loss of `none` is that of unseen words |
| paraphrase | the same in other words of the same split | as before |
| empty | "" | at the level of a policy that knows no language |
| shuffled | another thing of the scene is named (see `shuffled_instruction`) | falls to chance |
| opposite | left and right exchanged | falls to chance |
| swapped-words | two words exchanged, after it was said that they are | as before; few policies do it |
| blank-image | grey frames | fails |
| shuffled-image | frames of another episode of the batch | fails |
| distractor | a further thing is in view | as before |
| no-distractor | the nearest thing that was not named is gone | as before, or better |

`summary.CHANCE` is no control of a policy: the expert is told what `shuffled` tells (`otherwise.drive_otherwise`).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.splits import Split, uses_held_out_phrasing
from embodied_cf.envs.tasks import Task
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.distractors import with_distractor, without_distractor
from embodied_cf.evaluate.otherwise import another_kind, another_target, opposite
from embodied_cf.evaluate.rollout import Images, Sight
from embodied_cf.evaluate.summary import NONE, SHUFFLED
from embodied_cf.language.grammar import canonical, mirror, phrase
from embodied_cf.language.instruction import KINDS, Chain, Clause, Instruction, Thing, named
from embodied_cf.language.predicate import judge

GREY = 127
_TRIES = 20
"""Phrasings that are drawn until one is another."""


@dataclass(frozen=True)
class Trial:
    """One episode under a control."""

    task: Task
    """What is judged, perhaps in a changed scene."""
    told: str
    meant: Instruction | None = None
    """What the words mean where that is not the task's instruction."""


Change = Callable[[Task, Split, np.random.Generator], Trial | None]


@dataclass(frozen=True)
class Control:
    """One change to every episode."""

    name: str
    trial: Change
    """Returns the changed episode, or None where the control is not defined."""
    sight: Sight = lambda images: images
    """What becomes of the frames."""
    least: int = 1
    """Episodes that must be driven side by side."""


def control(name: str) -> Control:
    """Return the control of a name. Raises UsageError for an unknown one."""
    for one in CONTROLS:
        if one.name == name:
            return one
    raise UsageError(f"unknown control {name!r}", remedy=f"Choose of {', '.join(one.name for one in CONTROLS)}.")


def obeyed(trial: Trial, path: Float64[np.ndarray, "t 3"], collisions: int) -> bool:
    """Return whether a way carried out what was told, whatever is judged: the measure `obeyed`.

    The episode ends when the task's own instruction is judged, which cuts short who would have gone on.
    """
    meant = trial.meant or trial.task.instruction
    return not collisions and judge(meant, trial.task.scene.surroundings(), path).success


def shuffled_instruction(task: Task, split: Split) -> Instruction | None:
    """Return what the control `shuffled` tells, and the expert for chance.

    Another thing; where none can be named in its stead, the other side; else another kind of the same family.
    """
    return another_target(task, split) or opposite(task) or another_kind(task, split)


def _as_it_is(task: Task, split: Split, rng: np.random.Generator) -> Trial:
    del split, rng
    return Trial(task, task.text)


def _canonical(task: Task, split: Split, rng: np.random.Generator) -> Trial:
    del split, rng
    return Trial(task, canonical(task.instruction))


def _empty(task: Task, split: Split, rng: np.random.Generator) -> Trial:
    del split, rng
    return Trial(task, "")


def _paraphrase(task: Task, split: Split, rng: np.random.Generator) -> Trial | None:
    drawn = (phrase(task.instruction, rng, uses_held_out_phrasing(split)) for _ in range(_TRIES))
    return next((Trial(task, text) for text in drawn if text != task.text), None)


def _shuffled(task: Task, split: Split, rng: np.random.Generator) -> Trial | None:
    return _told(task, shuffled_instruction(task, split), split, rng)


def _opposite(task: Task, split: Split, rng: np.random.Generator) -> Trial | None:
    return _told(task, opposite(task), split, rng)


def _told(task: Task, other: Instruction | None, split: Split, rng: np.random.Generator) -> Trial | None:
    return Trial(task, phrase(other, rng, uses_held_out_phrasing(split)), other) if other else None


def _swapped_words(task: Task, split: Split, rng: np.random.Generator) -> Trial | None:
    """Exchange left and right, or else two nouns, and say so first. In canonical words: each noun has one name."""
    del split
    exchanged, pair = mirror(task.instruction), ("left", "right")
    if exchanged == task.instruction:
        kinds = [thing.kind for thing in named(task.instruction) if thing.kind in KINDS]
        there = sorted({KINDS[kind] for kind in task.scene.kind.tolist()} - set(kinds))
        if not kinds or not there:
            return None
        pair = (kinds[-1], there[int(rng.integers(len(there)))])
        exchanged = _renamed(task.instruction, dict(zip(pair, pair[::-1], strict=True)))
    said = 'In this run, "{0}" means {1} and "{1}" means {0}: '.format(*pair)
    return Trial(task, said + canonical(exchanged))


def _renamed(instruction: Instruction, names: dict[str, str]) -> Instruction:
    if isinstance(instruction, Chain):
        return Chain(tuple(_renamed_clause(part, names) for part in instruction.parts))
    return _renamed_clause(instruction, names)


def _renamed_clause(clause: Clause, names: dict[str, str]) -> Clause:
    things = {item.name: getattr(clause, item.name) for item in fields(clause)}
    new = {
        name: replace(thing, kind=names.get(thing.kind, thing.kind))
        for name, thing in things.items()
        if isinstance(thing, Thing)
    }
    return replace(clause, **new)  # type: ignore[arg-type] # those fields that are things


def _with_distractor(task: Task, split: Split, rng: np.random.Generator) -> Trial | None:
    del split
    changed = with_distractor(task, rng)
    return Trial(changed, task.text) if changed else None


def _without_distractor(task: Task, split: Split, rng: np.random.Generator) -> Trial | None:
    del split, rng
    changed = without_distractor(task)
    return Trial(changed, task.text) if changed else None


def _blank(images: Images) -> Images:
    return np.full_like(images, GREY)


def _of_another(images: Images) -> Images:
    return np.roll(images, 1, axis=0)


CONTROLS = (
    Control(NONE, _as_it_is),
    Control("canonical", _canonical),
    Control("paraphrase", _paraphrase),
    Control("empty", _empty),
    Control(SHUFFLED, _shuffled),
    Control("opposite", _opposite),
    Control("swapped-words", _swapped_words),
    Control("blank-image", _as_it_is, _blank),
    Control("shuffled-image", _as_it_is, _of_another, least=2),
    Control("distractor", _with_distractor),
    Control("no-distractor", _without_distractor),
)
