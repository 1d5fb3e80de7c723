import numpy as np
import pytest
from scenes import room

from embodied_cf.envs.driving.expert import Expert
from embodied_cf.envs.driving.plans import plan
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.state import HIT_OBJECT, HIT_PERSON, draw_noise, initial_state
from embodied_cf.errors import InstructionError, UsageError
from embodied_cf.language.grammar import mirror
from embodied_cf.language.instruction import (
    ArcAround,
    Chain,
    Do,
    FollowWall,
    GoTo,
    KeepSide,
    PassBetween,
    StopBeside,
    Thing,
)
from embodied_cf.language.predicate import judge

CHAIR, BOX, CONE = Thing("chair", "red"), Thing("box", "blue"), Thing("cone", "green")
THINGS = [
    ("chair", "red", 2.0, 2.0),
    ("box", "blue", 2.4, -1.6),
    ("cone", "green", -2.5, 1.0),
    ("chair", "white", -3, -3),
]
SCENE = room(THINGS)
CORRIDOR = room(walls=[(-5.0, 1.4, 5.0, 1.4), (-5.0, -1.4, 5.0, -1.4)], start=(-4.0, 0.0, 0.3))
CLAUSES = [
    GoTo(CHAIR),
    GoTo(Thing("chair"), near=CONE),
    StopBeside(BOX, "left"),
    StopBeside(BOX, "right"),
    PassBetween(CHAIR, BOX),
    PassBetween(CONE, Thing("wall")),
    FollowWall("left"),
    FollowWall("right"),
    ArcAround(BOX, "left"),
    ArcAround(BOX, "right"),
    *(Do(command) for command in ("forward", "turn_left", "turn_right", "adjust_left", "adjust_right", "stop")),
    Chain((Do("turn_left"), GoTo(BOX), StopBeside(CHAIR, "left"))),
    Chain((StopBeside(CHAIR, "right"), Do("stop"), ArcAround(BOX, "left"), GoTo(CONE))),
]


def drive(scenes, instructions, steps=360, seed=0):
    """Drive until all are done or the steps are over; trajectories (b, t, 3), actions (b, t, 2), what was hit (b,)."""
    expert, state = Expert.of(scenes, instructions), initial_state(scenes)
    noise = draw_noise(range(seed, seed + len(scenes)), steps)
    poses, actions, hit = [state.pose], [], np.zeros(len(scenes), np.uint8)
    for at in range(steps):
        actions.append(expert.act(state))
        state = step(expert.worlds, state, actions[-1], noise.at(at))
        poses.append(state.pose)
        hit |= state.hit
        if expert.progress.tracker.done.all():
            break
    return np.stack(poses, axis=1), np.stack(actions, axis=1), hit


def successes(scenes, instructions, poses):
    return [
        judge(told, scene.surroundings(), track).success
        for scene, told, track in zip(scenes, instructions, poses, strict=True)
    ]


def test_every_kind_of_clause_is_carried_out_and_nothing_touched():
    scenes = [SCENE] * len(CLAUSES)
    poses, actions, hit = drive(scenes, CLAUSES)
    assert all(successes(scenes, CLAUSES, poses))
    assert not (hit & HIT_OBJECT).any()
    turning = actions[..., 1] != 0
    assert (actions[..., 0][turning] >= 0.12).all()
    assert (actions[..., 0] >= 0).all()


def test_both_sides_of_a_corridor_are_kept():
    told = [KeepSide("left"), KeepSide("right")]
    poses, *_ = drive([CORRIDOR] * 2, told)
    assert all(successes([CORRIDOR] * 2, told, poses))
    assert poses[0, -1, 1] > 0.2
    assert poses[1, -1, 1] < -0.2


def test_who_does_something_else_fails():
    told = [clause for clause in CLAUSES[:-1] if mirror(clause) != clause] + [GoTo(CHAIR)]
    others = [mirror(clause) for clause in told[:-1]] + [GoTo(BOX)]
    scenes = [SCENE] * len(told)
    poses, *_ = drive(scenes, others)
    assert not any(successes(scenes, told, poses))


def test_people_in_the_way_are_not_touched():
    scenes = [room(THINGS, people=[(3.0, y, -3.0, -y), (0.5, 3.0, 1.0, -3.0)]) for y in (-0.5, 0.0, 0.5, 1.0)] * 3
    told = [GoTo(CHAIR)] * 6 + [GoTo(BOX)] * 6
    poses, _, hit = drive(scenes, told)
    assert not (hit & (HIT_OBJECT | HIT_PERSON)).any()
    assert np.mean(successes(scenes, told, poses)) >= 0.9


def test_a_chunk_is_what_would_be_driven_without_slip_and_changes_nothing():
    expert, state = Expert.of([SCENE], [GoTo(CHAIR)]), initial_state([SCENE])
    before = expert.progress
    chunk = expert.chunk(state)
    assert expert.progress is before
    assert chunk.shape == (1, 8, 2)
    noise, places = draw_noise([0], 1), []
    noise.slip[:] = 0
    for _ in range(8):
        state = step(expert.worlds, state, expert.act(state), noise)
        places.append(state.pose[0, :2])
    np.testing.assert_allclose(chunk[0], places)  # the start is (0, 0, 0), so that its frame is the world's


def test_plans_of_impossible_instructions_are_refused():
    walled = room([("chair", "red", 3.0, 0.0)], walls=[(1.0, -5.0, 1.0, 5.0)])
    with pytest.raises(UsageError, match="clause 1 of the instruction cannot be carried out"):
        plan(walled, GoTo(CHAIR))
    with pytest.raises(UsageError, match="clause 2 of the instruction cannot be carried out"):
        plan(walled, Chain((Do("turn_left"), GoTo(CHAIR))))
    with pytest.raises(InstructionError, match="no blue box"):
        plan(walled, GoTo(BOX))


def test_stopping_is_planned_without_moving():
    (route,) = plan(SCENE, Do("stop"))
    assert route.stop
    assert route.path.shape == (1, 2)
