"""The numbers of small sets of records, counted by hand."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from recorded import record, several

from embodied_cf.errors import UsageError
from embodied_cf.evaluate.record import write_records
from embodied_cf.evaluate.statistics import paired_gain, wilson
from embodied_cf.evaluate.summary import compare, success_tables, summarise

RNG = np.random.default_rng


def test_success_by_cell_family_and_sight():
    records = [*several("1101"), *several("00", family="chained", sight="far", ending="collision")]
    found = summarise(records, RNG(0))
    assert found["all"]["success"] == {"rate": 0.5, "ci95": list(wilson(3, 6)), "n": 6}
    assert found["cells"]["rooms/object/dev"]["success"]["rate"] == 0.75
    assert found["families"]["chained"]["success"]["n"] == 2
    assert {name: row["rate"] for name, row in found["all"]["by_sight"].items()} == {"nearest": 0.75, "far": 0.0}
    assert found["all"]["endings"] == {"success": 3, "wrong stop": 0, "collision": 2, "time": 1}
    json.dumps(found, allow_nan=False)


def test_means_count_those_that_have_the_measure():
    records = [record(0, measures={"spl": 0.5}), record(1, measures={"spl": 0.7, "ndtw": 0.1}), record(2, False)]
    means = summarise(records, RNG(0))["all"]["means"]
    assert means["spl"] == {"mean": pytest.approx(0.6), "n": 2}
    assert means["ndtw"]["n"] == 1
    assert means["progress"] == {"mean": 0.75, "n": 3}
    assert means["time_s"]["mean"] == 10.0


def test_a_control_is_compared_on_its_own_episodes():
    found = summarise([*several("11101"), *several("01-0-", "empty")], RNG(0))["all"]["controls"]["empty"]
    assert found["success"]["rate"] == pytest.approx(1 / 3)
    expected = paired_gain(np.array([False, True, False]), np.array([True, True, False]))
    assert found["change"] == expected.plain()
    assert found["left_out"] == 2
    assert found["p"] == 1.0


def test_following_needs_the_same_episodes_of_three():
    plain, shuffled = several("1111100000" * 4), several("1010000000" * 4, "shuffled")
    chance = several("1000-00000" * 4, "chance")
    block = summarise([*plain, *shuffled, *chance], RNG(0))["all"]
    assert block["following"]["value"] == pytest.approx((4 - 2) / (4 - 1))
    assert block["following"]["n"] == 36
    assert summarise(plain, RNG(0))["all"]["following"] is None


def test_a_cell_that_only_controls_have_reached_is_left_out():
    found = summarise([record(0), record(0, control="empty", family="chained")], RNG(0))
    assert list(found["cells"]) == ["rooms/object/dev"]


def test_two_policies_on_the_episodes_that_both_have():
    ours = [*several("1111"), record(9, True)]
    found = compare(ours, several("0101"))
    assert found["all"]["value"] == 0.5
    assert found["all"]["n"] == 4
    assert found["all"]["p"] == 0.5
    assert list(found["cells"]) == ["rooms/object/dev"]
    assert list(found["by_sight"]) == ["nearest"]


def test_the_later_of_two_records_of_an_episode_counts():
    assert summarise([record(0, False), record(0, True)], RNG(0))["all"]["success"]["rate"] == 1.0


def test_tables_by_training_seed():
    runs = [several("110"), several("01-"), several("111")]
    tables = success_tables(runs)
    assert tables["rooms/object/dev"].tolist() == [[1, 1], [0, 1], [1, 1]]


def test_what_cannot_be_summarised():
    with pytest.raises(UsageError, match="no episode without a control"):
        summarise(several("11", "empty"), RNG(0))
    with pytest.raises(UsageError, match="share no episode"):
        compare([record(0)], [record(1)])


def test_the_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    for seed, marks in enumerate(("1101", "1111", "0111")):
        for arm, outcome in (("cf", marks), ("plain", "0100")):
            (tmp_path / f"{arm}-{seed}").mkdir()
            write_records(tmp_path / f"{arm}-{seed}" / "episodes.jsonl", several(outcome))
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")
    exec("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), {})
    value, low, high = map(float, capsys.readouterr().out.split())
    assert value == pytest.approx(10 / 12 - 1 / 4)
    assert low < value < high
