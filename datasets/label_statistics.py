"""What a label set holds, over a whole dataset."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from embodied_cf.datasets.contract import Labels
from embodied_cf.datasets.statistics import MOST_TEXTS


@dataclass(frozen=True)
class LabelSetSummary:
    """One label set: rows by kind, and how many different instructions one observation carries."""

    name: str
    labels: int
    kinds: Mapping[str, int]
    instructions: int
    """Different instructions; a lower bound beyond `MOST_TEXTS`."""
    balance: tuple[tuple[int, int], ...]
    """(different instructions that hold at a step, number of such steps)."""
    mean_score: float
    """0 for a set without labels."""


class LabelTally:
    """Counts the rows of one label set."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._kinds: Counter[str] = Counter()
        self._balance: Counter[int] = Counter()
        self._instructions: set[str] = set()
        self._score = 0.0

    def add(self, labels: Labels, steps: int) -> None:
        """Take in the labels of one episode of `steps` steps."""
        self._kinds.update(labels.kind)
        self._score += float(labels.score.sum(dtype=np.float64))
        if len(self._instructions) < MOST_TEXTS:
            self._instructions.update(labels.instruction)
        self._balance.update(instructions_per_step(labels, steps))

    def summary(self) -> LabelSetSummary:
        """Return the counts so far."""
        labels = self._kinds.total()
        return LabelSetSummary(
            self._name,
            labels,
            dict(sorted(self._kinds.items())),
            len(self._instructions),
            tuple(sorted(self._balance.items())),
            self._score / max(1, labels),
        )


def instructions_per_step(labels: Labels, steps: int) -> list[int]:
    """Return for each step how many different instructions hold there.

    A hindsight row over [0, 2) and a counterfactual row at 0 with another text, in 3 steps: [2, 1, 0].
    """
    said: list[set[str]] = [set() for _ in range(steps)]
    rows = zip(labels.kind, labels.start.tolist(), labels.end.tolist(), labels.instruction, strict=True)
    for kind, start, end, instruction in rows:
        for step in range(start, min(start + 1 if kind == "counterfactual" else end, steps)):
            said[step].add(instruction)
    return [len(texts) for texts in said]
