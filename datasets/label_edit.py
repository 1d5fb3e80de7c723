"""Label sets as a whole: list, filter, merge, drop. Each writes a new dataset; the source is never modified."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embodied_cf.datasets import metadata
from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import KINDS, Labels
from embodied_cf.datasets.features import load_tree
from embodied_cf.datasets.files import atomic_directory, exclusive, json_line, lock_beside, refuse_inside, write_text
from embodied_cf.datasets.label_statistics import LabelSetSummary, LabelTally
from embodied_cf.datasets.label_store import (
    belongs_to,
    decode_labels,
    encode_labels,
    hindsight_texts,
    set_key,
    set_names,
)
from embodied_cf.datasets.rlds import RldsDataset, Shard, open_dataset
from embodied_cf.datasets.shards import ShardWriter, read_records
from embodied_cf.datasets.wire import WireError, without_keys
from embodied_cf.errors import DatasetError, RecordError, UsageError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict

Edit = Callable[[str, bytes], bytes]
"""(episode id, record) to record."""


@dataclass(frozen=True)
class Filter:
    """Which labels stay: all conditions must hold."""

    min_score: float = 0.0
    kinds: tuple[str, ...] = KINDS
    rejected: frozenset[tuple[str, str, int, int, str, str]] = frozenset()
    """Rows that a reader turned down: episode id, kind, start, end, instruction, command."""

    def keep(self, episode_id: str, labels: Labels) -> Labels:
        """Return the labels that stay."""
        keys = zip(
            labels.kind,
            labels.start.tolist(),
            labels.end.tolist(),
            labels.instruction,
            labels.command,
            labels.score.tolist(),
            strict=True,
        )
        stay = [
            kind in self.kinds
            and score >= self.min_score
            and (episode_id, kind, start, end, text, command) not in self.rejected
            for kind, start, end, text, command, score in keys
        ]
        return labels.take(np.array(stay, bool))


def read_decisions(path: Path, label_set: str) -> frozenset[tuple[str, str, int, int, str, str]]:
    """Return the rejected rows of a decisions.jsonl that the report saved. Raises UsageError naming a bad line."""
    rejected = set()
    try:
        with open(path, encoding="utf-8") as file:
            lines = list(file)  # which a newline ends, and not, as for splitlines, U+2028 in a text
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"cannot be read ({reason})", where=path) from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if row["label_set"] == label_set and row["decision"] == "reject":
                rejected.add(
                    (
                        row["episode"],
                        row["kind"],
                        row["start"],
                        row["end"],
                        row["instruction"],
                        row["command"],
                    )
                )
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"not a decision ({error})",
                where=f"{path}, line {number}",
                remedy="Use the file that the report's `Save decisions` made.",
            ) from error
    return frozenset(rejected)


def summarise_sets(dataset: RldsDataset) -> list[LabelSetSummary]:
    """Return a summary of each label set, streaming the whole dataset."""
    tallies = {name: LabelTally(name) for name in set_names(dataset.features)}
    for episode_id, record in dataset.records():
        columns = _columns(dataset, episode_id, record)
        if columns is None:
            continue
        for name, tally in tallies.items():
            tally.add(decode_labels(columns, name), _steps(columns))
    return [tally.summary() for tally in tallies.values()]


def drop_set(source: Path, out: Path, name: str) -> None:
    """Write the dataset without a label set. Dropping the only one gives back the original records, bit by bit."""
    dataset = _having(source, name)
    tree = metadata.without_label_set(dataset.path, name)
    _rewrite(
        dataset,
        out,
        tree,
        lambda _, record: _without(record, name),
        {"operation": "drop", "label_set": name},
    )


@dataclass(frozen=True)
class Filtered:
    """What a filter did: labels before and after, and decisions that name no label of the dataset."""

    before: int
    kept: int
    unmatched: int


def filter_set(source: Path, out: Path, name: str, rule: Filter) -> Filtered:
    """Write the dataset with only the labels of a set that a rule keeps, and return how many those are."""
    dataset = _having(source, name)
    counts: Counter[str] = Counter()

    def edit(episode_id: str, record: bytes) -> bytes:
        columns = _columns(dataset, episode_id, record)
        if columns is None:
            return record
        labels = decode_labels(columns, name)
        kept = rule.keep(episode_id, labels)
        counts.update(before=len(labels), kept=len(kept), matched=len(rule.rejected & _keys(episode_id, labels)))
        return _with_labels(record, name, kept, _steps(columns))

    said = {
        "operation": "filter",
        "label_set": name,
        "min_score": rule.min_score,
        "kinds": list(rule.kinds),
        "rejected_by_hand": len(rule.rejected),
    }
    _rewrite(dataset, out, load_tree(dataset.path), edit, said)
    return Filtered(counts["before"], counts["kept"], len(rule.rejected) - counts["matched"])


def _keys(episode_id: str, labels: Labels) -> set[tuple[str, str, int, int, str, str]]:
    """Return what decisions.jsonl calls the labels of an episode."""
    columns = (labels.kind, labels.start.tolist(), labels.end.tolist(), labels.instruction, labels.command)
    return {(episode_id, *row) for row in zip(*columns, strict=True)}


@dataclass(frozen=True)
class Merged:
    """What a merge did: labels that either had, and those that both together have."""

    first: int
    second: int
    together: int


def merge_sets(first: Path, second: Path, out: Path, name: str, second_name: str | None = None) -> Merged:
    """Write `first` with the rows of a label set of `second` added to its own; equal rows are kept once.

    Both must label the same records. `second_name` is the set's name there, if it differs. Raises
    DatasetError where the records or the chunk shapes differ.
    """
    one, other = open_dataset(first), _having(second, second_name or name)
    others, counts = other.records(), Counter[str]()
    tree, said = (
        _merged_tree(one, other, name, second_name or name),
        {"operation": "merge", "label_set": name},
    )

    def edit(episode_id: str, record: bytes) -> bytes:
        their_id, theirs = next(others, ("", b""))
        if _bare(record, one) != _bare(theirs, other):
            raise DatasetError(
                "the two datasets do not label the same records",
                where=f"{episode_id} and {their_id}",
                remedy="Merge label sets that were made from one source.",
            )
        columns = _columns(one, episode_id, record)
        if columns is None:
            return record
        added = decode_labels(Columns(theirs, other.features, their_id), second_name or name)
        own = [decode_labels(columns, name)] if name in set_names(one.features) else []
        both = _distinct(Labels.concatenate([*own, added]))
        counts.update(first=sum(map(len, own)), second=len(added), together=len(both))
        return _with_labels(record, name, both, _steps(columns))

    def all_met() -> None:
        left = next(others, None)
        if left is not None:
            raise DatasetError(
                "the second dataset labels more records",
                where=left[0],
                remedy="Merge label sets that were made from one source, of equally many of its episodes.",
            )

    _rewrite(one, out, tree, edit, said, other.path / "labels", last=all_met)
    return Merged(counts["first"], counts["second"], counts["together"])


def _having(path: Path, name: str) -> RldsDataset:
    dataset = open_dataset(path)
    names = set_names(dataset.features)
    if name not in names:
        raise UsageError(f"no label set {name!r}", where=path, remedy=f"It has: {', '.join(names) or 'none'}.")
    return dataset


def _merged_tree(one: RldsDataset, other: RldsDataset, name: str, other_name: str) -> "FeaturesDict":
    shape = other.features[f"{set_key(other_name)}/action"].shape
    if name not in set_names(one.features):
        return metadata.with_label_set(one.path, name, int(shape[1] or 0), int(shape[2] or 0))
    here = one.features[f"{set_key(name)}/action"].shape
    if here != shape:
        raise DatasetError(f"chunks of shape {here[1:]} and {shape[1:]} do not go together", where=other.path)
    return load_tree(one.path)


def _bare(record: bytes, dataset: RldsDataset) -> bytes:
    return _without(record, *set_names(dataset.features))


def _columns(dataset: RldsDataset, episode_id: str, record: bytes) -> Columns | None:
    """Return a record's columns, None if it is no Example: relabelling passed it through, and it holds no labels."""
    try:
        return Columns(record, dataset.features, episode_id)
    except RecordError:
        return None


def _steps(columns: Columns) -> int:
    """Return the number of steps; 0, as relabelling counts a quarantined episode, if the record does not tell."""
    try:
        return columns.steps
    except RecordError:
        return 0


def _without(record: bytes, *names: str) -> bytes:
    """Return a record less some label sets."""
    try:
        return without_keys(record, lambda key: any(belongs_to(name, key) for name in names))
    except WireError:  # no Example: behind it stand sets without labels, the newest last
        for name in names * len(names):
            record = record.removesuffix(encode_labels(name, Labels.empty(1, 1), ()))
        return record


def _with_labels(record: bytes, name: str, labels: Labels, steps: int) -> bytes:
    return _without(record, name) + encode_labels(name, labels, hindsight_texts(labels, steps))


def _distinct(labels: Labels) -> Labels:
    rows: dict[tuple[Any, ...], int] = {}
    for row in range(len(labels)):
        key = (
            labels.kind[row],
            int(labels.start[row]),
            int(labels.end[row]),
            labels.instruction[row],
            labels.command[row],
            labels.action[row].tobytes(),
        )
        rows.setdefault(key, row)
    return labels.take(list(rows.values()))


def _rewrite(
    dataset: RldsDataset,
    out: Path,
    tree: "FeaturesDict",
    edit: Edit,
    said: Mapping[str, Any],
    *more_labels: Path,
    last: Callable[[], None] = lambda: None,
) -> None:
    """Write every record edited, with metadata, views, and the history of labels continued.

    `last` is called when all are written, and may refuse them yet.
    """
    for source in (dataset.path, *(folder.parent for folder in more_labels)):
        refuse_inside(source, out)
    with exclusive(lock_beside(out)), atomic_directory(out) as directory:
        written = {
            split: [_rewrite_shard(dataset, shard, directory, edit) for shard in shards]
            for split, shards in dataset.splits.items()
        }
        last()
        metadata.write_features(tree, directory)
        metadata.carry_over(dataset.path, directory, [shard.name for shard in dataset.shards()])
        sizes = {split: [(row["records"], row["num_bytes"]) for row in rows] for split, rows in written.items()}
        metadata.write_info(dataset.path, directory, sizes)
        metadata.link_view(directory, tree, [shard.name for shard in dataset.shards()])
        _continue_history(dataset.path / "labels", directory / "labels", said, written, more_labels)


def _rewrite_shard(dataset: RldsDataset, shard: Shard, directory: Path, edit: Edit) -> dict[str, Any]:
    with ShardWriter(directory / shard.name, dataset.file_format) as writer:
        for record in read_records(shard.path, dataset.file_format):
            writer.write(edit(dataset.episode_id(shard, record.index), record.data))
    return {
        "shard": shard.name,
        "records": writer.records,
        "num_bytes": writer.num_bytes,
        "sha256_out": writer.sha256,
    }


def _continue_history(
    old: Path,
    new: Path,
    said: Mapping[str, Any],
    written: Mapping[str, Sequence[Mapping[str, Any]]],
    more: Sequence[Path],
) -> None:
    for name in ("rejected", "quarantine"):
        write_text(new / f"{name}.jsonl", _text(old / f"{name}.jsonl"))
    rows = {line for folder in (old, *more) for line in _text(folder / "provenance.jsonl").splitlines(keepends=True)}
    write_text(new / "provenance.jsonl", "".join(sorted(rows)))
    edits = [json_line({"type": "edit", **said, **row}) for shards in written.values() for row in shards]
    write_text(new / "manifest.jsonl", _text(old / "manifest.jsonl") + "".join(edits))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
