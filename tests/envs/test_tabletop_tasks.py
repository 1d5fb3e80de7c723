import numpy as np
import pytest
from tables import table

from embodied_cf.envs.splits import split_of
from embodied_cf.envs.tabletop import expert
from embodied_cf.envs.tabletop.collector import Collector, Manner
from embodied_cf.envs.tabletop.dynamics import Table
from embodied_cf.envs.tabletop.goals import Tracker, advance, goal_of
from embodied_cf.envs.tabletop.tasks import TIME_LIMIT_STEPS, instructions, make_task
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import COLOURS, Thing
from embodied_cf.language.tabletop import SKILLS, TABLE_KINDS, Place, Push, PushTo, canonical, parse, skill


def run(task, instruction, act, steps=None):
    """How the task's own instruction fares while `act(goal, instant)` serves another one."""
    here = Table(task.layout)
    state = here.initial
    begin = here.instant(state)
    asked, served = (goal_of(each, task.layout, begin) for each in (task.instruction, instruction))
    tracker = advance(asked, Tracker(), begin)
    assert tracker.streak == 0, "not done before it begins"
    for _ in range(steps or TIME_LIMIT_STEPS[skill(task.instruction)]):
        state = here.step(state, act(served, here.instant(state)))
        tracker = advance(asked, tracker, here.instant(state))
        if tracker.done:
            break
    return tracker


@pytest.mark.parametrize("skill", SKILLS)
@pytest.mark.parametrize("seed", range(4))
def test_the_expert_does_what_is_asked(skill, seed):
    task = make_task(skill, "test", seed)
    assert run(task, task.instruction, expert.act).success


def test_the_expert_of_another_thing_or_side_fails():
    layout = table(("cube", "red", 0.36, 0.05), ("cube", "blue", 0.5, -0.1), ("bowl", "white", 0.45, 0.2))
    red, blue, bowl = Thing("cube", "red"), Thing("cube", "blue"), Thing("bowl")
    for asked, other in (
        (Place(red, "in", bowl), Place(blue, "in", bowl)),
        (Push(blue, "left"), Push(blue, "right")),
        (PushTo(red, blue), Push(blue, "forward")),
    ):
        task = make_task("reach", "train", 0)
        task = type(task)(layout, asked, canonical(asked), 0)
        assert run(task, asked, expert.act).success, asked
        assert not run(task, other, expert.act, steps=40).success, asked


@pytest.mark.parametrize("skill", SKILLS)
def test_standing_still_does_nothing(skill):
    task = make_task(skill, "train", 0)
    tracker = run(task, task.instruction, lambda goal, now: np.array([0.0] * 6 + [1.0]), steps=6)
    assert not tracker.success
    assert tracker.progress < 0.2


def test_an_expert_goes_on_from_a_state_that_others_left():
    task = make_task("place", "train", 3)
    here = Table(task.layout)
    begin = here.instant(here.initial)
    rows = np.random.default_rng(0).uniform([-0.05] * 6 + [0], [0.05] * 6 + [1], (10, 7))
    state = here.branch(here.initial, rows).states[-1]
    goal, tracker = goal_of(task.instruction, task.layout, begin), Tracker()
    for _ in range(80):
        state = here.step(state, expert.act(goal, here.instant(state)))
        tracker = advance(goal, tracker, here.instant(state))
    assert tracker.success


@pytest.mark.parametrize("split", ["train", "dev", "test"])
@pytest.mark.parametrize("skill", SKILLS)
def test_tasks_depend_on_their_seed_and_keep_the_split(skill, split):
    for seed in range(4):
        task, again = make_task(skill, split, seed), make_task(skill, split, seed)
        assert task.text == again.text
        np.testing.assert_array_equal(task.layout.position, again.layout.position)
        assert task.instruction in set(instructions(task.layout, skill))
        assert parse(task.text) == task.instruction
        target = task.instruction.thing
        assert split_of(COLOURS.index(target.colour), TABLE_KINDS.index(target.kind)) == split
        names = zip(task.layout.colour.tolist(), task.layout.kind.tolist(), strict=True)
        assert {split_of(*name) for name in names} <= {"train", split}


def test_splits_share_no_phrasing():
    def forms(split):
        return {make_task("place", split, seed).text.split(" the ")[0] for seed in range(12)}

    assert not forms("train") & forms("test")


def test_a_push_needs_room_behind_and_ahead():
    far = [("can", "red", 0.3, -0.2), ("bowl", "red", 0.55, 0.2)]
    free = set(instructions(table(("cube", "blue", 0.4, 0.0), *far), "push"))
    blue = Thing("cube", "blue")
    assert Push(blue, "left") in free
    assert PushTo(blue, Thing("bowl", "red")) in free
    blocked = set(instructions(table(("cube", "blue", 0.4, 0.0), ("can", "green", 0.4, 0.12), *far), "push"))
    assert Push(blue, "left") not in blocked
    assert Push(blue, "right") not in blocked, "the can stands where the hand would begin"
    assert Push(blue, "forward") in blocked


@pytest.mark.parametrize(("name", "split"), [("juggle", "train"), ("reach", "validation")])
def test_unknown_names_are_refused(name, split):
    with pytest.raises(UsageError, match=name if name == "juggle" else split):
        make_task(name, split, 0)


def test_the_collector_moves_things_and_repeats_itself_exactly():
    task = make_task("reach", "train", 5)
    here = Table(task.layout)

    def play(seed, wander=0.2):
        collector, state = Collector(task.layout, np.random.default_rng(seed), Manner(wander=wander)), here.initial
        rows = []
        for _ in range(30):
            rows.append(collector.act(here.instant(state)))
            state = here.step(state, rows[-1])
        return np.array(rows), here.instant(state).position

    rows, places = play(1)
    again, _ = play(1)
    other, _ = play(2)
    np.testing.assert_array_equal(rows, again)
    assert not np.array_equal(rows, other)
    moved = np.linalg.norm(places - here.instant(here.initial).position, axis=1)
    assert moved.max() > 0.03
    _, untouched = play(1, wander=1.0)
    np.testing.assert_allclose(untouched, here.instant(here.initial).position, atol=1e-3)
