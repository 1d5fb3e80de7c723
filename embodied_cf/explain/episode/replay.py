"""Exact counterfactual replay: the same episode, chance included, with somebody else at the wheel for a while."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.datasets.randomness import number
from embodied_cf.envs.episodes import LONGEST, Episodes, settle, start_episodes
from embodied_cf.envs.motion.dynamics import step as moved
from embodied_cf.envs.state import Noise, State, draw_noise
from embodied_cf.envs.tasks import Task
from embodied_cf.evaluate.past import Past
from embodied_cf.evaluate.rollout import EXECUTE
from embodied_cf.evaluate.told import Telling
from embodied_cf.explain.episode.wheel import Driver, Handover, PolicyDriver, Told, Wheel
from embodied_cf.language.columns import Columns

_ROWS = 1024
"""Branches that run side by side."""


@dataclass(frozen=True)
class Recording:
    """One episode as it happened, and all that is needed to leave it at any decision. D decisions, T periods."""

    task: Task
    driver: Driver
    noise: Noise
    """Of this one episode."""
    execute: int
    """Control periods of a decision."""
    moments: Episodes
    """D + 1 rows: the episode at each decision, and at its end."""
    trail: State
    """T + 1 rows."""
    actions: Float64[np.ndarray, "t 2"]
    """v m/s, w rad/s."""
    told: Told
    """D + 1 rows: what its driver had been told before each decision, and at the end."""

    @property
    def decisions(self) -> int:
        """How many decisions there were; the last may be cut short by the end."""
        return len(self.moments) - 1

    @property
    def success(self) -> bool:
        """Whether the instruction was carried out."""
        return bool(self.moments.success[-1])

    def done_at(self, decision: int) -> Float64[np.ndarray, "p 2"]:
        """Return the actions of one decision, standing still after the episode's end."""
        taken = self.actions[decision * self.execute : (decision + 1) * self.execute]
        return np.concatenate([taken, np.zeros((self.execute - len(taken), 2))])


@dataclass(frozen=True)
class Asked:
    """What a policy was asked at a decision."""

    words: str
    clock: Int64[np.ndarray, " t1"]
    """Control periods: when it was told these words, and of the frames that it was shown, oldest first."""


def asked_at(recording: Recording, driver: PolicyDriver, decision: int) -> Asked:
    """Return what the driver's policy was asked at a decision: of a chain that is told part by part, that part."""
    told = recording.told.take([decision + 1])  # at the decision itself it may have been told the next part
    words = Telling.of(driver.policy, (driver.told,), told.part).now(np.zeros(1, np.int64))[0]
    ages = np.array(Past.of(driver.policy, driver.execute).ages)
    frames = np.maximum(recording.moments.clock[decision] - ages, told.clock)
    return Asked(words, np.concatenate([told.clock, frames]))


@dataclass(frozen=True)
class Branches:
    """What became of N branches."""

    final: Episodes
    first: Float64[np.ndarray, "n p 2"]
    """Actions of the part that was done otherwise."""
    pose: Float64[np.ndarray, "n t 3"]
    """Robot x, y m, yaw rad from where each branch begins; who is over stands still."""

    @property
    def success(self) -> Bool[np.ndarray, " n"]:
        """Whether the instruction was carried out."""
        return self.final.success


@dataclass(frozen=True)
class Chance:
    """The episode's own chance (draw 0), and others that are the same until a branch begins."""

    noise: Noise

    @classmethod
    def of(cls, recording: Recording, others: int) -> "Chance":
        """Draw so many others. They depend on the task's seed alone."""
        seeds = [number(recording.task.seed, "other chance", str(at)) >> 65 for at in range(others)]
        more = draw_noise(seeds, LONGEST) if others else Noise(recording.noise.slip[:0], recording.noise.person[:0])
        both = (recording.noise, more)
        return cls(Noise(*(np.concatenate([getattr(each, name) for each in both]) for name in ("slip", "person"))))

    def at(self, draw: Int64[np.ndarray, " n"], clock: Int64[np.ndarray, " n"]) -> Noise:
        """Return the noise of one control period for each branch."""
        when = np.minimum(clock, LONGEST - 1)
        return Noise(self.noise.slip[draw, when][:, None], self.noise.person[draw, when][:, None])


def record(task: Task, driver: Driver, execute: int = EXECUTE) -> Recording:
    """Let a driver do a task, under the chance of the task's seed."""
    now, noise = start_episodes([task]), draw_noise([task.seed], LONGEST)
    chance, draw = Chance(noise), np.zeros(1, np.int64)
    told = [Told.first(now)]
    wheel = driver.take_over(Handover(task, now, (now.state,) * driver.history, now.clock, told[0]))
    moments, trail, actions = [now], [now.state], []
    while not now.over[0]:
        actions.append(wheel.act(now)[0])
        now = _drive(now, actions[-1][None], chance, draw)
        trail.append(now.state)
        if len(actions) % execute == 0 or now.over[0]:
            moments.append(now)
            told.append(getattr(wheel, "told", told[-1]))
    return Recording(task, driver, noise, execute, joined(moments), _stacked(trail), np.array(actions), _stacked(told))


def branch_off(
    recording: Recording,
    decision: Int64[np.ndarray, " n"],
    first: Driver | Float64[np.ndarray, "n p 2"],
    periods: int,
    then: Driver,
    chance: Chance,
    draw: Int64[np.ndarray, " n"],
) -> Branches:
    """Leave the recording at a decision, let `first` drive (or do these actions) for some periods, then `then`.

    `draw` picks the chance of each branch. Doing what was done, with the episode's own chance, gives what happened.
    """
    parts = []
    for low in range(0, len(decision), _ROWS):
        rows = slice(low, low + _ROWS)
        other = first[rows] if isinstance(first, np.ndarray) else first
        parts.append(_run(recording, decision[rows], other, periods, then, chance, draw[rows]))
    return parts[0] if len(parts) == 1 else _together(parts)


def _run(
    recording: Recording,
    decision: Int64[np.ndarray, " n"],
    first: Driver | Float64[np.ndarray, "n p 2"],
    periods: int,
    then: Driver,
    chance: Chance,
    draw: Int64[np.ndarray, " n"],
) -> Branches:
    now = rows_of(recording.moments, decision)
    left, most = now.clock, max(then.history, 0 if isinstance(first, np.ndarray) else first.history)
    back = [np.maximum(left - age, 0) for age in range(most, 0, -1)]
    past = deque((recording.trail.take(rows) for rows in back), maxlen=most)
    begun = Handover(recording.task, now, tuple(past), left, recording.told.take(decision))
    wheel: Wheel = _Doing(first) if isinstance(first, np.ndarray) else first.take_over(begun)
    poses, done = [now.state.pose], list[np.ndarray]()
    while not (now.over.all() and len(done) >= periods):
        if len(done) == periods:
            told = getattr(wheel, "told", recording.told.take(decision + 1)) if periods else begun.told
            wheel = then.take_over(Handover(recording.task, now, tuple(past), left, told))
        done.append(wheel.act(now))
        past.append(now.state)
        now = _drive(now, done[-1], chance, draw)
        poses.append(now.state.pose)
    return Branches(now, np.stack(done[:periods], axis=1) if periods else np.zeros((len(now), 0, 2)),
                    np.stack(poses, axis=1))  # fmt: skip


@dataclass
class _Doing:
    """A wheel that does what is written."""

    actions: Float64[np.ndarray, "n p 2"]
    at: int = 0

    def act(self, now: Episodes) -> Float64[np.ndarray, "n 2"]:
        self.at += 1
        return self.actions[:, self.at - 1]


def _drive(
    now: Episodes, action: Float64[np.ndarray, "n 2"], chance: Chance, draw: Int64[np.ndarray, " n"]
) -> Episodes:
    return settle(now, moved(now.worlds, now.state, action, chance.at(draw, now.clock)))


def rows_of(episodes: Episodes, rows: Int64[np.ndarray, " n"]) -> Episodes:
    """Return the chosen episodes; a row may be named more than once."""
    return Episodes(**{item.name: _taken(getattr(episodes, item.name), rows) for item in fields(Episodes)})


def joined(parts: Sequence[Episodes]) -> Episodes:
    """Return batches of episodes as one."""
    return Episodes(**{item.name: _stacked([getattr(part, item.name) for part in parts]) for item in fields(Episodes)})


def _taken(column: Any, rows: Int64[np.ndarray, " n"]) -> Any:
    """Return rows of a record of arrays, or of an array."""
    return column.take(rows) if isinstance(column, Columns) else column[rows]


def _stacked(parts: Sequence[Any]) -> Any:
    """Return records of arrays, or arrays, one after the other."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    names = [item.name for item in fields(parts[0])]
    return type(parts[0])(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _together(parts: Sequence[Branches]) -> Branches:
    longest = max(part.pose.shape[1] for part in parts)
    poses = [np.pad(part.pose, ((0, 0), (0, longest - part.pose.shape[1]), (0, 0)), mode="edge") for part in parts]
    first = np.concatenate([part.first for part in parts])
    return Branches(joined([part.final for part in parts]), first, np.concatenate(poses))
