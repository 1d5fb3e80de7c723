import numpy as np
from scenes import room

from embodied_cf.envs.motion.branch import branch
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.scene import stack
from embodied_cf.envs.state import draw_noise, initial_state

CASES, STEPS = 1000, 6
CAMERA = Camera(20, 20)


def test_a_thousand_branches_with_the_factual_actions_show_the_factual_frames():
    """Each case branches from its own step of its own run; state, people and every pixel are the same bits."""
    rng = np.random.default_rng(0)
    things = [("chair", "red", 2.0, 1.0), ("ball", "blue", 3.0, -1.0), ("plant", "green", -2.0, 2.0)]
    people = [(2.5, 0.0, -2.0, -2.0), (-3.0, 1.0, 3.0, 2.0)]
    scenes = [room(things, people, start=(x, y, yaw)) for x, y, yaw in rng.uniform(-1.0, 1.0, (20, 3)) * (1, 1, 3)]
    rows = np.arange(CASES) % len(scenes)
    worlds, state = stack(scenes).take(rows), initial_state(scenes).take(rows)
    noise = draw_noise(range(CASES), STEPS)
    actions = rng.uniform((0.0, -1.5), (1.0, 1.5), (CASES, STEPS, 2))
    factual = branch(worlds, state, actions, noise)
    final = render(worlds, factual.state(STEPS), CAMERA)
    for at in range(STEPS):
        chosen = np.flatnonzero(np.arange(CASES) % STEPS == at)
        again = branch(
            worlds.take(chosen),
            factual.state(at).take(chosen),
            actions[chosen, at:],
            draw_noise(chosen.tolist(), STEPS).since(at),
        )
        frames = render(worlds.take(chosen), again.state(STEPS - at), CAMERA)
        for name in ("rgb", "depth", "segmentation"):
            np.testing.assert_array_equal(getattr(frames, name), getattr(final, name)[chosen])
        np.testing.assert_array_equal(again.person, factual.person[chosen, at:])
        np.testing.assert_array_equal(again.pose, factual.pose[chosen, at:])


def test_other_actions_meet_the_same_chance():
    """A person out of the robot's sight walks the same way whatever the robot does."""
    wall = [(-5.0, 2.0, 5.0, 2.0)]
    scene = room(people=[(2.5, 4.0, -2.0, 4.0)], walls=wall)
    worlds, state, noise = stack([scene]), initial_state([scene]), draw_noise([3], 20)
    one, other = (
        branch(worlds, state, np.full((1, 20, 2), (speed, turn)), noise) for speed, turn in ((0.2, 0.0), (0.9, 1.0))
    )
    np.testing.assert_array_equal(one.person, other.person)
    assert not np.array_equal(one.pose, other.pose)
    np.testing.assert_array_equal(step(worlds, state, np.array([[0.2, 0.0]]), noise.at(0)).pose, one.state(1).pose)
