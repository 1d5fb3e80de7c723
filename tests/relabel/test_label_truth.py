"""The audit's truth: chunks driven in a room, correct if they get on and touch nothing."""

import numpy as np
import pytest
import scenes

from benchmarks.label_truth import World, drive_chunks, futures, truths
from embodied_cf.datasets.contract import Labels
from embodied_cf.envs.motion.branch import branch
from embodied_cf.envs.scene import stack
from embodied_cf.envs.state import HIT_OBJECT, HIT_WALL, Noise, initial_state
from embodied_cf.language.scale import MotionScale

SCALE = MotionScale(step=0.17, turn=0.9)
THINGS = [("chair", "red", 3.0, 0.0), ("box", "blue", 2.5, 2.0)]


@pytest.fixture(scope="module")
def world():
    """A robot that drives 1 m towards a chair, without slip."""
    scene = scenes.room(THINGS, start=(0.0, 0.0, 0.0))
    noise = Noise(np.zeros((1, 30, 2)), np.zeros((1, 30, 6, 2)))
    actions = np.tile(np.array([0.8, 0.0]), (1, 10, 1))
    actions[0, 5:] = 0.0
    worlds = stack([scene])
    return World(scene, worlds, branch(worlds, initial_state([scene]), actions, noise), noise, 10)


def label(text, chunk, start=0):
    return Labels(("counterfactual",), np.array([start], np.int32), np.array([start + 8], np.int32), (text,), ("",),
                  chunk[None].astype(np.float32), np.ones((1, 8), bool), np.ones(1, np.float32), ("",))  # fmt: skip


def line(x, y):
    return np.linspace(0, 1, 9)[1:, None] * np.array([x, y])


def true(world, text, chunk, start=0, told=None):
    told = start if told is None else told
    found, hit = truths(world, futures(world, SCALE, 8), label(text, chunk, start), np.array([told]))
    return bool(found[0]), int(hit[0])


def test_a_chunk_is_driven_as_it_says(world):
    pose, hit = drive_chunks(world, label("go straight", line(1.36, 0.0)))
    np.testing.assert_allclose(pose[0, -1, :2], [1.36, 0.0], atol=0.02)
    assert hit[0] == 0


@pytest.mark.parametrize(
    ("text", "chunk", "start", "correct"),
    [
        ("go to the red chair", line(1.3, 0.0), 0, True),
        ("go to the red chair", line(0.3, 0.0), 0, False),  # a quarter of what is possible
        ("go to the blue box", line(1.0, 0.8), 0, True),
        ("go to the blue box", line(1.1, -0.8), 0, False),
        ("go to the green ball", line(1.3, 0.0), 0, False),  # there is none
        ("stop left of the red chair", line(1.3, 0.4), 0, True),
        ("stop right of the red chair", line(1.1, 0.8), 0, False),
        ("say hello", line(1.3, 0.0), 0, False),
    ],
)
def test_progress_decides(world, text, chunk, start, correct):
    assert true(world, text, chunk, start) == (correct, 0)


def test_what_touches_something_is_wrong(world):
    assert true(world, "go to the red chair", line(3.0, 0.0), start=5) == (False, HIT_OBJECT)
    scene = scenes.room(half=1.0)
    worlds = stack([scene])
    small = World(
        scene, worlds, branch(worlds, initial_state([scene]), np.zeros((1, 3, 2)), world.noise), world.noise, 3
    )
    assert true(small, "go straight", line(1.3, 0.0)) == (False, HIT_WALL)


def test_standing_counts_where_the_thing_is_reached(world):
    """1 m on the robot is 1.6 m from the chair's surface; told there, standing still gets nowhere."""
    assert true(world, "go to the red chair", line(0.0, 0.0), start=5) == (False, 0)
    assert true(world, "stop", line(0.0, 0.0), start=5) == (True, 0)
