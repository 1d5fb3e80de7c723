"""The pace of dual ascent: it grows where the return does not follow, and only there."""

from itertools import pairwise

import torch

from embodied_cf.explain.policy.ascent import Ascent


def returns(mean, spread=1.0):
    return mean + spread * torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)


def driven(response, batches=100, target=5.0):
    """Let returns follow the pull at some rate per batch."""
    ascent, mean, paces = Ascent(target), 0.0, []
    for _ in range(batches):
        ascent.see(returns(mean), 4)
        mean += response * (ascent.pulled - mean)
        paces.append(ascent.pace)
    return paces, mean


def test_the_pace_stays_where_returns_follow():
    paces, mean = driven(1.0)
    assert set(paces) == {1.0}
    assert abs(mean - 5) < 1


def test_the_pace_doubles_where_returns_hardly_follow():
    paces, _ = driven(0.0005)
    assert paces[5] == 1.0
    assert max(paces) >= 16
    assert all(later in (before, 2 * before, before / 2) for before, later in pairwise(paces))


def test_the_pace_halves_where_the_target_is_passed():
    ascent = Ascent(5.0)
    for _ in range(60):
        ascent.see(returns(0.0), 4)
    high = ascent.pace
    while ascent.mean < 5.0:
        ascent.see(returns(20.0), 4)
    assert high >= 4
    assert ascent.pace <= high / 2
