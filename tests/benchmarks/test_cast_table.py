import pytest

from benchmarks.cast.arms import BLIND, ORACLE, PLANNER
from benchmarks.cast.cells import Cell, Scope
from benchmarks.cast.numbers import (
    above_chance,
    above_other_named,
    difference,
    far,
    far_difference,
    listening,
    outcomes,
    settling,
    shared,
    told,
)
from benchmarks.cast.table import grouped, write_tables
from embodied_cf.datasets.files import append_line
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
        "machine": "Linux, 2 cores",
        "revision": "abc" if seed else "",
        "seconds": {"evaluate": 360.0} if arm == PLANNER else {"train": 720.0, "evaluate": 360.0},
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
        append_line(file, one)
    return file


def test_lines_stand_in_the_tables_that_they_belong_to(results):
    append_line(results, line(THEIRS, "0000", bias=0.8, steps=6))
    groups = grouped(results)
    assert set(groups) == {(SCOPE, 1.0, 3), (SCOPE, 0.8, 6)}
    assert set(groups[SCOPE, 1.0, 3]) == {THEIRS, OURS, ORACLE, PLANNER}
    assert set(groups[SCOPE, 0.8, 6]) == {THEIRS, PLANNER}
    assert set(groups[SCOPE, 1.0, 3][OURS]) == {0, 1}


def test_a_gain_is_one_of_the_same_seeds(results):
    arms = grouped(results)[SCOPE, 1.0, 3]
    found = difference(OURS, THEIRS, arms, generator(0, "test"))
    assert found.value == pytest.approx((3 / 4 - 1 / 4 + 0) / 2)  # seed 1 of `hindsight` is not there
    ours, planner = shared((OURS, PLANNER), arms)
    assert [one["cell"]["seed"] for one in ours] == [one["cell"]["seed"] for one in planner] == [0, 1]
    assert outcomes(planner)[0].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]  # each seed drives episodes of its own
    assert difference(OURS, ORACLE, arms, generator(0, "test"), "object").value == pytest.approx(-1 / 4)
    assert shared((OURS, "cast"), arms) is None


def test_far_targets_are_taken_apart(results):
    arms = grouped(results)[SCOPE, 1.0, 3]
    runs = arms[OURS]
    runs[1]["outcomes"]["rooms/object"] |= {"sight": "nuuf", "none": "0110"}
    found = far([runs[0], runs[1]], generator(0, "test"))
    assert found.value == pytest.approx(1 / 2)  # both of the first seed, none of one of the second
    assert found.high - found.low > 1  # and two seeds that differ so much say little about a third
    assert far([runs[1] | {"outcomes": {"rooms/object": {"sight": "n", "none": "1"}}}], generator(0, "test")) is None
    assert far_difference(OURS, THEIRS, arms, generator(0, "test")).value == 1.0  # 11 less 00, of the seed of both
    assert far_difference(OURS, "cast", arms, generator(0, "test")) is None
    assert settling([runs[0]]) == "-20 %"


def test_what_rests_on_the_words(results):
    arms = grouped(results)[SCOPE, 1.0, 3]
    lines, rng = [*arms[OURS].values()], generator(0, "test")
    # of the three episodes with all controls all succeed, one otherwise told, one by chance; none of the other family
    assert [told(lines, bits, rng).value for bits in ("none", "shuffled", "chance")] == pytest.approx(
        [1 / 2, 1 / 6, 1 / 6]
    )
    assert above_chance(lines, rng).value == pytest.approx(1 / 3)
    assert above_chance(lines, rng, "object").value == pytest.approx(2 / 3)
    assert above_chance([arms[PLANNER][0]], rng) is None
    found = listening(lines, rng)
    assert found is None or found.value == 1.0
    assert above_other_named(THEIRS, OURS, arms, rng).value == 0.0


def test_a_few_seeds_that_differ_widen_the_interval_of_following():
    def one(plain, seed):
        row = {"sight": "n" * 40, "none": plain, "shuffled": "0" * 40, "chance": "0" * 40}
        return {"outcomes": {"rooms/object": row | {"shuffled": "1" * (10 * seed) + "0" * (40 - 10 * seed)}}}

    alike, unlike = [one("1" * 40, 0)] * 3, [one("1" * 40, seed) for seed in range(3)]
    assert listening(alike, generator(0, "test")).low == 1.0
    found = listening(unlike, generator(0, "test"))
    assert found.value == pytest.approx(0.75)
    assert found.low < 0.3  # three scores: 1, 0.75, 0.5


def test_the_page(results):
    write_tables(results)
    text = results.with_suffix(".md").read_text()
    assert "| `oracle` | " in text
    assert "`python -m benchmarks.cast --families object referential --episodes 4 --logs 8`: 8 logs" in text
    first, words = text[text.index("### Bias 1, 3 steps") : text.index("| `embodied-cf` less")].split(
        "| what rests on the words"
    )
    rows = {row.split(" | ")[0].strip("| "): [cell.strip(" |") for cell in row.split(" | ")]
            for row in first.splitlines() if row.startswith("| ")}  # fmt: skip
    assert list(rows)[1:] == [THEIRS, OURS, ORACLE, PLANNER]
    assert [row.split(" | ")[0].strip("| ") for row in words.splitlines()[2:5]] == [THEIRS, OURS, ORACLE]
    named = dict(zip(rows["arm"], rows[OURS], strict=True))
    assert named["seeds"] == "2"
    assert named["success"].startswith("44 [")  # (3/4 + 4/4) / 2 of one family, nothing of the other
    assert named["gain"].startswith("+25.0 [")
    assert named["to oracle"] == named["to planner"] == "0.67"
    assert named["far"] == "100 [100, 100]"  # the other family has none
    assert named["far gain"] == "+100.0 [+100.0, +100.0]"
    assert (named["object"], named["referential"]) == ("88", "0")
    made = "Machines: Linux, 2 cores (6). Code: unknown (4); abc (2). Training 0.8 h, driving 0.6 h."
    assert made in text


def test_the_page_tells_by_how_much_each_other_arm_is_exceeded(results):
    write_tables(results)
    (row,) = (row for row in results.with_suffix(".md").read_text().splitlines() if row.startswith("| oracle | -"))
    assert row == "| oracle | -12.5 [-37.5, +0.0] | -25.0 [-75.0, +0.0] | +0.0 [+0.0, +0.0] |"


def test_who_did_all_but_stop_is_counted_where_lines_say_so(results):
    told = line(THEIRS, "1000")
    for row, bits in zip(told["outcomes"].values(), ("1100", "1000"), strict=True):
        row["reached"] = bits
    append_line(results, told)
    write_tables(results)
    rows = [text.split(" | ") for text in results.with_suffix(".md").read_text().splitlines()]
    reached = {row[0]: row[4] for row in rows if len(row) == 12 and row[0] != "| what rests on the words"}
    assert reached == {"| arm": "reached", "| hindsight": "38", "| embodied-cf": "", "| oracle": "", "| planner": ""}


def test_no_results_no_page(tmp_path):
    write_tables(tmp_path / "cast.jsonl")
    assert not (tmp_path / "cast.md").exists()


def test_the_pair_alone_is_compared_by_family_too(tmp_path):
    file = tmp_path / "cast.jsonl"
    for one in (line(THEIRS, "1000"), line(OURS, "1111")):
        append_line(file, one)
    write_tables(file)
    assert "| hindsight | +37.5 [" in file.with_suffix(".md").read_text().split("| `embodied-cf` less")[1]


def test_the_twin_is_told_apart_from_chance(results):
    append_line(results, line(BLIND, "0101"))
    write_tables(results)
    # of the three episodes with all controls the first is met by chance, the second by the twin
    (told,) = (
        row for row in results.with_suffix(".md").read_text().splitlines() if row.startswith("The language-blind")
    )
    assert told.startswith("The language-blind twin exceeds chance by +0.0 [")
    assert "told of another thing by +0.0 [" in told


def test_parts_of_ours_are_held_against_ours_alone(results):
    append_line(results, line("one-frame", "1000"))
    write_tables(results)
    _, ours, oracle = results.with_suffix(".md").read_text().split("` less | all |")
    assert "| one-frame | +25.0 [" in ours
    assert f"| {THEIRS} |" in oracle
    assert "one-frame" not in oracle
