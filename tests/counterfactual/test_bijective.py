import numpy as np
import pytest

from embodied_cf.counterfactual.bijective import FlowOptions, fit
from embodied_cf.errors import UsageError


@pytest.fixture(scope="module")
def fitted():
    """Y = X + (1 + X/2) U, whose noise is known."""
    rng = np.random.default_rng(0)
    x, u = rng.uniform(0, 2, size=(2500, 1)), rng.normal(size=(2500, 1))
    return x, u, x + (1 + x / 2) * u, fit(x, x + (1 + x / 2) * u, rng, FlowOptions(2, 8, 250, 3e-2))


def test_inverting_and_pushing_again_is_the_identity(fitted):
    x, _, y, flow = fitted
    np.testing.assert_allclose(flow.counterfactual(x, y, x), y, atol=1e-9)


def test_the_counterfactual_is_near_the_truth(fitted):
    x, u, y, flow = fitted
    other = np.random.default_rng(1).uniform(0.1, 1.9, size=x.shape)
    truth = other + (1 + other / 2) * u
    error = np.abs(flow.counterfactual(x, y, other) - truth).mean()
    assert error < 0.2 < 0.5 < np.abs(y - truth).mean()


def test_noise_is_uniform_and_rises_with_the_outcome(fitted):
    x, _, y, flow = fitted
    noise = flow.noise(x, y)
    assert np.histogram(noise, bins=5, range=(0, 1))[0] == pytest.approx(500, abs=80)
    assert (flow.noise(x, y + 0.1) > noise).all()


def test_the_likelihood_is_that_of_the_truth(fitted):
    """Entropy of y given x: log sqrt(2 pi e) + mean log(1 + x/2) nats."""
    x, _, _, flow = fitted
    assert flow.loss == pytest.approx(0.5 * np.log(2 * np.pi * np.e) + np.log(1 + x / 2).mean(), abs=0.05)


def test_dimensions_are_inverted_in_turn():
    """The ellipse of the bijective-mechanism literature: (2 + cos t) u_1, (2 + sin t) u_2."""
    rng = np.random.default_rng(2)
    angle, other = rng.uniform(0, 2 * np.pi, size=(2, 800, 1))
    u = np.exp(0.3 * rng.normal(size=(800, 2)))

    def parents(t):
        return np.concatenate([np.cos(t), np.sin(t)], axis=1)

    y, truth = (2 + parents(angle)) * u, (2 + parents(other)) * u
    flow = fit(parents(angle), y, rng, FlowOptions(2, 8, 250, 3e-2))
    told = flow.counterfactual(parents(angle), y, parents(other))
    assert np.mean(np.abs(told - truth) / truth) < 0.1
    np.testing.assert_allclose(flow.counterfactual(parents(angle), y, parents(angle)), y, atol=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((3, 1)), np.zeros((2, 1)), r"x has shape \(3, 1\) and y \(2, 1\)"),
        (np.zeros((0, 1)), np.zeros((0, 1)), r"x has shape \(0, 1\)"),
        (np.zeros(3), np.zeros((3, 1)), r"x has shape \(3,\)"),
        (np.zeros((2, 1)), np.array([[0.0], [np.nan]]), "not finite"),
    ],
)
@pytest.mark.usefixtures("users_call")
def test_what_cannot_be_learnt_from_is_refused(x, y, words):
    with pytest.raises(UsageError, match=words):
        fit(x, y, np.random.default_rng(0))
