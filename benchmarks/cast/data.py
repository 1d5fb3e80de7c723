"""The datasets that arms learn from, made once and shared: logs, and the same logs with labels.

| dataset | what | label sets |
|---|---|---|
| logs | robots that know no language drive about | |
| labelled | logs, by `embodied-cf relabel` as the demonstration has it | labels, decision, matched |
| learned | logs, as labelled, by the learned captioner | labels |
| cast | logs, by the published recipe (`benchmarks.cast.published`) | labels |
| exact | labelled, and what the true map says (`benchmarks.cast.oracle`) | those of labelled, all |
| demos | an expert, one instruction an episode (`benchmarks.cast.demonstrations`) | labels |
| exact-demos | demos, and what the true map says | labels, all |
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.cast.arms import ALL, DECISION, DEMOS, EXACT_DEMOS, MATCHED, Arm
from benchmarks.cast.cells import Cell
from benchmarks.cast.demonstrations import Demonstrations, demonstrate
from benchmarks.cast.labels import decision_rows, derived, matched_rows, told_rows, write_labels
from benchmarks.cast.oracle import Exact
from benchmarks.cast.published import published
from embodied_cf.datasets.streams import Source
from embodied_cf.envs.collect import CollectOptions, collect
from embodied_cf.language.instruction import Family
from embodied_cf.policies.config import DeviceName
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel

SEED = 0
"""Of logs, demonstrations and labels: cells differ in the seed of training."""


@dataclass(frozen=True)
class Means:
    """Where cells are made, and with what."""

    work: Path
    """Scratch directory."""
    workers: int = 1
    """Processes that make labels."""
    device: DeviceName = "cpu"
    """What trains, and what drives."""


@dataclass(frozen=True)
class Shelf:
    """Datasets of one world and bias. Each is made when it is asked for and not there yet."""

    means: Means
    world: str
    families: tuple[Family, ...]
    logs: int
    bias: float | None

    def get(self, name: str) -> Path:
        """Return the directory of a dataset, finished."""
        directory = self._directory(name)
        last = "dataset_info.json" if name in ("logs", "spoken") else "labels/manifest.jsonl"
        with alone(directory.with_name(f".{name}.lock")):
            if not (directory / last).exists():
                self._make(name)
        return directory

    def _make(self, name: str) -> None:
        match name:
            case "logs":
                assert self.bias is not None
                collect(self._directory(name), CollectOptions(self.world, self.logs, SEED, bias=self.bias))
            case "spoken":
                demonstrate(self._directory(name), Demonstrations(self.world, self.families, self.logs, SEED))
            case _:
                self._label(name)

    def _label(self, name: str) -> None:
        exact = Exact(self.families)
        match name:
            case "first":
                relabel(self._options(name, "logs"))
            case "second":
                options = self._options(name, "first", DECISION)
                write_labels(options, derived(options, decision_rows, {"rows": "decision"}))
            case "labelled":
                options = self._options(name, "second", MATCHED)
                write_labels(options, derived(options, matched_rows, {"rows": "matched"}))
            case "learned":
                relabel(replace(self._options(name, "logs"), captioner="learned"))
            case "cast":
                options = self._options(name, "logs")
                write_labels(options, published(options))
            case "exact":
                options = self._options(name, "labelled", ALL)
                write_labels(options, derived(options, exact, exact.identity))
            case "demos":
                options = self._options(name, "spoken")
                write_labels(options, derived(options, told_rows, {"rows": "told"}))
            case "exact-demos":
                options = self._options(name, "demos", ALL)
                write_labels(options, derived(options, exact, exact.identity))

    def _options(self, name: str, source: str, label_set: str = "labels") -> RelabelOptions:
        """Return the options of the demonstration's labels, for the families that are evaluated."""
        return RelabelOptions(
            self.get(source),
            self._directory(name),
            captioner="scene",
            synthesizer="goal",
            label_set=label_set,
            seed=SEED,
            families=self.families,
            command_share=0.1,
            per_observation=8,
            workers=self.means.workers,
        )

    def _directory(self, name: str) -> Path:
        about = "+".join(self.families) if name != "logs" else "any"
        bias = "" if self.bias is None else f"-bias{self.bias:g}"
        return self.means.work / "data" / f"{self.world}-{about}-{self.logs}{bias}" / name / "1.0.0"


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock file; wait while another process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sources(arm: Arm, cell: Cell, means: Means) -> tuple[Source, ...]:
    """Return what a cell is trained on, made first where it is not there; worlds have equal shares."""
    scope, found = cell.scope, []
    for world in scope.worlds:
        for share in arm.shares:
            bias = None if share.data in (DEMOS, EXACT_DEMOS) else cell.bias
            shelf = Shelf(means, world, scope.families, scope.logs, bias)
            directory = shelf.get(share.data).resolve()
            found.append(Source(directory, None, share.weight, (share.kind,), (share.label_set,)))
    return tuple(found)
