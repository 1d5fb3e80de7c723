"""Tasks in hand-made rooms, and policies whose behaviour is known."""

from dataclasses import dataclass

import numpy as np
from scenes import room

from embodied_cf.envs.driving.plans import plan
from embodied_cf.envs.state import initial_state
from embodied_cf.envs.tasks import Task
from embodied_cf.explain.input.asking import View
from embodied_cf.explain.input.known_causes import Planted
from embodied_cf.language.grammar import canonical
from embodied_cf.language.instruction import GoTo, Thing
from embodied_cf.policies.contract import ActionChunk
from embodied_cf.relabel.synthesize import arcs

RED, BLUE = ("chair", "red", 3.5, 0.8), ("ball", "blue", 3.5, -1.2)
GREEN = ("box", "green", -3.0, 2.0)


TOLD = GoTo(Thing("chair", "red"))


def task(things=(RED, BLUE, GREEN), people=(), told=TOLD, seed=3):
    scene = room(things, people)
    return Task(scene, told, canonical(told), seed, plan(scene, told))


def view(things=(RED, BLUE, GREEN), told="go to the red chair", history=1):
    scene = room(things)
    return View.of(scene, (initial_state([scene]),) * (1 + history), told)


@dataclass(frozen=True)
class Constant(Planted):
    """Goes straight on, whatever it sees or hears."""

    def bearing(self, image, told):
        return 0.0


@dataclass(frozen=True)
class Standing(Planted):
    """Stands still, until it has been driven to where it should be."""

    def act(self, observation, instruction, rng):
        chunk = np.zeros((len(observation), 8, 2), np.float32)
        return ActionChunk(chunk, np.ones(chunk.shape[:2], bool))


@dataclass(frozen=True)
class Dreamer(Planted):
    """Steers by the mean brightness of all its frames and by its way since it was told: any wrong frame or place, or
    wrong order, shows in where it goes."""

    history: int = 3

    def act(self, observation, instruction, rng):
        mean = observation.image.astype(np.float64).mean(axis=(2, 3, 4))
        way = observation.odometry.astype(np.float64).sum(axis=2) @ np.arange(1.0, self.history + 2)
        bearing = 0.4 * np.sin(mean @ np.arange(1.0, self.history + 1) + way)
        chunk = arcs(np.full(len(mean), 1.2), 2 * bearing, 8)
        return ActionChunk(chunk, np.ones(chunk.shape[:2], bool))


@dataclass(frozen=True)
class Gambler(Planted):
    """Goes straight on, or if it may draw, left in three of ten cases."""

    sample: bool = False
    tells: bool = False
    """Whether it tells log-probabilities."""

    def act(self, observation, instruction, rng):
        left = (rng.random(len(observation)) < 0.3) & self.sample
        chunk = arcs(np.full(len(left), 1.4), np.where(left, 2.2, 0.0), 8)
        law = np.log(np.where(left, 0.3, 0.7)).astype(np.float32) if self.tells else None
        return ActionChunk(chunk, np.ones(chunk.shape[:2], bool), law)
