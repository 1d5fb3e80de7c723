"""The datasets that arms learn from, made once and shared: logs, and the same logs with labels.

| dataset | what | label sets |
|---|---|---|
| logs | robots that know no language drive about | |
| labelled | logs, by `embodied-cf relabel` as the demonstration has it | labels, decision, matched |
| learned | logs, as labelled, by the learned captioner | labels |
| cast | logs, by the published recipe (`benchmarks.cast.published`) | labels |
| exact | logs, as labelled, by a captioner that overlooks, invents and misplaces nothing | labels |
| demos | an expert, one instruction an episode (`benchmarks.cast.demonstrations`) | labels |
| exact-demos | the expert's states, as exact | labels |
| single, sparse, commands, believed, unturned | logs, as labelled but for one thing (`_CHANGED`) | labels |
"""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.cast.arm import (
    COMMANDS,
    DECISION,
    DEMOS,
    EXACT_DEMOS,
    MATCHED,
    SINGLE,
    SPARSE,
    UNTURNED,
    Arm,
)
from benchmarks.cast.cells import Cell
from benchmarks.cast.demonstrations import Demonstrations, demonstrate
from benchmarks.cast.labels import decision_rows, derived, matched_rows, told_rows, write_labels
from benchmarks.cast.published import published, unverified
from embodied_cf.datasets.streams import Source
from embodied_cf.envs.collect import CollectOptions, collect
from embodied_cf.evaluate.demo import LOOK_ROUND
from embodied_cf.language.instruction import FAMILIES, Family
from embodied_cf.policies.config import DeviceName
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel
from embodied_cf.vlm.faults import Faults

SEED = 0
"""Of logs, demonstrations and labels: cells differ in the seed of training."""
_FAULTLESS = Faults(omission=0.0, hallucination=0.0, jitter=0.0)
_CHANGED: Mapping[str, dict[str, Any]] = {
    SINGLE: {"per_observation": 1},
    SPARSE: {"stride": 8},
    COMMANDS: {"synthesizer": "primitive", "command_share": 1.0, "look_round": 0.0},
    UNTURNED: {"look_round": 0.0},
}
"""Options of relabelling in which a dataset differs from `labelled`."""


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
                write_labels(options, published(replace(options, look_round=0.0)))
            case "exact":
                relabel(replace(self._options(name, "logs"), scene=_FAULTLESS))
            case "demos":
                options = self._options(name, "spoken")
                write_labels(options, derived(options, told_rows, {"rows": "told"}))
            case "exact-demos":
                relabel(replace(self._options(name, "spoken"), scene=_FAULTLESS))
            case "believed":
                options = self._options(name, "logs")
                write_labels(options, unverified(options))
            case _:
                relabel(replace(self._options(name, "logs"), **_CHANGED[name]))

    def _options(self, name: str, source: str, label_set: str = "labels") -> RelabelOptions:
        """Return the options of the demonstration's labels, for the families that are evaluated.

        Policies are told chains part by part, and a part may be of any other family.
        """
        parts = tuple(name for name in FAMILIES if name != "chained")
        return RelabelOptions(
            self.get(source),
            self._directory(name),
            captioner="scene",
            synthesizer="goal",
            label_set=label_set,
            seed=SEED,
            families=parts if "chained" in self.families else self.families,
            command_share=0.1,
            per_observation=8,
            look_round=LOOK_ROUND,
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
            found.append(
                Source(
                    directory, None, share.weight, (share.kind,), (share.label_set,), share.min_score,
                    stop_at_end=share.stop_at_end,
                )
            )  # fmt: skip
    return tuple(found)
