"""Benchmarks leave a line in the ledger for each look at the split `test`, and none for one at `dev`."""

import json

import pytest

from benchmarks import graded, label_driver
from benchmarks.tabletop import __main__ as tabletop
from embodied_cf.evaluate.demo import OURS, THEIRS


def looks(main, ledger, *told):
    main([*told, "--ledger", str(ledger)])
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


@pytest.mark.parametrize("split", ["test", "dev"])
def test_the_rule_as_a_driver(tmp_path, split):
    found = looks(label_driver.main, tmp_path / "ledger.jsonl", "--suite", f"rooms/object/{split}", "--episodes", "2")
    assert [look["plan"]["suite"] for look in found] == [["rooms/object/test"]] * (split == "test")
    assert all(look["success"]["rooms/object/test"]["n"] == 2 for look in found)


@pytest.mark.parametrize("split", ["test", "dev"])
def test_graded_instructions(tmp_path, monkeypatch, split):
    monkeypatch.setattr(graded, "LEVELS", ["1-constraint"])
    told = ("expert", "--split", split, "--tasks", "1", "--tries", "1")
    found = looks(graded.main, tmp_path / "ledger.jsonl", *told)
    assert [look["plan"]["split"] for look in found] == ["test"] * (split == "test")
    assert all(look["success"]["1-constraint"]["n"] == 1 for look in found)


def test_no_graded_task_at_all_is_named(monkeypatch):
    monkeypatch.setattr(graded, "make_graded", lambda *asked: None)
    with pytest.raises(SystemExit, match="no seed from 70000 to 70001 offers a task"):
        graded.main(["expert", "--tasks", "2"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("no/such/run", "no/such/run: no run, factory or address."),
        ("expert --world moon", "unknown world 'moon'"),
        ("expert --split final", "unknown split 'final'"),
        ("expert --tries 0", "--tries 0 is less than 1."),
        ("expert --tasks 0", "--tasks 0 is less than 1."),
    ],
)
def test_graded_instructions_name_bad_options(arguments, told):
    with pytest.raises(SystemExit) as ended:
        graded.main(arguments.split())
    assert str(ended.value.code).startswith(told)


def test_over_a_table(tmp_path, monkeypatch):
    mark = {"passes": True, "clean": True}
    line = {"table": 0, "command": "hold", "chance": False} | {
        name: {"told": mark, "shuffled": mark | {"passes": False}} for name in (OURS, THEIRS)
    }
    measure = type("Measure", (), {"names": ["hold"]})
    for name, stand_in in (("collected", None), ("labelled", (None, measure)), ("trained", None), ("outcomes", [line])):
        monkeypatch.setattr(tabletop, name, lambda *told, found=stand_in, **more: found)
    (look,) = looks(tabletop.main, tmp_path / "ledger.jsonl", "row")
    assert look["plan"]["split"] == "test"
    assert {name: found["n"] for name, found in look["success"].items()} == {OURS: 1, THEIRS: 1}
