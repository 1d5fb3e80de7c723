"""The report of a real run over a small dataset that the project draws itself."""

import asyncio
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.label_edit import read_decisions
from embodied_cf.datasets.rlds import RldsDataset, Shard, open_dataset
from embodied_cf.datasets.sample import SampleSize, write_sample
from embodied_cf.datasets.spec import load_spec
from embodied_cf.relabel import report
from embodied_cf.relabel.build import build_pipeline, survey
from embodied_cf.relabel.options import RelabelOptions, VlmOptions
from embodied_cf.relabel.output import Output
from embodied_cf.relabel.picture import Scale, draw_chunk, ticks
from embodied_cf.relabel.report import preview_html, write_report
from embodied_cf.relabel.report_counts import count_run
from embodied_cf.relabel.report_page import flat, number, percent
from embodied_cf.relabel.report_views import PALETTE, middles
from embodied_cf.relabel.runner import relabel

TIMING = {"seconds": 2.0, "steps_per_second": 60.0}
EVIL = '<script>alert("x")</script>'


class Page(HTMLParser):
    """The labels, tags and addresses of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.labels, self.addresses, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        self.addresses += [found[name] for name in ("src", "href") if name in found]
        if "data-record" in found:
            self.labels.append((found["data-kind"], float(found["data-score"]), json.loads(found["data-record"])))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    data, out = root / "posts" / "1.0.0", root / "out"
    write_sample(data, SampleSize(shards=2, episodes_per_shard=2, steps=30, image=32))
    options = RelabelOptions(data, out)
    relabel(options)
    return options


def setting_of(options):
    dataset = open_dataset(options.dataset)
    return survey(dataset, load_spec(options.spec or str(options.dataset / "spec.toml")), dataset.shards(), options)


def written(options, usage=None, timing=TIMING):
    output = Output(options.out)
    write_report(output, setting_of(options), options, usage=usage, timing=timing)
    return json.loads((output.labels / "report.json").read_text()), (output.labels / "report.html").read_text()


def relabelled(options, count=2):
    setting = setting_of(options)
    pipeline = build_pipeline(setting, options)
    episodes = islice(read_episodes(setting.dataset, setting.spec), count)
    return setting, [(episode, asyncio.run(pipeline.relabel(episode))) for episode in episodes]


def test_numbers_are_the_sums_of_the_labels_themselves(run):
    numbers, _ = written(run)
    tables = [e.labels["labels"] for e in read_episodes(open_dataset(run.out), setting_of(run).spec)]
    kinds = [kind for table in tables for kind in table.kind]
    assert {kind: row["total"] for kind, row in numbers["labels"].items()} == {
        kind: kinds.count(kind) for kind in ("hindsight", "atomic", "counterfactual")
    }
    assert numbers["labels_total"] == len(kinds)
    assert (numbers["episodes"], numbers["steps"], numbers["shards"]) == (4, 120, 2)
    assert numbers["rejected"]["total"] == sum(row["count"] for row in numbers["rejected"]["by_reason"].values())
    assert numbers["timing"] == TIMING
    assert numbers["usage"] is None


def test_every_label_that_the_page_shows_stands_in_the_dataset(run):
    _, html = written(run)
    episodes = read_episodes(open_dataset(run.out), setting_of(run).spec)
    stored = {
        (e.episode_id, *row)
        for e in episodes
        for t in [e.labels["labels"]]
        for row in zip(t.kind, t.start.tolist(), t.end.tolist(), t.instruction, t.command, strict=True)
    }
    page = Page(html)
    shown = [
        tuple(record[key] for key in ("episode", "kind", "start", "end", "instruction", "command"))
        for _, _, record in page.labels
    ]
    assert set(shown) <= stored
    assert len(set(shown)) == len(shown)
    assert {kind for kind, _, _ in page.labels} == {"hindsight", "atomic", "counterfactual"}


def test_a_decision_of_the_page_is_one_that_filtering_understands(run, tmp_path):
    kind, _, record = Page(written(run)[1]).labels[-1]
    path = tmp_path / "decisions.jsonl"
    path.write_text(json.dumps({**record, "decision": "reject"}) + "\n")
    names = ("episode", "kind", "start", "end", "instruction", "command")
    assert read_decisions(path, "labels") == {tuple(record[name] for name in names)}
    assert kind == record["kind"]


def test_the_page_needs_nothing_but_itself(run):
    page = Page(written(run)[1])
    assert page.addresses
    assert all(address.startswith("data:") for address in page.addresses)
    assert page.tags.count("script") == 1


def test_same_run_same_page(run):
    assert written(run) == written(run)


def test_no_frames_means_no_pixels(run):
    _, html = written(replace(run, no_frames=True))
    assert "data:image" not in html
    assert "img" not in Page(html).tags
    assert "no frame" in html
    assert "data:image/jpeg" in written(run)[1]


def test_language_balance_rises(run):
    balance = written(run)[0]["language_balance"]
    assert balance["clustered_by"] == "frames"
    assert balance["after"]["command_entropy_bits"] > balance["before"]["command_entropy_bits"] + 0.5
    assert balance["observations"] == 4 * 29


def test_the_sample_is_bounded(run, monkeypatch):
    monkeypatch.setattr(report, "SAMPLED", 3)
    monkeypatch.setattr(report, "SHOWN", 1)
    numbers, html = written(run)
    assert numbers["sampled_episodes"] == 3
    assert len({record["episode"] for _, _, record in Page(html).labels}) == 1


def test_the_sample_reaches_every_record_of_a_shard():
    shards = (Shard(Path(), "a", "train", 0, 3), Shard(Path(), "b", "train", 1, 0), Shard(Path(), "c", "test", 0, 1000))
    dataset = RldsDataset(Path(), "d", "1.0.0", "tfrecord", {}, {"train": shards[:2], "test": shards[2:]})
    draws = [report._records(dataset, np.random.default_rng(seed)) for seed in range(60)]
    assert all(len(set(places)) == report.SAMPLED for places in draws)
    records = {
        split: {at for places in draws for name, _, at in places if name == split} for split in ("train", "test")
    }
    assert records["train"] == {0, 1, 2}
    assert min(records["test"]) < 20
    assert max(records["test"]) > 979
    assert max(records["test"]) < 1000


def test_a_dataset_without_records_is_sampled_as_nothing():
    dataset = RldsDataset(Path(), "d", "1.0.0", "tfrecord", {}, {"train": (Shard(Path(), "a", "train", 0, 0),)})
    assert report._records(dataset, np.random.default_rng(0)) == []


def test_usage_is_shown_and_a_password_is_not(run):
    options = replace(run, vlm=VlmOptions(base_url="http://me:secret@127.0.0.1:8000/v1"))
    usage = {"requests": 1234, "cost_usd": 1.5, "faults": {EVIL: 2}}
    numbers, html = written(options, usage=usage)
    assert numbers["usage"] == usage
    assert numbers["options"]["vlm"]["base_url"] == "http://127.0.0.1:8000/v1"
    assert "secret" not in html
    assert "$1.50" in html
    assert "1,234" in html
    assert EVIL not in html


def test_texts_of_the_data_are_escaped(run):
    setting, episodes = relabelled(run)
    hostile = [
        (episode, replace(result, labels=replace(result.labels, instruction=(EVIL,) * len(result.labels))))
        for episode, result in episodes
    ]
    html = preview_html(hostile, setting, run, forecast={EVIL: EVIL})
    page = Page(html)
    assert "script" not in page.tags
    assert {record["instruction"] for _, _, record in page.labels} == {EVIL}


def test_preview_shows_ten_labels_of_all_kinds_and_the_forecast(run):
    setting, episodes = relabelled(run)
    page = Page(preview_html(episodes, setting, run, forecast={"requests": 98765, "cost_usd": None}))
    kinds = [kind for kind, _, _ in page.labels]
    assert len(kinds) == 10
    assert set(kinds) == {"hindsight", "atomic", "counterfactual"}
    assert page.tags.count("img") == 10
    assert "98,765" in page.text


def test_a_label_that_was_told_before_its_frame_says_so(run):
    """Its drawing shows only what is left to do: straight on, where the turn asked for has been made."""
    setting, [(episode, result)] = relabelled(run, 1)
    late = [row for row in range(len(result.labels)) if result.labels.start[row] >= 3]
    labels = result.labels.take(late)
    told = replace(labels, told=labels.start - 3)
    for table, count in ((labels, 0), (told, 10)):
        html = preview_html([(episode, replace(result, labels=table))], setting, run, forecast={})
        assert html.count("told 3 steps before") == count


def test_preview_of_fewer_labels_than_wanted(run):
    setting, _ = relabelled(run, 0)
    assert "No label was made." in preview_html([], setting, run, forecast={})


def test_counts_pass_over_what_the_source_had_before(tmp_path):
    """A second label set's run joins its lines after those of the first; only its own belong in its report."""
    source, output = tmp_path / "in", Output(tmp_path / "out")
    for directory in (source / "labels", output.labels):
        directory.mkdir(parents=True)
    old, new = ({"reason": name, "episode": "e"} for name in ("old", "new"))
    (source / "labels" / "rejected.jsonl").write_text(json.dumps(old) + "\n")
    (output.labels / "rejected.jsonl").write_text(f"{json.dumps(old)}\n{json.dumps(new)}\n")
    (output.labels / "quarantine.jsonl").write_text(json.dumps(new) + "\n")
    row = {"type": "shard", "shard": "s", "records": 2, "quarantined": 1, "rejected": 1,
           "dropped": [{"index": 3, "problem": "torn", "rest_lost": True}],
           "counts": {"hindsight pass": 3, "hindsight unknown": 1, "counterfactual pass": 6, "steps": 8,
                      "uncovered steps": 2, "branch points": 4, "infeasible: too far": 5}}  # fmt: skip
    output.manifest.write_text('{"type": "run"}\n' + json.dumps(row) + "\n" + json.dumps(row) + "\n")
    numbers = count_run(output, source)
    assert list(numbers["rejected"]["by_reason"]) == ["new"]
    assert numbers["quarantined"] == {"total": 2, "first": [new]}
    assert numbers["labels"]["hindsight"] == {"total": 8, "pass": 6, "unknown": 2, "unknown_share": 0.25}
    assert numbers["labels"]["atomic"]["unknown_share"] is None
    assert (numbers["coverage"], numbers["unknown_share"]) == (0.75, 0.1)
    assert numbers["counterfactuals_per_branch_point"] == 1.5
    assert numbers["infeasible"] == {"too far": 10}
    assert numbers["dropped_records"]["total"] == 2
    assert numbers["dropped_records"]["first"][0]["shard"] == "s"


def test_nav_drawing_puts_left_on_the_left_and_forward_up():
    left = np.array([[0.5, 0.0], [1.0, 1.0]], np.float32)
    scale = Scale.over([left, -left], "nav", 8, "m")
    assert scale.unit == "m"
    svg = str(draw_chunk(left, left[:0], scale))
    (points,) = re.findall(r'polyline points="([^"]*)"', svg)
    (x0, y0), *_, (x, y) = [tuple(map(float, pair.split(","))) for pair in points.split()]
    assert x < x0
    assert y < y0
    assert "x forward (m)" in svg


def test_arm_drawing_shows_gripper_and_wrist_in_centimetres():
    chunk = np.zeros((8, 7), np.float32)
    chunk[:, 2], chunk[:, 5], chunk[4:, 6] = np.linspace(0.01, 0.08, 8), np.radians(30), 1.0
    svg = str(draw_chunk(chunk, chunk[:2], Scale.over([chunk], "arm", load_embodiment("arm").chunk_length, "m")))
    assert (svg.count('"told closed"'), svg.count('"told open"')) == (4, 4)
    assert svg.count('"real closed"') == 2
    assert "+30°" in svg
    assert "z up (cm)" in svg


def test_an_unknown_unit_is_not_given_one():
    still = np.zeros((8, 2), np.float32)
    scale = Scale.over([still], "nav", 8, "unknown")
    assert "x forward<" in str(draw_chunk(still, still, scale))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.4, 1.1, [0.0, 0.5, 1.0]),
        (-1.0, 1.0, [-1.0, 0.0, 1.0]),
        (0.0, 8.0, [0.0, 5.0]),
        (-0.03, 0.03, [-0.02, 0.0, 0.02]),
    ],
)
def test_ticks(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_middles_line_up_with_equal_stretches():
    assert middles(10, 3) == [1, 5, 8]
    assert middles(3, 12) == [0, 1, 2]
    assert middles(0, 3) == []


def test_numbers_as_people_read_them():
    assert [number(value) for value in (25000, 0.4249, 1234.5, None, True)] == [
        "25,000",
        "0.425",
        "1,234.5",
        "–",
        "True",
    ]
    shares = (0.2174, 1.0, 0.0, 0.0001, 0.9999, None)
    assert [percent(share) for share in shares] == ["21.7 %", "100 %", "0 %", "< 0.1 %", "> 99.9 %", "–"]
    assert flat({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == {"a": 1, "b: c": 2, "b: d: e": 3}


def test_every_command_has_a_colour_of_its_own():
    assert len(set(PALETTE)) == len(PALETTE) >= 11
