"""Everything that an inspection says of a dataset, as frozen data."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embodied_cf.datasets.health_issues import Finding
from embodied_cf.datasets.label_statistics import LabelSetSummary
from embodied_cf.datasets.looks import CameraSummary
from embodied_cf.datasets.motion_statistics import MotionSummary
from embodied_cf.datasets.statistics import LanguageSummary, LengthSummary, NumberSummary


@dataclass(frozen=True)
class SplitSummary:
    """One split: what dataset_info.json promises, and what was counted."""

    name: str
    shards: int
    promised: int
    episodes: int
    """Records that could be read."""
    broken: int
    steps: int


@dataclass(frozen=True)
class FeatureRow:
    """One line of the feature table. `shape` is that of one step for per-step features; None is any length."""

    key: str
    dtype: str
    shape: tuple[int | None, ...]
    role: str
    description: str


@dataclass(frozen=True)
class Inspection:
    """Everything that `embodied-cf inspect` says of a dataset."""

    path: Path
    name: str
    version: str
    file_format: str
    spec: str
    """Name of the spec that it was read by, "" if none."""
    splits: tuple[SplitSummary, ...]
    features: tuple[FeatureRow, ...]
    numbers: tuple[NumberSummary, ...]
    lengths: LengthSummary | None
    language: tuple[LanguageSummary, ...]
    cameras: tuple[CameraSummary, ...]
    motion: MotionSummary | None
    """None without a spec that fits."""
    label_sets: tuple[LabelSetSummary, ...]
    findings: tuple[Finding, ...]

    @property
    def episodes(self) -> int:
        """Episodes that could be read."""
        return sum(split.episodes for split in self.splits)

    @property
    def steps(self) -> int:
        """Steps of all episodes."""
        return sum(split.steps for split in self.splits)

    @property
    def fails_strict(self) -> bool:
        """Whether an error or warning stands, which `--strict` answers with exit code 2."""
        return any(finding.severity != "info" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values; numbers that do not exist (the mean of nothing) are null."""
        plain = _plain(dataclasses.asdict(self))
        told = [
            {
                **_plain(dataclasses.asdict(finding)),
                "severity": finding.severity,
                "name": finding.issue.name,
                "counted": finding.issue.counted,
                "meaning": finding.issue.meaning,
                "remedy": finding.issue.remedy,
            }
            for finding in self.findings
        ]
        totals = {"episodes": self.episodes, "steps": self.steps, "fails_strict": self.fails_strict}
        return {**plain, "findings": told, **totals}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
