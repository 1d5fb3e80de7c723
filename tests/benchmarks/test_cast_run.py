"""Whole cells in small: three steps of training prove nothing about arms; what is written does not depend on that."""

import json
import shutil

import numpy as np
import pytest

from benchmarks.cast import run
from benchmarks.cast.__main__ import asked, main, parser
from benchmarks.cast.data import Means, Shelf
from benchmarks.cast.demonstrations import Demonstrations, demonstrate
from benchmarks.label_truth import World
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.files import exclusive
from embodied_cf.datasets.motion import track_of
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.evaluate.demo import LOOK_ROUND
from embodied_cf.relabel.build import survey
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.segment import ThresholdSegmenter

SIZE = "--bias 1 --budgets 3 --seeds 0 --families object --logs 4 --episodes 2 --preset tiny-debug --split test"


def options(place, *arms):
    return [*SIZE.split(), "--work", str(place / "work"), "--results", str(place / "cast.jsonl"), "--only", *arms]


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def read(directory):
    dataset = open_dataset(directory)
    return list(read_episodes(dataset, load_spec(None, dataset.path)))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("cast")
    main(options(place, "hindsight+", "planner"))
    return place


def test_each_cell_leaves_a_line(done):
    planner, plus = sorted(lines(done / "cast.jsonl"), key=lambda line: -len(line["cell"]["arm"]))[::-1]
    assert (planner["cell"]["arm"], plus["cell"]["arm"]) == ("planner", "hindsight+")
    row = plus["outcomes"]["rooms/object"]
    assert {name: len(bits) for name, bits in row.items()} == dict.fromkeys(
        ("sight", "reached", "none", "shuffled", "chance"), 2
    )
    assert set(row["none"]) <= {"0", "1"}
    assert all(reached >= success for reached, success in zip(row["reached"], row["none"], strict=True))
    assert planner["outcomes"]["rooms/object"]["sight"] == row["sight"]
    assert plus["success"]["rooms/object"]["n"] == 2
    assert plus["validation"][-1]["step"] == 3
    assert plus["command"].endswith("--logs 4 --preset tiny-debug")
    assert "work" not in json.dumps(plus)
    ledger = lines(done / "test_ledger.jsonl")
    assert [line["plan"] for line in ledger] == [line["cell"] for line in lines(done / "cast.jsonl")]
    assert "| hindsight+ | 1 |" in (done / "cast.md").read_text()


def test_what_is_done_is_not_done_again(done, monkeypatch):
    before = (done / "cast.jsonl").read_bytes()
    monkeypatch.setattr(run, "train", None)
    main(options(done, "hindsight+", "planner"))
    assert (done / "cast.jsonl").read_bytes() == before


def test_a_cell_that_was_killed_goes_on(done, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "drive", killed)
        with pytest.raises(KeyboardInterrupt):
            main(options(done, "hindsight"))
    (log,) = done.glob("work/cells/*hindsight-bias*/run/log.jsonl")
    trained = log.read_bytes()
    assert len(lines(done / "cast.jsonl")) == 2
    main(options(done, "hindsight"))
    assert lines(done / "cast.jsonl")[-1]["cell"]["arm"] == "hindsight"
    assert log.read_bytes() == trained


def test_two_processes_share_the_cells(tmp_path, capsys):
    (cell,) = asked(parser().parse_args(options(tmp_path, "planner")))
    with exclusive(tmp_path / "work" / "cells" / f".{cell.name}.claim"):
        main(options(tmp_path, "planner"))
    assert "another process is at it" in capsys.readouterr().out
    assert not (tmp_path / "cast.jsonl").exists()


def test_the_list_tells_what_is_left_and_writes_nothing(done, capsys):
    page = done / "cast.md"
    before = page.stat().st_mtime_ns
    main([*options(done, "planner", "matched"), "--list"])
    assert page.stat().st_mtime_ns == before
    told = capsys.readouterr().out
    assert "2 cells, 1 done" in told
    assert "about" in told


def test_unknown_budgets_end_with_a_message(tmp_path):
    with pytest.raises(SystemExit, match="no budget"):
        main(["--budgets", "huge", "--results", str(tmp_path / "cast.jsonl")])


@pytest.mark.parametrize("name", ["second", "cast"])
def test_labels_are_the_same_by_any_number_of_processes(done, tmp_path, name):
    alone = Shelf(Means(done / "work"), "rooms", ("object",), 4, 1.0).get(name)
    shutil.copytree(done / "work" / "data", tmp_path / "data")
    shutil.rmtree(tmp_path / alone.relative_to(done / "work"))
    together = Shelf(Means(tmp_path, workers=2), "rooms", ("object",), 4, 1.0).get(name)
    (one,), (other,) = (list(directory.glob("*.tfrecord*")) for directory in (alone, together))
    assert one.read_bytes() == other.read_bytes()


def test_the_published_recipe_branches_at_segment_starts_into_primitives(done):
    directory = Shelf(Means(done / "work"), "rooms", ("object",), 4, 1.0).get("cast")
    dataset = open_dataset(directory)
    spec = load_spec(None, dataset.path)
    setting = survey(dataset, spec, dataset.shards(), RelabelOptions(directory, directory))
    meaning, chunks, texts = setting.profile.meaning(setting.body), set(), set()
    for episode in read_episodes(dataset, spec):
        labels = episode.labels["labels"]
        rows = [row for row, kind in enumerate(labels.kind) if kind == "counterfactual"]
        segments = ThresholdSegmenter().segment(track_of(episode, setting.body), setting.body, meaning)
        assert {int(labels.start[row]) for row in rows} <= set(segments.start.tolist())
        chunks |= {labels.action[row].tobytes() for row in rows}
        texts |= {labels.instruction[row] for row in rows}
    assert 2 <= len(chunks) <= 6
    assert len(texts) > 2


def test_demonstrations_replay_and_end_with_a_stop(tmp_path):
    plan = Demonstrations("rooms", ("object", "continuous"), 2)
    demonstrate(tmp_path / "1.0.0", plan)
    episodes = read(tmp_path / "1.0.0")
    assert 1 <= len(episodes) <= 2
    for episode in episodes:
        world = World.of(episode, 0)
        away = np.hypot(*(world.pose[: len(episode), :2] - world.pose[0, :2]).T)
        np.testing.assert_allclose(np.hypot(*episode.pose[:, :2].T), away, atol=1e-4)
        assert episode.language[0].text in {plan.task(0).text, plan.task(1).text}
        assert away.max() > 0.5
        np.testing.assert_array_equal(episode.action[-7:, 0], 0.0)


def test_who_demonstrates_a_chain_is_told_its_parts_in_turn(tmp_path):
    plan = Demonstrations("rooms", ("chained",), 4)
    demonstrate(tmp_path / "1.0.0", plan)
    episodes, whole = read(tmp_path / "1.0.0"), {plan.task(at).text for at in range(4)}
    assert episodes
    for episode in episodes:
        said = [span.text for span in episode.language]
        assert len(said) == len(set(said)) >= 2
        assert not set(said) & whole
        ends = [span.end for span in episode.language]
        assert [span.start for span in episode.language[1:]] == ends[:-1]


@pytest.mark.parametrize("name", ["exact", "exact-demos"])
def test_the_oracle_is_told_what_is_so(done, name):
    directory = Shelf(Means(done / "work"), "rooms", ("object",), 4, None if name == "exact-demos" else 1.0).get(name)
    header = lines(directory / "labels" / "manifest.jsonl")[0]
    faults = header["stages"]["captioner"]["faults"]
    assert faults == {"hallucination": 0, "jitter": 0, "omission": 0, "persistent": False}
    assert header["stages"]["proposer"]["look_round"] == LOOK_ROUND
    told = [episode.labels["labels"] for episode in read(directory)]
    rows = [row for labels in told for row, kind in enumerate(labels.kind) if kind == "counterfactual"]
    assert len(rows) > 100


def counterfactuals(shelf, name):
    told = [(number, episode.labels["labels"]) for number, episode in enumerate(read(shelf.get(name)))]
    return [(number, int(labels.start[row]), labels.instruction[row]) for number, labels in told
            for row, kind in enumerate(labels.kind) if kind == "counterfactual"]  # fmt: skip


def test_labels_of_ablations_lack_what_they_should(done):
    shelf = Shelf(Means(done / "work"), "rooms", ("object",), 4, 1.0)
    whole, single, commands, believed = (
        counterfactuals(shelf, name) for name in ("first", "single", "commands", "believed")
    )
    assert len(whole) > len(single) == len({row[:2] for row in single})
    assert commands
    assert not any(thing in text for _, _, text in commands for thing in (" box", " chair", " ball", " bin", " door"))
    assert len(believed) > len(set(whole) & set(believed)) > 0.5 * len(whole)
