"""Did the robot in fact do what a hindsight instruction says, over the steps that it is said of?"""

from collections.abc import Iterator
from dataclasses import fields
from itertools import product

import numpy as np
from jaxtyping import Float, Int8, Int32

from embodied_cf.datasets.contract import Labels
from embodied_cf.errors import InstructionError
from embodied_cf.language.grammar import parse
from embodied_cf.language.instruction import Clause, FollowWall, GoTo, KeepSide, Thing, clauses
from embodied_cf.language.predicate_program import rule_of
from embodied_cf.language.predicate_rules import FACING, REACH_M
from embodied_cf.language.verdict import FAIL, PASS, UNKNOWN
from embodied_cf.relabel.asked import Asked
from embodied_cf.relabel.fulfilled import Fulfilled
from embodied_cf.relabel.landmarks import BELIEVED
from embodied_cf.relabel.naming import thing_named
from embodied_cf.relabel.stages import Context

_CAME, _STAYED_AWAY = 0.35, 0.8
"""Share of the way to within REACH_M of a thing that is left, at the nearest: who came there, and who did not."""
_CAME_M = 0.3
"""Way left, in metres, that also counts as having come."""
_HALF_DONE = 0.5
"""Progress below which what does not hold at any step was not done."""


def hindsight_verdicts(context: Context, labels: Labels) -> Int8[np.ndarray, " n"]:
    """Judge instructions on the steps [start, end) that were really carried out."""
    verdicts = _by_commands(context, labels)
    ways: dict[int, Clause] = {}
    rows = zip(labels.instruction, labels.start.tolist(), labels.end.tolist(), strict=True)
    for row, (text, start, end) in enumerate(rows):
        parts = _clauses(text) if verdicts[row] == UNKNOWN else ()
        if parts and all(isinstance(part, GoTo) and part.near is None for part in parts):
            verdicts[row] = _by_places(context, parts, start, end)
        elif len(parts) == 1:
            ways[row] = parts[0]
    at = np.array([*ways], np.int64)
    verdicts[at] = _by_ways(context, tuple(ways.values()), labels.start[at], labels.end[at])
    return verdicts


def _clauses(text: str) -> tuple[Clause, ...]:
    try:
        return clauses(parse(text))
    except InstructionError:
        return ()


def _by_places(context: Context, parts: tuple[Clause, ...], start: int, end: int) -> int:
    """Judge "go to" one thing, or to several in turn, by where the sightings place them."""
    at, found = start, []
    for part in parts if len(context.landmarks) else ():
        assert isinstance(part, GoTo)
        verdict, at = _came_to(context, part.thing, at, end)
        found.append(verdict)
    return min(found) if FAIL in found or (found and UNKNOWN not in found) else UNKNOWN


def _by_ways(
    context: Context, parts: tuple[Clause, ...], start: Int32[np.ndarray, " n"], end: Int32[np.ndarray, " n"]
) -> Int8[np.ndarray, " n"]:
    """Judge clauses about things and walls by their predicates: PASS where what is asked holds at some step, for some
    things that are called so."""
    meant = [_meant(context, part) for part in parts]
    verdicts = np.array([FAIL if pairs is None else UNKNOWN for pairs in meant], np.int8)
    of = np.repeat(np.arange(len(parts)), [len(pairs or ()) for pairs in meant])
    if len(of):
        asked = Asked.nothing(len(of))
        asked.rule[:, 0], asked.side[:, 0] = np.array([rule_of(parts[row]) for row in of.tolist()]).T
        asked.landmark[:, 0] = np.concatenate([pairs for pairs in meant if pairs])
        way = Fulfilled.of(context, asked, *(column[of].astype(np.int64) for column in (start, end)))
        best, there = np.zeros(len(parts)), np.zeros(len(parts), bool)
        np.maximum.at(best, of, way.progress)
        np.logical_or.at(there, of, way.done >= 0)
        judged = np.unique(of)
        verdicts[judged] = np.where(there, PASS, np.where(best < _HALF_DONE, FAIL, UNKNOWN))[judged]
    return verdicts


def _meant(context: Context, clause: Clause) -> list[tuple[int, int]] | None:
    """Return the landmarks that a clause may be about, pair by pair, -1 for none; None where nobody else saw them, and
    nothing where it cannot be told."""
    if isinstance(clause, FollowWall | KeepSide):
        return [(-1, -1)] if len(context.obstacles.wall) else []
    things = [part for part in (getattr(clause, item.name) for item in fields(clause)) if isinstance(part, Thing)]
    if not things or not len(context.landmarks):
        return []
    first, *second = [_called(context, thing) for thing in things]
    other = second[0] if second else [-1]
    if first is None or other is None:
        return None
    pairs = [*product(first, other)]
    return [*_nearest(context, pairs)] if isinstance(clause, GoTo) else pairs


def _nearest(context: Context, pairs: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield for each second thing the first that is nearest to it."""
    place = context.landmarks.place
    for other in sorted({second for _, second in pairs}):
        gap = {first: float(np.hypot(*(place[first] - place[other])[:2])) for first, second in pairs if second == other}
        yield min(gap, key=lambda first: gap[first]), other


def _called(context: Context, thing: Thing) -> list[int] | None:
    """Return the landmarks of that name that are believed in; None where there are others only."""
    landmarks = context.landmarks
    named = [row for row, name in enumerate(landmarks.name) if _is_called(name, thing)]
    rows = [row for row in named if landmarks.belief[row] >= BELIEVED]
    return rows if rows or not named else None


def _came_to(context: Context, thing: Thing, start: int, end: int) -> tuple[int, int]:
    """Return whether the robot came to a thing of that name, and the step at which it was nearest."""
    rows = _called(context, thing)
    if not rows:
        return (FAIL if rows is None else UNKNOWN), start
    ways = [_way_left(context.track[start : end + 1], context.landmarks.place[row]) for row in rows]
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
