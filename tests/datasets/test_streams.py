"""Streams: what a sample is, which are drawn how often, and that they come again the same."""

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled import ROWS, labelled
from tiny import STEPS

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import KINDS
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.label_store import decode_labels
from embodied_cf.datasets.motion import odometry
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import CameraModel, load_spec
from embodied_cf.datasets.streams import ColourJitter, HorizontalShift, Mirror, RandomCrop, Source, Stream
from embodied_cf.datasets.streams.augment import mirrored, turned
from embodied_cf.datasets.streams.schedule import Schedule, divide
from embodied_cf.datasets.streams.table import held_out
from embodied_cf.errors import UsageError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("tiny") / "1.0.0")


def make(data, **options):
    source = {
        name: options.pop(name)
        for name in ("kinds_of", "label_sets", "min_score", "split", "stop_at_end")
        if name in options
    }
    if "kinds_of" in source:
        source["kinds"] = source.pop("kinds_of")
    return Stream((Source(data, **source),), **{"size": (16, 16), "batch_size": 4, "holdout": 0.0, **options})


def flat(batches):
    """(observation, instruction) of all samples, in order."""
    return [pair for batch in batches for pair in zip(batch.observation.tolist(), batch.instruction, strict=True)]


def same(one, other):
    assert one.instruction == other.instruction
    for name in ("image", "action", "mask", "kind", "score", "observation"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_factual_row_supervises_every_step_of_its_range_with_the_future_there(data):
    """The robot drives 0.1 m per step; the row holds for steps 0..4, so step 3 sees targets 4 and 5."""
    stream = make(data, kinds_of=("hindsight",))
    batches = list(stream.batches(0))
    assert sorted(pair[0] for pair in flat(batches)) == [STEPS * e + t for e in range(4) for t in range(5)]
    for batch in batches:
        for sample, observation in enumerate(batch.observation.tolist()):
            left = 5 - observation % STEPS
            assert batch.mask[sample].tolist() == [True] * left + [False] * (8 - left)
            ahead = 0.1 * np.minimum(np.arange(1, 9), left)
            heading = 0.01 * (observation // STEPS)  # it looks this much past its way
            np.testing.assert_allclose(batch.action[sample, :, 0], ahead * np.cos(heading), atol=1e-6)
            np.testing.assert_allclose(batch.action[sample, :, 1], -ahead * np.sin(heading), atol=1e-6)


def test_a_robot_that_stops_where_a_factual_row_ends_supervises_its_last_step_too(data):
    """As above, but it drives no farther than to step 5, and stands there."""
    stream = make(data, kinds_of=("hindsight",), stop_at_end=True)
    batches = list(stream.batches(0))
    assert sorted(pair[0] for pair in flat(batches)) == [STEPS * e + t for e in range(4) for t in range(6)]
    for batch in batches:
        assert batch.mask.all()
        for sample, observation in enumerate(batch.observation.tolist()):
            left = 5 - observation % STEPS
            ahead = 0.1 * np.minimum(np.arange(1, 9), left)
            np.testing.assert_allclose(np.linalg.norm(batch.action[sample], axis=1), ahead, atol=1e-6)
    assert stream.fingerprint != make(data, kinds_of=("hindsight",)).fingerprint
    # only what was said of the whole range is done at its end
    plain, stops = (make(data, kinds={"atomic": 1.0}, stop_at_end=stop) for stop in (False, True))
    for one, other in zip(plain.batches(0), stops.batches(0), strict=True):
        same(one, other)


def test_a_counterfactual_row_supervises_its_start_with_its_own_chunk(data):
    samples = {}
    for batch in (batch for epoch in range(10) for batch in make(data, kinds_of=("counterfactual",)).batches(epoch)):
        for index, observation in enumerate(batch.observation.tolist()):
            chunk = (float(batch.action[index, 0, 0]), int(batch.mask[index].sum()))
            samples.setdefault((observation % STEPS, batch.instruction[index]), set()).add(chunk)
    assert samples == {(0, "turn left"): {(3.0, 2)}, (0, "turn right"): {(4.0, 3)}, (2, "turn left"): {(5.0, 2)}}


def test_an_end_at_the_episodes_length_is_the_last_known_motion(tmp_path):
    data = labelled(tmp_path / "d" / "1.0.0", {"labels": [[("hindsight", 2, STEPS, "go on")]]}, episodes=1)
    batch = next(iter(make(data, batch_size=3).batches(0)))
    assert sorted(zip(batch.observation.tolist(), batch.mask.sum(axis=1).tolist(), strict=True)) == [
        (2, 3), (3, 2), (4, 1)
    ]  # fmt: skip


def test_a_label_at_the_last_step_supervises_nothing(tmp_path):
    rows = [[("hindsight", STEPS - 1, STEPS, "stay"), ("counterfactual", STEPS - 1, STEPS, "go")]]
    stream = make(labelled(tmp_path / "d" / "1.0.0", {"labels": rows}, episodes=1), batch_size=1)
    assert stream.instructions == ("go",)
    assert flat(stream.batches(0)) == [(STEPS - 1, "go")]


@pytest.mark.parametrize("stride", [1, 2])
def test_frames_and_odometry_begin_where_the_robot_was_told(data, stride):
    episodes = list(read_episodes(open_dataset(data), load_spec(None, data)))
    for batch in make(data, history=2, stride=stride, batch_size=4).batches(0):
        assert batch.image.shape == (4, 3, 16, 16, 3)
        for sample, observation in enumerate(batch.observation.tolist()):
            episode, step = episodes[observation // STEPS], observation % STEPS
            labels = episode.labels["labels"]
            told = {  # of every label that may be meant
                int(labels.told[row]) for row in range(len(labels))
                if labels.instruction[row] == batch.instruction[sample] and KINDS.index(labels.kind[row]) ==
                batch.kind[sample] and labels.start[row] <= step < max(labels.end[row], labels.start[row] + 1)
            }  # fmt: skip
            assert any(_shows(batch, sample, episode, step, at, stride) for at in told)


def test_what_older_sets_do_not_say_is_told_at_the_start(data):
    dataset = open_dataset(data)
    older = {key: leaf for key, leaf in dataset.features.items() if key != "labels/told"}
    now, before = (
        [decode_labels(Columns(record, features, name), "labels").told.tolist() for name, record in dataset.records()]
        for features in (dataset.features, older)
    )
    assert now == [[0, 1, 0, 0, 1]] * 4
    assert before == [[0, 1, 0, 0, 2]] * 4


def test_mirrored_and_turned_odometry_is_that_of_the_picture(data):
    batch = next(iter(make(data, history=2).batches(0)))
    past = np.array([[[1.0, 2.0, 0.3]] * 4] * len(batch), np.float32)
    batch = replace(batch, odometry=past)
    flipped = mirrored(batch, np.arange(len(batch)) == 1)
    np.testing.assert_array_equal(flipped.odometry[0], past[0])
    np.testing.assert_allclose(flipped.odometry[1], [[1.0, -2.0, -0.3]] * 4)
    camera = CameraModel(horizontal_fov_deg=90.0, height_m=0.6, pitch_deg=0.0)
    left = turned(batch, np.full(len(batch), 8), camera)  # 8 of 16 pixels: 45 degrees
    np.testing.assert_allclose(left.odometry[0, 0], [3 / 2**0.5, 1 / 2**0.5, 0.3], atol=1e-6)


def _shows(batch, sample, episode, step, told, stride):
    """Whether a sample shows the frames since then, and says where they were taken."""
    steps = [max(step - age * stride, told) for age in (2, 1, 0)]
    frames = np.stack([episode.cameras["primary"].decode(at) for at in steps])
    past = odometry(episode.pose[[told, *steps]][None])[0]
    return np.array_equal(frames, batch.image[sample]) and np.allclose(past, batch.odometry[sample], atol=1e-6)


def test_frames_are_resized(data):
    batch = next(iter(make(data, size=(8, 12)).batches(0)))
    assert batch.image.shape == (4, 1, 8, 12, 3)


def test_equal_seeds_give_equal_batches_and_others_do_not(data):
    one, again, other = (list(make(data, seed=seed, augment=(Mirror(),)).batches(3)) for seed in (1, 1, 2))
    for left, right in zip(one, again, strict=True):
        same(left, right)
    assert flat(one) != flat(other)
    assert flat(one) != flat(make(data, seed=1).batches(4))


def test_an_epoch_can_be_entered_in_the_middle(data):
    stream = make(data, seed=5, per_observation=2, augment=(Mirror(),))
    whole = list(stream.batches(2))
    assert len(whole) == stream.steps_per_epoch == 20 // 4  # five steps of each of four episodes have a label
    for left, right in zip(
        whole[3:], make(data, seed=5, per_observation=2, augment=(Mirror(),)).batches(2, 3), strict=True
    ):
        same(left, right)
    assert list(stream.batches(2, start_step=5)) == []


def test_ranks_share_each_batch_without_overlap(data):
    whole = list(make(data).batches(0))
    parts = [list(make(data).batches(0, rank=rank, world=2)) for rank in range(2)]
    for step, batch in enumerate(whole):
        assert flat([batch]) == flat([parts[0][step], parts[1][step]])
        np.testing.assert_array_equal(batch.image, np.concatenate([parts[0][step].image, parts[1][step].image]))


def test_every_observation_comes_once_before_any_comes_again(data):
    """Eight observations have counterfactuals; one epoch over all labels draws 5 x 4 = 20 samples."""
    stream = make(data, kinds={"counterfactual": 1.0}, batch_size=2)
    assert stream.observations == 8
    drawn = [pair[0] for epoch in range(3) for pair in flat(stream.batches(epoch))]
    for lap in range(3):
        assert sorted(drawn[8 * lap : 8 * lap + 8]) == sorted(set(drawn))


def test_laps_go_on_over_the_end_of_an_epoch(data):
    """Four of the eight observations are drawn per epoch, so two epochs visit each once."""
    stream = make(data, kinds={"hindsight": 0.8, "counterfactual": 0.2}, batch_size=5)
    drawn = [
        observation for epoch in range(2) for batch in stream.batches(epoch)
        for observation, kind in zip(batch.observation.tolist(), batch.kinds, strict=True) if kind == "counterfactual"
    ]  # fmt: skip
    assert len(drawn) == len(set(drawn)) == 8


def test_kinds_are_drawn_by_weight(data):
    stream = make(data, kinds={"hindsight": 3, "counterfactual": 1}, batch_size=20)
    kinds = [kind for batch in stream.batches(0) for kind in batch.kinds]
    assert (kinds.count("hindsight"), kinds.count("counterfactual"), kinds.count("atomic")) == (15, 5, 0)


def test_without_weights_kinds_come_as_often_as_observations_have_them(data):
    """20 observations have hindsight, 8 atomic, 8 counterfactual labels: of 18 samples 10, 4, 4."""
    kinds = next(iter(make(data, batch_size=18).batches(0))).kinds
    assert (kinds.count("hindsight"), kinds.count("atomic"), kinds.count("counterfactual")) == (10, 4, 4)


def test_datasets_are_drawn_by_weight_and_their_observations_are_told_apart(data, tmp_path):
    other = labelled(tmp_path / "other" / "1.0.0", {"labels": [[("hindsight", 0, 5, "elsewhere")]] * 2}, episodes=2)
    stream = Stream((Source(data), Source(other, weight=3.0)), (16, 16), 8, holdout=0.0)
    pairs = flat(stream.batches(0))
    elsewhere = [observation for observation, text in pairs if text == "elsewhere"]
    assert len(elsewhere) == 3 * len(pairs) / 4
    assert min(elsewhere) >= 4 * STEPS > max(observation for observation, text in pairs if text != "elsewhere")
    assert stream.observations == 20 + 10


def test_label_sets_are_weighed_by_naming_a_dataset_twice(tmp_path):
    rows = {"labels": [[("hindsight", 0, 5, "a")]] * 2, "more": [[("hindsight", 0, 5, "b")]] * 2}
    data = labelled(tmp_path / "d" / "1.0.0", rows, episodes=2)
    both = Stream((Source(data), Source(data, weight=4.0, label_sets=("more",))), (16, 16), 10, holdout=0.0)
    pairs = flat(both.batches(0))
    assert [text for _, text in pairs].count("b") == 8
    assert both.observations == 10  # the same observations, whatever was said
    assert max(observation for observation, _ in pairs) < 2 * STEPS


def test_several_instructions_of_one_observation_in_a_batch(data):
    """At step 0 there is a hindsight row and two counterfactuals: all three are different things to say."""
    kinds = {"hindsight": 1.0, "counterfactual": 2.0}
    for batch in make(data, kinds=kinds, batch_size=12, per_observation=3).batches(0):
        for group in range(0, 12, 3):
            observations, said = batch.observation[group : group + 3], batch.instruction[group : group + 3]
            here = [text for at, text in zip(observations, said, strict=True) if at == observations[0]]
            assert len(set(here)) == len(here)
    groups = [
        len(set(batch.observation[at : at + 3].tolist()))
        for epoch in range(20) for batch in make(data, kinds=kinds, batch_size=12, per_observation=3).batches(epoch)
        for at in range(0, 12, 3)
    ]  # fmt: skip
    assert 1 in groups


def test_sharing_an_observation_leaves_the_shares_of_the_kinds(data):
    kinds = {"hindsight": 1.0, "counterfactual": 1.0}
    stream = make(data, kinds=kinds, batch_size=4, per_observation=2)
    drawn = [kind for batch in stream.batches(0) for kind in batch.kinds]
    assert drawn.count("hindsight") == drawn.count("counterfactual") == 10


def test_heldout_episodes_depend_on_their_names_alone():
    names = tuple(f"d/1.0.0/train/00000/{index:05d}" for index in range(1000))
    held = held_out(names, 0.05)
    assert 30 <= held.sum() <= 70
    assert held_out(names[::-1], 0.05).tolist() == held[::-1].tolist()
    assert held_out(names[:2], 0.001).sum() == 1
    assert held_out(names[:2], 0.999).sum() == 1
    assert not held_out(names[:1], 0.5).any()
    assert not held_out(names, 0.0).any()


def test_heldout_observations_are_never_trained_on(data):
    stream = make(data, holdout=0.3, batch_size=1)
    trained = {pair[0] // STEPS for seed in range(3) for pair in flat(replace(stream, seed=seed).batches(0))}
    held = {pair[0] // STEPS for pair in flat(stream.heldout().batches(0))}
    assert held
    assert trained | held == {0, 1, 2, 3}
    assert not trained & held
    assert stream.heldout().fingerprint == stream.fingerprint


def test_scores_filter_and_arrive(tmp_path):
    rows = {"labels": [[("hindsight", 0, 5, "a")]], "sure": [[("hindsight", 0, 5, "b")]]}
    data = labelled(tmp_path / "d" / "1.0.0", rows, episodes=1, score=0.5)
    batch = next(iter(make(data, min_score=0.5).batches(0)))
    assert batch.score.tolist() == [0.5] * 4
    assert make(data, label_sets=("sure",)).instructions == ("b",)


def test_instructions_are_all_that_can_be_said(data):
    plain = make(data, kinds_of=("counterfactual", "atomic"))
    assert plain.instructions == ("go forward", "turn left", "turn right")
    one_sided = make(data, kinds_of=("hindsight",), augment=(Mirror(1.0),))
    assert one_sided.instructions == ("drive straight on",)
    said = {text for epoch in range(5) for _, text in flat(plain.batches(epoch))}
    assert said == set(plain.instructions)


def test_chunks_are_every_supervised_pair_once(data):
    stream = make(data)
    action, mask = (np.concatenate(part) for part in zip(*stream.chunks(), strict=True))
    assert action.shape == (4 * (5 + 2 + 3), 8, 2)  # five hindsight steps, two atomic ones, three counterfactuals
    assert mask.sum() == 4 * (5 + 4 + 3 + 2 + 1 + 2 + 1 + 2 + 3 + 2)
    assert stream.chunk_shape == (8, 2)


def test_a_worker_process_gets_the_stream_without_its_data(data):
    stream = make(data, seed=2)
    first = next(iter(stream.batches(0)))
    sent = pickle.dumps(stream)
    assert len(sent) < 2000
    same(first, next(iter(pickle.loads(sent).batches(0))))


def test_a_split_is_taken_alone(data, tmp_path):
    both = tmp_path / "1.0.0"
    shutil.copytree(data, both)
    shutil.copy(both / "tiny-train.tfrecord-00000-of-00001", both / "tiny-val.tfrecord-00000-of-00001")
    info = json.loads((both / "dataset_info.json").read_text())
    info["splits"].append({**info["splits"][0], "name": "val"})
    (both / "dataset_info.json").write_text(json.dumps(info))
    assert make(both).observations == 40
    parts = [
        {pair[0] for pair in flat(make(both, split=split, kinds_of=("hindsight",)).batches(0))}
        for split in ("train", "val")
    ]
    assert sorted(map(len, parts)) == [20, 20]
    assert not parts[0] & parts[1]
    with pytest.raises(UsageError, match=r"no split 'test'\. It has: train, val"):
        make(both, split="test")


def test_real_label_sets_stream(relabelled):
    """What relabelling wrote, nav and arm: every sample's text is one that its episode holds for that step."""
    *_, out, _ = relabelled
    spec = "bridge" if not (out / "spec.toml").is_file() else None
    stream = Stream((Source(out, spec),), (16, 16), 8, history=1, per_observation=2, cache=out.parent / "cache")
    episodes = list(read_episodes(open_dataset(out), load_spec(spec, out)))
    first = np.cumsum([0, *map(len, episodes)])
    for batch in stream.batches(0):
        for observation, text, kind in zip(batch.observation.tolist(), batch.instruction, batch.kinds, strict=True):
            episode = int(np.searchsorted(first, observation, side="right")) - 1
            labels, step = episodes[episode].labels["labels"], observation - first[episode]
            holds = (labels.start <= step) & (step < labels.end)
            assert any(labels.instruction[i] == text and labels.kind[i] == kind for i in np.flatnonzero(holds))
    assert batch.mask.any(axis=1).all()


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.integers(0, 1000), st.floats(0, 0.999))
def test_divided_totals_add_up_and_are_nearest(shares, total, at):
    ideal = np.array(shares) / np.sum(shares) * total
    whole = divide(np.array(shares), np.array([total]), np.array([at]))[0]
    assert whole.sum() == total
    assert (np.abs(whole - ideal) < 1 + 1e-9).all()


def test_what_is_rounded_off_in_an_epoch_comes_in_others():
    """A kind of 1 % in epochs of ten draws is drawn in every tenth epoch, and two sources keep their shares too."""
    schedule = Schedule(5, 2, 1, 0, ((0.01, 0.79), (0.2,)), (3, 50, 7))
    drawn = np.concatenate(schedule.quotas(999), axis=1)
    assert (drawn.sum(axis=1) == 10).all()
    np.testing.assert_allclose(drawn.mean(axis=0), [0.1, 7.9, 2.0], atol=0.02)
    slots = [schedule.slots(epoch) for epoch in range(200)]
    rare = np.concatenate([part.entry[part.pool == 0] for part in slots])
    assert len(rare) == drawn[:200, 0].sum()
    assert [sorted(rare[lap : lap + 3]) for lap in range(0, 15, 3)] == [[0, 1, 2]] * 5


def test_rows_of_the_example_are_what_the_tests_say():
    assert [row[0] for row in ROWS].count("counterfactual") == 3


class Corners:
    """A reader that says the red of a frame's upper corners, left and right."""

    name, width = "corners", 2

    def __init__(self):
        self.asked = 0

    def read(self, frames):
        self.asked += len(frames)
        return frames[:, 0, [0, -1], 0].astype(np.float16)

    def mirrored(self, read):
        return read[:, ::-1]


def test_a_reader_reads_every_frame_once_and_its_words_are_drawn(data, tmp_path):
    reader = Corners()
    options = {"history": 1, "seed": 5, "cache": tmp_path}
    frames, read = make(data, **options), make(data, reader=reader, **options)
    for one, other in zip(frames.batches(0), read.batches(0), strict=True):
        np.testing.assert_array_equal(other.image, one.image[:, :, 0, [0, -1], 0])
        assert one.instruction == other.instruction
    asked = reader.asked
    assert asked == len(frames._mixed.tables[0].cache.frames)
    list(make(data, reader=reader, **options).batches(1))
    assert reader.asked == asked, "the cache has it"


def test_what_is_read_is_mirrored_by_its_reader(data, tmp_path):
    options = {"history": 1, "augment": (Mirror(1.0),), "cache": tmp_path}
    frames, read = make(data, **options), make(data, reader=Corners(), **options)
    for one, other in zip(frames.batches(0), read.batches(0), strict=True):
        np.testing.assert_array_equal(other.image, one.image[:, :, 0, [0, -1], 0])
        np.testing.assert_array_equal(other.action, one.action)


@pytest.mark.parametrize("change", [RandomCrop(), ColourJitter(), HorizontalShift()])
def test_pixels_that_are_gone_are_not_changed(change, data, tmp_path):
    name = type(change).__name__
    with pytest.raises(UsageError, match=f"{name}: frames are read beforehand.*Leave {name} out"):
        make(data, reader=Corners(), augment=(change,), cache=tmp_path)
