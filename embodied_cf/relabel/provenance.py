"""Where a label comes from: a row per way of making labels, named by its own hash."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from embodied_cf import __version__


@dataclass(frozen=True)
class Provenance:
    """Hands out the sources of a run's labels and remembers the rows behind them.

    A row says kind, command, reason, and the identities of the stages (captioner and model, prompt hashes,
    proposer, synthesizer, verifier), the seed and this package's version. Scores stand in the labels themselves.
    """

    stages: Mapping[str, object]
    rows: dict[str, str] = field(default_factory=dict)
    """JSON text of each row by its source."""
    _known: dict[tuple[str, str, str], str] = field(default_factory=dict, repr=False)

    @cached_property
    def _head(self) -> dict[str, object]:
        return {**self.stages, "version": __version__}

    def of(self, kind: str, command: str, reason: str) -> str:
        """Return the source: the first 16 hex digits of the sha256 of the provenance row."""
        key = (kind, command, reason)
        if key not in self._known:
            row = json.dumps(
                {**self._head, "kind": kind, "command": command, "reason": reason}, sort_keys=True, ensure_ascii=False
            )
            source = hashlib.sha256(row.encode()).hexdigest()[:16]
            self.rows[source], self._known[key] = row, source
        return self._known[key]

    def of_all(self, kind: str, commands: tuple[str, ...], reasons: tuple[str, ...]) -> tuple[str, ...]:
        """Return the source of each (command, reason) pair."""
        pairs = list(zip(commands, reasons, strict=True))
        source = {pair: self.of(kind, *pair) for pair in set(pairs)}
        return tuple([source[pair] for pair in pairs])

    def lines(self, sources: Iterable[str]) -> Iterator[str]:
        """Yield lines of provenance.jsonl for some sources, in order; the sha256 of `row` begins with the source."""
        for source in sorted(sources):
            yield json.dumps({"source": source, "row": self.rows[source]}, ensure_ascii=False) + "\n"
