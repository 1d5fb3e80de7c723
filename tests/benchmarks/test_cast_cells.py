import pytest

from benchmarks.cast.__main__ import asked, estimate, main, parser
from benchmarks.cast.ablations import ABLATIONS
from benchmarks.cast.arms import ARMS, BLIND, ORACLE, PLANNER, datasets
from benchmarks.cast.cells import BUDGETS, Cell, Scope, ablated, budget, combined, planned, read
from embodied_cf.datasets.files import append_line
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.demo import OURS, THEIRS
from embodied_cf.train.config import change, load_preset

SCOPE = Scope(episodes=2, logs=8, preset="tiny-debug")


def test_arms_differ_in_what_they_are_about():
    ours, matched, blind = ARMS[OURS], ARMS["matched"], ARMS[BLIND]
    assert [share.kind for share in ARMS[THEIRS].shares] == ["hindsight"]
    assert [(share.data, share.kind, share.weight) for share in matched.shares] == [
        (share.data, share.kind, share.weight) for share in ours.shares
    ]
    assert {share.label_set for share in matched.shares} == {"matched"}
    assert blind.shares == ours.shares
    assert blind.driver == "deaf"
    assert not ours.driver
    assert not ARMS[PLANNER].trained
    assert [name for name, arm in ARMS.items() if arm.trained and not arm.logs] == ["demos", "demos-frame"]
    readers = [name for name, arm in ARMS.items() if any("exact" in share.data for share in arm.shares)]
    assert readers == [ORACLE]
    assert datasets([ours, matched, blind]) == ("labelled",)
    assert all(arm.what for arm in ARMS.values())
    done = {name: [share for share in arm.shares if share.kind == "hindsight"] for name, arm in ARMS.items()}
    assert all(share.stop_at_end for shares in done.values() for share in shares)


def test_the_plan_has_each_cell_once():
    cells = planned(SCOPE)
    assert len(cells) == len(set(cells))
    headline = [cell for cell in cells if cell.bias == 1 and cell.steps == BUDGETS["double"]]
    assert sorted(cell.seed for cell in headline if cell.arm == OURS) == [0, 1, 2, 3, 4]
    assert sorted(cell.seed for cell in headline if cell.arm == ORACLE) == [0, 1, 2]
    assert {cell.steps for cell in cells if cell.arm == ORACLE and cell.seed == 0} == set(BUDGETS.values())
    assert [cell for cell in cells if cell.arm == PLANNER] == [Cell(SCOPE, PLANNER, None, 0, seed) for seed in range(5)]
    assert {cell.bias for cell in cells if cell.arm == "demos"} == {None}
    demo, double, converged = BUDGETS.values()
    assert {(cell.bias, cell.steps) for cell in cells if cell.arm == THEIRS} == {
        (1.0, demo), (1.0, double), (1.0, converged), (0.8, demo), (0.8, double), (0.8, converged),
        (0.5, double), (0.0, double),
    }  # fmt: skip
    assert demo < double < converged


@pytest.mark.parametrize("arm", list(ARMS))
def test_a_cells_command_makes_that_cell(arm):
    (cell,) = combined(SCOPE, [arm], [0.8], [40], [2])
    words = cell.command.split()
    assert words[:3] == ["python", "-m", "benchmarks.cast"]
    assert asked(parser().parse_args(words[3:])) == [cell]
    assert Cell.of(cell.to_json()) == cell


def test_what_is_named_narrows_the_plan():
    assert {cell.arm for cell in asked(parser().parse_args(["--only", OURS]))} == {OURS}
    cells = asked(parser().parse_args(["--only", OURS, THEIRS, "--budgets", "demo", "7"]))
    assert [(cell.arm, cell.bias, cell.steps, cell.seed) for cell in cells[:4]] == [
        (THEIRS, 1.0, BUDGETS["demo"], 0), (OURS, 1.0, BUDGETS["demo"], 0), (THEIRS, 1.0, 7, 0), (OURS, 1.0, 7, 0)
    ]  # fmt: skip
    assert {cell.seed for cell in cells} == {0, 1, 2}


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match=r"no budget .huge.*demo, double, converged"):
        budget("huge")
    with pytest.raises(UsageError, match="--worlds: no mars"):
        Scope(worlds=("rooms", "mars"))
    with pytest.raises(UsageError, match="--split: no final"):
        Scope(split="final")
    with pytest.raises(UsageError, match="no preset 'huge'"):
        Scope(preset="huge")
    assert budget("5") == 5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--episodes 0", "--episodes 0 is less than 1."),
        ("--logs -1", "--logs -1 is less than 1."),
        ("--bias 0.5 1.5", "--bias 1.5 is not between 0 and 1."),
        ("--bias nan", "--bias nan is not between 0 and 1."),
        ("--ablations --logs 3", "--logs 3: --ablations take a quarter of the logs. Name 4 or more."),
    ],
)
def test_numbers_out_of_range_are_told_in_one_line(options, told):
    with pytest.raises(SystemExit) as ended:
        main(["--list", *options.split()])
    assert ended.value.code == told


def test_results_hold_cells(tmp_path):
    cells, file = combined(SCOPE, [THEIRS, PLANNER], [1.0], [3], [0]), tmp_path / "docs" / "cast.jsonl"
    assert list(read(file)) == []
    for cell in cells:
        append_line(file, {"cell": cell.to_json(), "seconds": {"train": 6.0, "evaluate": 8.0}})
    assert [cell for cell, _ in read(file)] == cells
    other = combined(SCOPE, [OURS], [1.0], [10], [0])[0]
    # 10 steps of 2 s, and 4 families × 2 episodes × 2 controls at the median of 8/16 and 8/8 s
    assert estimate(other, dict(read(file))) == pytest.approx(20 + 16 * 0.75)


def test_ablations_are_their_own_plan():
    names = {arm.name for arm in ABLATIONS}
    assert not names & {cell.arm for cell in planned(SCOPE)}
    cells = ablated(SCOPE)
    assert len(cells) == len(set(cells))
    assert {cell.arm for cell in cells} == {OURS, *names}
    assert {cell.scope.logs for cell in cells} == {8, 4, 2}
    assert {cell.steps for cell in cells if cell.arm == OURS} == set(BUDGETS.values())
    assert asked(parser().parse_args(["--ablations", "--only", "unverified"]))[0].arm == "unverified"


def test_each_ablation_lacks_one_thing():
    ours = ARMS[OURS]
    for arm in ABLATIONS:
        changed = [arm.shares != ours.shares, bool(arm.settings), bool(arm.driver)]
        assert sum(changed) == 1, arm.name
        change(load_preset("seeing"), arm.settings)  # refuses what no preset has


@pytest.mark.parametrize("broken", ["{", "[]", '{"cell": {"arm": "oracle"}}', "{}", '"a"'])
def test_a_line_that_is_no_cell_is_named(tmp_path, broken):
    (tmp_path / "cells.jsonl").write_text(f"{broken}\n")
    with pytest.raises(UsageError, match=r"cells.jsonl: line 1 is no cell"):
        list(read(tmp_path / "cells.jsonl"))
