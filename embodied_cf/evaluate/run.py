"""Evaluate a policy: cell by cell and control by control, batch by batch, each batch written as soon as it is driven.

An evaluation that was interrupted goes on with the first batch that is not written yet. Which episodes share a batch
depends on the plan alone, so that a policy that draws gives the same on the second try.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embodied_cf.datasets.files import disk_errors, exclusive, write_json, write_text
from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.episodes import Episodes
from embodied_cf.envs.tasks import Task
from embodied_cf.errors import OutputError, UsageError
from embodied_cf.evaluate.backend import BackendName, backend_of
from embodied_cf.evaluate.controls import Control, Trial, control, obeyed, shuffled_instruction
from embodied_cf.evaluate.metrics import measure_all, rehearsed_length
from embodied_cf.evaluate.otherwise import drive_otherwise
from embodied_cf.evaluate.past import check_execute
from embodied_cf.evaluate.record import Ending, Record, read_records, write_records
from embodied_cf.evaluate.rollout import EXECUTE, Drives, run_episodes
from embodied_cf.evaluate.sight import sight_of
from embodied_cf.evaluate.suites import Cell, Suite
from embodied_cf.evaluate.summary import CHANCE, NONE, Episode
from embodied_cf.language.grammar import canonical
from embodied_cf.policies.contract import Policy
from embodied_cf.policies.ensemble import TemporalEnsemble

BATCH = 50
PLAN, RECORDS, PARTS = "plan.json", "episodes.jsonl", "batches"


@dataclass(frozen=True)
class Plan:
    """What is evaluated."""

    policy: str
    """What the user calls the policy."""
    suite: Suite
    episodes: int
    """Per cell."""
    seed: int = 0
    controls: tuple[str, ...] = (NONE,)
    """Names of `evaluate.controls`, and `chance`."""
    execute: int = EXECUTE
    """Control periods of a chunk that are carried out before the policy is asked again."""
    ensemble: float | None = None
    """Coefficient of temporal ensembling (`policies.ensemble`), if there is any."""
    backend: BackendName = "raycast"
    checkpoint: str = ""
    """Digest of the policy's checkpoint if it is a run, which may be trained anew under the same name."""

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise UsageError(f"--episodes {self.episodes} is less than 1")
        if self.execute < 1:
            raise UsageError(f"--execute {self.execute} is less than 1")
        if self.ensemble is not None:
            TemporalEnsemble(self.ensemble)  # refuses what is no number
        if len(set(self.controls)) < len(self.controls):
            raise UsageError(f"--controls {' '.join(self.controls)} names one of them twice")
        for name in self.controls:
            if name != CHANCE and self.episodes < control(name).least:
                told = f"--episodes {self.episodes} is too few for the control {name!r}"
                raise UsageError(told, remedy=f"It needs {control(name).least} or more.")

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        cells = [str(cell) for cell in self.suite.cells]
        told = {**asdict(self), "suite": cells, "controls": list(self.controls)}
        return told if self.checkpoint else {name: value for name, value in told.items() if name != "checkpoint"}

    @property
    def wanted(self) -> list[Episode]:
        """The episodes of the plain evaluation."""
        return [((cell.world, cell.family, cell.split), seed)
                for cell, seeds in self.suite.seeds(self.seed, self.episodes) for seed in seeds]  # fmt: skip

    @property
    def drives(self) -> int:
        """Episodes that are driven at most: some controls are not defined for all."""
        return len(self.suite.cells) * len(self.controls) * self.episodes


@dataclass(frozen=True)
class _Batch:
    """Episodes that are driven side by side."""

    cell: Cell
    control: str
    first: int
    seeds: tuple[int, ...]

    @property
    def file(self) -> str:
        return f"{str(self.cell).replace('/', '-')}-{self.control}-{self.first:06d}.jsonl"

    def rng(self, seed: int, purpose: str) -> np.random.Generator:
        return generator(seed, purpose, str(self.cell), self.control, str(self.first))


def evaluate(
    policy: Policy,
    plan: Plan,
    directory: Path,
    watch: Callable[[str, int], None] = lambda told, drives: None,
) -> tuple[Record, ...]:
    """Drive what has not been driven yet; write and return the records of all episodes. `watch` hears of each batch.

    Raises OutputError if the directory holds another evaluation, or another process writes to it, and UsageError if
    more of a chunk is to be carried out than the policy tells.
    """
    check_execute(policy, plan.execute)
    with _held(directory, plan):
        if not (directory / RECORDS).exists():
            (directory / PARTS).mkdir(exist_ok=True)
            for batch in _batches(plan):
                part = directory / PARTS / batch.file
                if not part.exists():
                    write_records(part, _driven(policy, plan, batch))
                watch(f"{batch.cell} {batch.control}", len(batch.seeds))
            parts = [(directory / PARTS / batch.file).read_text("utf-8") for batch in _batches(plan)]
            write_text(directory / RECORDS, "".join(parts))
        shutil.rmtree(directory / PARTS, ignore_errors=True)
        return tuple(read_records(directory / RECORDS))


@contextmanager
def _held(directory: Path, plan: Plan) -> Iterator[None]:
    """Keep others out of the directory, whose plan this is from now on."""
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
    with exclusive(directory / ".lock"):
        begun, file = plan.to_json(), directory / PLAN
        if file.exists() and _begun(file) != begun:
            remedy = "Name another --out, or delete this directory."
            raise OutputError("holds the evaluation of another policy or plan", where=directory, remedy=remedy)
        if not file.exists() and any(path.name != ".lock" for path in directory.iterdir()):
            raise OutputError("holds something else", where=directory, remedy="Name another --out.")
        write_json(file, begun)
        yield


def _begun(file: Path) -> object:
    try:
        return json.loads(file.read_text("utf-8"))
    except ValueError as error:
        remedy = "Delete the directory and evaluate again, or name another --out."
        raise OutputError(f"no plan of an evaluation ({error})", where=file, remedy=remedy) from None


def _batches(plan: Plan) -> Iterator[_Batch]:
    for cell, seeds in plan.suite.seeds(plan.seed, plan.episodes):
        for name in plan.controls:
            firsts = _firsts(len(seeds))
            for first, after in zip(firsts, [*firsts[1:], len(seeds)], strict=True):
                yield _Batch(cell, name, first, seeds[first:after])


def _firsts(episodes: int) -> list[int]:
    """Return with which episodes batches begin. None is left alone: `shuffled-image` shows it another's frames."""
    firsts = list(range(0, episodes, BATCH))
    return firsts[:-1] if len(firsts) > 1 and episodes % BATCH == 1 else firsts


def _driven(policy: Policy, plan: Plan, batch: _Batch) -> list[Record]:
    tasks = [batch.cell.task(seed) for seed in batch.seeds]
    if batch.control == CHANCE:
        return _by_chance(batch.cell, tasks)
    changed = control(batch.control)
    words = batch.rng(plan.seed, "words")
    trials = [trial for task in tasks if (trial := changed.trial(task, batch.cell.split, words)) is not None]
    if not trials:
        return []
    asked = [trial.task for trial in trials]
    rng = batch.rng(plan.seed, "policy")
    told = [trial.told for trial in trials]
    ensemble = None if plan.ensemble is None else TemporalEnsemble(plan.ensemble)
    with backend_of(plan.backend, asked) as backend:
        drives = run_episodes(policy, asked, told, rng, changed.sight, plan.execute, backend, ensemble)
    return _records(batch.cell, changed, trials, drives)


def _by_chance(cell: Cell, tasks: Sequence[Task]) -> list[Record]:
    """Let the expert do what the control `shuffled` tells."""
    pairs = [(task, other) for task in tasks if (other := shuffled_instruction(task, cell.split)) is not None]
    if not pairs:
        return []
    trials = [Trial(task, canonical(other), other) for task, other in pairs]
    drives = drive_otherwise([task for task, _ in pairs], [other for _, other in pairs])
    return _records(cell, Control(CHANCE, lambda task, split, rng: None), trials, drives)


def _records(cell: Cell, changed: Control, trials: Sequence[Trial], drives: Drives) -> list[Record]:
    now, paths = drives.final, [drives.path(row) for row in range(len(trials))]
    measures = measure_all([trial.task for trial in trials], paths, now.success)
    return [
        Record(
            world=cell.world,
            family=cell.family,
            split=cell.split,
            seed=trial.task.seed,
            control=changed.name,
            instruction=canonical(trial.task.instruction),
            told=trial.told,
            sight=sight_of(trial.task),
            ending=_ending(now, row),
            success=bool(now.success[row]),
            progress=round(float(now.tracker.progress[row]), 4),
            steps=int(now.clock[row]),
            collisions=int(now.collisions[row]),
            wall_contacts=int(now.wall_contacts[row]),
            travelled=round(float(now.travelled[row]), 3),
            shortest=round(rehearsed_length(trial.task), 3),
            measures={"obeyed": float(obeyed(trial, paths[row], int(now.collisions[row]))), **measures[row]},
            path=tuple((round(x, 3), round(y, 3), round(yaw, 4)) for x, y, yaw in paths[row].tolist()),
        )
        for row, trial in enumerate(trials)
    ]


def _ending(now: Episodes, row: int) -> Ending:
    if now.success[row]:
        return "success"
    if now.crashed[row]:
        return "collision"
    return "time" if now.truncated[row] else "wrong stop"
