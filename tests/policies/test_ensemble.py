import numpy as np
import pytest

from embodied_cf.errors import UsageError
from embodied_cf.policies.ensemble import TemporalEnsemble

HERE = np.zeros((1, 3))


def _ahead(step: float, rows: int = 3) -> np.ndarray:
    return np.stack([step * np.arange(1, rows + 1), np.zeros(rows)], axis=-1)[None]


def test_what_was_asked_alone_is_what_is_said():
    chunk = np.array([[[0.1, 0.2], [0.3, -0.1]]])
    pose = np.array([[4.0, -2.0, 0.7]])
    assert TemporalEnsemble().asked(chunk, pose).chunk(pose) == pytest.approx(chunk)


def test_two_chunks_are_averaged_moment_by_moment_and_the_older_weighs_more():
    """Asked at 0: 0.1, 0.2, 0.3 m. One period on, the robot is at 0.1 m and is told 0.2, 0.4, 0.6 m from there."""
    ensemble = TemporalEnsemble(0.5).asked(_ahead(0.1), HERE).after(1)
    there = np.array([[0.1, 0.0, 0.0]])
    said = ensemble.asked(_ahead(0.2), there).chunk(there)
    new = np.exp(-0.5)
    assert said[0, 0, 0] == pytest.approx((0.1 + new * 0.2) / (1 + new))
    assert said[0, 1, 0] == pytest.approx((0.2 + new * 0.4) / (1 + new))
    assert said[0, 2, 0] == pytest.approx(0.6), "only the newer one speaks of it"
    assert said[0, :, 1] == pytest.approx(0.0)


def test_odometry_carries_old_chunks_over():
    """Told at the origin to go to (1, 0); now at (0, 0) but turned left by 90 degrees, that is to the right."""
    turned = np.array([[0.0, 0.0, np.pi / 2]])
    ensemble = TemporalEnsemble().asked(np.array([[[0.5, 0.0], [1.0, 0.0]]]), HERE).after(1)
    assert ensemble.chunk(turned) == pytest.approx(np.array([[[0.0, -1.0]]]))


def test_a_negative_coefficient_trusts_the_newest():
    ensemble = TemporalEnsemble(-50.0).asked(_ahead(0.1), HERE).after(1).asked(_ahead(0.4), HERE)
    assert ensemble.chunk(HERE) == pytest.approx(_ahead(0.4), abs=1e-9)


def test_what_is_past_is_forgotten():
    ensemble = TemporalEnsemble().asked(_ahead(0.1), HERE).after(2)
    assert len(ensemble.past) == 1
    assert ensemble.after(1).past == ()
    with pytest.raises(UsageError, match="nothing was asked for"):
        ensemble.after(1).chunk(HERE)
    with pytest.raises(UsageError, match="coefficient is nan"):
        TemporalEnsemble(float("nan"))


def test_rows_do_not_mix():
    chunks = np.concatenate([_ahead(0.1), _ahead(0.3)])
    poses = np.array([[0.0, 0.0, 0.0], [9.0, 9.0, 2.0]])
    both = TemporalEnsemble().asked(chunks, poses).after(1).asked(chunks, poses).chunk(poses)
    for row in (0, 1):
        one, pose = chunks[row : row + 1], poses[row : row + 1]
        alone = TemporalEnsemble().asked(one, pose).after(1).asked(one, pose).chunk(pose)
        assert both[row : row + 1] == pytest.approx(alone)


def test_who_is_told_anew_forgets_what_it_said_and_nobody_else():
    chunks, poses = np.concatenate([_ahead(0.1)] * 2), np.zeros((2, 3))
    ensemble = TemporalEnsemble(0.0).asked(chunks, poses).after(1).asked(4 * chunks, poses)
    said = ensemble.told_anew(np.array([1])).chunk(poses)
    assert said[1] == pytest.approx(4 * chunks[1])
    assert said[0] == pytest.approx(ensemble.chunk(poses)[0])
    assert said[0, 0, 0] == pytest.approx((0.2 + 0.4) / 2)
