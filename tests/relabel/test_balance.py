"""Language balance against values computed by hand."""

from dataclasses import replace

import numpy as np
import pytest

from embodied_cf.datasets.contract import EncodedImages, Episode, Labels, Span
from embodied_cf.language.segments import Segments
from embodied_cf.relabel.balance import (
    Choices,
    Observation,
    conditional_entropy,
    kmeans,
    language_balance,
    observe,
    own_texts,
)


def entropy(cluster, command, weight=None):
    weight = np.ones(len(cluster)) if weight is None else np.array(weight, np.float64)
    return conditional_entropy(np.array(cluster, np.int64), np.array(command, np.int64), weight)


@pytest.mark.parametrize(
    ("cluster", "command", "weight", "bits"),
    [
        ([], [], None, 0.0),
        ([0], [0], None, 0.0),
        ([0, 0], [0, 1], None, 1.0),
        ([0, 0, 0, 0], [0, 1, 2, 3], None, 2.0),
        ([0, 0, 1, 1], [0, 1, 0, 0], None, 0.5),  # half the weight at 1 bit, half at 0
        ([0, 1], [0, 1], None, 0.0),  # the observation tells the command
        ([0, 0], [0, 1], [3, 1], 0.75 * np.log2(4 / 3) + 0.25 * 2),
        ([0, 0, 1], [0, 1, 0], [1, 1, 2], 0.5),
    ],
)
def test_conditional_entropy(cluster, command, weight, bits):
    assert entropy(cluster, command, weight) == pytest.approx(bits, abs=1e-12)


def test_kmeans_finds_two_heaps_whatever_the_seed():
    heaps = np.concatenate([np.zeros((5, 2)), np.full((7, 2), 10.0)]).astype(np.float32)
    heaps += np.arange(12, dtype=np.float32)[:, None] * 0.01
    for seed in range(20):
        cluster = kmeans(heaps, 2, np.random.default_rng(seed))
        assert len(set(cluster[:5].tolist())) == 1
        assert len(set(cluster[5:].tolist())) == 1
        assert cluster[0] != cluster[-1]


def test_kmeans_of_fewer_rows_than_clusters():
    assert kmeans(np.zeros((1, 3), np.float32), 4, np.random.default_rng(0)).tolist() == [0]


def observation(look, before, after):
    picture = np.full(4, look, np.float32)
    both = [Choices(frozenset({name.upper() for name in names}), frozenset(names)) for names in (before, after)]
    return Observation(picture, np.array([look], np.float64), *both)


def test_balance_counts_every_observation_the_same():
    same = [observation(0.0, "a", "abcd")] * 6 + [observation(1.0, "b", "b")] * 2
    found = language_balance(same, np.random.default_rng(1))
    assert found is not None
    assert (found.observations, found.clusters, found.clustered_by) == (8, 2, "frames")
    assert found.before.command_entropy_bits == pytest.approx(0.0, abs=1e-12)
    assert found.after.command_entropy_bits == pytest.approx(0.75 * 2)
    assert (found.before.distinct_instructions, found.after.distinct_instructions) == (2, 4)
    assert found.after.commands_per_observation == pytest.approx((6 * 4 + 2) / 8)
    assert found.after.instructions_per_observation == pytest.approx((6 * 4 + 2) / 8)


def test_balance_falls_back_to_the_state_and_says_so():
    blind = [replace(observation(look, "a", "a"), picture=None) for look in (0.0, 0.0, 5.0, 5.0)]
    found = language_balance(blind, np.random.default_rng(0))
    assert found is not None
    assert found.clustered_by == "state"


def test_balance_of_nothing():
    assert language_balance([], np.random.default_rng(0)) is None
    silent = language_balance([observation(0.0, "", "")], np.random.default_rng(0))
    assert silent is not None
    assert silent.after.command_entropy_bits == 0.0


def episode():
    return Episode(
        episode_id="d/1.0.0/train/00000/00000",
        cameras={"primary": EncodedImages([b"no image"] * 4)},
        state=np.arange(8, dtype=np.float32).reshape(4, 2),
        action=np.zeros((4, 2), np.float32),
        action_mask=np.ones(4, bool),
        timestamp=np.arange(4) * 0.25,
        language=(
            Span(0, 2, "wander", "steps/language_instruction"),
            Span(0, 4, "", "steps/language_instruction"),
            Span(0, 4, "go forward", "steps/language_instruction_hindsight_other"),
        ),
    )


def test_own_texts_leave_out_empty_ones_and_those_that_relabelling_added():
    assert own_texts(episode()) == ["wander"]
    assert own_texts(episode(), 1) == ["wander"]
    assert own_texts(episode(), 2) == []


def test_what_can_be_said_at_a_step():
    mask = np.ones((3, 1), bool)
    labels = Labels(
        ("atomic", "counterfactual", "hindsight"), np.array([0, 1, 2], np.int32), np.array([2, 2, 3], np.int32),
        ("straight on", "turn left", "halt"), ("forward", "turn_left", ""), np.zeros((3, 1, 2), np.float32), mask,
        np.ones(3, np.float32), ("", "", ""),
    )  # fmt: skip
    segments = Segments(np.array([0, 2]), np.array([2, 3]), ("forward", ""), ("", "creeping"))
    track = np.zeros((4, 3))
    first, second, third = observe(episode(), labels, segments, track, [0, 1, 2])
    assert first.after == Choices(frozenset({"wander", "straight on"}), frozenset({"forward"}))
    assert second.before == Choices(frozenset({"wander"}), frozenset({"forward"}))
    assert second.after.commands == {"forward", "turn_left"}
    assert third.before == Choices(frozenset(), frozenset())
    assert third.after == Choices(frozenset({"halt"}), frozenset())
    assert third.picture is None
    assert third.numbers.tolist() == [4.0, 5.0]
