"""What `embodied-cf labels` takes. Nothing numerical is loaded before a verb runs."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from embodied_cf.datasets.kinds import KINDS, LabelKind

Positional = tyro.conf.Positional


@dataclass(frozen=True)
class ListSets:
    """List the label sets of a dataset."""

    dataset: Positional[Path]
    """Labelled dataset."""
    json: Path | None = None
    """Write the list here, for machines."""

    def run(self) -> int:
        """List and print."""
        from rich.console import Console
        from rich.table import Table

        from embodied_cf.datasets.files import write_json
        from embodied_cf.datasets.label_edit import summarise_sets
        from embodied_cf.datasets.rlds import open_dataset

        sets = summarise_sets(open_dataset(self.dataset))
        table = Table("label set", "labels", "kinds", "distinct instructions", "mean score")
        for row in sets:
            kinds = ", ".join(f"{count} {kind}" for kind, count in row.kinds.items())
            table.add_row(row.name, str(row.labels), kinds, str(row.instructions), f"{row.mean_score:.3f}")
        Console().print(table if sets else f"{self.dataset} has no label sets.")
        if self.json:
            write_json(self.json, [asdict(row) for row in sets])
        return 0


@dataclass(frozen=True)
class FilterSet:
    """Keep only some labels of a set, in a new dataset."""

    dataset: Positional[Path]
    """Labelled dataset."""
    out: Positional[Path]
    """Directory of the new dataset."""
    label_set: str = "labels"
    """Which set."""
    min_score: float = 0.0
    """Drop labels with a lower score."""
    kinds: tuple[LabelKind, ...] = KINDS
    """Keep labels of these kinds."""
    decisions: Path | None = None
    """File that the report's `Save decisions` made; what it rejects is dropped."""
    json: Path | None = None
    """Write what was done here, for machines."""

    def run(self) -> int:
        """Filter."""
        from embodied_cf.datasets.files import check_writable
        from embodied_cf.datasets.label_edit import Filter, filter_set, read_decisions

        check_writable(self.json)
        rejected = read_decisions(self.decisions, self.label_set) if self.decisions else frozenset()
        done = filter_set(self.dataset, self.out, self.label_set, Filter(self.min_score, self.kinds, rejected))
        _tell(self.json, self.out, f"kept {done.kept:,} of {done.before:,} labels", asdict(done))
        if done.unmatched:
            print(f"{done.unmatched:,} decisions name no label of this dataset; were they made on another report?")
        return 0


@dataclass(frozen=True)
class MergeSets:
    """Add the labels of another relabelled copy of the same data, in a new dataset."""

    dataset: Positional[Path]
    """Labelled dataset that the new one starts from."""
    other: Positional[Path]
    """Dataset with the same records whose labels are added."""
    out: Positional[Path]
    """Directory of the new dataset."""
    label_set: str = "labels"
    """Set that the labels go into; made if it does not exist."""
    other_set: str | None = None
    """Set that they come from, if its name differs."""
    json: Path | None = None
    """Write what was done here, for machines."""

    def run(self) -> int:
        """Merge."""
        from embodied_cf.datasets.files import check_writable
        from embodied_cf.datasets.label_edit import merge_sets

        check_writable(self.json)
        done = merge_sets(self.dataset, self.other, self.out, self.label_set, self.other_set)
        said = f"{done.together:,} labels of {done.first:,} and {done.second:,}, equal ones once"
        _tell(self.json, self.out, said, asdict(done))
        return 0


@dataclass(frozen=True)
class DropSet:
    """Remove a label set, in a new dataset."""

    dataset: Positional[Path]
    """Labelled dataset."""
    out: Positional[Path]
    """Directory of the new dataset."""
    label_set: str = "labels"
    """Which set."""
    json: Path | None = None
    """Write what was done here, for machines."""

    def run(self) -> int:
        """Drop."""
        from embodied_cf.datasets.files import check_writable
        from embodied_cf.datasets.label_edit import drop_set

        check_writable(self.json)
        drop_set(self.dataset, self.out, self.label_set)
        _tell(self.json, self.out, f"as before, without label set {self.label_set!r}", {"dropped": self.label_set})
        return 0


def _tell(json: Path | None, out: Path, said: str, done: dict[str, Any]) -> None:
    from embodied_cf.datasets.files import write_json

    print(f"{out}: {said}")
    if json:
        write_json(json, {"dataset": str(out), **done})


@dataclass(frozen=True)
class LabelSets:
    """List, filter, merge or drop label sets. The source is never modified."""

    action: (
        Annotated[ListSets, tyro.conf.subcommand("list")]
        | Annotated[FilterSet, tyro.conf.subcommand("filter")]
        | Annotated[MergeSets, tyro.conf.subcommand("merge")]
        | Annotated[DropSet, tyro.conf.subcommand("drop")]
    )

    def run(self) -> int:
        """Run the chosen action."""
        return self.action.run()
