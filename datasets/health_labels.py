"""Health checks of label sets: schema version, rows against episode and provenance, per-step texts."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import SCHEMA_VERSION, Labels
from embodied_cf.datasets.features import Features
from embodied_cf.datasets.health_issues import Hit
from embodied_cf.datasets.health_strict import check_label_columns
from embodied_cf.datasets.label_store import decode_labels, set_key, set_names, step_text_key
from embodied_cf.errors import RecordError

_VERSION = re.compile(r"schema version (\d+)")


@dataclass(frozen=True)
class LabelSource:
    """What is known of the dataset's label sets before a record is read."""

    names: tuple[str, ...]
    """Sets that this version can read."""
    sources: frozenset[str] | None
    """Sources in labels/provenance.jsonl, None if there is no such file."""


def open_labels(directory: Path, features: Features, documents: Mapping[str, str]) -> tuple[LabelSource, list[Hit]]:
    """Return the readable label sets of a dataset, and what is wrong with sets and provenance as a whole.

    `documents` maps a set's top-level key to its description in features.json, which says the schema version.
    """
    names = set_names(features)
    newer = [name for name in names if schema_version(documents.get(set_key(name), "")) > SCHEMA_VERSION]
    hits = [Hit("E806", f"{name}: {documents[set_key(name)]}") for name in newer]
    file = directory / "labels" / "provenance.jsonl"
    sources: set[str] | None = None
    if names and file.is_file():
        sources, wrong = _read_provenance(file)
        hits += [Hit("E804", f"line {line}") for line in wrong]
    elif names:
        hits.append(Hit("I807", ", ".join(names), len(names)))
    columns = {name: list(check_label_columns(features, name)) for name in names if name not in newer}
    hits += [hit for found in columns.values() for hit in found]
    readable = tuple(name for name, found in columns.items() if not found)
    return LabelSource(readable, None if sources is None else frozenset(sources)), hits


def schema_version(description: str) -> int:
    """Return the schema version that a label set's description states, 1 if it states none."""
    match = _VERSION.search(description)
    return int(match[1]) if match else 1


def _read_provenance(file: Path) -> tuple[set[str], list[int]]:
    """Return the sources of all rows, and the numbers of lines whose row has another hash."""
    sources, wrong = set(), []
    with open(file, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                sources.add(row["source"])
                intact = hashlib.sha256(row["row"].encode()).hexdigest()[:16] == row["source"]
            except (ValueError, KeyError, TypeError, AttributeError):
                intact = False
            if not intact:
                wrong.append(number)
    return sources, wrong


def read_labels(columns: Columns, name: str) -> Labels | Hit:
    """Return a record's label set, or what it breaks."""
    try:
        return decode_labels(columns, name)
    except (RecordError, ValueError) as error:
        return Hit("E801", f"{name}: {error.what if isinstance(error, RecordError) else error}")


def check_labels(name: str, labels: Labels, steps: int, sources: frozenset[str] | None) -> Iterator[Hit]:
    """Rows against the episode and the provenance. A counterfactual future may outlast the episode."""
    counterfactual = np.array([kind == "counterfactual" for kind in labels.kind], bool)
    outside = np.flatnonzero((labels.start >= steps) | (~counterfactual & (labels.end > steps)))
    if len(outside):
        first = int(outside[0])
        place = f"{name} row {first}: [{labels.start[first]}, {labels.end[first]}) of {steps} steps"
        yield Hit("E802", place, len(outside), int(labels.start[first]))
    unknown = [] if sources is None else [source for source in labels.source if source not in sources]
    if unknown:
        yield Hit("E803", f"{name}: {unknown[0]!r}", len(unknown))


def check_step_texts(columns: Columns, name: str, steps: int) -> Iterator[Hit]:
    """One hindsight text per step."""
    key = step_text_key(name)
    try:
        texts = len(columns.array(key)) if columns.has(key) else 0
    except RecordError as error:
        yield Hit("E104", error.what)
        return
    if texts != steps:
        yield Hit("E805", f"{key} has {texts} texts for {steps} steps")
