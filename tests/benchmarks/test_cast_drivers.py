"""Who tells a policy what to do: nobody, or the captioner that looks at every frame."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from benchmarks.cast.arms import ARMS
from benchmarks.cast.drivers import DRIVERS, Captioned, Deaf, next_command
from embodied_cf.datasets.embodiment import Embodiment, load_embodiment
from embodied_cf.evaluate.told import Telling
from embodied_cf.policies.contract import ActionChunk, Observation
from embodied_cf.policies.detector import Found

CHAIR = Found("red chair", (0.45, 0.4, 0.55, 0.6), 0.9)
"""Straight ahead; its foot is 0.1 below the horizon, so that it stands 0.6 / 0.2 = 3 m away."""
CHAIN = "turn right, then go to the red chair"


def moved(thing, share):
    x0, y0, x1, y1 = thing.box
    return Found(thing.name, (x0 + share, y0, x1 + share, y1), thing.score)


@pytest.mark.parametrize(
    ("seen", "told", "command"),
    [
        ([CHAIR], "go to the red chair", "go forward"),
        ([CHAIR], "your destination is the crimson chair", "go forward"),
        ([moved(CHAIR, 0.15)], "go to the red chair", "adjust right"),
        ([moved(CHAIR, -0.15)], "go to the chair", "adjust left"),
        ([moved(CHAIR, -0.4)], "go to the red chair", "turn left"),
        ([moved(CHAIR, 0.4)], "go to the red chair", "turn right"),
        ([CHAIR], "go to the blue chair", "turn left"),
        ([], "go to the red chair", "turn left"),
        ([Found("red chair", (0.3, 0.3, 0.7, 0.95), 0.9)], "go to the red chair", "stop"),
        ([moved(CHAIR, -0.2), moved(Found("blue box", CHAIR.box, 0.9), 0.2)],
         "pass between the red chair and the blue box", "go forward"),
        ([], "follow the wall on your left", "go forward"),
        ([CHAIR], "turn right, then go to the red chair", "turn right"),
        ([CHAIR], "", ""),
    ],
)  # fmt: skip
def test_the_command_that_comes_next(seen, told, command):
    assert next_command(seen, told) == command


@dataclass
class Listening:
    camera: tuple[int, int] = (96, 96)
    history: int = 1
    embodiment: Embodiment = field(default_factory=lambda: load_embodiment("nav"))
    by_parts: bool = True
    heard: list = field(default_factory=list)

    def act(self, observation, instruction, rng):
        self.heard += instruction
        return ActionChunk(np.zeros((len(observation), 8, 2), np.float32), np.ones((len(observation), 8), bool))


class Eyes:
    def find(self, frames):
        assert frames.dtype == torch.uint8
        return [[CHAIR], []]


def test_the_policy_hears_the_driver():
    policy, looked = Listening(), Observation(np.zeros((2, 1, 96, 96, 3), np.uint8))
    told = ("go to the red chair", "go to the red chair")
    Captioned(policy, Eyes()).act(looked, told, np.random.default_rng(0))
    assert policy.heard == ["go forward", "turn left"]
    policy.heard.clear()
    assert Deaf(policy).act(looked, told, np.random.default_rng(0)).chunk.shape == (2, 8, 2)
    assert policy.heard == ["", ""]
    assert Deaf(policy).camera == (96, 96)


@pytest.mark.parametrize(
    ("driver", "parts"),
    [(lambda policy: Captioned(policy, Eyes()), ("turn right", "go to the red chair")), (Deaf, (CHAIN,))],
)
def test_who_is_told_chains_part_by_part(driver, parts):
    assert Telling.of(driver(Listening()), (CHAIN,)).parts == (parts,)
    assert Telling.of(driver(Listening(by_parts=False)), (CHAIN,)).parts == ((CHAIN,),)


def test_every_driver_that_an_arm_names_is_known_and_shared_trainings_are_the_same():
    for arm in ARMS.values():
        assert arm.driver in ("", *DRIVERS)
        if arm.trained_as:
            other = ARMS[arm.trained_as]
            assert (other.shares, other.settings) == (arm.shares, arm.settings)
