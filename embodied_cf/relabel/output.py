"""The output directory of a run: whose it is, which shards are done, and how it is finished.

While a run is under way `OUT/labels/parts/` holds `run.json` (whose directory this is) and, for each finished
shard, a part: its row of the manifest, its rejected and quarantined rows and its provenance. A shard counts as
done when its part stands there, which is written after the shard itself. Finishing joins the parts in shard
order, so the result does not depend on who finished when; `manifest.jsonl` is written last of all and the parts
removed.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embodied_cf.datasets import metadata
from embodied_cf.datasets.files import atomic_path, disk_errors, json_line, refuse_inside, write_json, write_text
from embodied_cf.datasets.rlds import RldsDataset, Shard
from embodied_cf.errors import OutputError

JOINED = ("rejected", "quarantine", "provenance")
"""Files of OUT/labels that are joined from the parts."""


@dataclass(frozen=True)
class Output:
    """Paths and state of one output directory."""

    path: Path

    @property
    def labels(self) -> Path:
        """Directory of manifest, provenance and reports."""
        return self.path / "labels"

    @property
    def parts(self) -> Path:
        """Directory of what an unfinished run has done so far."""
        return self.labels / "parts"

    @property
    def manifest(self) -> Path:
        """The file whose presence says that the run is complete."""
        return self.labels / "manifest.jsonl"

    @property
    def complete(self) -> bool:
        """Whether every shard and all metadata are written."""
        return self.manifest.is_file()

    def claim(self, header: Mapping[str, Any], source: Path) -> None:
        """Make the directory this run's, or find that it is already. Raises OutputError if it is another's."""
        refuse_inside(source, self.path)
        standing = self._standing_header()
        if standing is None:
            if self.path.exists() and not self.path.is_dir():
                raise OutputError("it is a file", where=self.path, remedy="Choose another output directory.")
            if self.path.exists() and any(item.name != "labels" for item in self.path.iterdir()):
                raise OutputError(
                    "the directory is not empty and not a relabel run",
                    where=self.path,
                    remedy="Choose another output directory.",
                )
            write_json(self.parts / "run.json", header)
            return
        wanted = json.loads(json.dumps(header))
        differs = sorted(key for key in standing.keys() | wanted.keys() if standing.get(key) != wanted.get(key))
        if differs:
            raise OutputError(
                f"the directory holds another run, which differs in {', '.join(differs)}",
                where=self.path,
                remedy="Repeat its options to resume it, or choose another output directory.",
            )

    def part(self, shard: Shard) -> Path:
        """Return the file of a shard's part."""
        return self.parts / f"{shard.split}-{shard.index:05d}.part"

    def done(self, shard: Shard) -> bool:
        """Whether the shard is finished."""
        return self.part(shard).is_file()

    def finish(self, dataset: RldsDataset, shards: Sequence[Shard], label_set: str, horizon: int, width: int) -> None:
        """Write metadata, views, joined files and at last the manifest; then remove the parts."""
        parts = [self.part(shard) for shard in shards]
        rows = [_part_row(part) for part in parts]
        tree = metadata.with_label_set(dataset.path, label_set, horizon, width)
        metadata.carry_over(dataset.path, self.path, [shard.name for shard in dataset.shards()])
        metadata.write_features(tree, self.path)
        metadata.write_info(dataset.path, self.path, _sizes(rows))
        metadata.link_view(self.path, tree, [shard.name for shard in shards])
        for name in ("rejected", "quarantine"):
            self._join(name, parts, dataset)
        write_text(self.labels / "provenance.jsonl", _provenance(parts, dataset))
        header = json.loads((self.parts / "run.json").read_text(encoding="utf-8"))
        lines = [json_line({"type": "run", **header}), *(json_line({"type": "shard", **row}) for row in rows)]
        write_text(self.manifest, "".join(lines))
        self.tidy()

    def tidy(self) -> None:
        """Remove the parts of a complete run; a run killed while it did so left some."""
        with disk_errors(self.parts):
            if self.complete and self.parts.is_dir():
                shutil.rmtree(self.parts)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the manifest's shard rows."""
        for line in self.manifest.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["type"] == "shard":
                yield row

    def _standing_header(self) -> dict[str, Any] | None:
        if self.complete:
            first = json.loads(self.manifest.read_text(encoding="utf-8").split("\n", 1)[0])
            return {key: value for key, value in first.items() if key != "type"}
        run = self.parts / "run.json"
        return json.loads(run.read_text(encoding="utf-8")) if run.is_file() else None

    def _join(self, name: str, parts: Iterable[Path], dataset: RldsDataset) -> None:
        """Join the parts' lines of one kind, after those of label sets that the source already had."""
        before = dataset.path / "labels" / f"{name}.jsonl"
        with atomic_path(self.labels / f"{name}.jsonl") as temporary, open(temporary, "w", encoding="utf-8") as joined:
            if before.is_file():
                joined.write(before.read_text(encoding="utf-8", errors="replace"))
            for part in parts:
                joined.writelines(_part_lines(part, name))


def write_part(path: Path, row: Mapping[str, object], lines: Mapping[str, Iterable[str]]) -> None:
    """Write a shard's part: its manifest row, then its lines, each behind the name of the file it goes to."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as part:
        part.write(json_line(row))
        for name in JOINED:
            part.writelines(f"{name} {line}" for line in lines[name])


def _part_row(path: Path) -> dict[str, Any]:
    with open(path, encoding="utf-8") as part:
        row: dict[str, Any] = json.loads(part.readline())
    return row


def _part_lines(path: Path, name: str) -> Iterator[str]:
    with open(path, encoding="utf-8") as part:
        for line in part:
            kind, _, rest = line.partition(" ")
            if kind == name:
                yield rest


def _provenance(parts: Iterable[Path], dataset: RldsDataset) -> str:
    before = dataset.path / "labels" / "provenance.jsonl"
    rows = set(before.read_text("utf-8", "replace").splitlines(keepends=True)) if before.is_file() else set()
    return "".join(sorted(rows.union(*(_part_lines(part, "provenance") for part in parts))))


def _sizes(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[int, int]]]:
    sizes: dict[str, list[tuple[int, int]]] = {}
    for row in rows:
        sizes.setdefault(row["split"], []).append((row["records"], row["num_bytes"]))
    return sizes
