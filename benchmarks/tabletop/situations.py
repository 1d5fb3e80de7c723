"""What policies are told on new tables, after a while of play, and what they do in the length of a chunk."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from benchmarks.tabletop.truth import Deed, Measure, Place, best, correct, drives, passes
from embodied_cf.datasets.images import resized
from embodied_cf.datasets.randomness import generator, number
from embodied_cf.envs.physics.library import Camera
from embodied_cf.envs.splits import Split
from embodied_cf.envs.tabletop.collector import Collector, Manner
from embodied_cf.envs.tabletop.dynamics import Table, TableRun, TableState, rows_of
from embodied_cf.envs.tabletop.environment import CHUNK_ROWS
from embodied_cf.envs.tabletop.model import CAMERA
from embodied_cf.envs.tabletop.tasks import make_task
from embodied_cf.evaluate.rollout import EXECUTE
from embodied_cf.language import arm
from embodied_cf.language.tabletop import SKILLS
from embodied_cf.policies.contract import Observation, Policy

PLAY = 4, 40
"""Control periods that the collector plays before anything is told: at least, and less than."""
PIXELS = 96
"""Width and height of the camera, as logs have it; policies see its frames at their own size."""
Look = Callable[[TableState], UInt8[np.ndarray, "h w 3"]]


@dataclass(frozen=True)
class Trial:
    """What is judged, and what is told instead in the control `shuffled`; both can be done there."""

    command: int
    other: int
    words: str
    other_words: str
    possible: np.ndarray
    """How far the best drive gets with `command`, after 0..H periods (`truth.best`)."""


def place_of(split: Split, number_of: int, seed: int, bias: float) -> Place:
    """Return a new table on which the collector has played for a while."""
    rng = generator(seed, "situation", str(number_of))
    task = make_task(str(rng.choice(SKILLS)), split, number(seed, "situation", str(number_of)) % 2**31)
    table, hand = Table(task.layout), Collector(task.layout, rng, Manner(bias=bias))
    state, gripper = table.initial, 1.0
    for _ in range(int(rng.integers(*PLAY))):
        row = hand.act(table.instant(state))
        state, gripper = table.step(state, row), float(np.clip(row[6], 0.0, 1.0))
    return Place(table, state, gripper)


def trials(measure: Measure, place: Place, rng: np.random.Generator) -> Iterator[Trial]:
    """Yield every command that can be carried out there without harm, in words of training."""
    found = {command: best(measure, place, command) for command in range(len(measure.names))}
    possible = {command: way for command, way in found.items() if way is not None}
    for command, way in possible.items():
        others = [other for other in possible if other != command]
        if others:
            other = others[int(rng.integers(len(others)))]
            words, other_words = (str(rng.choice(measure.meaning.vocabulary.phrases[one])) for one in (command, other))
            yield Trial(command, other, words, other_words, way)


def acted(
    policy: Policy, place: Place, told: Sequence[str], camera: Camera, rng: np.random.Generator
) -> list[TableRun]:
    """Let a policy act for the length of a chunk, from the same state under each of some words.

    It is asked every EXECUTE control periods.
    """
    table, count = place.table, len(told)
    states, rows = [[place.state] for _ in told], [np.zeros((0, 7)) for _ in told]
    for _ in range(CHUNK_ROWS // EXECUTE):
        frames = np.stack([_seen(policy, table, each[-1], camera) for each in states])
        past = np.zeros((count, policy.history + 1, 3), np.float32)
        chunks = policy.act(Observation(frames[:, None], past), tuple(told), rng).chunk
        for at, chunk in enumerate(chunks.astype(np.float64)):
            part = table.branch(states[at][-1], rows_of(chunk)[:EXECUTE])
            states[at].extend(part.states[1:])
            rows[at] = np.concatenate([rows[at], part.rows])
    return [TableRun(tuple(each), tuple(map(table.instant, each)), done)
            for each, done in zip(states, rows, strict=True)]  # fmt: skip


def _seen(policy: Policy, table: Table, state: TableState, camera: Camera) -> UInt8[np.ndarray, "h w 3"]:
    return resized(camera.rgb(table.model, table.scratch(state), CAMERA), policy.camera)


def judged(measure: Measure, trial: Trial, deed: Deed) -> dict[str, bool]:
    """Return whether the command's program passes what was done, and whether it was well done: half as far as is
    possible, and without harm."""
    clean = not deed.harm and correct(measure, trial.command, deed, trial.possible)
    return {"passes": passes(measure, trial.command, deed), "clean": clean}


def chance(measure: Measure, place: Place, trial: Trial) -> bool:
    """Return whether who does perfectly what the control tells passes for doing the command."""
    straight = next(drives(measure, place, trial.other))
    return passes(measure, trial.command, place.do(straight, trial.other == arm.OPEN))
