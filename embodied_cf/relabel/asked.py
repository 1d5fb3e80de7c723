"""What goals ask for, in numbers: the clauses of their instructions, and which things each is about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from embodied_cf.language.columns import Columns
from embodied_cf.language.instruction import FAMILIES, Instruction, clauses
from embodied_cf.language.predicate_program import FAR, MAX_CLAUSES, MAX_MATCHES, Programs, Rule, rule_of

PARTS = 2
"""Clauses of a chain that is proposed, at most."""
OBJECT, REFERENTIAL, CONTINUOUS, CHAINED = range(len(FAMILIES))
STOPS = (Rule.GO_TO, Rule.STOP_BESIDE, Rule.PASS_BETWEEN)
"""Clauses that end with a stop, where they are the last."""


@dataclass(frozen=True)
class Asked(Columns):
    """P goals of up to C clauses. Clauses that are not in use come last."""

    rule: Int64[np.ndarray, "p c"]
    """`predicate_program.Rule`; -1 where there is no clause."""
    side: Int64[np.ndarray, "p c"]
    """1 left, -1 right, 0 neither."""
    landmark: Int64[np.ndarray, "p c 2"]
    """Rows of the landmarks that the clause names, -1 for none."""

    @staticmethod
    def nothing(count: int) -> "Asked":
        """Return goals that ask for nothing."""
        none = np.full((count, PARTS), -1)
        return Asked(none, np.zeros((count, PARTS), np.int64), np.full((count, PARTS, 2), -1))

    @staticmethod
    def joined(parts: Sequence["Asked"]) -> "Asked":
        """Return the goals of all parts, in order."""
        columns = ([getattr(part, name) for part in parts] for name in ("rule", "side", "landmark"))
        return Asked(*(np.concatenate(column) for column in columns))

    def __len__(self) -> int:
        return len(self.rule)

    @property
    def something(self) -> Bool[np.ndarray, " p"]:
        """Which goals ask for anything."""
        return self.rule[:, 0] >= 0

    @property
    def count(self) -> Int64[np.ndarray, " p"]:
        """How many clauses each has."""
        return (self.rule >= 0).sum(axis=1)

    def least(self, value: Float[np.ndarray, " n"]) -> Float[np.ndarray, " p"]:
        """Return the least value that any landmark of each goal has; 1 where it names none."""
        named = self.landmark >= 0
        return np.where(named, np.append(value, 1.0)[np.where(named, self.landmark, -1)], 1.0).min(axis=(1, 2))

    @property
    def family(self) -> Int64[np.ndarray, " p"]:
        """Index into `instruction.FAMILIES`."""
        rule, pair = self.rule[:, 0], self.landmark[:, 0, 1] >= 0
        alone = np.where(np.isin(rule, STOPS), REFERENTIAL, CONTINUOUS)
        alone = np.where((rule == Rule.GO_TO) & ~pair, OBJECT, alone)
        return np.where(self.count > 1, CHAINED, alone)


def clause_rules(instruction: Instruction) -> list[tuple[int, int]]:
    """Return rule and side of each clause. Raises InstructionError for a command that is no driving command."""
    return [(int(rule), side) for rule, side in map(rule_of, clauses(instruction))]


def programs_of(
    asked: Asked,
    circle: Float[np.ndarray, "p c 2 3"],
    along: Int64[np.ndarray, " k"],
    wall: Float[np.ndarray, "k w 2"],
) -> Programs:
    """Return the predicates of goals about circles on the ground (centre x, y and radius, m; nan where none is).

    Each noun means the one thing that the goal is about. `wall` are the points of walls (inf where there is none) that
    matter to the goals `along` walls; for the others none stands in the way.
    """
    count = len(asked)
    things = np.full((count, MAX_CLAUSES, MAX_MATCHES, 3), FAR)
    gaps = np.full((count, MAX_CLAUSES, MAX_MATCHES, 4), FAR)
    rule, side = np.full((count, MAX_CLAUSES), -1), np.zeros((count, MAX_CLAUSES))
    stops, matches = np.zeros((count, MAX_CLAUSES), bool), np.zeros((count, MAX_CLAUSES), np.int64)
    rule[:, :PARTS], side[:, :PARTS] = asked.rule, asked.side
    last = np.arange(PARTS) == asked.count[:, None] - 1
    stops[:, :PARTS] = (asked.rule == Rule.STOP_BESIDE) | (asked.rule == Rule.STOP) | last & np.isin(asked.rule, STOPS)
    between, named = asked.rule == Rule.PASS_BETWEEN, asked.landmark[..., 0] >= 0
    single = named & ~between
    things[:, :PARTS, 0][single] = circle[single][:, 0]
    gaps[:, :PARTS, 0][between] = facing(circle[between])
    matches[:, :PARTS] = named
    walls, num_walls = np.full((count, wall.shape[1], 4), FAR), np.zeros(count, np.int64)
    walls[along] = np.tile(np.where(np.isfinite(wall), wall, FAR), 2)  # a point is a wall without length
    num_walls[along] = np.isfinite(wall[..., 0]).sum(axis=1)
    return Programs(asked.count, rule, stops, side, things, gaps, matches, walls, num_walls)


def facing(pair: Float[np.ndarray, "n 2 3"]) -> Float[np.ndarray, "n 4"]:
    """Return the gap between the surfaces of two circles: x0, y0, x1, y1. Circles of 0.5 at x = 0 and 3: 0.5 to 2.5."""
    first, second = pair[:, 0], pair[:, 1]
    toward = second[:, :2] - first[:, :2]
    toward = toward / np.maximum(np.hypot(toward[:, 0], toward[:, 1]), 1e-9)[:, None]
    return np.concatenate([first[:, :2] + first[:, 2:] * toward, second[:, :2] - second[:, 2:] * toward], axis=1)
