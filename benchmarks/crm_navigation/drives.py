"""Episodes: the robot looks for a second, is steered once, and drives; what it cost, social perturbation included."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from benchmarks.crm_navigation import driver, sight
from benchmarks.crm_navigation.driver import Settings
from benchmarks.crm_navigation.errands import Errand
from benchmarks.crm_navigation.sight import found_people
from embodied_cf.datasets.randomness import generator, number
from embodied_cf.envs.motion.branch import people_perturbation
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.motion.tracking import pose_from
from embodied_cf.envs.rendering.render import render
from embodied_cf.envs.scene import Worlds, stack
from embodied_cf.envs.state import Noise, State, draw_noise, initial_state

LOOKS = 4
"""Control periods in which the robot stands and looks before it is steered."""
STEPS = 40
"""Control periods of 0.25 s within which it must arrive."""
PLAN = 4
"""Control periods between looks of the driver."""
FAILURE, COLLISION, SOCIAL = 0.4, 0.3, 0.3
"""Parts of the cost; their sum is 1."""
UNBEARABLE_M2 = 1.0
"""Perturbation of a person from which on the social part of the cost is full, m² averaged over the drive."""


class Moment(NamedTuple):
    """B errands at the instant of the decision; what is seen, in the robots' frames, m."""

    worlds: Worlds
    state: State
    noise: Noise
    goal: Float64[np.ndarray, "b 2"]
    frame: UInt8[np.ndarray, "b h w 3"]
    floor: Float64[np.ndarray, "b c 2"]
    """Where the free floor ends."""
    person: Float64[np.ndarray, "b p 2"]
    """Who is found in the frame; nan for others."""
    before: Float64[np.ndarray, "b p 2"]
    """Who was found at the start, a second earlier."""
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """Of B episodes."""

    arrived: Bool[np.ndarray, " b"]
    collided: Bool[np.ndarray, " b"]
    perturbation: Float64[np.ndarray, " b"]
    """Of the person who was pushed furthest off her way, m²."""
    actions: Float64[np.ndarray, "b t 2"]

    @property
    def cost(self) -> Float64[np.ndarray, " b"]:
        """In [0, 1] by construction."""
        social = np.minimum(self.perturbation / UNBEARABLE_M2, 1.0)
        return FAILURE * ~self.arrived + COLLISION * self.collided + SOCIAL * social


def begin(errands: Sequence[Errand]) -> Moment:
    """Let the robots stand and look."""
    seeds = tuple(errand.seed for errand in errands)
    worlds, state = stack([errand.scene for errand in errands]), initial_state([errand.scene for errand in errands])
    noise = draw_noise(seeds, LOOKS + STEPS)
    rng = generator(number(0, *map(str, seeds)), "detector")
    before = found_people(render(worlds, state, sight.CAMERA).segmentation, rng)
    for period in range(LOOKS):
        state = step(worlds, state, np.zeros((len(seeds), 2)), noise.at(period))
    now = render(worlds, state, sight.CAMERA)
    seen = now.rgb, sight.floor_ends(now.rgb), found_people(now.segmentation, rng), before
    return Moment(worlds, state, noise.since(LOOKS), np.stack([errand.goal for errand in errands]), *seen, seeds)


def finish(moment: Moment, settings: Settings) -> Outcome:
    """Drive to the end; who has arrived or hit something stands."""
    state, start = moment.state, moment.state.pose
    count = len(state)
    arrived, collided = np.zeros(count, bool), np.zeros(count, bool)
    actions = np.zeros((count, STEPS, 2))
    memory, action = None, np.zeros((count, 2))
    for period in range(STEPS):
        if period % PLAN == 0:
            pose = pose_from(start, state.pose)
            memory = driver.remember(memory, pose, _floor(moment.worlds, state, ~(arrived | collided)))
            action = driver.act(pose, moment.goal, memory, settings)
        running = ~(arrived | collided)
        if not running.any():
            break
        waits = (settings.way == driver.WAYS.index("wait")) & (period < driver.WAIT)
        actions[:, period] = np.where((running & ~waits)[:, None], action, 0.0)
        state = step(moment.worlds, state, actions[:, period], moment.noise.at(period))
        collided |= running & (state.hit > 0)
        arrived |= running & ~collided & driver.reached(pose_from(start, state.pose), moment.goal)
    pushed = people_perturbation(moment.worlds, moment.state, actions, moment.noise).max(axis=1)
    return Outcome(arrived, collided, pushed, actions)


def _floor(worlds: Worlds, state: State, running: Bool[np.ndarray, " b"]) -> Float64[np.ndarray, "b c 2"]:
    rows = np.flatnonzero(running)
    floor = np.full((len(state), sight.COLUMNS, 2), sight.FAR_M)
    if len(rows):
        frames = render(worlds.take(rows), state.take(rows), sight.CAMERA)
        floor[rows] = sight.floor_ends(frames.rgb)
    return floor
