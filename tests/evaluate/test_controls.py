"""Controls change one thing, and what they change is what they say."""

import math

import numpy as np
import pytest
from scenes import room

from embodied_cf.envs.driving.plans import plan
from embodied_cf.envs.tasks import Task, make_task
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.controls import CONTROLS, GREY, Trial, control, obeyed, shuffled_instruction
from embodied_cf.evaluate.distractors import with_distractor, without_distractor
from embodied_cf.evaluate.otherwise import another_target, drive_otherwise, opposite, something_else
from embodied_cf.language.grammar import canonical, mirror, parse, phrase
from embodied_cf.language.instruction import (
    FAMILIES,
    Chain,
    Do,
    FollowWall,
    GoTo,
    PassBetween,
    StopBeside,
    Thing,
    family,
)
from embodied_cf.language.predicate import compile_instruction

# no two of one kind; all are names of the split `train`
THINGS = [("chair", "orange", 3.5, 1.3), ("box", "red", 3.5, -1.3), ("cone", "yellow", -3.0, 2.5)]


def task_of(instruction, things=THINGS, half=5.0):
    scene = room(things, half=half)
    return Task(scene, instruction, phrase(instruction, np.random.default_rng(0)), 7, plan(scene, instruction))


@pytest.fixture(scope="module")
def tasks():
    """One of each family."""
    return [make_task("rooms", kind, "dev", 1) for kind in FAMILIES]


def trial(name, task, split="dev", seed=0):
    return control(name).trial(task, split, np.random.default_rng(seed))


def test_every_name_is_known_and_another_is_refused():
    assert [control(one.name).name for one in CONTROLS] == [one.name for one in CONTROLS]
    with pytest.raises(UsageError, match=r"unknown control 'deaf'. Choose of none, canonical"):
        control("deaf")


def test_words_alone_change(tasks):
    for task in tasks:
        told = {name: trial(name, task) for name in ("none", "canonical", "paraphrase", "empty")}
        assert all(one.task is task and one.meant is None for one in told.values())
        assert told["none"].told == task.text
        assert told["canonical"].told == canonical(task.instruction)
        assert told["empty"].told == ""
        assert told["paraphrase"].told != task.text
        assert parse(told["paraphrase"].told) == parse(task.text)


def test_shuffled_means_something_else_that_can_be_done(tasks):
    defined = [(task, shuffled) for task in tasks if (shuffled := trial("shuffled", task))]
    assert len(defined) >= 3
    for task, shuffled in defined:
        assert shuffled.task is task
        assert shuffled.meant == shuffled_instruction(task, "dev") != task.instruction
        assert family(shuffled.meant) == family(task.instruction)
        assert parse(shuffled.told) == shuffled.meant
        plan(task.scene, shuffled.meant)


def test_another_target_is_another_thing_not_another_side():
    task = task_of(StopBeside(Thing("chair", "orange"), "left"))
    other = another_target(task, "train")
    assert other.thing != Thing("chair", "orange")
    assert opposite(task) == StopBeside(Thing("chair", "orange"), "right")
    assert something_else(task, "train") == opposite(task)


def test_another_kind_is_told_where_there_is_no_other_of_the_same():
    gap, things = PassBetween(Thing("chair", "orange"), Thing("box", "red")), [*THINGS[:2], ("ball", "red", -3.2, 0.0)]
    task = task_of(gap, things, half=7.0)
    assert another_target(task, "train") is None
    assert opposite(task) is None
    other = shuffled_instruction(task, "train")
    assert isinstance(other, StopBeside)
    assert other.thing.kind == "ball"


def test_where_only_sides_differ_the_other_side_is_told():
    task = task_of(FollowWall("left"))
    assert another_target(task, "train") is None
    assert trial("shuffled", task, "train").meant == FollowWall("right")


def test_what_is_not_defined_is_left_out():
    alone = task_of(GoTo(Thing("chair")), THINGS[:1])
    assert opposite(alone) is None
    for name in ("shuffled", "opposite", "swapped-words", "no-distractor"):
        assert trial(name, alone, "train") is None


def test_swapped_sides_are_said_and_used():
    task = task_of(StopBeside(Thing("chair", "orange"), "left"))
    told = trial("swapped-words", task).told
    assert told == 'In this run, "left" means right and "right" means left: stop right of the orange chair'


def test_swapped_nouns_are_said_and_used():
    task = task_of(Chain((Do("forward"), GoTo(Thing("chair", "orange")))))
    said, told = trial("swapped-words", task).told.split(": ")
    other = said.split('"')[3]
    assert said == f'In this run, "chair" means {other} and "{other}" means chair'
    assert told == f"go forward, then go to the orange {other}"
    assert other in ("box", "cone")


def test_opposite_is_the_mirror(tasks):
    for task in tasks:
        told = trial("opposite", task)
        assert (told is None) or told.meant == mirror(task.instruction) != task.instruction
    assert trial("opposite", tasks[0]) is None  # there is no left or right in "go to the chair"


def test_frames():
    frames = np.arange(3 * 2 * 2 * 2 * 3, dtype=np.uint8).reshape(3, 2, 2, 2, 3)
    assert (control("blank-image").sight(frames) == GREY).all()
    assert (control("shuffled-image").sight(frames)[[1, 2, 0]] == frames).all()
    assert control("none").sight(frames) is frames


def test_a_distractor_is_added_in_view_and_changes_nothing_that_is_meant(tasks):
    for task in tasks:
        changed = with_distractor(task, np.random.default_rng(0))
        if changed is None:
            continue
        scene = changed.scene
        assert len(scene.kind) == len(task.scene.kind) + 1
        assert scene.kind[-1] not in task.scene.kind
        ahead = scene.position[-1] - scene.start[:2]
        bearing = math.atan2(ahead[1], ahead[0]) - scene.start[2]
        assert abs(math.remainder(bearing, math.tau)) < 0.61
        assert same_meaning(task, changed)
    assert with_distractor(task_of(GoTo(Thing("chair"))), np.random.default_rng(0)) is not None


def test_the_nearest_thing_not_named_is_taken_away():
    task = task_of(GoTo(Thing("chair", "orange")), [*THINGS, ("ball", "red", 1.5, 3.0)])
    changed = without_distractor(task)
    assert changed.scene.kind.tolist() == task.scene.kind[:3].tolist()  # the ball is nearest
    assert same_meaning(task, changed)


def same_meaning(task, changed):
    before, after = (compile_instruction(one.instruction, one.scene.surroundings()) for one in (task, changed))
    return np.array_equal(before.things, after.things) and np.array_equal(before.gaps, after.gaps)


def test_the_expert_told_otherwise_does_that():
    task = task_of(GoTo(Thing("chair", "orange")))
    told = another_target(task, "train")
    drives = drive_otherwise([task, task], [told, task.instruction])
    assert drives.final.success.tolist() == [False, True]
    assert obeyed(Trial(task, "", told), drives.path(0), 0)
    assert not obeyed(Trial(task, "", told), drives.path(0), 1)
    assert not obeyed(Trial(task, task.text), drives.path(0), 0)
