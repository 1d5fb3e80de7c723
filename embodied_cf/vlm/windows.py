"""Which frames are looked at together."""

Range = tuple[int, int]
"""Steps [start, end)."""


def described_steps(length: int, every: int) -> tuple[int, ...]:
    """Return every `every`-th step of an episode of `length` steps, the last one always included.

    >>> described_steps(8, 3)
    (0, 3, 6, 7)
    """
    return (*range(0, length - 1, every), length - 1) if length else ()


def windows(length: int, window: int, stride: int) -> tuple[Range, ...]:
    """Return ranges [start, end) of `window` steps, `stride` apart, that cover each of `length` steps.

    The last one is moved back to end at `length` rather than cut short. Needs 1 <= stride <= window.

    >>> windows(23, 10, 5)
    ((0, 10), (5, 15), (10, 20), (13, 23))
    """
    if length <= window:
        return ((0, length),) if length else ()
    return tuple((start, start + window) for start in (*range(0, length - window, stride), length - window))


def overlap(span: Range, window: Range) -> Range | None:
    """Return the part of `span` inside `window`, or None if they share no step."""
    start, end = max(span[0], window[0]), min(span[1], window[1])
    return (start, end) if start < end else None
