"""Streaming statistics against numpy over the whole, and by hand."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tiny import flat_picture, picture

from embodied_cf.datasets import statistics
from embodied_cf.datasets.contract import EncodedImages, Labels
from embodied_cf.datasets.label_statistics import instructions_per_step
from embodied_cf.datasets.looks import CameraTally, is_blank, look_at
from embodied_cf.datasets.motion_statistics import MotionTally
from embodied_cf.datasets.statistics import BINS, CAPACITY, LanguageTally, NumberTally, Reservoir, summarise_lengths

numbers = arrays.arrays(np.float64, st.tuples(st.integers(0, 12), st.just(2)), elements=st.floats(-1e6, 1e6))


def summarised(*batches, key="x"):
    tally = NumberTally(key, batches[0].shape[1])
    for batch in batches:
        tally.add(batch)
    return tally.summary()


@settings(max_examples=60)
@given(st.lists(numbers, min_size=1, max_size=5))
def test_batches_add_up_to_the_whole(batches):
    whole = np.concatenate(batches)
    summary = summarised(*batches)
    assert summary.steps == len(whole)
    if len(whole):
        np.testing.assert_allclose(summary.mean, whole.mean(0), rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(summary.std, whole.std(0), rtol=1e-6, atol=1e-4)
        assert summary.minimum == tuple(whole.min(0))
        assert summary.maximum == tuple(whole.max(0))
        assert summary.zeros == tuple((whole == 0).mean(0))
        np.testing.assert_allclose(summary.q01, np.quantile(whole, 0.01, axis=0))
        np.testing.assert_allclose(summary.q99, np.quantile(whole, 0.99, axis=0))
        assert [sum(counts) for counts in summary.histogram] == [len(whole)] * 2


def test_mean_and_spread_survive_a_great_offset():
    values = 1e8 + np.arange(1000.0)[:, None]
    summary = summarised(values[:1], values[1:700], values[700:])
    assert summary.std[0] == pytest.approx(values.std(), rel=1e-9)


def test_what_is_not_finite_is_counted_and_left_out():
    summary = summarised(np.array([[1.0, np.nan], [3.0, np.inf], [0.0, np.nan]]))
    assert summary.not_finite == 3
    assert (summary.mean[0], summary.maximum[0], summary.zeros) == (4 / 3, 3.0, (1 / 3, 0.0))
    assert np.isnan([summary.mean[1], summary.std[1], summary.minimum[1], summary.q99[1]]).all()
    assert summary.histogram[1] == (0,) * BINS


def test_constant_dimensions():
    assert summarised(np.array([[1.0, 2.0, 0.0], [1.0, 3.0, 0.0]])).constant == (0, 2)
    assert summarised(np.zeros((0, 2))).constant == ()


@pytest.mark.parametrize(
    "values",
    [[1.7e18] * 3, [-(2.0**63)] * 3, [0.0, 5e-324], [-1.7e308, 0.0, 1.7e308]],
    ids=["one nanosecond", "a number that stands for none", "too close together", "too far apart"],
)
def test_numbers_between_which_no_edges_fit(values):
    with np.errstate(over="ignore"):
        (counts,) = summarised(np.array(values)[:, None]).histogram
    assert sum(counts) == len(values)
    assert (counts[0], counts[-1]) == ((1, 1) if values[-1] == 1.7e308 else (0, 0))


def test_wide_features_are_pooled():
    values = np.arange(1300.0).reshape(10, 130)
    summary = summarised(values)
    assert (summary.pooled, summary.steps, summary.mean) == (True, 10, (649.5,))


def test_a_reservoir_is_exact_up_to_its_size_then_a_fair_sample_in_constant_memory():
    reservoir = Reservoir(1, "test")
    rows = np.arange(40 * CAPACITY, dtype=float)[:, None]
    reservoir.add(rows[: CAPACITY - 1])
    np.testing.assert_array_equal(reservoir.rows, rows[: CAPACITY - 1])
    for start in range(CAPACITY - 1, len(rows), 1000):
        reservoir.add(rows[start : start + 1000])
    assert reservoir.rows.shape == (CAPACITY, 1)
    assert len(np.unique(reservoir.rows)) == CAPACITY
    # of each tenth of the stream about a tenth: a binomial's spread is 27
    counts, _ = np.histogram(reservoir.rows, 10, (0, len(rows)))
    assert abs(counts - CAPACITY / 10).max() < 150


def test_samples_do_not_depend_on_how_the_stream_is_cut():
    rows = np.random.default_rng(0).normal(size=(3 * CAPACITY, 2))
    one, other = summarised(rows), summarised(rows[:5000], rows[5000:])
    assert summarised(rows) == one
    assert (one.q01, one.q99, one.histogram) == (other.q01, other.q99, other.histogram)


def test_lengths_by_hand():
    lengths = summarise_lengths(Counter({10: 3, 12: 1}))
    assert (lengths.minimum, lengths.maximum, lengths.mean, lengths.median) == (10, 12, 10.5, 10)
    assert (lengths.edges, lengths.counts) == ((10, 11, 12, 13), (3, 0, 1))
    assert summarise_lengths(Counter()) is None


@given(st.dictionaries(st.integers(0, 5000), st.integers(1, 9), min_size=1))
def test_every_episode_is_in_a_bin(lengths):
    summary = summarise_lengths(Counter(lengths))
    assert sum(summary.counts) == sum(lengths.values())
    assert len(summary.counts) <= BINS


def test_language_by_hand():
    tally = LanguageTally("k")
    tally.add([["go"], ["go"], [""]])
    tally.add([["go", ""], ["stop", ""]])
    tally.add([["", ""]])
    summary = tally.summary()
    assert (summary.steps, summary.empty_steps, summary.distinct) == (6, 2, 2)
    assert summary.frequent == (("go", 2), ("stop", 1))
    assert summary.per_episode == ((0, 1), (1, 1), (2, 1))


def test_the_number_of_remembered_texts_is_bounded(monkeypatch):
    monkeypatch.setattr(statistics, "MOST_TEXTS", 2)
    tally = LanguageTally("k")
    for text in ("a", "b", "c", "a"):
        tally.add([[text]])
    assert tally.summary().frequent == (("a", 2), ("b", 1))


def test_blank_is_one_flat_colour():
    noise = np.random.default_rng(0).integers(0, 3, (8, 8, 3))
    assert is_blank((np.array([200, 0, 90]) + noise).astype(np.uint8))
    dark = np.zeros((8, 8, 3), np.uint8)
    dark[2, 2] = (0, 12, 0)
    assert not is_blank(dark)


def test_looking_decodes_some_frames_and_checks_the_ends_of_all():
    frames = [picture(1), picture(2)[:-40], flat_picture(), picture(3), picture(4)]
    looks = look_at(EncodedImages(frames), most=3)
    assert [(look.step, look.blank, bool(look.problem)) for look in looks] == [
        (0, False, False), (1, False, True), (2, True, False), (4, False, False),
    ]  # fmt: skip
    tally = CameraTally("k", (16, 16, 3))
    tally.add(5, looks)
    summary = tally.summary()
    assert (summary.frames, summary.decoded, summary.blank, summary.undecodable) == (5, 3, 1, 1)
    assert summary.sizes == ((16, 16, 3),)


@pytest.mark.parametrize(("frame", "bad"), [(b"", True), (b"\xff\xd8", True), (b"RIFF webp", False)])
def test_frames_that_are_only_glanced_at(frame, bad):
    assert [look.step for look in look_at(EncodedImages([frame]), most=0)] == [0] * bad


def test_instructions_that_hold_at_each_step():
    labels = Labels(
        kind=("hindsight", "counterfactual", "counterfactual"), start=np.array([0, 0, 2], np.int32),
        end=np.array([2, 3, 5], np.int32), instruction=("go", "stop", "stop"), command=("", "", ""),
        action=np.zeros((3, 3, 2), np.float32), action_mask=np.ones((3, 3), bool),
        score=np.ones(3, np.float32), source=("", "", ""),
    )  # fmt: skip
    assert instructions_per_step(labels, 4) == [2, 1, 1, 0]


def test_motion_by_hand():
    tally = MotionTally()
    tally.add(np.array([[0.0, 0], [3, 4], [3, 4], [6, 8]]), "a")
    tally.add(np.zeros((3, 2)), "b")
    tally.add(np.zeros((1, 2)), "c")
    summary = tally.summary()
    assert (summary.median, summary.still_episodes, summary.still) == (5.0, 2, ("b", "c"))
    assert [(stride.length, stride.step) for stride in summary.longest[:2]] == [(5.0, 2), (5.0, 0)]


def test_no_motion_at_all():
    assert MotionTally().summary().median == 0.0
