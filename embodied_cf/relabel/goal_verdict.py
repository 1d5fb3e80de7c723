"""Does a chunk do what its words ask of the things that they name, where the sightings place those things?"""

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
from jaxtyping import Bool, Float, Float64, Int8

from embodied_cf.datasets.contract import Labels
from embodied_cf.errors import InstructionError
from embodied_cf.language.grammar import parse
from embodied_cf.language.instruction import Clause, Instruction, Thing, clauses
from embodied_cf.language.phrasing import GO_TO, going_to
from embodied_cf.language.predicate import Tracker, advance
from embodied_cf.language.predicate_geometry import cross, length
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import BESIDE_M, LENGTH_M, REACH_M, RING_M, SWEEP
from embodied_cf.language.verdict import UNKNOWN, verdict
from embodied_cf.language.vocabulary import normalise
from embodied_cf.relabel.asked import clause_rules, facing
from embodied_cf.relabel.elsewhere import is_search
from embodied_cf.relabel.ground import from_world, to_world
from embodied_cf.relabel.lanes import ALONG, HEADWAY
from embodied_cf.relabel.naming import thing_named
from embodied_cf.relabel.standing import Standing, forgetful
from embodied_cf.relabel.wall_drives import nearer_to_wall
from embodied_cf.relabel.ways import way_left

LEAST_SHARE, _ARC_SHARE = 0.5, 0.35
"""Share of the progress that the chunk's length allows, at least; around a thing nobody makes all of it."""
_BEGUN_SHARE = 0.6
"""Share of a chunk that is left for going around a thing, or along a wall, once the robot has turned to do so."""
_BEGUN_SWEEP = np.radians(10)
"""Who has driven so far around a thing has turned to do so."""
_ASIDE_M = 0.3
"""Who comes from afar to drive around a thing heads past its middle by so much, at least."""
_LONGER_M = 0.05
"""By so much what stands in the way makes the way longer, at least."""
_STILL_M = 1e-3


def goal_verdicts(standing: Standing, labels: Labels, reach: float) -> Int8[np.ndarray, " p"]:
    """Judge P goals by their predicates, on the robot's real way since it was told and then its chunk.

    PASS for at least LEAST_SHARE of the progress that driving there directly would make in `reach` m, or, where
    something stands in the way, of that length along a way around it, or for being there at the end, or for coming
    nearer to a wall that is to be followed, or, where the thing is out of view to the left, for searching; FAIL for
    less; UNKNOWN where the words say something else, or a thing stands on no ground.
    """
    pose = chunk_poses(standing.track[standing.start], labels)
    before, after = standing.tracker, _after(standing, pose)
    gain = (after.progress - before.progress) * standing.asked.count
    possible = np.minimum(1.0 - before.progress * standing.asked.count + before.clause, reach * _slope(standing))
    least = np.where(standing.aims.rule == Rule.ARC_AROUND, _ARC_SHARE, LEAST_SHARE)
    passed = after.success | (gain >= least * np.maximum(possible, 0.0)) | _approaches(standing, pose, reach)
    passed |= _rounds(standing, pose, reach) | _nears_wall(standing, pose, reach)
    passed = np.where(standing.elsewhere, is_search(pose, reach), passed)
    known = np.isfinite(standing.circle[..., 0]) | (standing.asked.landmark < 0)
    said = np.array([*_as_said(standing, labels.instruction)], bool)
    return np.where(known.all(axis=(1, 2)) & said, verdict(passed, ~said), UNKNOWN).astype(np.int8)


def chunk_poses(here: Float[np.ndarray, "p 3"], labels: Labels) -> Float64[np.ndarray, "p k 3"]:
    """Return where chunks lead, in the odometry frame: the pose at the start, then one for each row.

    The heading is that of the last displacement; masked rows stay where the last real one is.
    """
    count, rows = labels.action_mask.shape
    last = np.maximum(labels.action_mask.sum(axis=1) - 1, 0)
    at = np.minimum(np.arange(rows), last[:, None])
    local = np.concatenate([np.zeros((count, 1, 2)), labels.action[np.arange(count)[:, None], at]], axis=1)
    world = to_world(np.repeat(here, rows + 1, axis=0), local.reshape(-1, 2)).reshape(count, rows + 1, 2)
    move = np.diff(world, axis=1)
    moves = length(move) > _STILL_M
    latest = np.maximum.accumulate(np.where(moves, np.arange(1, rows + 1), 0), axis=1)
    heading = np.concatenate([here[:, 2:], np.arctan2(move[..., 1], move[..., 0])], axis=1)
    yaw = np.concatenate([here[:, 2:], np.take_along_axis(heading, latest, axis=1)], axis=1)
    return np.concatenate([world, yaw[..., None]], axis=2)


def _after(standing: Standing, pose: Float64[np.ndarray, "p k 3"]) -> Tracker:
    """Return the tracker after the chunk, its progress that of the last pose and not of the best one."""
    tracker = standing.tracker
    for step in range(1, pose.shape[1]):
        if step == pose.shape[1] - 1:
            tracker = forgetful(tracker)
        tracker = advance(standing.programs, tracker, np.ascontiguousarray(pose[:, step]))
    return tracker


def _slope(standing: Standing) -> Float[np.ndarray, " p"]:
    """Return the progress of the present clause per metre of a direct way to where it is fulfilled."""
    aims = standing.aims
    centre, radius, origin = aims.circle[:, 0, :2], aims.circle[:, 0, 2], aims.origin[:, :2]
    away = length(centre - origin)
    gap = facing(aims.circle)
    middle = length((gap[:, :2] + gap[:, 2:]) / 2 - origin)
    beside = np.hypot(away, radius + BESIDE_M / 2) - BESIDE_M / 2
    turned_to = np.where(aims.swept > _BEGUN_SWEEP, 1.0, _BEGUN_SHARE)
    around = np.maximum(length(centre), radius) * SWEEP / turned_to
    whole = np.select(
        [aims.rule == rule for rule in (Rule.GO_TO, Rule.STOP_BESIDE, Rule.PASS_BETWEEN, Rule.ARC_AROUND)],
        [away - radius - REACH_M, beside, middle / 0.7, around],
        np.where(np.isin(aims.rule, ALONG), LENGTH_M / _BEGUN_SHARE, 1.0),
    )
    return 1.0 / np.maximum(whole, 1e-9)


def _approaches(standing: Standing, pose: Float64[np.ndarray, "p k 3"], reach: float) -> Bool[np.ndarray, " p"]:
    """Return which come nearer, on the right side, to a thing to be driven around that is too far off to begin."""
    aims = standing.aims
    end = from_world(standing.track[standing.start], pose[:, -1, :2])
    yaw = pose[:, -1, 2] - standing.track[standing.start, 2]
    toward = aims.circle[:, 0, :2] - end
    nearer = length(aims.circle[:, 0, :2]) - length(toward)
    aside = -aims.side * cross(np.stack([np.cos(yaw), np.sin(yaw)], axis=1), toward)
    far = length(toward) - aims.circle[:, 0, 2] > RING_M[1]
    return (aims.rule == Rule.ARC_AROUND) & far & (nearer >= LEAST_SHARE * reach) & (aside >= _ASIDE_M)


def _nears_wall(standing: Standing, pose: Float64[np.ndarray, "p k 3"], reach: float) -> Bool[np.ndarray, " p"]:
    """Return which come nearer to a wall that is to be followed and still too far off."""
    passed, aims = np.zeros(len(pose), bool), standing.aims
    rows = np.flatnonzero(aims.rule == Rule.FOLLOW_WALL)
    if len(rows):
        walls = standing.obstacles.walls_near(standing.track[standing.start[rows], :2])
        came = nearer_to_wall(aims.side[rows], pose[rows][:, [0, -1]], walls)
        passed[rows] = came >= HEADWAY * reach
    return passed


def _rounds(standing: Standing, pose: Float64[np.ndarray, "p k 3"], reach: float) -> Bool[np.ndarray, " p"]:
    """Return which have something before them on the way to a place, and come along a way around it."""
    aims, here = standing.aims, standing.track[standing.start]
    end = from_world(here, pose[:, -1, :2])[:, None]
    turned = pose[:, -1:, 2] - here[:, 2:]
    begin = np.zeros_like(end)
    before, after = way_left(aims, begin, np.zeros_like(turned)), way_left(aims, end, turned)
    straight = way_left(replace(aims, other=aims.other[:, :0]), begin, np.zeros_like(turned))
    blocked = np.isin(aims.rule, (Rule.GO_TO, Rule.STOP_BESIDE)) & (before > straight + _LONGER_M)[:, 0]
    return blocked & ((before - after)[:, 0] >= LEAST_SHARE * reach)


def _as_said(standing: Standing, texts: tuple[str, ...]) -> Iterator[bool]:
    """Yield whether each text asks for just what the goal is."""
    asked, names = standing.asked, standing.landmarks.name
    rows = zip(texts, asked.rule.tolist(), asked.side.tolist(), asked.landmark.tolist(), strict=True)
    for text, rules, sides, named in rows:
        goal = [pair for pair in zip(rules, sides, strict=True) if pair[0] >= 0]
        things = [[names[row] for row in part if row >= 0] for part in named[: len(goal)]]
        yield _reads(text, goal, things)


def _reads(text: str, goal: list[tuple[int, int]], things: list[list[str]]) -> bool:
    if goal == [(Rule.GO_TO, 0)] and len(things[0]) == 1 and thing_named(things[0][0]) is None:
        return normalise(text) in {normalise(going_to(things[0][0], form)) for form in range(len(GO_TO.train))}
    try:
        read: Instruction = parse(text)
    except InstructionError:
        return False
    parts = clauses(read)
    if clause_rules(read) != goal:
        return False
    return all(_fits(part, names) for part, names in zip(parts, things, strict=True))


def _fits(clause: Clause, names: list[str]) -> bool:
    """Whether the nouns of a clause fit the names, in order; a noun without a colour fits every colour."""
    said = [part for part in (getattr(clause, item.name) for item in fields(clause)) if isinstance(part, Thing)]
    known = [thing_named(name) for name in names]
    pairs = zip(said, known, strict=False)
    return len(said) == len(known) and all(
        there is not None and noun.kind == there.kind and noun.colour in ("", there.colour) for noun, there in pairs
    )
