"""Who is at the wheel: a policy that sees, or the expert that knows the map; either can take over in the middle."""

from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8

from embodied_cf.datasets.images import resized
from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.driving.driver import Progress
from embodied_cf.envs.driving.expert import Expert
from embodied_cf.envs.driving.plans import Planner
from embodied_cf.envs.driving.pursuit import Route
from embodied_cf.envs.episodes import Episodes
from embodied_cf.envs.motion.tracking import follow, seen_from
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.scene import Worlds
from embodied_cf.envs.state import State
from embodied_cf.envs.tasks import Task
from embodied_cf.evaluate.past import Past
from embodied_cf.evaluate.rollout import EXECUTE, PIXELS
from embodied_cf.evaluate.told import Telling, next_plans
from embodied_cf.language.columns import Columns
from embodied_cf.language.predicate_tracker import STOP_STEPS
from embodied_cf.policies.contract import Observation, Policy

_OFF_ROUTE_M = 0.4
"""The expert keeps to the rehearsed route if it is this near, and plans anew otherwise."""


@dataclass(frozen=True)
class Told(Columns):
    """Which part of an instruction each of N robots is told now: chains may be told part by part."""

    part: Int64[np.ndarray, " n"]
    clock: Int64[np.ndarray, " n"]
    """Control period at which it was told."""
    pose: Float64[np.ndarray, "n 3"]
    """Where it was then: x, y m, yaw rad."""

    @staticmethod
    def first(now: Episodes) -> "Told":
        """Return what robots are told where their episodes begin."""
        nothing = np.zeros(len(now), np.int64)
        return Told(nothing, nothing, now.state.pose)


@dataclass(frozen=True)
class Handover:
    """The instant at which someone takes the wheel of N branches of one episode."""

    task: Task
    now: Episodes
    past: tuple[State, ...]
    """The states before, one control period apart, oldest first; the start is repeated where there are none."""
    left: Int64[np.ndarray, " n"]
    """Control period at which each branch left the recorded episode; the present one if it has not."""
    told: Told
    """What a policy that is told part by part has been told so far."""


Way: TypeAlias = tuple[tuple[Route, ...], int]
"""A route for each clause, and the point of the present one's that the robot is at."""


@runtime_checkable
class Wheel(Protocol):
    """Someone who drives, asked once in every control period."""

    def act(self, now: Episodes) -> Float64[np.ndarray, "n 2"]:
        """Return v m/s, w rad/s of each branch; of no meaning where the episode is over."""
        ...


@runtime_checkable
class Driver(Protocol):
    """Someone who can take the wheel."""

    @property
    def history(self) -> int:
        """How many past states it wants to know of."""
        ...

    def take_over(self, handover: Handover) -> Wheel:
        """Begin to drive."""
        ...


@dataclass(frozen=True)
class PolicyDriver:
    """A policy that is told something. One that draws draws anew after every handover."""

    policy: Policy
    told: str
    execute: int = EXECUTE
    seed: int = 0

    @property
    def history(self) -> int:
        """Control periods back to the first frame that the policy is shown, and as many as a stop takes."""
        return max(Past.of(self.policy, self.execute).ages[0], STOP_STEPS)

    def take_over(self, handover: Handover) -> Wheel:
        """Begin with a fresh decision."""
        return _PolicyWheel(self, handover)

    def see(self, worlds: Worlds, state: State) -> UInt8[np.ndarray, "n h w 3"]:
        """Return what the robots see, at the policy's size."""
        frames = render(worlds, state, Camera(PIXELS, PIXELS)).rgb
        return np.stack([resized(frame, self.policy.camera) for frame in frames])


class _PolicyWheel:
    def __init__(self, driver: PolicyDriver, handover: Handover) -> None:
        self.told = handover.told
        self._driver, self._rng = driver, generator(driver.seed, "explain", "policy")
        now, past = handover.now, handover.past
        states = (*past[len(past) - driver.history :], now.state)
        self._past = Past.of(driver.policy, driver.execute)
        for state in states:
            self._past.begin(driver.see(now.worlds, state))
        self._past.told_before(now.clock - self.told.clock)
        self._poses = [self.told.pose, *(state.pose for state in states)]
        self._telling = Telling.of(driver.policy, (driver.told,) * len(now), self.told.part)
        self._periods, self._origin = 0, now.state.pose
        self._plan = np.zeros((len(now), 1, 2))

    def act(self, now: Episodes) -> Float64[np.ndarray, "n 2"]:
        driver, phase, rows = self._driver, self._periods % self._driver.execute, np.flatnonzero(~now.over)
        if self._periods:
            self._poses.append(now.state.pose)
            self._past.add(
                -phase % driver.execute, rows, lambda rows: driver.see(now.worlds.take(rows), now.state.take(rows))
            )
        if phase == 0 and len(rows):
            chunk = next_plans(
                driver.policy, self._seen, self._telling, self._past, self._past.rested(self._poses), rows, self._rng
            )
            self._plan = np.zeros((len(now), *chunk.shape[1:]))
            self._plan[rows], self._origin = chunk, now.state.pose
            anew = np.flatnonzero(self._telling.at != self.told.part)
            self.told = self.told.replaced(anew, Told(self._telling.at[anew], now.clock[anew], now.state.pose[anew]))
        self._periods += 1
        return follow_from(self._plan, phase, self._origin, now.state.pose)

    def _seen(self) -> Observation:
        return Observation(self._past.frames, self._past.odometry(self._poses))


def follow_from(
    plan: Float[np.ndarray, "n k 2"], phase: int, origin: Float64[np.ndarray, "n 3"], pose: Float64[np.ndarray, "n 3"]
) -> Float64[np.ndarray, "n 2"]:
    """Return v m/s, w rad/s that follow chunks given in the frame of `origin`, `phase` control periods later."""
    chunk = seen_from(plan[:, phase:], origin, pose)
    return follow(chunk, np.ones(chunk.shape[:2], bool))


@dataclass(frozen=True)
class ExpertDriver:
    """The expert, that knows the map and what the instruction means."""

    history: int = 0

    def take_over(self, handover: Handover) -> Wheel:
        """Begin on the rehearsed route, or plan a way from wherever the robot is."""
        return _ExpertWheel(handover)


class _ExpertWheel:
    def __init__(self, handover: Handover) -> None:
        task, now, count = handover.task, handover.now, len(handover.now)
        known: dict[bytes, Way] = {}  # branches that begin at one moment begin in one state
        keys = [pose.tobytes() for pose in now.state.pose]
        for row, key in enumerate(keys):
            if key not in known:
                known[key] = _way_on(task, now, row)
        plans, points = zip(*(known[key] for key in keys), strict=True)
        fresh = Progress(now.tracker, np.array(points, np.int64), np.ones(count, bool))
        scenes, told = (task.scene,) * count, (task.instruction,) * count
        self._expert = Expert(scenes, told, now.worlds, now.programs, list(plans), fresh)

    def act(self, now: Episodes) -> Float64[np.ndarray, "n 2"]:
        return self._expert.act(now.state)


def _way_on(task: Task, now: Episodes, row: int) -> Way:
    """Return the routes that lead on from where a robot is, and the point of the present clause's route it is at."""
    clause = int(now.tracker.clause[row])
    route, pose = task.routes[clause], now.state.pose[row]
    if now.over[row] or route.relative:
        return task.routes, 0
    away = np.hypot(*(route.path - pose[:2]).T)
    if away.min() <= _OFF_ROUTE_M:
        return task.routes, int(away.argmin())
    progress = Progress(now.tracker.take([row]), np.zeros(1, np.int64), np.ones(1, bool))
    alone = replace(now.state.take([row]), person=np.zeros_like(now.state.person[[row]]))
    found = Planner.of(task.scene, task.instruction).route(progress, alone)
    if found is None:
        return task.routes, int(away.argmin())
    return (*task.routes[:clause], found[0], *task.routes[clause + 1 :]), 0
