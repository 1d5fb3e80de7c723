"""The report: replayed episodes are those that were driven, and the page says what the records say."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from recorded import record

from embodied_cf.envs.driving.expert import Expert
from embodied_cf.envs.episodes import LONGEST, drive, start_episodes
from embodied_cf.envs.state import draw_noise
from embodied_cf.errors import DatasetError, UsageError
from embodied_cf.evaluate.charts import Bar, Group, Part, grouped_bars, stacked_bar
from embodied_cf.evaluate.controls import shuffled_instruction
from embodied_cf.evaluate.otherwise import drive_otherwise
from embodied_cf.evaluate.replay import film, replay, task_of
from embodied_cf.evaluate.report import points, write_report
from embodied_cf.evaluate.report_cases import outcome_of, parted
from embodied_cf.evaluate.suites import Cell
from embodied_cf.evaluate.summary import Run
from embodied_cf.language.grammar import canonical

CELL = Cell("rooms", "object", "dev", (1, 2))
SEEDS = tuple(CELL.seed(0, index) for index in range(3))


def records_of(told_otherwise, control="none"):
    """Drive the expert through three episodes, in some of them elsewhere."""
    tasks = [CELL.task(seed) for seed in SEEDS]
    others = [shuffled_instruction(task, "dev") for task in tasks]
    flags = [control == "shuffled" and obeys for obeys in told_otherwise] if control != "none" else told_otherwise
    told = [other if flag else task.instruction for task, other, flag in zip(tasks, others, flags, strict=True)]
    drives = drive_otherwise(tasks, told)
    made = []
    for row, (seed, task) in enumerate(zip(SEEDS, tasks, strict=True)):
        path = tuple(tuple(round(value, 4) for value in pose) for pose in drives.path(row).tolist())
        meant = canonical(others[row]) if control == "shuffled" else task.text
        obeyed = {"obeyed": float(flags[row])} if control == "shuffled" else {}
        made.append(record(
            seed, bool(drives.final.success[row]), control, instruction=canonical(task.instruction), told=meant,
            path=path, steps=len(path) - 1, measures={"spl": 0.5} | obeyed,
        ))  # fmt: skip
    return made


@pytest.fixture(scope="module")
def two():
    """A listener, and a policy that goes elsewhere in one episode and does not care what it is told."""
    listener = [*records_of([False] * 3), *records_of([True] * 3, "shuffled")]
    deaf = [*records_of([True, False, False]), *records_of([False] * 3, "shuffled")]
    return {"listener": listener, "deaf & <co>": deaf}


def test_replayed_people_walk_as_they_did():
    task = CELL.task(SEEDS[0])
    expert, now = Expert.by([task.scene], [task.instruction], [task.routes]), start_episodes([task])
    noise, states = draw_noise([task.seed], LONGEST), [now.state]
    while not now.over.all():
        now = drive(now, expert.act(now.state), noise)
        states.append(now.state)
    path = np.concatenate([state.pose for state in states])
    again = list(replay(task, path))
    assert len(again) == len(path)
    for was, is_now in zip(states, again, strict=True):
        assert (is_now.pose == was.pose).all()
        assert is_now.person == pytest.approx(was.person, abs=0.02)


def test_film_frames_are_spread_over_the_way():
    task = CELL.task(SEEDS[0])
    path = np.repeat(task.scene.start[None], 9, axis=0)
    shots = film(task, path, 3)
    assert [at for at, _ in shots] == [0, 4, 8]
    assert shots[0][1].shape == (128, 128, 3)
    assert len(film(task, path[:1], 3)) == 1


def test_a_record_of_other_worlds_is_refused(two):
    one = two["listener"][0]
    assert task_of(one, (1, 2)) is CELL.task(one.seed)
    with pytest.raises(DatasetError, match="is another task now"):
        task_of(replace(one, instruction="go to the moon"), (1, 2))
    with pytest.raises(DatasetError, match="Evaluate again"):
        task_of(replace(one, path=((0.0, 0.0, 0.0),)), (1, 2))


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_of_two_policies(two, tmp_path):
    write_report(tmp_path / "report.html", two, people=(1, 2))
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert all(link.startswith("data:") for link in page.links)
    assert "url(" not in text
    assert "deaf &amp; &lt;co&gt;" in text
    assert "deaf & <co>" not in text
    assert "both succeed in 2, neither in 0, only listener in 1, only deaf &amp; &lt;co&gt; in 0" in text
    assert "<b>+33.3 points</b> on the same 3 episodes" in text
    # 3 successes of the listener, 2 and a failure of the other, one case with two instructions and two policies each
    assert text.count('class="map"') == 3 + 3 + 2
    assert text.count('<div class="film">') == 3 + 3 + 4
    assert "did what it was told" in text


def test_page_of_one_policy_without_frames(two, tmp_path):
    write_report(tmp_path / "one.html", {"listener": two["listener"][:3]}, people=(1, 2), frames=False)
    text = (tmp_path / "one.html").read_text()
    assert "part ways" not in text
    assert '<div class="film">' not in text
    assert text.count('class="map"') == 3
    assert "By what was changed" not in text


def test_the_same_records_give_the_same_page(two, tmp_path):
    for name in ("a", "b"):
        write_report(tmp_path / name, {"listener": two["listener"][:1]}, people=(1, 2))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_policy_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no policy to report on"):
        write_report(tmp_path / "report.html", {})


def test_episodes_told_something_else_come_first():
    first, second = Run([record(seed) for seed in range(9)]), Run([record(seed, False) for seed in range(9)])
    told = [record(7, control="shuffled")]
    both = [Run([*run.records, *told]) for run in (first, second)]
    chosen = parted(*both, np.random.default_rng(0), 3)
    assert len(set(chosen)) == 3
    assert chosen[0][1] == 7


def test_both_kinds_of_parting_are_shown():
    marks = [(True, False)] * 8 + [(False, True)] * 2 + [(True, True)] * 3
    runs = [Run([record(seed, pair[side]) for seed, pair in enumerate(marks)]) for side in (0, 1)]
    chosen = [seed for _, seed in parted(*runs, np.random.default_rng(0), 3)]
    assert sum(seed < 8 for seed in chosen) == 2
    assert sum(8 <= seed < 10 for seed in chosen) == 1


def test_outcomes_in_words():
    assert outcome_of(record()) == ("carried out, 10 s", True)
    assert outcome_of(record(success=False, ending="wrong stop")) == ("stopped elsewhere, 10 s", False)
    told = record(success=False, control="shuffled", measures={"obeyed": 1.0})
    assert outcome_of(told) == ("did what it was told, 10 s", True)


def test_bars_begin_at_nothing_and_end_at_all():
    drawn = str(
        grouped_bars([Group("a<b", (Bar("me", 1.0, 0.5, 1.0, "#000"), Bar("you", 0.0, 0.0, 0.5, "#111")))], "t")
    )
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', drawn)]
    assert widths == [432.0, 1.0]  # the axis; a hairline for nothing
    assert "a&lt;b" in drawn
    assert "100 %" in drawn


def test_parts_fill_the_whole():
    drawn = str(stacked_bar([Part("good", 3, "good"), Part("bad", 1, "bad"), Part("late", 0, "late")], "t"))
    assert [float(width) for width in re.findall(r'width="([\d.]+)"', drawn)] == [480.0, 160.0, 0.0]
    assert points(-0.05) == "−5.0"
