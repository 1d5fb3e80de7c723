"""What an instruction means: a predicate on the robot's path through a scene, with its progress.

`compile_instruction` turns words about a scene into numbers, `stack_programs` lays many side by side, and `begin`
and `advance` follow a batch of robots step by step; `judge` is the same for a whole trajectory. What is asked of
the path is in `predicate_rules`, when that is decided here. Poses are x, y m, yaw rad, one per control period.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float64

from embodied_cf.language.instruction import Instruction
from embodied_cf.language.predicate_geometry import length
from embodied_cf.language.predicate_program import Program, Programs, Rule, compile_instruction, stack_programs
from embodied_cf.language.predicate_rules import FINDER_OF, FINDERS, View
from embodied_cf.language.predicate_tracker import STOP_M, STOP_STEPS, WAIT_STEPS, Tracker, begin, moved_to
from embodied_cf.language.surroundings import Surroundings

__all__ = ["Judgement", "Program", "Programs", "Tracker", "advance", "begin", "compile_instruction", "holds", "judge",
           "stack_programs"]  # fmt: skip

MOVED_M = 0.25
"""Who has not driven so far since the start has carried out nothing but a first "stop" or a turn."""
ALMOST = 0.99
"""Most progress before success."""


@dataclass(frozen=True)
class Judgement:
    """Of one trajectory."""

    success: bool
    progress: float
    step: int
    """Row of the trajectory at which it was decided, or its last row."""


def judge(instruction: Instruction, surroundings: Surroundings, trajectory: Float[np.ndarray, "t 3"]) -> Judgement:
    """Judge a whole trajectory, t >= 1, by the fold of `advance`. Raises InstructionError as compiling does."""
    programs = stack_programs([compile_instruction(instruction, surroundings)])
    poses = np.asarray(trajectory, np.float64)
    tracker, step = begin(programs, poses[:1]), 0
    while step + 1 < len(poses) and not tracker.done[0]:
        step += 1
        tracker = advance(programs, tracker, poses[step : step + 1])
    return Judgement(bool(tracker.success[0]), float(tracker.progress[0]), step)


def advance(programs: Programs, tracker: Tracker, pose: Float64[np.ndarray, "b 3"]) -> Tracker:
    """Return the tracker one control period later, with the robots at `pose`. Rows that are done stay as they are.

    | clause | ends well | ends badly |
    |---|---|---|
    | StopBeside, Do stop | at a stop where the demand holds | when it stands elsewhere for WAIT_STEPS |
    | GoTo, PassBetween, last or alone | at a stop where the demand holds | when it stands elsewhere for WAIT_STEPS |
    | GoTo, PassBetween, earlier in a chain | where the demand holds | when it stands elsewhere for WAIT_STEPS |
    | others, last or alone | where the demand holds | when it cannot hold any more |
    | others, earlier in a chain | where the demand holds | when it cannot hold any more, or it stands for WAIT_STEPS |
    """
    now = replace(tracker, **moved_to(tracker, pose))
    each = np.arange(len(programs))
    rule, needs_stop = programs.rule[each, now.clause], programs.stops[each, now.clause]
    there, broken, share, memory = _find(programs, now, rule)
    last = now.clause == programs.count - 1
    stopped = _stopped(now, rule)
    now = replace(now, standing=np.where(stopped, tracker.standing + 1, 0))
    given_up = now.standing > WAIT_STEPS - STOP_STEPS
    active = (now.moved >= MOVED_M) | (rule == Rule.TURN) | ((rule == Rule.STOP) & (now.clause == 0))
    reached = there & (stopped | ~needs_stop) & active
    failed = ~reached & (broken | (given_up & (needs_stop | ~last)))
    success = reached & last
    progress = np.minimum((now.clause + np.minimum(share, 1.0)) / programs.count, ALMOST)
    now = replace(
        now,
        done=success | failed,
        success=success,
        progress=np.where(success, 1.0, np.maximum(tracker.progress, progress)),
        **memory,
    )
    now = _next_clause(now, np.flatnonzero(reached & ~last))
    over = np.flatnonzero(tracker.done)
    return now.replaced(over, tracker.take(over)) if len(over) else now


def holds(programs: Programs, tracker: Tracker) -> Bool[np.ndarray, " b"]:
    """Return whether what the present clause asks for holds now, were the robot to stop here; it must have moved."""
    there, *_ = _find(programs, tracker, programs.rule[np.arange(len(programs)), tracker.clause])
    return there & (tracker.moved >= MOVED_M)


def _find(
    programs: Programs, now: Tracker, rule: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Apply each row's rule: whether its demand holds or cannot hold any more, the share done, what to remember."""
    there, broken, share = np.zeros(len(now), bool), np.zeros(len(now), bool), np.zeros(len(now))
    memory = {name: getattr(now, name).copy() for name in ("along", "astray", "swept", "crossed")}
    finder = FINDER_OF[rule]
    for kind in np.flatnonzero(np.bincount(finder)).tolist():
        rows = np.flatnonzero(finder == kind)
        finding = FINDERS[kind](View(programs, now, rows))
        there[rows], broken[rows], share[rows] = finding.there, finding.broken, finding.progress
        for name, column in finding.memory.items():
            memory[name][rows, *map(slice, column.shape[1:])] = column
    return there, broken, share, memory


def _stopped(now: Tracker, rule: np.ndarray) -> Bool[np.ndarray, " b"]:
    """Whether the robot has come to a stop. After a clause that ended with one, it must first drive on."""
    away = now.recent - now.pose[:, None, :2]
    still = (length(away) <= STOP_M).all(axis=1)
    return still & ((now.clause == 0) | (now.travel > STOP_M) | (rule == Rule.STOP))


def _next_clause(now: Tracker, rows: np.ndarray) -> Tracker:
    """Begin the next clause of a chain in some rows."""
    if not len(rows):
        return now
    fresh = {"recent": np.inf, "standing": 0, "travel": 0.0, "turned": 0.0, "along": 0.0, "astray": 0.0, "swept": 0.0,
             "crossed": False, "origin": now.pose[rows], "clause": now.clause[rows] + 1}  # fmt: skip
    columns = {name: getattr(now, name).copy() for name in fresh}
    for name, value in fresh.items():
        columns[name][rows] = value
    return replace(now, **columns)
