"""Did the robot in fact do what a hindsight instruction says, over the steps that it is said of?"""

import numpy as np
from jaxtyping import Float, Int8

from embodied_cf.datasets.contract import Labels
from embodied_cf.errors import InstructionError
from embodied_cf.language.grammar import parse
from embodied_cf.language.instruction import GoTo, Thing, clauses
from embodied_cf.language.predicate_rules import FACING, REACH_M
from embodied_cf.language.verdict import FAIL, PASS, UNKNOWN
from embodied_cf.relabel.landmarks import BELIEVED
from embodied_cf.relabel.naming import thing_named
from embodied_cf.relabel.stages import Context

_CAME, _STAYED_AWAY = 0.35, 0.8
"""Share of the way to within REACH_M of a thing that is left, at the nearest: who came there, and who did not."""
_CAME_M = 0.3
"""Way left, in metres, that also counts as having come."""


def hindsight_verdicts(context: Context, labels: Labels) -> Int8[np.ndarray, " n"]:
    """Judge instructions on the steps [start, end) that were really carried out."""
    verdicts = _by_commands(context, labels)
    rows = zip(labels.instruction, labels.start.tolist(), labels.end.tolist(), strict=True)
    for row, (text, start, end) in enumerate(rows):
        if verdicts[row] == UNKNOWN and len(context.landmarks):
            verdicts[row] = _by_places(context, text, start, end)
    return verdicts


def _by_places(context: Context, text: str, start: int, end: int) -> int:
    """Judge "go to" one thing, or to several in turn, by where the sightings place them."""
    try:
        parts = clauses(parse(text))
    except InstructionError:
        return UNKNOWN
    at, found = start, []
    for part in parts:
        if not isinstance(part, GoTo) or part.near is not None:
            return UNKNOWN
        verdict, at = _came_to(context, part.thing, at, end)
        found.append(verdict)
    return min(found) if FAIL in found or UNKNOWN not in found else UNKNOWN


def _came_to(context: Context, thing: Thing, start: int, end: int) -> tuple[int, int]:
    """Return whether the robot came to a thing of that name, and the step at which it was nearest."""
    landmarks = context.landmarks
    named = [row for row, name in enumerate(landmarks.name) if _is_called(name, thing)]
    rows = [row for row in named if landmarks.belief[row] >= BELIEVED]
    if not rows:
        return (FAIL if named else UNKNOWN), start
    ways = [_way_left(context.track[start : end + 1], landmarks.place[row]) for row in rows]
    way = min(ways, key=lambda left: float(left.min()))
    left, whole = float(way.min()), float(way[0])
    came, away = left <= max(_CAME * whole, _CAME_M), left > _STAYED_AWAY * whole
    return PASS if came else FAIL if away else UNKNOWN, start + int(way.argmin())


def _is_called(name: str, thing: Thing) -> bool:
    known = thing_named(name)
    return known is not None and known.kind == thing.kind and thing.colour in ("", known.colour)


def _way_left(track: Float[np.ndarray, "k 3"], place: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " k"]:
    """Return how far it is from each pose to within REACH_M of a thing; that of the start where it looks elsewhere."""
    offset = place[:2] - track[:, :2]
    away = np.hypot(offset[:, 0], offset[:, 1])
    ahead = np.cos(track[:, 2]) * offset[:, 0] + np.sin(track[:, 2]) * offset[:, 1]
    left = np.maximum(away - place[2] - REACH_M, 0.0)
    return np.where(ahead >= np.cos(FACING) * away, left, left[0])


def _by_commands(context: Context, labels: Labels) -> Int8[np.ndarray, " n"]:
    """Judge commands and chains of commands.

    One passes if it names the timeline of commands, or if it is one command that the whole range carries out.
    It fails if a command it names does not occur there in that order; between the two nobody knows.
    """
    vocabulary, runs = context.meaning.vocabulary, context.segments.runs()
    verdicts = np.full(len(labels), UNKNOWN, np.int8)
    single: dict[int, int] = {}
    for row, (text, start, end) in enumerate(
        zip(labels.instruction, labels.start.tolist(), labels.end.tolist(), strict=True)
    ):
        clauses = vocabulary.parse(text)
        if clauses is None:
            continue
        timeline = [command for left, right, command in runs if left < end and right > start]
        if timeline == list(clauses):
            verdicts[row] = PASS
        elif not _in_order(clauses, timeline):
            verdicts[row] = FAIL
        if len(clauses) == 1 and verdicts[row] != PASS:
            single[row] = vocabulary.index[clauses[0]]
    if not single:
        return verdicts
    rows, command = np.array([*single], np.int64), np.array([*single.values()], np.int64)
    start, end = labels.start[rows].astype(np.int64), labels.end[rows].astype(np.int64)
    whole = context.meaning.of_track(context.track, start, end)[command, np.arange(len(rows))]
    verdicts[rows[whole == PASS]] = PASS
    return verdicts


def _in_order(clauses: tuple[str, ...], timeline: list[str]) -> bool:
    rest = iter(timeline)
    return all(clause in rest for clause in clauses)
