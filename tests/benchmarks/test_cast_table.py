import pytest

from benchmarks.cast.arms import ORACLE, PLANNER
from benchmarks.cast.cells import Cell, Scope, append
from benchmarks.cast.table import difference, far, gain, grouped, settling, together, write_tables
from embodied_cf.datasets.randomness import generator
from embodied_cf.evaluate.demo import OURS, THEIRS

SCOPE = Scope(families=("object", "referential"), episodes=4, logs=8)


def line(arm, plain, seed=0, bias=1.0, steps=3):
    """Of four episodes of "object" with the outcomes given, and four failures of "referential"."""
    row = {"sight": "nffu", "none": plain}
    if arm != PLANNER:
        row |= {"shuffled": "1000", "chance": "100."}
    nothing = {"sight": "uuuu", "none": "0000", "shuffled": "0000", "chance": "0000"}
    cell = Cell(SCOPE, arm, bias, steps, seed)
    validation = [{"step": 2, "error_m": {"hindsight": 0.5}}, {"step": 3, "error_m": {"hindsight": 0.4}}]
    return {
        "cell": cell.to_json(),
        "outcomes": {"rooms/object": row, "rooms/referential": nothing},
        "validation": validation if arm != PLANNER else [],
    }


@pytest.fixture
def results(tmp_path):
    file = tmp_path / "cast.jsonl"
    for one in (
        line(THEIRS, "1000"),
        line(OURS, "1100"),
        line(OURS, "1110"),  # done twice: the later line counts
        line(OURS, "1111", seed=1),
        line(ORACLE, "1111"),
        line(PLANNER, "1111", bias=None, steps=0),
        line(PLANNER, "1110", seed=1, bias=None, steps=0),
    ):
        append(file, one)
    return file


def test_lines_stand_in_the_tables_that_they_belong_to(results):
    append(results, line(THEIRS, "0000", bias=0.8, steps=6))
    groups = grouped(results)
    assert set(groups) == {(SCOPE, 1.0, 3), (SCOPE, 0.8, 6)}
    assert set(groups[SCOPE, 1.0, 3]) == {THEIRS, OURS, ORACLE, PLANNER}
    assert set(groups[SCOPE, 0.8, 6]) == {THEIRS, PLANNER}
    assert set(groups[SCOPE, 1.0, 3][OURS]) == {0, 1}


def test_a_gain_is_one_of_the_same_seeds(results):
    arms = grouped(results)[SCOPE, 1.0, 3]
    found = gain(OURS, arms, generator(0, "test"))
    assert found.value == pytest.approx((3 / 4 - 1 / 4 + 0) / 2)  # seed 1 of `hindsight` is not there
    assert gain(THEIRS, arms, generator(0, "test")) is None
    ours, planner = together((OURS, PLANNER), arms)
    assert [part.shape for part in ours] == [part.shape for part in planner] == [(2, 4), (2, 4)]
    assert planner[0].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]  # each seed drives episodes of its own
    assert difference(OURS, ORACLE, arms, generator(0, "test"), "object").value == pytest.approx(-1 / 4)
    assert together((OURS, "cast"), arms) is None


def test_far_targets_are_taken_apart(results):
    runs = grouped(results)[SCOPE, 1.0, 3][OURS]
    runs[1]["outcomes"]["rooms/object"] |= {"sight": "nuuf", "none": "0110"}
    found = far([runs[0], runs[1]], generator(0, "test"))
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)  # two of the first seed, one of the second
    assert far([runs[1] | {"outcomes": {"rooms/object": {"sight": "n", "none": "1"}}}], generator(0, "test")) is None
    assert settling([runs[0]]) == "-20 %"


def test_the_page(results):
    write_tables(results)
    text = results.with_suffix(".md").read_text()
    assert "| `oracle` | " in text
    first = text[text.index("### Bias 1, 3 steps") : text.index("| `embodied-cf` less")]
    rows = {row.split(" | ")[0].strip("| "): [cell.strip(" |") for cell in row.split(" | ")]
            for row in first.splitlines() if row.startswith("| ")}  # fmt: skip
    assert list(rows)[1:] == [THEIRS, OURS, ORACLE, PLANNER]
    named = dict(zip(rows["arm"], rows[OURS], strict=True))
    assert named["seeds"] == "2"
    assert named["success"].startswith("44 [")  # (3/4 + 4/4) / 2 of one family, nothing of the other
    assert named["gain"].startswith("+25.0 [")
    assert named["to oracle"] == named["to planner"] == "0.67"
    # of the three episodes with all controls: 1.0 succeed, 1/3 shuffled, 1/3 by chance; and the other family's zeros
    assert named["following"] == "1.00"
    assert (named["object"], named["referential"]) == ("88", "0")
    assert dict(zip(rows["arm"], rows[PLANNER], strict=True))["following"] == ""


def test_the_page_tells_by_how_much_each_other_arm_is_exceeded(results):
    write_tables(results)
    (row,) = (row for row in results.with_suffix(".md").read_text().splitlines() if row.startswith("| oracle | -"))
    assert row == "| oracle | -12.5 [-37.5, +0.0] | -25.0 [-75.0, +0.0] | +0.0 [+0.0, +0.0] |"


def test_who_did_all_but_stop_is_counted_where_lines_say_so(results):
    told = line(THEIRS, "1000")
    for row, bits in zip(told["outcomes"].values(), ("1100", "1000"), strict=True):
        row["reached"] = bits
    append(results, told)
    write_tables(results)
    rows = [text.split(" | ") for text in results.with_suffix(".md").read_text().splitlines()]
    reached = {row[0]: row[4] for row in rows if len(row) == 12}
    assert reached == {"| arm": "reached", "| hindsight": "38", "| embodied-cf": "", "| oracle": "", "| planner": ""}


def test_no_results_no_page(tmp_path):
    write_tables(tmp_path / "cast.jsonl")
    assert not (tmp_path / "cast.md").exists()
