"""Many running episodes side by side: worlds, their state, and how each stands with its instruction."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.scene import Worlds, stack
from embodied_cf.envs.state import HIT_OBJECT, HIT_PERSON, HIT_WALL, PERIOD_S, Noise, State, initial_state
from embodied_cf.envs.tasks import Task
from embodied_cf.language.instruction import TIME_LIMIT_S, family
from embodied_cf.language.predicate import Programs, Tracker, advance, begin, compile_instruction, stack_programs

LONGEST = int(max(TIME_LIMIT_S.values()) / PERIOD_S)
"""Control periods of the longest time limit."""


@dataclass(frozen=True)
class Episodes:
    """B episodes. An episode that is over stays as it is."""

    worlds: Worlds
    state: State
    programs: Programs
    tracker: Tracker
    start: Float64[np.ndarray, "b 3"]
    """Robot's pose at the start."""
    clock: Int64[np.ndarray, " b"]
    """Control periods so far."""
    limit: Int64[np.ndarray, " b"]
    """Control periods within which the instruction must be carried out."""
    collisions: Int64[np.ndarray, " b"]
    """Control periods in which the robot hit an object or a person."""
    wall_contacts: Int64[np.ndarray, " b"]
    """Control periods in which the robot touched a wall."""
    travelled: Float64[np.ndarray, " b"]
    """Length of the robot's way, m."""
    crashed: Bool[np.ndarray, " b"]
    """Whether a collision has ended it."""

    def __len__(self) -> int:
        return len(self.clock)

    @property
    def terminated(self) -> Bool[np.ndarray, " b"]:
        """Whether the instruction is carried out, or can no longer be."""
        return self.tracker.done | self.crashed

    @property
    def truncated(self) -> Bool[np.ndarray, " b"]:
        """Whether the time is up and nothing else ended the episode."""
        return (self.clock >= self.limit) & ~self.terminated

    @property
    def over(self) -> Bool[np.ndarray, " b"]:
        """Whether nothing happens any more."""
        return self.tracker.done | self.crashed | (self.clock >= self.limit)

    @property
    def success(self) -> Bool[np.ndarray, " b"]:
        """Whether the instruction was carried out, without a crash before."""
        return self.tracker.success & ~self.crashed

    def replaced(self, rows: Sequence[int] | np.ndarray, others: "Episodes") -> "Episodes":
        """Return these episodes with `rows` exchanged for `others`."""
        return Episodes(**{item.name: _exchanged(getattr(self, item.name), np.asarray(rows), getattr(others, item.name))
                           for item in fields(self)})  # fmt: skip


def _exchanged(column, rows: np.ndarray, other):  # type: ignore[no-untyped-def] # records of arrays, or arrays
    if not isinstance(column, np.ndarray):
        return column.replaced(rows, other)
    changed = column.copy()
    changed[rows] = other
    return changed


def start_episodes(tasks: Sequence[Task]) -> Episodes:
    """Return the tasks at their start."""
    scenes, count = [task.scene for task in tasks], len(tasks)
    programs = stack_programs([compile_instruction(task.instruction, task.scene.surroundings()) for task in tasks])
    state = initial_state(scenes)
    limit = [int(TIME_LIMIT_S[family(task.instruction)] / PERIOD_S) for task in tasks]
    none = np.zeros(count, np.int64)
    return Episodes(
        stack(scenes), state, programs, begin(programs, state.pose), state.pose, none, np.array(limit, np.int64),
        none, none, np.zeros(count), np.zeros(count, bool),
    )  # fmt: skip


def drive(now: Episodes, action: np.ndarray, noise: Noise, collision_fails: bool = True) -> Episodes:
    """Return the episodes one control period later under actions (b, 2), see `dynamics.step`.

    noise: of whole episodes, each read at its clock.
    """
    return settle(now, step(now.worlds, now.state, action, present(now, noise)), collision_fails)


def present(now: Episodes, noise: Noise) -> Noise:
    """Return the noise of the step that comes next, out of that of whole episodes."""
    return noise.at(np.minimum(now.clock, LONGEST - 1))


def settle(now: Episodes, state: State, collision_fails: bool = True) -> Episodes:
    """Return the episodes with their next state, judged and counted; what is over stays as it is."""
    over = np.flatnonzero(now.over)
    if len(over):
        state = state.replaced(over, now.state.take(over))
    tracker = advance(now.programs, now.tracker, state.pose)
    if len(over):
        tracker = tracker.replaced(over, now.tracker.take(over))
    running = ~now.over
    collided = running & ((state.hit & (HIT_OBJECT | HIT_PERSON)) > 0)
    moved = np.hypot(*(state.pose[:, :2] - now.state.pose[:, :2]).T)
    return replace(
        now,
        state=state,
        tracker=tracker,
        clock=now.clock + running,
        collisions=now.collisions + collided,
        wall_contacts=now.wall_contacts + (running & ((state.hit & HIT_WALL) > 0)),
        travelled=now.travelled + moved,
        crashed=now.crashed | (collided & collision_fails),
    )
