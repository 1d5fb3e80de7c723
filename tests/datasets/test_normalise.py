"""Normalisation: by hand, there and back, constant dimensions, and statistics that are not the right ones."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.normalise import Normalizer, Statistics, fit
from embodied_cf.errors import DatasetError, UsageError

NAV, ARM = load_embodiment("nav"), load_embodiment("arm")
KINDS = ("quantile", "mean_std", "bounds")
KNOWN = Statistics(3, (1.0, 5.0), (0.5, 0.0), (0.0, 5.0), (2.0, 5.0), (0.5, 5.0), (1.5, 5.0))


def normaliser(kind, statistics=KNOWN):
    return Normalizer(kind, statistics, "nav", ("x m", "y m"), "data")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("bounds", [[-0.5, 0.0]]), ("quantile", [[-1.0, 0.0]]), ("mean_std", [[-1.0, 0.0]])],
)
def test_each_kind_by_hand(kind, expected):
    """x is 0.5; it ranges over 0..2, its quantiles are 0.5 and 1.5, its mean 1 and deviation 0.5. y is always 5."""
    rows = np.array([[0.5, 5.0]], np.float32)
    assert normaliser(kind).normalise(rows).tolist() == expected
    np.testing.assert_array_equal(normaliser(kind).denormalise(normaliser(kind).normalise(rows)), rows)


@given(
    kind=st.sampled_from(KINDS),
    rows=st.lists(st.tuples(*[st.floats(-100, 100, width=32)] * 2), min_size=1, max_size=20),
)
def test_there_and_back(kind, rows):
    action = np.array(rows, np.float32)[None]
    fitted = fit([(action, np.ones(action.shape[:2], bool))], kind, NAV, "data")
    back = fitted.denormalise(fitted.normalise(action))
    reach = 1 + np.abs(action).max()
    np.testing.assert_allclose(back, action, atol=1e-6 * reach)
    assert np.isfinite(fitted.normalise(action)).all()


def test_only_supervised_rows_count():
    """Rows 1, 2, 3 count, the 100 and 200 behind the masks do not."""
    first = np.array([[[1.0, 0.0], [2.0, 0.0], [100.0, 9.0]]], np.float32)
    second = np.array([[[3.0, 0.0], [200.0, 9.0], [200.0, 9.0]]], np.float32)
    masks = np.array([[[True, True, False]], [[True, False, False]]])
    known = fit([(first, masks[0]), (second, masks[1])], "bounds", NAV, "data").statistics
    assert (known.count, known.mean, known.minimum, known.maximum) == (3, (2.0, 0.0), (1.0, 0.0), (3.0, 0.0))
    assert known.std[0] == pytest.approx(np.sqrt(2 / 3))
    assert known.q01[0] == pytest.approx(1.02)


def test_a_constant_dimension_becomes_zero_and_other_values_stay_in_its_unit():
    fitted = normaliser("bounds")
    assert fitted.normalise(np.array([5.0, 6.0], np.float32)).tolist() == [4.0, 1.0]


def test_statistics_do_not_depend_on_how_rows_are_cut():
    rows = np.random.default_rng(0).normal(3, 2, (64, 8, 2)).astype(np.float32)
    mask = np.ones((64, 8), bool)
    whole = fit([(rows, mask)], "mean_std", NAV, "data")
    cut = fit([(rows[i : i + 5], mask[i : i + 5]) for i in range(0, 64, 5)], "mean_std", NAV, "data")
    np.testing.assert_allclose(whole.statistics.mean, cut.statistics.mean, rtol=1e-12)
    np.testing.assert_allclose(whole.statistics.std, cut.statistics.std, rtol=1e-12)
    np.testing.assert_allclose(whole.statistics.std, rows.reshape(-1, 2).std(axis=0), rtol=1e-4)
    assert whole.statistics.q99 == cut.statistics.q99


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_back_the_same(kind, tmp_path):
    normaliser(kind).save(tmp_path)
    assert Normalizer.load(tmp_path) == normaliser(kind)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"no stats\.json, so actions cannot be brought back.*whole checkpoint"):
        Normalizer.load(tmp_path)


@pytest.mark.parametrize(
    "broken",
    [
        lambda table: table.pop("kind"),
        lambda table: table.update(extra=1),
        lambda table: table["statistics"].pop("std"),
        lambda table: table["statistics"].update(std=[1.0]),
        lambda table: table.update(statistics=[]),
        lambda table: table["statistics"].update(mean=[float("nan"), 0.0]),
    ],
)
def test_a_damaged_file_is_named(broken, tmp_path):
    table = json.loads(normaliser("bounds").to_json())
    broken(table)
    (tmp_path / "stats.json").write_text(json.dumps(table))
    with pytest.raises(DatasetError, match=r"stats\.json: not the statistics of a normalisation"):
        Normalizer.load(tmp_path)


def test_an_unknown_kind_is_an_error_and_never_guessed():
    with pytest.raises(UsageError, match=r"unknown kind of normalisation 'zscore'.*quantile, mean_std, bounds"):
        Normalizer.from_json(normaliser("bounds").to_json().replace('"bounds"', '"zscore"'))


def test_another_embodiment_and_another_dataset_are_errors():
    normaliser("bounds").check(NAV, "data")
    normaliser("bounds").check(NAV)
    with pytest.raises(UsageError, match=r"statistics of embodiment 'nav'.*not of 'arm'"):
        normaliser("bounds").check(ARM)
    with pytest.raises(DatasetError, match=r"statistics of another dataset \(data, not other\)"):
        normaliser("bounds").check(NAV, "other")


def test_nothing_supervised_is_an_error():
    with pytest.raises(DatasetError, match="no supervised row"):
        fit([(np.zeros((1, 8, 2), np.float32), np.zeros((1, 8), bool))], "bounds", NAV, "data")
