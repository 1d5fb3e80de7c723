"""What robots are told now: the whole instruction, or of a chain one part after another, each until they have stood."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.evaluate.past import Past
from embodied_cf.policies.contract import ActionChunk, Observation, Policy, check_answer


@dataclass
class Telling:
    """Of B robots."""

    parts: tuple[tuple[str, ...], ...]
    """What each is told, in order."""
    at: Int64[np.ndarray, " b"]
    """Which part it is told now."""

    @staticmethod
    def of(policy: Policy, told: Sequence[str], done: Int64[np.ndarray, " b"] | int = 0) -> "Telling":
        """Begin to tell robots what they are to do, in the way that the policy wants it, each after so many parts."""
        parts: tuple[tuple[str, ...], ...] = tuple([(text,) for text in told])
        if getattr(policy, "by_parts", False):
            from embodied_cf.policies.chains import parts_of_chain  # which loads a model

            parts = tuple(map(parts_of_chain, told))
        return Telling(parts, np.minimum(done, [len(part) - 1 for part in parts]).astype(np.int64))

    def now(self, rows: Int64[np.ndarray, " r"]) -> tuple[str, ...]:
        """Return what some of them are told now."""
        return tuple([self.parts[row][self.at[row]] for row in rows.tolist()])

    def go_on(self, rows: Int64[np.ndarray, " r"]) -> Int64[np.ndarray, " s"]:
        """Tell robots that have stood the next part; returns those for which there is one."""
        last = np.array([len(self.parts[row]) - 1 for row in rows.tolist()], np.int64)
        rows = rows[self.at[rows] < last]
        self.at[rows] += 1
        return rows


def next_plans(
    policy: Policy,
    see: Callable[[], Observation],
    telling: Telling,
    past: Past,
    rested: Bool[np.ndarray, " b"],
    rows: Int64[np.ndarray, " r"],
    rng: np.random.Generator,
) -> Float64[np.ndarray, "r k 2"]:
    """Return where some robots would drive; rows beyond a chunk's mask keep the last place.

    Those that would stand, and have stood for as long as a stop takes (`rested`, of all B robots), are told the next
    part, if there is one; their past begins there. `see` returns what all robots have seen since they were told.
    Raises UsageError for an answer that is no chunks of the policy's body.
    """
    body = policy.embodiment
    plan = np.zeros((len(telling.parts), body.chunk_length, body.chunk_dimensions))
    plan[rows] = _asked(policy, see().take(rows), telling.now(rows), rng)
    anew = telling.go_on(rows[rested[rows] & ~plan[rows].any(axis=(1, 2))])
    if len(anew):
        past.tell(anew)
        plan[anew] = _asked(policy, see().take(anew), telling.now(anew), rng)
    return plan[rows]


def _asked(
    policy: Policy, seen: Observation, told: tuple[str, ...], rng: np.random.Generator
) -> Float64[np.ndarray, "b k 2"]:
    answer = policy.act(seen, told, rng)
    check_answer(policy, answer, len(seen))
    return _held(answer)


def _held(asked: ActionChunk) -> Float64[np.ndarray, "b k 2"]:
    last = np.maximum(asked.mask.sum(axis=1) - 1, 0)
    at = np.minimum(np.arange(asked.chunk.shape[1]), last[:, None])
    return np.take_along_axis(asked.chunk, at[..., None], axis=1).astype(np.float64)
