"""Exact truth about counterfactual labels of simulated logs: what their chunks lead to from the state they branch off.

A chunk is driven in the simulator, with the people and the chance of the log. It is *correct* if nothing is touched
and it makes at least half of the best possible progress of its instruction's predicate, measured at its end and on
the true scene. Best possible is the best of a fan of drives at the data's own speed and within its turns, and of
standing still, that touch nothing. Where nothing makes progress yet (a thing to be driven around that is too far off),
coming nearer counts instead. What names something that the scene does not have is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from embodied_cf.datasets.contract import Episode, Labels
from embodied_cf.datasets.privileged import read_scene
from embodied_cf.envs.motion.branch import Rollout, branch
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.motion.tracking import follow, seen_from
from embodied_cf.envs.scene import Scene, Worlds, stack
from embodied_cf.envs.scene_json import from_json
from embodied_cf.envs.state import PERIOD_S, Noise, State, draw_noise, initial_state
from embodied_cf.errors import InstructionError
from embodied_cf.language.grammar import parse
from embodied_cf.language.predicate import (
    Program,
    Programs,
    Tracker,
    advance,
    begin,
    compile_instruction,
    stack_programs,
)
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.scale import MotionScale
from embodied_cf.relabel.fan import SHARPEST

HALF = 0.5
NOTHING = 0.02
"""Progress below which nothing is said to happen."""
STANDS_M = 0.05
"""Who ends nearer than this to where it began stands."""
_BENDS = 7


@dataclass(frozen=True)
class World:
    """One episode's scene and what really happened in it."""

    scene: Scene
    worlds: Worlds
    run: Rollout
    noise: Noise
    steps: int

    @staticmethod
    def of(episode: Episode, spare: int) -> "World":
        """Replay an episode; chance is drawn for `spare` steps more."""
        columns, seed = read_scene(episode)
        scene = from_json(columns)
        worlds, noise = stack([scene]), draw_noise([seed], len(episode) + spare)
        run = branch(worlds, initial_state([scene]), episode.action[None].astype(np.float64), noise)
        return World(scene, worlds, run, noise, len(episode))

    @property
    def pose(self) -> np.ndarray:
        """The robot's poses (t, 3) in the world frame."""
        return self.run.pose[0]


@dataclass(frozen=True)
class Futures:
    """K alternative drives from each step of an episode."""

    pose: np.ndarray
    """(s, k, h + 1, 3)"""
    free: np.ndarray
    """(s, k): nothing touched."""


def futures(world: World, scale: MotionScale, horizon: int) -> Futures:
    """Drive the fan, and stand still, from every step."""
    bend = SHARPEST * scale.turn / horizon / PERIOD_S * np.linspace(-1.0, 1.0, _BENDS)
    first, second = (rate.reshape(-1, 1) for rate in np.meshgrid(bend, bend, indexing="ij"))
    turn = np.where(np.arange(horizon) < horizon // 2, first, second)
    actions = np.stack([np.full_like(turn, scale.step / PERIOD_S), turn], axis=-1)
    actions = np.concatenate([actions, np.zeros((1, horizon, 2))])
    runs = [branch(world.worlds, world.run.state(at), actions, world.noise.since(at)) for at in range(world.steps - 1)]
    return Futures(np.stack([run.pose for run in runs]), np.stack([(run.hit == 0).all(axis=1) for run in runs]))


def drive_chunks(world: World, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Follow each label's chunk from its start: poses (n, h + 1, 3), and what was touched (bits)."""
    start, count = labels.start.astype(np.int64), len(labels)
    state = _at(world.run, start)
    worlds, origin, hit = world.worlds.take(np.zeros(count, np.int64)), state.pose, np.zeros(count, np.uint8)
    poses = [state.pose]
    for at in range(labels.action.shape[1]):
        chunk = seen_from(labels.action[:, at:], origin, state.pose)
        action = follow(chunk, labels.action_mask[:, at:])
        noise = Noise(world.noise.slip[0, start + at][:, None], world.noise.person[0, start + at][:, None])
        state = step(worlds, state, action, noise)
        hit |= state.hit
        poses.append(state.pose)
    return np.stack(poses, axis=1), hit


def _at(run: Rollout, steps: np.ndarray) -> State:
    return State(**{name: column[steps, 0] for name, column in run.columns.items()})


def truths(world: World, alternatives: Futures, labels: Labels, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which labels are correct, and what each touched (bits); `told` is the step at which each was asked."""
    pose, hit = drive_chunks(world, labels)
    correct = np.zeros(len(labels), bool)
    rows, programs = _compiled(world, labels.instruction, told)
    if len(rows):
        start = labels.start[rows].astype(np.int64)
        judged = _Judged.of(programs, world, told[rows], start)
        correct[rows] = judged.sensible(pose[rows], alternatives.pose[start], alternatives.free[start])
    return correct & (hit == 0), hit


def _compiled(world: World, texts: Sequence[str], told: np.ndarray) -> tuple[np.ndarray, Programs]:
    surroundings = world.scene.surroundings()
    found: list[tuple[int, Program]] = []
    for row, (text, at) in enumerate(zip(texts, told.tolist(), strict=True)):
        try:
            found.append((row, compile_instruction(parse(text), replace(surroundings, start=world.pose[at]))))
        except InstructionError:
            continue
    rows = np.array([row for row, _ in found], np.int64)
    return rows, stack_programs([program for _, program in found]) if found else None  # type: ignore[return-value]


@dataclass(frozen=True)
class _Judged:
    """Instructions that were told some steps ago, at the steps from which chunks branch off."""

    programs: Programs
    tracker: Tracker
    now: np.ndarray

    @staticmethod
    def of(programs: Programs, world: World, told: np.ndarray, start: np.ndarray) -> "_Judged":
        tracker = begin(programs, world.pose[told])
        now = np.zeros(len(told))
        for ago in range(1, int((start - told).max()) + 1):
            rows = np.flatnonzero(start - told >= ago)
            before = replace(tracker.take(rows), progress=np.where(tracker.success[rows], 1.0, 0.0))
            tracker = tracker.replaced(rows, advance(programs.take(rows), before, world.pose[told[rows] + ago]))
            now[rows] = tracker.progress[rows]
        return _Judged(programs, tracker, now)

    def sensible(self, pose: np.ndarray, others: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Whether each chunk's poses (n, h + 1, 3) make half of what the best free drive of (n, k, h + 1, 3) does.

        Where all is done already: whether they stand.
        """
        count, drives = free.shape
        each = np.repeat(np.arange(count), drives)
        own, own_failed = self._end(np.arange(count), pose)
        best, failed = self._end(each, others.reshape(-1, *others.shape[2:]))
        possible = np.where(free & ~failed.reshape(count, -1), best.reshape(count, -1), -np.inf).max(axis=1)
        gain, best_gain = own - self.now, np.maximum(possible, own) - self.now
        enough = np.where(best_gain >= NOTHING, gain >= HALF * best_gain, gain >= -NOTHING)
        waiting = (best_gain < NOTHING) & (self._rule == Rule.ARC_AROUND)
        enough[waiting] = self._nearer(pose, others, free)[waiting]
        stands = np.hypot(*(pose[:, -1, :2] - pose[:, 0, :2]).T) <= STANDS_M
        return np.where(self.tracker.done, self.tracker.success & stands, enough & ~own_failed)

    @property
    def _rule(self) -> np.ndarray:
        return self.programs.rule[np.arange(len(self.now)), self.tracker.clause]

    def _end(self, rows: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Progress at the end of drives, and whether they ended badly."""
        programs, tracker = self.programs.take(rows), self.tracker.take(rows)
        for at in range(1, pose.shape[1]):
            if at == pose.shape[1] - 1:
                tracker = replace(tracker, progress=np.where(tracker.success, 1.0, 0.0))
            tracker = advance(programs, tracker, np.ascontiguousarray(pose[:, at]))
        return tracker.progress, tracker.done & ~tracker.success

    def _nearer(self, pose: np.ndarray, others: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Whether a chunk comes half as much nearer to its thing as the best free other drive."""
        each = np.arange(len(self.now))
        thing = self.programs.things[each, self.tracker.clause, 0, :2]
        away = np.hypot(*np.moveaxis(pose[:, [0, -1], :2] - thing[:, None], 2, 0))
        left = np.hypot(*np.moveaxis(others[:, :, -1, :2] - thing[:, None], 2, 0))
        best = away[:, 0] - np.where(free, left, np.inf).min(axis=1)
        return away[:, 0] - away[:, 1] >= HALF * np.maximum(best, 0.0)
