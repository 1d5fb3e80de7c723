"""The ledger: each look at the split `test` leaves a line, since who looks often enough finds what fits it."""

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embodied_cf.datasets.files import append_line

LEDGER = Path("docs/results/test_ledger.jsonl")
"""Of this project, from the root of a checkout."""


def note_look(file: Path, plan: Mapping[str, Any], success: Mapping[str, Any]) -> None:
    """Append what was looked at, by which code, and what was seen there by name."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    append_line(file, {"when": when, "code": revision(), "plan": plan, "success": success})


def revision() -> str:
    """Return the commit of the code, "" outside a clone."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()
