"""`embodied-cf convert`, as a person types it, and the small parts that all conversions share."""

import json

import gnm_maker
import lerobot_maker
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_episode

from embodied_cf.cli import main
from embodied_cf.datasets.convert.cards import HUB, card_files, licence_of
from embodied_cf.datasets.convert.paths import fill, inside
from embodied_cf.datasets.convert.result import shards_of
from embodied_cf.datasets.convert.rlds_target import dataset_name, nested
from embodied_cf.datasets.convert.rows import Rows
from embodied_cf.errors import DatasetError, UsageError


def run(*arguments):
    with pytest.raises(SystemExit) as left:
        main(["convert", *map(str, arguments)])
    return left.value.code


def test_from_gnm_and_back_by_command(tmp_path, capsys):
    source = gnm_maker.write_gnm(tmp_path / "gnm")
    told = tmp_path / "told.json"
    assert run(source, tmp_path / "set/1.0.0", "--to", "rlds", "--json", told) == 0
    assert json.loads(told.read_text())["steps"] == sum(gnm_maker.LENGTHS.values())
    assert "3 episodes, 51 steps" in capsys.readouterr().err
    assert run(tmp_path / "set/1.0.0", tmp_path / "back", "--from", "rlds", "--to", "gnm") == 0
    name = next(iter(gnm_maker.LENGTHS))
    assert (tmp_path / "back" / name / "traj_data.pkl").read_bytes() == (source / name / "traj_data.pkl").read_bytes()


def test_nothing_is_written_into_the_source(tmp_path, capsys):
    source = gnm_maker.write_gnm(tmp_path / "gnm")
    assert run(source, source / "rlds/1.0.0", "--to", "rlds") == 2
    assert "the output directory is the source, or lies inside it" in " ".join(capsys.readouterr().err.split())
    assert sorted(path.name for path in source.iterdir()) == ["recon", "sacson"]


@pytest.mark.parametrize("wrong", ["--control-period-s=0", "--control-period-s=nan", "--history=-1"])
def test_impossible_options_are_refused_before_anything_is_written(tmp_path, capsys, wrong):
    source = gnm_maker.write_gnm(tmp_path / "gnm")
    assert run(source, tmp_path / "set/1.0.0", "--to", "rlds", wrong) == 2
    assert wrong.replace("=", " ") in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_lines_in_another_encoding_are_named(tmp_path, capsys):
    source = lerobot_maker.v21(tmp_path / "lerobot")
    (source / "meta/tasks.jsonl").write_bytes('{"task_index": 0, "task": "prends le d\xe9"}\n'.encode("latin-1"))
    assert run(source, tmp_path / "x", "--to", "rlds") == 2
    assert "meta/tasks.jsonl, line 1: not a JSON object" in "".join(capsys.readouterr().err.split("\n"))


def test_what_cannot_be_done_is_said(tmp_path, capsys):
    source = lerobot_maker.v21(tmp_path / "lerobot")
    assert run(source, tmp_path / "x", "--to", "cast") == 2
    assert "no conversion from lerobot to cast. Convert to rlds first, then on." in capsys.readouterr().err
    assert run(tmp_path / "nothing", tmp_path / "x", "--to", "rlds") == 2
    assert run(source, tmp_path / "x", "--from", "rlds", "--to", "lerobot") == 2
    assert "features.json" in capsys.readouterr().err


def test_an_episode_that_breaks_the_contract_is_left_out_and_told(tmp_path, write_tiny, capsys):
    broken = tiny_episode(1)
    broken["steps"]["observation"]["pose"][2] = np.nan
    source = write_tiny([tiny_episode(0), broken])
    (source / "spec.toml").write_text(
        'name = "tiny"\nembodiment = "nav"\ncontrol_period_s = 0.25\nlast_action_valid = true\n'
        '[cameras]\nprimary = "observation/image"\n[columns]\npose = "observation/pose"\naction = "action"\n'
    )
    assert run(source, tmp_path / "out", "--to", "gnm") == 3
    said = capsys.readouterr().err
    assert "1 episodes, 6 steps" in said
    assert "6 frames were no JPEG and are encoded as such" in said
    assert "1 episodes break the data contract and are left out" in said


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 200 << 20), max_size=30))
def test_shards_hold_every_episode_once_in_order(sizes):
    runs = shards_of(sizes)
    assert [index for run in runs for index in run] == list(range(len(sizes)))
    assert all(len(run) == 1 or sum(sizes[at] for at in run) <= 128 << 20 for run in runs)


def test_paths_stay_inside(tmp_path):
    assert fill(tmp_path, "a/{index:03d}/{key}.mp4", {"index": 7, "key": "x.y"}) == tmp_path / "a/007/x.y.mp4"
    for bad in ("..", "../x", "a/../../x", "/etc/passwd", "a\0b"):
        with pytest.raises(DatasetError, match="points outside the dataset"):
            inside(tmp_path, bad)
    # no format language: neither widths that eat memory nor attributes
    assert fill(tmp_path, "{index:0999999999d}", {"index": 1}) == tmp_path / "{index:0999999999d}"


def test_keys_as_folders():
    assert nested({"a/b": 1, "a/c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
    for flat in ({"a": 1, "a/b": 2}, {"a/b": 2, "a": 1}):
        with pytest.raises(DatasetError, match=r"inside another feature|or a folder too"):
            nested(flat)


@pytest.mark.parametrize(
    ("folder", "name"), [("My Robot-2", "my_robot_2"), ("bridge/1.0.0", "bridge"), ("7dof", "dataset_7dof")]
)
def test_names_that_tfds_takes(tmp_path, folder, name):
    assert dataset_name(None, tmp_path / folder) == name
    assert dataset_name("mine", tmp_path / folder) == "mine"
    for asked in ("My set", "../up", ""):
        with pytest.raises(UsageError, match="is not lower-case letters, digits and _"):
            dataset_name(asked, tmp_path / folder)


def test_cards(tmp_path):
    assert card_files(tmp_path, "Said.")["README.md"] == "## Conversion\n\nSaid.\n"
    assert card_files(tmp_path, "Said.", "mit")["README.md"] == "---\nlicense: mit\n---\n\n## Conversion\n\nSaid.\n"
    (tmp_path / "README.md").write_text("---\nlicense: 'apache-2.0' # ours\ntags:\n- own\n---\n# Title\n")
    assert licence_of(tmp_path) == "apache-2.0"
    card = card_files(tmp_path, "Said.", "mit", HUB)["README.md"]
    assert card.startswith("---\nlicense: 'apache-2.0' # ours\ntags:\n- own\ntask_categories:\n- robotics\nconfigs:")
    assert card.count("tags:") == card.count("license:") == 1
    (tmp_path / "README.md").write_text("license: not in front matter\n")
    assert licence_of(tmp_path) == ""


def test_rows_across_row_groups_and_absurd_files(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": list(range(10)), "y": list(range(10))}), path, row_group_size=4)
    rows = Rows(["x"])
    for start, count in ((0, 10), (3, 3), (4, 4), (9, 1), (0, 1)):
        table = rows.read(path, start, count)
        assert (table.column_names, table["x"].to_pylist()) == (["x"], list(range(start, start + count)))
    monkeypatch.setattr("embodied_cf.datasets.convert.rows._GROUP_BYTES", 31)
    with pytest.raises(DatasetError, match="a row group of more than"):
        Rows(["x"]).read(path, 0, 1)
