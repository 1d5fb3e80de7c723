"""What a conversion did, and how work is cut into pieces that survive an interruption."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[int, int], None]
"""Told of (episodes, steps) converted since the last call."""
_SHARD_BYTES = 128 << 20


@dataclass(frozen=True)
class Converted:
    """A finished conversion. `notes` say what the target format could not hold."""

    out: Path
    episodes: int
    steps: int
    notes: tuple[str, ...] = ()
    left_out: int = 0
    """Episodes of the source that break the data contract, which no format can hold."""


def shards_of(sizes: Sequence[int]) -> list[range]:
    """Return runs of episodes of about 128 MiB each, from the expected bytes of every episode."""
    runs, start, held = [], 0, 0
    for at, size in enumerate(sizes):
        if at > start and held + size > _SHARD_BYTES:
            runs.append(range(start, at))
            start, held = at, 0
        held += size
    return [*runs, range(start, len(sizes))] if sizes else []
