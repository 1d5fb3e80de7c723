"""What we tell models about the robot, and what we take from the words they answer."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from embodied_cf.errors import printable
from embodied_cf.vlm.captions import Box

Kind = Literal["nav", "arm"]

SMALLEST_SIDE_PX = 2.0
FARTHEST_PX = 1e6
LEAST_INSIDE = 0.5
"""Share of a box that must lie inside the image for the rest to be clipped as a slip."""


@dataclass(frozen=True)
class Robot:
    """How prompts speak of one kind of robot."""

    name: str
    verbs: tuple[str, ...]
    """First words that an instruction may have."""


_DRIVES = ("move", "go", "drive", "turn", "follow", "pass", "stop")
_HANDLES = (
    "move", "reach", "pick", "place", "put", "push", "pull", "lift", "lower", "open", "close", "turn", "stop",
)  # fmt: skip
ROBOTS: dict[str, Robot] = {
    "nav": Robot("a robot that drives over the ground", _DRIVES),
    "arm": Robot("a robot arm with a gripper", _HANDLES),
}


def tidy(text: str) -> str:
    """Return the text on one line, without control characters, quotes around it and full stop behind it."""
    return printable(" ".join(text.split())).strip("\"'` ").rstrip(".! ")


def complaint(instruction: str, verbs: Collection[str], longest: int) -> str:
    """Return what is wrong with the form of an instruction, or "".

    >>> complaint("proceed to the door", ("go", "move"), 12)
    'begins with none of: go, move'
    """
    words = instruction.split()
    if not words:
        return "empty"
    if len(words) > longest:
        return f"longer than {longest} words"
    if words[0].lower().rstrip(",") not in verbs:
        return f"begins with none of: {', '.join(verbs)}"
    return ""


def sound_box(box: Sequence[float] | None, width: int, height: int) -> Box | None:
    """Return the box clipped to an image of width × height pixels, or None if it makes no sense.

    Clipped: (-3, 10, 20, 30) becomes (0, 10, 20, 30). Dropped: corners in the wrong order, sides under 2
    pixels (what answers in 0..1 become), more than half outside the image (what answers in 0..1000 become).
    """
    if box is None or not all(abs(corner) < FARTHEST_PX for corner in box):
        return None
    x0, y0, x1, y1 = map(float, box)
    clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    across, down = clipped[2] - clipped[0], clipped[3] - clipped[1]
    if min(across, down) < SMALLEST_SIDE_PX or across * down < LEAST_INSIDE * (x1 - x0) * (y1 - y0):
        return None
    return clipped
