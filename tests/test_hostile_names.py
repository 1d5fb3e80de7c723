"""Texts of data, files and servers on pages and in terminals: shown, never obeyed."""

import ast
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import makers
import numpy as np
import pytest
from rich.console import Console

from embodied_cf.crm import draw
from embodied_cf.datasets.inspect_page import write_inspection_html
from embodied_cf.datasets.inspect_text import print_inspection
from embodied_cf.datasets.inspection import inspect_dataset
from embodied_cf.datasets.writer import DatasetCard, write_dataset
from embodied_cf.errors import OutputError, printable
from embodied_cf.evaluate.charts import Bar, Group, Part, grouped_bars, stacked_bar
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.picture import Scale, draw_chunk
from embodied_cf.relabel.runner import relabel
from embodied_cf.vlm.wording import tidy

ROOT = Path(__file__).parent.parent
EVIL = """</td></script><script>alert("x")</script><img src=x onerror='alert(1)'>{{ 7 * 7 }}"""
FILE = "<img src=x onerror=alert(1)>-{SHARD_X_OF_Y}"
CURSOR = "\x1b[2J\x1b]0;owned\x07 go\u202e left"


class Page(HTMLParser):
    """What a browser would act on."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.handlers, self.addresses, self.text = 0, [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """An arm set whose instructions, and whose file names, are script; one record of it is damaged, one unusable."""
    root = tmp_path_factory.mktemp("evil")
    episodes = [makers.arm_episode(20, seed) for seed in range(4)]
    for episode in episodes:
        episode["steps"]["language_instruction"] = [EVIL] * 20
        episode["episode_metadata"]["file_path"] = EVIL
    episodes[1]["steps"]["language_instruction"] = [CURSOR] * 20
    episodes[2]["steps"]["observation"]["image_0"][0] = EVIL.encode()
    write_dataset(root / "set", DatasetCard("evil"), makers.arm_features(), {"train": [lambda: episodes]})
    info = json.loads((root / "set" / "dataset_info.json").read_text())
    info["splits"][0]["filepathTemplate"] = FILE
    (root / "set" / "dataset_info.json").write_text(json.dumps(info))
    shard = root / "set" / FILE.replace("{SHARD_X_OF_Y}", "00000-of-00001")
    (root / "set" / "evil-train.tfrecord-00000-of-00001").rename(shard)
    raw = bytearray(shard.read_bytes())
    raw[-100] ^= 1
    shard.write_bytes(raw)
    relabel(RelabelOptions(root / "set", root / "out", "bridge"))
    return root


def test_the_report_of_a_run_obeys_no_name(evil):
    page = Page((evil / "out" / "labels" / "report.html").read_text())
    assert page.scripts == 1, "its own"
    assert page.handlers == []
    assert all(address.startswith("data:") for address in page.addresses)
    assert "<img src=x" in page.text, "the file's name too: a record of it is left out"


def test_the_page_of_an_inspection_obeys_no_name(evil, tmp_path):
    write_inspection_html(inspect_dataset(evil / "set"), tmp_path / "look.html")
    page = Page((tmp_path / "look.html").read_text())
    assert (page.scripts, page.handlers) == (0, [])
    assert all(address.startswith("data:") for address in page.addresses)
    assert 'alert("x")' in page.text


def test_no_text_of_data_moves_the_cursor(evil, capsys):
    console = Console(width=200, force_terminal=False)
    print_inspection(inspect_dataset(evil / "set"), console)
    told = capsys.readouterr().out
    assert "owned" in told
    assert not set(told) & {"\x1b", "\x07", "\u202e"}
    error = OutputError(CURSOR, where=CURSOR, remedy="a\nb\tc é 你好")
    assert not set(str(error)) & {"\x1b", "\x07", "\u202e"}
    assert str(error).endswith("a\nb\tc é 你好")
    assert printable("a\ud800b") == "a\ufffdb"
    assert tidy(' "Turn left\x1b[0m\x00." ') == "Turn left\ufffd[0m\ufffd"


def test_drawings_obey_no_name():
    bars = grouped_bars([Group(EVIL, (Bar(EVIL, 0.5, 0.4, 0.6, EVIL),), EVIL)], EVIL)
    shares = stacked_bar([Part(EVIL, 2, "good")], EVIL)
    still = np.zeros((8, 2), np.float32)
    chunk = draw_chunk(still, still, Scale.over([still], "nav", 8, EVIL))
    marks = draw.intervals([draw.Mark(EVIL, 0.5, 0.4, 0.6)])
    for drawing in (bars, shares, chunk, marks):
        page = Page(str(drawing))
        assert (page.scripts, page.handlers, page.addresses) == (0, [], [])


def _calls(name):
    for folder in ("datasets", "envs", "policies", "benchmarks", "embodied_cf"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            short = path.relative_to(ROOT).as_posix()
            if short.startswith(("embodied_cf/datasets", "embodied_cf/envs", "embodied_cf/policies")):  # links
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name:
                    yield short, node


def test_every_page_escapes_what_it_is_given():
    """So the pages of evaluate, explain and crm escape as those above do: by autoescape, without exception."""
    made = list(_calls("Environment"))
    assert {name for name, _ in made} == {
        "datasets/inspect_page.py", "embodied_cf/relabel/report_page.py", "embodied_cf/evaluate/report.py",
        "embodied_cf/explain/template.py", "embodied_cf/crm/page.py",
    }  # fmt: skip
    for name, node in made:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert given["autoescape"] == "True", name
    templates = [path for path in ROOT.rglob("*.j2") if ".venv" not in path.parts]
    assert len(templates) > 15
    for path in templates:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape|javascript:|\bon[a-z]+=", text), path
        assert not re.search(r"<script[^>]*>[^<]*\{\{(?!\s*include)", text), f"{path}: data inside a script"


def test_ready_made_html_comes_from_drawings_only():
    assert {name for name, _ in _calls("Markup")} == {
        "embodied_cf/relabel/picture.py", "embodied_cf/evaluate/charts.py", "embodied_cf/crm/draw.py",
    }  # fmt: skip
