"""What a robot did, as a timeline of atomic commands."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class Segments:
    """Consecutive half-open step ranges that cover an episode, each with its atomic command.

    `command` is "" where no command fits; `reason` then says why ("reverse", "mixed", ...).
    The ranges tile [0, T-1): each step that has a successor lies in exactly one segment.
    """

    start: Int[np.ndarray, " n"]
    end: Int[np.ndarray, " n"]
    command: tuple[str, ...]
    reason: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.command)

    def __iter__(self) -> Iterator[tuple[int, int, str]]:
        return iter(zip(self.start.tolist(), self.end.tolist(), self.command, strict=True))

    def runs(self) -> list[tuple[int, int, str]]:
        """Return the timeline with neighbours of the same command joined: (start, end, command)."""
        joined: list[tuple[int, int, str]] = []
        for start, end, command in self:
            if joined and joined[-1][2] == command:
                joined[-1] = (joined[-1][0], end, command)
            else:
                joined.append((start, end, command))
        return joined

    def commands_at(self, steps: Int[np.ndarray, " k"]) -> tuple[str, ...]:
        """Return the command in force at each step; "" beyond the last segment."""
        index = np.searchsorted(self.start, steps, side="right") - 1
        names = (*self.command, "")
        return tuple(names[i] for i in index.tolist())
