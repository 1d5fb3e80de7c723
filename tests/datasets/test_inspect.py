"""The whole inspection: on healthy, look-alike and (where it is at hand) real data; as text, JSON and page."""

import base64
import io
import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from rich.console import Console
from tiny import picture, tiny_episode, tiny_features

from embodied_cf.datasets.inspect_page import draw_bars, write_inspection_html
from embodied_cf.datasets.inspect_text import print_inspection
from embodied_cf.datasets.inspection import inspect_dataset
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.errors import DatasetError, UsageError

EVIL = "<script>alert('x')</script> & [bold]"


def printed(inspection, width=120):
    out = io.StringIO()
    print_inspection(inspection, Console(file=out, width=width))
    return out.getvalue()


def test_names_stay_whole_on_a_narrow_screen(source):
    inspection = inspect_dataset(source[0])
    lines = [line.split() for line in printed(inspection, 80).splitlines()]
    names = {line[0] for line in lines if line}
    wanted = {row.key.removeprefix("steps/") for row in inspection.features if row.role == "tensor" and row.shape}
    assert wanted <= {name.split("[")[0] for name in names}
    assert ["feature", "mean", "std", "min", "max", "zeros"] in lines
    assert "q99" in printed(inspection, 120)


def page(inspection, path, **options):
    write_inspection_html(inspection, path, **options)
    return path.read_text()


def test_what_is_known_of_every_source(source):
    directory, shipped = source
    inspection = inspect_dataset(directory, spec=load_spec(shipped or str(directory / "spec.toml")))
    records = list(open_dataset(directory).records())
    assert inspection.episodes == len(records) == sum(split.promised for split in inspection.splits)
    assert inspection.steps == sum(summary.steps for summary in inspection.numbers if summary.key == "steps/reward")
    assert all(camera.undecodable == 0 for camera in inspection.cameras)
    assert inspection.motion.median > 0
    assert not any(finding.severity == "error" for finding in inspection.findings)


def test_the_faults_of_bridge_and_of_its_look_alike(source):
    directory, shipped = source
    if shipped != "bridge":
        assert "W301" not in {finding.code for finding in inspect_dataset(directory).findings}
        return
    findings = {finding.code: finding for finding in inspect_dataset(directory, spec=load_spec("bridge")).findings}
    assert {"W204", "W301", "W401", "W402", "I302", "I306"} <= set(findings)
    assert findings["W401"].details == ("steps/observation/image_3",)
    assert findings["W301"].count == inspect_dataset(directory).episodes
    assert "has_image_0 is False, observation/image_0 holds pictures" in findings["W402"].details
    assert {detail.split(":")[0] for detail in findings["W204"].details} == {"steps/action", "steps/observation/state"}


def test_strict_decodes_every_frame(write_tiny):
    directory = write_tiny([tiny_episode(0), tiny_episode(1)])
    assert inspect_dataset(directory).cameras[0].decoded == 2 * 3
    assert inspect_dataset(directory, strict=True).cameras[0].decoded == 2 * 6


@pytest.mark.parametrize(("change", "fails"), [("none", False), ("info", False), ("warning", True), ("error", True)])
def test_what_fails_strict(write_tiny, change, fails):
    episodes = [tiny_episode(0), tiny_episode(1)]
    steps = episodes[1]["steps"]
    if change == "info":
        steps["is_terminal"][:] = False
    elif change == "warning":
        steps["is_last"][:] = False
    elif change == "error":
        steps["action"][0] = np.nan
    inspection = inspect_dataset(write_tiny(episodes))
    assert [finding.severity for finding in inspection.findings] == [change] * (change != "none")
    assert inspection.fails_strict is fails


def test_one_split_only(write_tiny):
    directory = write_tiny([tiny_episode(0)])
    assert inspect_dataset(directory, split="train").splits[0].name == "train"
    with pytest.raises(UsageError, match="no split 'test'"):
        inspect_dataset(directory, split="test")


def test_progress_is_told_of_every_record(write_tiny):
    told = []
    inspect_dataset(write_tiny([tiny_episode(0), tiny_episode(1, 4)]), progress=lambda *done: told.append(done))
    assert told == [(1, 6), (1, 4)]


def test_the_same_data_gives_the_same_result(arm):
    assert inspect_dataset(arm) == inspect_dataset(arm)


def test_a_directory_that_is_no_dataset(tmp_path):
    with pytest.raises(DatasetError, match=r"no features\.json"):
        inspect_dataset(tmp_path)


def test_json_is_plain_and_whole(write_tiny):
    episode = tiny_episode(0)
    episode["steps"]["reward"][:] = np.nan
    inspection = inspect_dataset(write_tiny([episode]))
    told = json.loads(json.dumps(inspection.to_json(), allow_nan=False))
    assert (told["episodes"], told["steps"], told["fails_strict"]) == (1, 6, True)
    reward = next(column for column in told["numbers"] if column["key"] == "steps/reward")
    assert (reward["mean"], reward["not_finite"]) == ([None], 6)
    (finding,) = told["findings"]
    assert (finding["code"], finding["severity"], finding["count"], finding["step"]) == ("E501", "error", 6, 0)
    assert finding["name"] == "not-finite"
    assert finding["remedy"]


def test_empty_dataset(write_tiny, tmp_path):
    inspection = inspect_dataset(write_tiny([]))
    assert (inspection.episodes, inspection.lengths) == (0, None)
    assert "0 episodes" in printed(inspection)
    assert "<html" in page(inspection, tmp_path / "x.html")


def test_text_says_the_essentials_and_takes_no_markup_from_data(write_tiny):
    episodes = [tiny_episode(0), tiny_episode(1)]
    episodes[0]["steps"]["language_instruction"] = [EVIL] * 6
    episodes[1]["steps"]["is_last"][:] = False
    text = printed(inspect_dataset(write_tiny(episodes)))
    for wanted in ("tiny 1.0.0", "2 episodes, 12 steps", "action[1]", EVIL, "W301 no-is-last", "1 episode",
                   "first: tiny/1.0.0/train/00000/00001"):  # fmt: skip
        assert wanted in text


def test_text_of_healthy_data(write_tiny):
    assert "No health warning." in printed(inspect_dataset(write_tiny([tiny_episode(0), tiny_episode(1)])))


def test_the_page_is_self_contained_and_escaped(write_tiny, tmp_path):
    episodes = [tiny_episode(0), tiny_episode(1)]
    episodes[0]["steps"]["language_instruction"] = [EVIL] * 6
    episodes[1]["steps"]["is_first"][:] = False
    html = page(inspect_dataset(write_tiny(episodes)), tmp_path / "x.html")
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; [bold]") == 2  # film and table
    assert not re.findall(r"""(?:src|href)=["'](?!data:)|url\(|@import""", html)
    assert "W303" in html
    assert "Take the start from the record" in html


def test_film_strips_hold_the_frames(write_tiny, tmp_path):
    episodes = [tiny_episode(seed) for seed in range(9)]
    episodes[0]["steps"]["observation"]["image"][2] = b""
    inspection = inspect_dataset(write_tiny(episodes))
    html = page(inspection, tmp_path / "x.html")
    uris = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    assert len(uris) == 5 * 6 - 1
    assert html.count(">no image<") == 1
    frame = cv2.imdecode(np.frombuffer(base64.b64decode(uris[-1]), np.uint8), cv2.IMREAD_COLOR)
    original = cv2.imdecode(np.frombuffer(picture(805), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(cv2.resize(original, (96, 96)).mean(axis=(0, 1)) - frame.mean(axis=(0, 1))).max() < 4


def test_a_page_without_frames_holds_no_pixel(write_tiny, tmp_path):
    html = page(inspect_dataset(write_tiny([tiny_episode(0)])), tmp_path / "x.html", frames=False)
    assert "data:image" not in html
    assert "<img" not in html
    assert "<svg" in html


def test_films_of_broken_records_are_left_out(write_tiny, tmp_path):
    directory = write_tiny([tiny_episode(0), tiny_episode(1)], tiny_features())
    shard = next(directory.glob("*.tfrecord-*"))
    raw = bytearray(shard.read_bytes())
    raw[100] ^= 1
    shard.write_bytes(raw)
    html = page(inspect_dataset(directory), tmp_path / "x.html")
    assert html.count('class="film"') == 1


def test_bars_by_hand():
    bars = draw_bars((1, 0, 4), (0.0, 5.0, 10.0, 15.0))
    assert [(bar.x, bar.y, bar.height, bar.title) for bar in bars] == [
        (0.0, 48.0, 16.0, "0 to 5: 1"),
        (146.67, 0.0, 64.0, "10 to 15: 4"),
    ]
    assert draw_bars((0, 0), (0.0, 1.0, 2.0)) == ()


def test_a_label_set_is_told_everywhere(relabelled, tmp_path):
    _, _, out, _ = relabelled
    inspection = inspect_dataset(out)
    assert not [finding for finding in inspection.findings if finding.code[1] == "8"]
    (labels,) = inspection.label_sets
    kinds = dict(labels.kinds)
    assert kinds["counterfactual"] > 0
    assert sum(steps for _, steps in labels.balance) == inspection.steps
    for text in (printed(inspection), page(inspection, tmp_path / "x.html")):
        assert f"{kinds['counterfactual']:,}" in text
        assert "counterfactual" in text


def test_importing_is_light():
    heavy = ("tensorflow", "tensorflow_datasets", "torch", "jax", "cv2", "rich", "jinja2")
    code = (
        "import sys, embodied_cf.datasets.inspection, embodied_cf.datasets.inspect_page, embodied_cf.datasets.suggest;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
