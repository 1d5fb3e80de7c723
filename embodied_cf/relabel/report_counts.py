"""The numbers of a finished run, summed over its manifest; nothing here looks at an episode."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from embodied_cf.datasets.contract import KINDS
from embodied_cf.datasets.files import disk_errors
from embodied_cf.relabel.output import Output

_READ_LIMIT = 64 << 20
"""Bytes of rejected.jsonl that are read for reasons and examples; the total comes from the manifest."""
_EXAMPLES = 3
_LISTED = 20
_INFEASIBLE = "infeasible: "


@dataclass
class _Reason:
    count: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)


def count_run(output: Output, source: Path) -> dict[str, Any]:
    """Return the run's counts as JSON-able data; `source` is the directory of the dataset that was labelled."""
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    dropped: list[dict[str, Any]] = []
    for row in output.rows():
        counts.update(row["counts"])
        sums.update(shards=1, episodes=row["records"], quarantined=row["quarantined"], rejected=row["rejected"])
        sums["dropped"] += len(row["dropped"])
        dropped += [{"shard": row["shard"], **item} for item in row["dropped"][: _LISTED - len(dropped)]]
    return {
        "episodes": sums["episodes"],
        "shards": sums["shards"],
        "steps": counts["steps"],
        **_labels(counts),
        "infeasible": _infeasible(counts),
        "rejected": {"total": sums["rejected"], **_reasons(output.labels / "rejected.jsonl", _earlier(source))},
        "quarantined": {"total": sums["quarantined"], "first": _quarantine(output.labels, source)},
        "dropped_records": {"total": sums["dropped"], "first": dropped},
    }


def _labels(counts: Mapping[str, int]) -> dict[str, Any]:
    steps, branches = counts["steps"], counts["branch points"]
    kinds = {kind: _kind(counts, kind) for kind in KINDS}
    return {
        "labels": kinds,
        "labels_total": sum(row["total"] for row in kinds.values()),
        "unknown_share": _share(
            sum(row["unknown"] for row in kinds.values()), sum(row["total"] for row in kinds.values())
        ),
        "uncovered_steps": counts["uncovered steps"],
        "coverage": _share(steps - counts["uncovered steps"], steps),
        "branch_points": branches,
        "branch_points_without_counterfactual": counts["branch points without counterfactual"],
        "counterfactuals_per_branch_point": _share(kinds["counterfactual"]["total"], branches),
    }


def _kind(counts: Mapping[str, int], kind: str) -> dict[str, Any]:
    passed, unknown = counts[f"{kind} pass"], counts[f"{kind} unknown"]
    return {
        "total": passed + unknown,
        "pass": passed,
        "unknown": unknown,
        "unknown_share": _share(unknown, passed + unknown),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _infeasible(counts: Mapping[str, int]) -> dict[str, int]:
    found = {key.removeprefix(_INFEASIBLE): n for key, n in counts.items() if key.startswith(_INFEASIBLE)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _reasons(path: Path, skip: Mapping[str, int]) -> dict[str, Any]:
    """Return the rejections by reason, most frequent first, each with its first examples."""
    reasons: dict[str, _Reason] = {}
    size = 0
    for line in _lines(path, skip[path.name]):
        size += len(line)
        if size > _READ_LIMIT:
            break
        row = json.loads(line)
        reason = reasons.setdefault(row["reason"], _Reason())
        reason.count += 1
        if len(reason.examples) < _EXAMPLES:
            reason.examples.append(row)
    ranked = sorted(reasons.items(), key=lambda item: (-item[1].count, item[0]))
    return {
        "by_reason": {name: {"count": item.count, "examples": item.examples} for name, item in ranked},
        "all_read": size <= _READ_LIMIT,
    }


def _quarantine(labels: Path, source: Path) -> list[dict[str, Any]]:
    lines = _lines(labels / "quarantine.jsonl", _earlier(source)["quarantine.jsonl"])
    return [json.loads(line) for line in islice(lines, _LISTED)]


def _earlier(source: Path) -> dict[str, int]:
    """Return how many bytes of each joined file belong to label sets that the source had before: they come first."""
    files = [source / "labels" / f"{name}.jsonl" for name in ("rejected", "quarantine")]
    return {file.name: file.stat().st_size if file.is_file() else 0 for file in files}


def _lines(path: Path, skip: int) -> Iterator[bytes]:
    with disk_errors(path), open(path, "rb") as file:
        file.seek(skip)
        yield from file
