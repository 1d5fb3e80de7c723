import numpy as np
import pytest

from embodied_cf.counterfactual import copula, gumbel
from embodied_cf.counterfactual.multistep import Episode, LatentModel, counterfactual_return
from embodied_cf.errors import UsageError

MODEL = LatentModel(
    np.array([0.6, 0.4]),
    np.array([[[0.7, 0.3], [0.2, 0.8]], [[0.4, 0.6], [0.5, 0.5]]]),
    np.array([[0.9, 0.1], [0.3, 0.7]]),
)
EPISODE = Episode(np.array([0, 0, 1, 0]), np.array([0, 1, 1, 0, 1]))
AT_THE_END = np.array([[0.0, 0.0]] * 4 + [[0.0, 1.0]])


def test_one_step_of_a_seen_state_is_the_copula():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.3])
    model = LatentModel(np.array([1.0, 0, 0]), np.array([[p, p, p], [q, q, q]]), np.eye(3))
    lower, upper = copula.bounds(p, q)
    for i in range(3):
        for j in range(3):
            reward = np.stack([np.zeros(3), np.eye(3)[j]])
            told = counterfactual_return(model, Episode(np.array([0]), np.array([0, i])), np.array([1]), reward)
            assert (told.lower, told.upper) == pytest.approx((lower[i, j], upper[i, j]), abs=1e-9)
            assert told.gumbel == pytest.approx(gumbel.counterfactual_law(p, q)[i, j], abs=1e-12)


def test_the_same_actions_give_the_abducted_path_and_no_doubt():
    """One hidden step: P(h_0, h_1 | o) by Bayes' rule, written out."""
    episode = Episode(np.array([0]), np.array([0, 1]))
    reward = np.array([[0.0, 0.0], [0.0, 1.0]])
    told = counterfactual_return(MODEL, episode, np.array([0]), reward)
    joint = np.array([[0.6 * 0.9 * 0.7 * 0.1, 0.6 * 0.9 * 0.3 * 0.7], [0.4 * 0.3 * 0.2 * 0.1, 0.4 * 0.3 * 0.8 * 0.7]])
    expected = joint[:, 1].sum() / joint.sum()
    assert (told.lower, told.upper, told.gumbel) == pytest.approx((expected,) * 3, abs=1e-9)


def test_two_steps_by_hand():
    """A seen coin: fair under action 0, always heads (1) under action 1.

    Factual (0, heads, tails). Under (1, 0) the first toss is heads as before; the second is the same action from the
    same state, hence tails as before: 0 whatever the coupling. Under (1, 1) it is heads for sure.
    """
    toss = np.array([[[0.5, 0.5], [0.5, 0.5]], [[0.0, 1.0], [0.0, 1.0]]])
    model = LatentModel(np.array([1.0, 0.0]), toss, np.eye(2))
    episode = Episode(np.array([0, 0]), np.array([0, 1, 0]))
    reward = np.array([[0.0, 0], [0, 0], [0, 1]])
    for actions, expected in (([1, 0], 0.0), ([1, 1], 1.0)):
        told = counterfactual_return(model, episode, np.array(actions), reward)
        assert (told.lower, told.upper, told.gumbel) == pytest.approx((expected,) * 3, abs=1e-9)


def test_unlike_pairs_are_free():
    """After a first toss that comes out otherwise, the second may copy, oppose or ignore the factual one."""
    toss = np.array([[[0.5, 0.5], [0.5, 0.5]], [[0.0, 1.0], [0.0, 1.0]]])
    model = LatentModel(np.array([1.0, 0.0]), toss, np.eye(2))
    reward = np.array([[0.0, 0], [0, 0], [0, 1]])
    told = counterfactual_return(model, Episode(np.array([0, 0]), np.array([0, 0, 0])), np.array([1, 0]), reward)
    assert (told.lower, told.upper) == pytest.approx((0.0, 1.0), abs=1e-9)
    assert told.gumbel == pytest.approx(0.0, abs=1e-12)


def test_the_gumbel_answer_is_inside_and_stability_narrows():
    free = counterfactual_return(MODEL, EPISODE, np.array([1, 1, 1, 0]), AT_THE_END)
    stable = counterfactual_return(MODEL, EPISODE, np.array([1, 1, 1, 0]), AT_THE_END, stable=True)
    assert free.lower - 1e-9 <= stable.lower <= stable.gumbel + 1e-9
    assert stable.gumbel - 1e-9 <= stable.upper <= free.upper + 1e-9
    assert free.gumbel == stable.gumbel
    assert free.upper - free.lower > 0.1


def test_no_steps_leave_the_first_state():
    told = counterfactual_return(
        MODEL, Episode(np.array([], int), np.array([1])), np.array([], int), np.array([[0.0, 1]])
    )
    assert told.gumbel == pytest.approx(0.4 * 0.7 / (0.6 * 0.1 + 0.4 * 0.7), abs=1e-12)


def test_an_impossible_episode_is_refused():
    model = LatentModel(np.array([1.0, 0.0]), np.array([np.eye(2)]), np.eye(2))
    with pytest.raises(UsageError, match="probability zero"):
        counterfactual_return(model, Episode(np.array([0]), np.array([0, 1])), np.array([0]), np.zeros((2, 2)))


def test_as_many_actions_as_the_episode_has():
    with pytest.raises(UsageError, match="3 counterfactual actions for an episode of 4"):
        counterfactual_return(MODEL, EPISODE, np.array([1, 1, 1]), np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("actions", "observations", "reward", "words"),
    [
        ([0, 1], [0, 1], np.zeros((3, 2)), "2 observations of 2 actions, not 3"),
        ([0], [0, 1, 1], np.zeros((2, 2)), "3 observations of 1 actions"),
        ([0], [0, 1], np.zeros(2), r"`reward` has shape \(2,\), not \(2, 2\)"),
        ([0], [0, 1], np.zeros((2, 1)), r"`reward` has shape \(2, 1\)"),
        ([0], [0, 1], np.full((2, 2), np.nan), "`reward` has entries that are not finite"),
        ([2], [0, 1], np.zeros((2, 2)), "`episode.actions` names something else than 0 to 1"),
        ([-1], [0, 1], np.zeros((2, 2)), "`episode.actions` names"),
        ([0], [0, 2], np.zeros((2, 2)), "`episode.observations` names"),
    ],
)
@pytest.mark.usefixtures("users_call")
def test_what_does_not_go_together_is_refused(actions, observations, reward, words):
    episode = Episode(np.array(actions), np.array(observations))
    with pytest.raises(UsageError, match=words):
        counterfactual_return(MODEL, episode, np.zeros(len(actions), int), reward)


@pytest.mark.usefixtures("users_call")
def test_a_model_of_states_that_are_not_as_many_is_refused():
    with pytest.raises(UsageError, match=r"shapes \(2,\), \(1, 2, 2\) and \(3, 2\)"):
        LatentModel(np.array([0.5, 0.5]), np.full((1, 2, 2), 0.5), np.full((3, 2), 0.5))
