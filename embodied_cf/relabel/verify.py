"""From candidate labels to verified ones: scores, reasons, and the honest *unknown*.

Every candidate gets one of three outcomes. *Rejected*, with a reason, if a check fails. *Unknown* if the
programs cannot judge the phrase: kept, at a lower score, and its share reported. *Verified* otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int8, Int64

from embodied_cf.datasets.contract import Labels
from embodied_cf.language.meaning import judge
from embodied_cf.language.verdict import FAIL, PASS, UNKNOWN
from embodied_cf.language.vocabulary import mirror_text, normalise
from embodied_cf.relabel.goal_verdict import goal_verdicts
from embodied_cf.relabel.hindsight_verdict import hindsight_verdicts
from embodied_cf.relabel.stages import Candidates, Context, Judged
from embodied_cf.relabel.standing import Standing
from embodied_cf.relabel.synthesize import RUNS_INTO

UNKNOWN_FACTOR = 0.5
"""Factor on the score of what the programs cannot judge."""
CONTRADICTS = "the instruction contradicts its own motion"
CANNOT_SHOW = "the chunk cannot show it: waypoints do not tell turning on the spot from standing"
SAME_AS_FACTUAL = "no different from what the robot did"
DUPLICATE = "the same label twice"
CONFLICT = "at the same observation the same words ask for another motion"
MADE_UP = "other frames should show the thing and do not"
_normalise = lru_cache(maxsize=1 << 12)(normalise)


@dataclass(frozen=True)
class ProgramVerifier:
    """Judges by program: instruction against motion, novelty, grounding, duplicates and conflicts."""

    different: float = 1.0
    """Typical steps by which a whole counterfactual chunk must differ from the real future."""
    least_support: float = 0.34
    """Support by other frames below which a thing counts as made up: one frame that should show it and does not is
    enough, unless another shows it. Less than `landmarks.BELIEVED`, from which on it counts as an obstacle."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {"verifier": "program", "different": self.different, "least_support": self.least_support}

    def verify(self, context: Context, candidates: Candidates) -> Judged:
        """Judge the candidates of one episode; rows keep their order."""
        labels = candidates.labels
        goals = _Goals.of(context, candidates)
        verdict, reason = self._agreement(context, candidates, goals)
        support = np.ones(len(labels))
        support[goals.rows] = goals.support
        for row in np.flatnonzero(support < self.least_support).tolist():
            reason[row] = reason[row] or MADE_UP
        for row in self._colliding(context, candidates):
            reason[row] = reason[row] or RUNS_INTO
        for row in self._not_new(context, candidates):
            reason[row] = reason[row] or SAME_AS_FACTUAL
        for row, problem in _repeated(labels, candidates.factual, reason):
            reason[row] = problem
        judged = (verdict == PASS) | candidates.given
        score = labels.score * support * np.where(judged, 1.0, UNKNOWN_FACTOR)
        return Judged(labels.with_score(score.astype(np.float32)), verdict, tuple(reason))

    def _agreement(
        self, context: Context, candidates: Candidates, goals: "_Goals"
    ) -> tuple[Int8[np.ndarray, " n"], list[str]]:
        labels, meaning = candidates.labels, context.meaning
        table = meaning.of_chunks(labels.action, labels.action_mask, context.track[labels.start])
        verdict = judge(table, meaning.vocabulary, labels.instruction)
        told = [row for row, kind in enumerate(labels.kind) if kind == "hindsight"]
        verdict[told] = hindsight_verdicts(context, labels.take(told))
        verdict[goals.rows] = goals.verdict
        command = _commands(context, labels)
        carried = np.where(command >= 0, table[np.maximum(command, 0), np.arange(len(labels))], UNKNOWN)
        reason = [CONTRADICTS if FAIL in pair else "" for pair in zip(verdict.tolist(), carried.tolist(), strict=True)]
        for row in self._other_side(labels, verdict):
            reason[row] = CONTRADICTS
        for row in np.flatnonzero((carried == UNKNOWN) & (command >= 0)).tolist():
            reason[row] = reason[row] or CANNOT_SHOW
        return verdict, reason

    def _colliding(self, context: Context, candidates: Candidates) -> list[int]:
        """Return counterfactual rows whose chunk runs into something seen."""
        rows = np.arange(candidates.factual, len(candidates.labels))
        if not context.obstacles.any:
            return []
        here = context.track[candidates.labels.start[rows]]
        return rows[context.obstacles.touched(here, candidates.labels.action[rows])].tolist()

    def _other_side(self, labels: Labels, verdict: Int8[np.ndarray, " n"]) -> Iterator[int]:
        """Yield rows of free text that names one side while the command goes to the other."""
        for row in np.flatnonzero(verdict == UNKNOWN).tolist():
            words = set(_normalise(labels.instruction[row]).split())
            sides = {"left", "right"} & set(labels.command[row].split("_"))
            if sides and {mirror_text(side) for side in sides} & words and not sides & words:
                yield row

    def _not_new(self, context: Context, candidates: Candidates) -> list[int]:
        """Return counterfactual rows that ask for what the robot did in fact, by command or by motion.

        By motion: they stay as close to the real future as its known part allows.
        """
        labels = candidates.labels
        rows = np.arange(candidates.factual, len(labels))
        start = labels.start[rows]
        real, known = (part[start] for part in context.future)
        both = known & labels.action_mask[rows]
        gap = _gap(context, labels.action[rows], real) * both
        # a path bends away quadratically, so a shorter known future may differ by less
        share = (both.sum(axis=1) / context.body.chunk_length) ** 2
        close = gap.max(axis=1, initial=0.0) < self.different * share
        command = _commands(context, labels)[rows]
        return rows[close | (command >= 0) & context.carried_out[command, start]].tolist()


@dataclass(frozen=True)
class _Goals:
    """What is found of the candidates that name things in the image."""

    rows: Int64[np.ndarray, " g"]
    """Among the candidates."""
    verdict: Int8[np.ndarray, " g"]
    support: Float[np.ndarray, " g"]

    @staticmethod
    def of(context: Context, candidates: Candidates) -> "_Goals":
        """Judge them where a camera model places them on the ground; nothing is found of the others."""
        goals = np.flatnonzero(candidates.proposals.is_goal)
        if context.camera is None or not len(goals):
            none = np.zeros(0)
            return _Goals(none.astype(np.int64), none.astype(np.int8), none)
        rows = candidates.factual + goals
        labels = candidates.labels.take(rows)
        standing = Standing.of(context, candidates.proposals.take(goals))
        reach = context.meaning.scale.step * context.body.chunk_length
        return _Goals(rows, goal_verdicts(standing, labels, reach), standing.support)


def _commands(context: Context, labels: Labels) -> Int64[np.ndarray, " n"]:
    """Return the command index of each row, -1 where it has none."""
    index = {**context.meaning.vocabulary.index, "": -1}
    return np.array([index[name] for name in labels.command], np.int64)


def _gap(
    context: Context, chunk: Float[np.ndarray, "n h a"], real: Float[np.ndarray, "n h a"]
) -> Float[np.ndarray, "n h"]:
    """Return the distance of chunk rows in typical steps; a typical turn counts as a chunk of steps."""
    scale, difference = context.meaning.scale, chunk - real
    if context.body.kind == "nav":
        return np.hypot(difference[..., 0], difference[..., 1]) / scale.step
    move = np.linalg.norm(difference[..., :3], axis=2) / scale.step
    turn = np.abs(difference[..., 3:6]).max(axis=2) * context.body.chunk_length / scale.turn
    gripper = np.abs(difference[..., 6]) * context.body.chunk_length
    return np.maximum(np.maximum(move, turn), gripper)


def _repeated(labels: Labels, factual: int, reason: list[str]) -> Iterator[tuple[int, str]]:
    """Yield kept rows that say again what another row says, or that contradict a factual row in its words."""
    said: set[tuple[int, int, str]] = set()
    held: dict[str, list[tuple[int, int]]] = {}
    texts = map(_normalise, labels.instruction)
    rows = zip(texts, labels.start.tolist(), labels.end.tolist(), reason, strict=True)
    for row, (text, start, end, rejected) in enumerate(rows):
        if rejected:
            continue
        key = (start, end if row < factual else -1, text)
        if key in said:
            yield row, DUPLICATE
            continue
        said.add(key)
        if row < factual:
            held.setdefault(text, []).append((start, end))
        elif text in held and any(low <= start < high for low, high in held[text]):
            yield row, CONFLICT
