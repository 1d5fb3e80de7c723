from dataclasses import dataclass

import numpy as np
import pytest
from sights import Constant, Dreamer, Gambler, task

from embodied_cf.explain.episode.alternatives import (
    COMMANDS,
    _drawn,
    at_the_wheel,
    command_of,
    distance,
    in_words,
    second_best,
)
from embodied_cf.explain.episode.replay import Chance, asked_at, branch_off, record
from embodied_cf.explain.episode.wheel import ExpertDriver, PolicyDriver
from embodied_cf.explain.input.known_causes import ColourSeeker
from embodied_cf.language.instruction import Chain, Do, GoTo, Thing

PEOPLE = [(2.0, 1.5, -2.0, -2.0), (-3.0, 1.0, 3.0, 2.0)]


def again(recording, chance, draw=0):
    """Do at every decision what was done, with one draw of chance."""
    steps = np.arange(recording.decisions)
    done = np.stack([recording.done_at(at) for at in steps.tolist()])
    return branch_off(recording, steps, done, recording.execute, recording.driver, chance, np.full(len(steps), draw))


@pytest.mark.parametrize("policy", [ColourSeeker(), Dreamer()])
def test_doing_the_same_under_the_same_chance_gives_what_happened_bit_for_bit(policy):
    recording = record(task(people=PEOPLE), PolicyDriver(policy, "go"))
    same = again(recording, Chance.of(recording, 1))
    assert recording.decisions > 2
    for name in ("pose", "person", "person_phase", "hit"):
        end = getattr(recording.moments.state, name)[-1]
        for row in getattr(same.final.state, name):
            np.testing.assert_array_equal(row, end)
    assert (same.final.clock == recording.moments.clock[-1]).all()
    assert (same.success == recording.success).all()


@dataclass(frozen=True)
class Stepwise(Dreamer):
    """A dreamer that is told chains part by part: it stands once it has come half a metre from where it was told."""

    by_parts: bool = True

    def act(self, observation, instruction, rng):
        dream = super().act(observation, instruction, rng)
        far = np.hypot(*observation.odometry[:, 0, :2].T) > 0.5
        dream.chunk[far] = 0.0
        dream.chunk[["left" in text for text in instruction], :, 1] += 0.05
        return dream


def test_what_a_policy_was_told_of_a_chain_is_remembered_at_every_decision():
    first, then = GoTo(Thing("chair", "red")), Do("turn_left")
    chain = task(people=PEOPLE, told=Chain((first, then)))
    recording = record(chain, PolicyDriver(Stepwise(), "go to the red chair, then turn left"))
    told = recording.told
    assert told.part.tolist() == sorted(told.part.tolist())
    assert (told.part[0], told.part[-1]) == (0, 1)
    later = told.part == 1
    assert len(set(told.clock[later].tolist())) == 1
    np.testing.assert_array_equal(told.pose[later][0], recording.trail.pose[told.clock[later][0]])
    same = again(recording, Chance.of(recording, 0))
    for row in same.final.state.pose:
        np.testing.assert_array_equal(row, recording.moments.state.pose[-1])


def test_second_best_and_input_ask_what_was_asked():
    """Each decision asked again as it was gives the chunk that was followed: words, clock and pose of its part."""
    chain = task(people=PEOPLE, told=Chain((GoTo(Thing("chair", "red")), Do("turn_left"))))
    driver = PolicyDriver(Stepwise(), "go to the red chair, then turn left")
    recording = record(chain, driver)
    asked = [asked_at(recording, driver, at) for at in range(recording.decisions)]
    assert {it.words for it in asked} == {"go to the red chair", "turn left"}
    late = asked[-1]
    assert late.words == "turn left"
    assert late.clock.min() == late.clock[0] == recording.told.clock[-1] > 0
    for at in (0, recording.decisions - 1):
        drawn = _drawn(recording, driver, at, 2)
        np.testing.assert_allclose(drawn.actions[0, 0], recording.done_at(at)[0], atol=1e-6)


def test_other_chance_is_the_same_until_the_branch_and_differs_after():
    recording = record(task(people=PEOPLE), PolicyDriver(ColourSeeker(), "go"))
    other = again(recording, Chance.of(recording, 1), draw=1)
    clock = recording.moments.clock
    for row, at in enumerate(clock[:-1].tolist()):
        np.testing.assert_array_equal(other.pose[row, 0], recording.trail.pose[at])
        assert not np.array_equal(other.pose[row, 1], recording.trail.pose[at + 1])


def test_a_recording_holds_each_decision_and_the_end():
    recording = record(task(), ExpertDriver())
    assert recording.success
    assert recording.moments.clock.tolist() == [*range(0, len(recording.actions), 4), len(recording.actions)]
    assert len(recording.trail) == len(recording.actions) + 1
    late = recording.done_at(recording.decisions - 1)
    assert late.shape == (4, 2)
    assert (late[len(recording.actions) - 4 * (recording.decisions - 1) :] == 0).all()


def test_the_expert_takes_over_from_a_policy_that_goes_astray():
    recording = record(task(), PolicyDriver(Constant(), "go"))
    assert not recording.success
    chance, moments = Chance.of(recording, 0), np.arange(3)
    saved = branch_off(recording, moments, ExpertDriver(), 0, ExpertDriver(), chance, np.zeros(3, np.int64))
    assert saved.success.all()
    assert saved.first.shape == (3, 0, 2)


def test_each_command_at_the_wheel_is_that_command():
    for name in COMMANDS:
        assert command_of(at_the_wheel(name, 4)) == name
    assert in_words(np.tile((0.0, 1.0), (4, 1))) == "turned left on the spot"
    assert in_words(at_the_wheel("adjust_right", 4)) == "borne right"
    assert in_words(at_the_wheel("stop", 4)) == "stood still"


def test_distance_is_in_shares_of_what_the_wheels_can_do():
    still = np.zeros((2, 2))
    assert distance(still, np.array([[1.0, 0.0], [1.0, 0.0]])) == pytest.approx(np.sqrt(0.5))
    assert distance(still, np.array([[0.0, 1.5], [0.0, 0.0]])) == pytest.approx(0.5)


@pytest.mark.parametrize("tells", [False, True])
def test_the_second_best_is_what_the_policy_would_else_draw(tells):
    recording = record(task(), PolicyDriver(Gambler(tells=tells), "go"))
    second = second_best(recording, 40)
    assert len(second.decision) == recording.decisions
    assert {command_of(actions) for actions in second.actions} == {"turn_left"}
    assert 0.15 < second.share.mean() < 0.45


def test_who_draws_nothing_has_no_second_best():
    assert len(second_best(record(task(), PolicyDriver(Constant(), "go")), 4).decision) == 0
    assert len(second_best(record(task(), ExpertDriver()), 4).decision) == 0
