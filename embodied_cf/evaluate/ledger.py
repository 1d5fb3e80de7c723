"""The ledger: each look at the split `test` leaves a line, since who looks often enough finds what fits it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embodied_cf.datasets.files import append_line

LEDGER = Path("docs/results/test_ledger.jsonl")
"""Of this project, from the root of a checkout."""


def note_look(file: Path, plan: Mapping[str, Any], success: Mapping[str, Any]) -> None:
    """Append what was looked at, and what was seen there by name."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    append_line(file, {"when": when, "plan": plan, "success": success})
