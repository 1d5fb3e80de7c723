"""When an instruction over a table is carried out: a fold over what happens, one instant at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.tabletop.dynamics import Instant
from embodied_cf.envs.tabletop.layout import HEIGHT_M, RADIUS_M, Layout
from embodied_cf.language.tabletop import ArmInstruction, Direction, Place, Push, PushTo, Reach, find, things

HOLD_STEPS = 3
"""Instants in a row at which the condition must hold."""
REACH_M, REACH_ABOVE_M = 0.02, 0.02
PUSH_M, STRAIGHT = 0.08, 0.5
"""Least displacement of a push, and its greatest sideways share."""
LIFTED_M = 0.03
TOUCH_M = 0.02
"""Greatest gap that counts as standing at another thing."""
BESIDE_M, ABREAST_M = 0.12, 0.06
"""Left or right of a thing: gap to it along y, offset along x, both at most."""
RELEASED = 0.4
"""Least gripper opening that counts as let go."""
AWAY_M = 0.03
"""Distance of the fingertips from a thing that was let go."""
FALLEN_M = -0.05
AXES: dict[Direction, tuple[float, float]] = {
    "forward": (1.0, 0.0), "back": (-1.0, 0.0), "left": (0.0, 1.0), "right": (0.0, -1.0),
}  # fmt: skip


@dataclass(frozen=True)
class Goal:
    """An instruction on a given table: which things it means."""

    instruction: ArmInstruction
    thing: int
    other: int
    """-1 where only one thing is named."""
    radius: float
    height: float
    other_radius: float
    other_height: float
    begin: Instant
    """The start of the episode."""


@dataclass(frozen=True)
class Tracker:
    """How far along an episode is."""

    streak: int = 0
    lifted: bool = False
    fallen: bool = False
    progress: float = 0.0
    """Best share of the way so far, 1 only with success."""
    success: bool = False

    @property
    def done(self) -> bool:
        """Whether nothing can change the outcome any more."""
        return self.success or self.fallen


def goal_of(instruction: ArmInstruction, layout: Layout, begin: Instant) -> Goal:
    """Return the goal. Raises UsageError where the words name no thing or several."""
    index = [find(thing, layout.kinds, layout.colours) for thing in things(instruction)]
    kinds = [layout.kinds[at] for at in index]
    sizes = [(RADIUS_M[kind], HEIGHT_M[kind]) for kind in kinds] + [(0.0, 0.0)]
    return Goal(instruction, index[0], index[1] if len(index) > 1 else -1, *sizes[0], *sizes[1], begin)


def advance(goal: Goal, tracker: Tracker, now: Instant) -> Tracker:
    """Return the tracker one instant later; a finished one stays as it is."""
    if tracker.done:
        return tracker
    thing = now.position[goal.thing]
    lifted = tracker.lifted or bool(thing[2] > goal.begin.position[goal.thing, 2] + LIFTED_M)
    streak = tracker.streak + 1 if _holds(goal, now, lifted) else 0
    success = streak >= HOLD_STEPS
    progress = 1.0 if success else max(tracker.progress, min(_progress(goal, now), 0.99))
    fallen = bool((now.position[:, 2] < FALLEN_M).any())
    return replace(
        tracker, streak=streak, lifted=lifted, fallen=fallen and not success, progress=progress, success=success
    )


def judge(instruction: ArmInstruction, layout: Layout, run: Sequence[Instant]) -> Tracker:
    """Return how an episode ended; `run` begins with its start."""
    goal = goal_of(instruction, layout, run[0])
    tracker = Tracker()
    for instant in run:
        tracker = advance(goal, tracker, instant)
    return tracker


def drop_point(goal: Goal, now: Instant) -> Float64[np.ndarray, " 2"]:
    """Return where a thing to place belongs, x, y m."""
    other = now.position[goal.other, :2]
    assert isinstance(goal.instruction, Place)
    away = goal.radius + goal.other_radius + BESIDE_M / 2
    return other + away * np.array(
        {"left": (0.0, 1.0), "right": (0.0, -1.0)}.get(goal.instruction.relation, (0.0, 0.0))
    )


def _holds(goal: Goal, now: Instant, lifted: bool) -> bool:
    match goal.instruction:
        case Reach():
            return _reached(goal, now)
        case Push(direction=direction):
            along, aside = _pushed(goal, now, direction)
            return along >= PUSH_M and aside <= STRAIGHT * along and not lifted
        case PushTo():
            return _gap(goal, now) <= TOUCH_M and not lifted
        case Place():
            # else moving the other thing under or beside it would do
            return lifted and _placed(goal, now)


def _reached(goal: Goal, now: Instant) -> bool:
    tip, thing = now.effector[:3], now.position[goal.thing]
    below_top = tip[2] <= thing[2] + goal.height / 2 + REACH_ABOVE_M
    return bool(np.hypot(*(tip - thing)[:2]) <= REACH_M and below_top)


def _pushed(goal: Goal, now: Instant, direction: Direction) -> tuple[float, float]:
    moved = (now.position - goal.begin.position)[goal.thing, :2]
    ahead = np.array(AXES[direction])
    along = float(moved @ ahead)
    return along, float(np.hypot(*(moved - along * ahead)))


def _gap(goal: Goal, now: Instant) -> float:
    apart = (now.position[goal.thing] - now.position[goal.other])[:2]
    return float(np.hypot(*apart)) - goal.radius - goal.other_radius


def _placed(goal: Goal, now: Instant) -> bool:
    away = float(np.linalg.norm(now.effector[:3] - now.position[goal.thing]))
    return bool(now.effector[6] >= RELEASED and away > AWAY_M and is_at_place(goal, now))


def is_at_place(goal: Goal, now: Instant) -> bool:
    """Return whether a thing to place is where it belongs, let go or not."""
    assert isinstance(goal.instruction, Place)
    offset = now.position[goal.thing] - now.position[goal.other]
    match goal.instruction.relation:
        case "in":
            fits = np.hypot(*offset[:2]) <= goal.other_radius and offset[2] < goal.height / 2 + goal.other_height / 2
        case "on":
            stacked = abs(offset[2] - (goal.height + goal.other_height) / 2) < 0.01
            fits = np.hypot(*offset[:2]) <= goal.other_radius and stacked
        case "left" | "right" as side:
            gap = offset[1] * AXES[side][1] - goal.radius - goal.other_radius
            on_table = abs(now.position[goal.thing, 2] - goal.height / 2) < 0.015
            fits = 0 <= gap <= BESIDE_M and abs(offset[0]) <= ABREAST_M and on_table
    return bool(fits)


def _progress(goal: Goal, now: Instant) -> float:
    match goal.instruction:
        case Reach():
            return _nearer(goal, now, lambda at: float(np.linalg.norm(at.effector[:3] - at.position[goal.thing])))
        case Push(direction=direction):
            return _pushed(goal, now, direction)[0] / PUSH_M
        case PushTo():
            return _nearer(goal, now, lambda at: max(0.0, _gap(goal, at) - TOUCH_M))
        case Place():
            return _nearer(goal, now, lambda at: float(np.hypot(*(at.position[goal.thing, :2] - drop_point(goal, at)))))


def _nearer(goal: Goal, now: Instant, distance: Callable[[Instant], float]) -> float:
    return 1.0 - distance(now) / max(distance(goal.begin), 1e-6)
