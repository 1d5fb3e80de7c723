"""The verb: files, words, the ledger, named errors."""

import json

import numpy as np
import pytest
from recorded import several
from rich.console import Console

from embodied_cf.cli import main
from embodied_cf.evaluate.command import ABREAST, show
from embodied_cf.evaluate.controls import CONTROLS
from embodied_cf.evaluate.summary import CHANCE, NONE, summarise

CHANGES = [*(one.name for one in CONTROLS if one.name != NONE), CHANCE]


def evaluate(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *map(str, arguments)])
    return ended.value.code


def test_files_words_and_ledger(tmp_path, capsys):
    ledger = tmp_path / "ledger.jsonl"
    common = ("--suite", "rooms/object/test", "--episodes", 2, "--no-frames")
    assert evaluate("test_evaluate_run:Straight", "--out", tmp_path / "one", *common, "--ledger", ledger) == 0
    code = evaluate("test_evaluate_run:Still", "--out", tmp_path / "two", *common, "--ledger", ledger,
                    "--compare", tmp_path / "one", "--json", tmp_path / "numbers.json")  # fmt: skip
    assert code == 0
    told = capsys.readouterr().err
    assert "rooms/object/test" in told
    assert "Gain over" in told
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers == json.loads((tmp_path / "two" / "summary.json").read_text())
    assert numbers["all"]["success"]["n"] == 2
    assert set(numbers["all"]["controls"]) == {"shuffled", "chance"}
    assert (tmp_path / "two" / "report.html").stat().st_size > 10_000
    others = ("--suite", "rooms/object/test", "--seed", 9, "--compare", tmp_path / "one", "--out", tmp_path / "three")
    assert evaluate("test_evaluate_run:Still", *others) == 2  # before anything is driven
    assert "the two policies share no episode" in capsys.readouterr().err
    assert not (tmp_path / "three").exists()
    looks = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [look["plan"]["policy"] for look in looks] == ["test_evaluate_run:Straight", "test_evaluate_run:Still"]
    assert looks[0]["success"]["rooms/object/test"]["n"] == 2


def test_a_look_at_test_that_no_ledger_notes_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ("test_evaluate_run:Still", "--episodes", 1, "--no-frames", "--controls", "none")
    assert evaluate(*common, "--suite", "rooms/object/test", "--out", "test") == 0
    assert "No ledger notes this look at `test`" in " ".join(capsys.readouterr().err.split())
    assert evaluate(*common, "--suite", "rooms/object/dev", "--out", "dev") == 0
    assert "ledger" not in capsys.readouterr().err


def shown(controls, width=80):
    """What the terminal shows of 20 episodes that all succeed as told, and under each control none of 19."""
    records = several("1" * 20, world="corridors", family="referential")
    records += [one for name in controls for one in several("0" * 19, name, world="corridors", family="referential")]
    console = Console(width=width)
    with console.capture() as told:
        show({**summarise(records, np.random.default_rng(0)), "compared": {}}, console)
    return told.get()


def test_many_controls_stand_one_below_another():
    told = [" ".join(line.replace("│", " ").split()) for line in shown(CHANGES).splitlines()]
    assert "corridors/referential/dev as told 100 (84-100) 20" in told
    assert [f"{name} 0 (0-17) 19" in told for name in CHANGES] == [True] * len(CHANGES)
    assert any(line.startswith("following, 0 to 1 1.00") for line in told)


def test_a_few_controls_stand_side_by_side():
    few = CHANGES[:ABREAST]
    (head,) = (line for line in shown(few, 200).splitlines() if "as told" in line)
    assert all(name in head for name in few)
    assert "control" not in head


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("no/such/run",), "no run, factory or address"),
        (("test_evaluate_run:Still", "--suite", "moon"), "no suite 'moon'"),
        (("test_evaluate_run:Still", "--controls", "shout"), "unknown control 'shout'"),
        (("test_evaluate_run:Still", "--episodes", "0"), "--episodes 0 is less than 1"),
        (("test_evaluate_run:Still", "--controls", "shuffled"), "--controls without 'none'"),
        (("test_evaluate_run:Still", "--compare", "nowhere"), "no records of episodes"),
        (("test_evaluate_run:Still", "--guidance", "1.5"), "no run directory, so that --guidance 1.5 cannot be set"),
        (("test_evaluate_run:Still", "--guidance", "nan"), "--guidance nan is no number"),
        (("test_evaluate_run:Still", "--device", "auto"), "no run directory, so that --device auto cannot be set"),
        (("http://127.0.0.1:9", "--device", "auto"), "`embodied-cf serve` takes --device for the run that it serves"),
        (("test_evaluate_run:Still", "--json", "/"), "Is a directory"),
        (("test_evaluate_run:Still", "--ledger", "/"), "Is a directory"),
        (("http://127.0.0.1:9", "--guidance", "0"), "no run directory, so that --guidance 0 cannot be set"),
    ],
)
def test_bad_input_is_named(tmp_path, capsys, arguments, told):
    assert evaluate(*arguments, "--out", tmp_path / "out") == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
