import json

import pytest

from embodied_cf.errors import UsageError
from embodied_cf.evaluate.demo import ARMS, OURS, REPORT, THEIRS, DemoPlan, stages, tell
from embodied_cf.evaluate.demo_command import run_demo


def test_the_whole_story_in_small(tmp_path, monkeypatch, capsys):
    """Two steps of training prove nothing about policies; all files, numbers and words are there nevertheless."""
    monkeypatch.setattr(DemoPlan, "of", lambda minutes, seed: DemoPlan(2, episodes=3, logs=8, seed=seed))
    assert run_demo(tmp_path / "demo", 1.0, 0, tmp_path / "numbers.json") == 0
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert set(numbers["arms"]) == {OURS, THEIRS}
    for arm in numbers["arms"].values():
        assert arm["success"]["n"] == 3
        low, high = arm["success"]["ci95"]
        assert low <= arm["success"]["rate"] <= high
    assert numbers["gain"]["n"] == 3
    assert len(numbers["gain"]["ci95"]) == 2
    page = (tmp_path / "demo" / REPORT).read_text()
    assert OURS in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "Gain" in capsys.readouterr().err


def test_it_goes_on_where_it_was_stopped(tmp_path):
    plan, heard = DemoPlan(2, episodes=2, logs=4), []

    def watch(stage, done, total):
        heard.append((stage, done, total))

    story = tell(tmp_path, plan, watch)
    assert {stage for stage, _, _ in heard} == set(stages(plan))
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.tfrecord*")}
    assert tell(tmp_path, plan, watch).records == story.records
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.tfrecord*")} == first
    assert {record.control for found in story.records.values() for record in found} == {"none", "shuffled", "chance"}


def test_minutes_set_the_training():
    assert DemoPlan.of(10, 3).steps == 2200
    assert DemoPlan.of(0.01, 0).steps == 10
    for nonsense in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="--minutes"):
            DemoPlan.of(nonsense, 0)
    assert ARMS[THEIRS][2] == 0 < ARMS[OURS][2]
