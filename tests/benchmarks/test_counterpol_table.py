"""The tables of minimal change: equal return only, and seed by seed."""

import pytest

from benchmarks import counterpol
from benchmarks.counterpol import PROBLEMS, lines, settings
from benchmarks.counterpol import RESULTS as COMMITTED
from benchmarks.counterpol_table import method_rows, ratio
from embodied_cf.datasets.files import exclusive


def cell(method, seed, kl, mean, *, valid=True, unchanged=False):
    at = {"stochastic": {"mean": mean, "error": 1.0}, "greedy": {"mean": mean}}
    near = {"trajectory_kl": kl, "forward_kl": kl / 10, "reverse_kl": kl / 10}
    return {"env": "E", "target": 10.0, "method": method, "seed": seed, "valid": valid, "unchanged": unchanged,
            "after": at, "proximity": near, "cost": {"environment_steps": 1000, "seconds": 1.0}}  # fmt: skip


CELLS = [
    cell("dual", 0, 1.0, 10.0),
    cell("dual", 1, 2.0, 11.0),
    cell("dual", 2, 100.0, 50.0, valid=False),
    cell("paper", 0, 4.0, 10.0),
    cell("paper", 1, 500.0, 70.0, valid=False),
    {"env": "E", "target": 10.0, "method": "paper", "seed": 2, "unreachable": "no policy was found"},
    cell("none", 0, 3.0, 10.0),
    cell("none", 1, 12.0, 10.0),
    cell("none", 2, 7.0, 10.0),
]


def test_means_are_over_what_met_the_target():
    rows = dict(method_rows(CELLS))
    assert rows["dual"].startswith("2 of 3 | 10.5 ± 1 | 10.5 | 1.5 (1–2) |")
    assert rows["paper"].startswith("1 of 3 | 10 ± 1 | 10 | 4 (4–4) |")
    assert "| 300 % |" in rows["paper"], "against the dual on the same seed"


def test_a_method_that_never_met_the_target_has_no_numbers():
    assert dict(method_rows(CELLS[4:6]))["paper"] == "0 of 2 | – | – | – | – | – | – | – | –"


def test_pairs_are_of_seeds_on_which_both_met_the_target():
    assert ratio(CELLS, "paper") == "4 (4–4) | 1"
    assert ratio(CELLS, "none") == "5 (3–6) | 2", "15 nats by 3"
    assert ratio(CELLS[4:], "none") == "– | 0"


def test_what_came_back_unchanged_is_compared_with_nothing():
    same = [cell("dual", 3, 0.0, 10.0, unchanged=True), cell("paper", 3, 0.0, 10.0, unchanged=True)]
    assert ratio(CELLS + same, "paper") == "4 (4–4) | 1"
    assert dict(method_rows(CELLS + same))["dual"].startswith("3 of 4 | 10.33 ± 1 | 10.33 | 1 (0–2) |")


@pytest.mark.parametrize(("environment", "outer", "inner"), [
    ("CartPole-v1", 100, 10), ("Acrobot-v1", 100, 10), ("Pendulum-v1", 100, 10), ("LunarLander-v3", 10, 250),
    ("BipedalWalker-v3", 200, 5),
])  # fmt: skip
def test_the_budget_is_the_published_one(environment, outer, inner):
    assert set(PROBLEMS) == {"CartPole-v1", "Acrobot-v1", "Pendulum-v1", "LunarLander-v3", "BipedalWalker-v3"}
    for method in ("paper", "none"):
        options = settings(environment, method)
        assert (options.iterations, options.pivot_every) == (outer * inner, inner)


def test_no_committed_line_ran_out_of_a_smaller_budget_than_the_published_one():
    for line in lines(COMMITTED):
        budget = settings(line["env"], line["method"]).iterations
        if line["options"]["iterations"] < budget and not line.get("valid"):
            assert line["cost"]["iterations"] < line["options"]["iterations"]


def test_cells_that_are_done_or_claimed_are_left_alone(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(counterpol, "run", lambda *cell: ran.append(cell) or told(cell))
    results, first, second = tmp_path / "r.jsonl", ("E", 1.0, 0, "dual"), ("E", 2.0, 0, "dual")
    counterpol.do(first, results)
    counterpol.do(first, results)
    with exclusive(tmp_path / ".r-E-2.0-0-dual.claim"):
        counterpol.do(second, results)
    assert ran == [first]
    counterpol.do(second, results)
    assert [line["target"] for line in lines(results)] == [1.0, 2.0]


def told(cell):
    return dict(zip(("env", "target", "seed", "method"), cell, strict=True)) | {"wall_seconds": 1.0}
