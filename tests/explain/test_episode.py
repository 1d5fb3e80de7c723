from types import SimpleNamespace

import numpy as np
import pytest
from sights import BLUE, Constant, Gambler, Standing, task

from embodied_cf.explain.episode.alternatives import SecondBest, at_the_wheel, distance
from embodied_cf.explain.episode.decisive import OPTIONS, Attribution, Correction, Search, _single
from embodied_cf.explain.episode.explanation import explain_episode, failure
from embodied_cf.explain.episode.faults import Faulty
from embodied_cf.explain.episode.measures import _plausibility, _spread
from embodied_cf.explain.episode.picture import picture
from embodied_cf.explain.episode.replay import Branches
from embodied_cf.explain.episode.text import sentences
from embodied_cf.explain.episode.wheel import ExpertDriver, PolicyDriver
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.options import EpisodeOptions

FEW = EpisodeOptions(draws=1, samples=6)
BALL = BLUE[2:]


@pytest.fixture(scope="module")
def derailed():
    return explain_episode(task(), Faulty(1, BALL, stop_m=1.2), FEW)


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (Faulty(2, BALL), "hit an object"),
        (Faulty(2, None), "stood still where it was not asked to"),
    ],
)
def test_an_injected_fault_is_found_and_its_correction_replayed(fault, ending):
    told = explain_episode(task(), fault, FEW)
    found = told.attribution.decisive
    assert failure(told.recording) == ending
    assert (found.decision, found.length, found.averts) == (fault.decision, 1, 1.0)
    assert told.corrected.success.all()
    assert told.attribution.placebo == 0.0
    assert told.attribution.necessity[: fault.decision + 1].tolist() == [*[0.0] * fault.decision, 1.0]
    assert told.attribution.takeover[0] == 1.0
    assert told.attribution.takeover[-1] == 0.0
    np.testing.assert_array_equal(told.attribution.sufficiency, 1 - told.attribution.takeover[1:])
    assert f"decision {fault.decision}, at {fault.decision:.1f} s" in sentences(told)[1]
    assert told.measures.simulatability == 1.0 > told.measures.blind_reader


class Lucky(Search):
    """Corrections avert it under the episode's own chance, by which they were found, and under one of three others."""

    draws = 0

    def __init__(self, draws):
        self.draws = draws

    def instead(self, options, length, draw):
        return SimpleNamespace(success=np.tile(np.isin(draw, [0, 2]), len(options)))


def test_the_episodes_own_chance_is_no_witness_for_what_was_found_by_it():
    """With it, two draws of four would do; without, one of three does not."""
    candidates, nothing = np.eye(len(OPTIONS), 2, dtype=bool), np.zeros(2)
    gap = np.zeros(candidates.shape)
    assert _single(Lucky(4), candidates, gap, nothing) is None
    assert _single(Lucky(1), candidates, gap, nothing) == Correction(0, 1, "expert", 1.0, 0.0)


def test_without_other_chance_there_is_no_validity():
    told = explain_episode(task(), Faulty(2, None), EpisodeOptions(draws=0, samples=0))
    assert told.attribution.decisive.decision == 2
    assert told.measures.validity is None
    assert "under other chance that was not tried (--draws)" in sentences(told)[1]


def doing(name):
    """Branches of which only what was done otherwise is known."""
    branches = object.__new__(Branches)
    object.__setattr__(branches, "first", at_the_wheel(name, 4)[None])
    return branches


def test_plausible_is_what_the_policy_draws_of_the_corrected_way():
    """Of four draws two bear left; that one of them is told of as the second best does not matter."""
    ways = {3: ("adjust_left", "stop", "", "adjust_left")}
    second = SecondBest(np.zeros(0, np.int64), np.zeros((0, 4, 2)), np.zeros(0), ways)
    assert _plausibility(second, 3, doing("adjust_left"), 4) == 0.5
    assert _plausibility(second, 3, doing("stop"), 4) == 0.25
    assert _plausibility(second, 2, doing("stop"), 4) is None


def test_only_corrections_are_diverse():
    rows = [OPTIONS.index(name) for name in ("forward", "stop", "turn_left")]
    averted = np.zeros((len(OPTIONS), 1), bool)
    averted[rows] = True
    corrects = averted.copy()
    corrects[rows[2]] = False
    told = Attribution(averted, corrects, *[np.zeros(1)] * 3, np.zeros(2), 0.0, None, 0)
    assert _spread(told, 0, 4) == pytest.approx(distance(at_the_wheel("forward", 4), at_the_wheel("stop", 4)))


def test_what_averts_by_luck_is_no_correction():
    """That turning away earlier avoids the thing to which it will swerve does not make that a correction."""
    near = task(things=[("chair", "red", 4.6, 0.0), ("barrel", "green", 2.2, 0.75)])
    swerve = Faulty(2, (2.2, 0.75), lasts=2)
    told = explain_episode(near, swerve, FEW)
    assert failure(told.recording) == "hit an object"
    assert told.attribution.averted[:, :2].any()
    assert told.attribution.decisive.decision == 2


def test_a_policy_that_relapses_needs_a_longer_correction():
    told = explain_episode(task(), PolicyDriver(Constant(), "go"), FEW)
    found = told.attribution.decisive
    assert found is None or found.length > 1
    assert told.attribution.takeover[0] == 1.0
    assert "had the expert driven them, beginning with decision" in sentences(told)[1]


def test_a_correction_may_outlast_what_happened():
    """It stands still from the start: its three decisions are not enough to get there in."""
    told = explain_episode(task(), PolicyDriver(Standing(), "go"), FEW)
    found = told.attribution.decisive
    assert found.length > told.recording.decisions
    assert (found.decision, found.averts) == (0, 1.0)
    assert told.measures.sparsity == 1.0


def test_second_best_actions_are_driven_beside_the_real_ones():
    told = explain_episode(task(), PolicyDriver(Gambler(), "go"), FEW)
    assert len(told.second_branches.success) == len(told.second.decision) > 0
    at = int(told.second.decision[0])
    np.testing.assert_array_equal(told.second_branches.pose[0, 0], told.recording.moments.state.pose[at])
    assert told.second_branches.pose[0, -1, 1] != told.recording.trail.pose[-1, 1]


def test_setting_out_for_the_wrong_place_is_what_decides(derailed):
    assert failure(derailed.recording) == "stood still where it was not asked to"
    assert derailed.attribution.decisive.decision == 1
    assert derailed.attribution.options_at(1)[0] == "expert"
    assert derailed.attribution.averted[:, 2:].sum() == 0
    assert derailed.measures.stability == 1.0


def test_people_who_are_pushed_off_their_way_are_told_of(derailed):
    crowd = task(people=[(1.6, 1.6, 1.6, -3.0)])
    told = explain_episode(crowd, Faulty(1, BALL, stop_m=1.2), FEW)
    assert told.disturbance.shape == (told.recording.decisions, 1)
    assert told.disturbance.max() > 0
    assert derailed.disturbance.shape == (derailed.recording.decisions, 0)
    assert len(sentences(derailed)) == 3


def test_success_needs_no_explanation():
    with pytest.raises(ReplayError, match=r"the episode succeeds: there is no failure to explain.*--seed"):
        explain_episode(task(), ExpertDriver(), FEW)


def test_the_picture_shows_map_and_frames(derailed):
    image = picture(derailed)
    assert image.shape == (448 + 28, 4 * (448 + 6), 3)
    orange = np.abs(image[:, :448].astype(int) - (225, 85, 0)).max(axis=-1) < 30
    assert orange.sum() > 50
