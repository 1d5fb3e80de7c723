import numpy as np
import pytest
from sights import BLUE, Constant, Gambler, task

from embodied_cf.explain.episode import explain_episode, failure
from embodied_cf.explain.episode_picture import picture
from embodied_cf.explain.episode_text import sentences
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.faults import Faulty
from embodied_cf.explain.options import EpisodeOptions
from embodied_cf.explain.wheel import ExpertDriver, PolicyDriver

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
    assert "decision" in sentences(told)[1]


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
