"""The labels' rule as a driver: it knows what a task names, and carries most of it out."""

import numpy as np

from benchmarks.label_driver import Known, drive, outcomes
from embodied_cf.evaluate.suites import parse_suite
from embodied_cf.language.instruction import FollowWall, PassBetween, clauses
from embodied_cf.language.predicate_program import Rule


def tasks(family, count):
    ((cell, seeds),) = parse_suite(f"rooms/{family}/dev").seeds(0, count)
    return [cell.task(seed) for seed in seeds]


def test_what_a_task_names_is_known():
    task = next(task for task in tasks("referential", 40) if isinstance(task.instruction, PassBetween))
    known, seen = Known.of(task), task.scene.surroundings()
    assert known.asked.rule[0].tolist() == [Rule.PASS_BETWEEN, -1]
    rows = known.asked.landmark[0, 0]
    assert len(set(rows.tolist())) == 2
    np.testing.assert_allclose(known.place[rows[0], :2], seen.position[rows[0]])


def test_walls_are_followed_and_everything_is_counted():
    chosen = [task for task in tasks("continuous", 14) if isinstance(clauses(task.instruction)[0], FollowWall)]
    ends = outcomes(chosen)
    assert set(ends) == {"FollowWall"}
    assert ends["FollowWall"]["all"] == len(chosen) >= 8
    assert ends["FollowWall"]["success"] >= 0.7 * len(chosen)
    assert sum(ends["FollowWall"].values()) == 2 * len(chosen)
    assert drive(chosen[:2]).over.all()
