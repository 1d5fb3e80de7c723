"""Labels as LeRobot's language columns (huggingface/lerobot, src/lerobot/datasets/language.py).

A hindsight label is a `subtask` and an atomic one a `motion` that begins at the label's first step: rows of
`language_persistent`, which stands whole at every frame of the episode. A counterfactual holds at one frame, so
it is an event there, of no style: what somebody could have said to the robot at that moment.
"""

from collections.abc import Sequence
from typing import Any

from embodied_cf.datasets.contract import Labels

_STYLES = {"hindsight": "subtask", "atomic": "motion"}


def language_columns(labels: Labels, timestamps: Sequence[float]) -> dict[str, list[list[dict[str, Any]]]]:
    """Return both language columns of an episode, one list of rows per frame."""
    persistent: list[dict[str, Any]] = []
    events: list[list[dict[str, Any]]] = [[] for _ in timestamps]
    for kind, start, text in zip(labels.kind, labels.start.tolist(), labels.instruction, strict=True):
        if kind == "counterfactual":
            events[start].append(_row("user", text, None))
        else:
            persistent.append({**_row("assistant", text, _STYLES[kind]), "timestamp": timestamps[start]})
    return {"language_persistent": [persistent] * len(timestamps), "language_events": events}


def _row(role: str, content: str, style: str | None) -> dict[str, Any]:
    return {"role": role, "content": content, "style": style, "camera": None, "tool_calls": None}
