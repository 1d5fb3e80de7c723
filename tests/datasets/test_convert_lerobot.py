"""LeRobot sets of both layouts become RLDS: every number, every frame, and a spec that relabelling takes."""

import json
import shutil
from dataclasses import replace

import lerobot_maker as maker
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.convert.lerobot_info import LeRobotFeature
from embodied_cf.datasets.convert.lerobot_keys import rlds_keys
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.run import convert
from embodied_cf.datasets.convert.spec_beside import flat_names
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.inspection import inspect_dataset
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.errors import DatasetError, OutputError, UsageError
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Both layouts, v3.0 with AV1."""
    made = tmp_path_factory.mktemp("lerobot")
    return {
        "v2.1": maker.v21(made / "my robot"),
        "v3.0": maker.v30(made / "v30", "libsvtav1"),
    }


@pytest.fixture
def source(sources, tmp_path):
    """A copy of the v3.0 set, to be broken."""
    return shutil.copytree(sources["v3.0"], tmp_path / "source")


def to_rlds(source, out, **options):
    return convert(ConvertOptions(source, out, "rlds", **options))


def read(out, split=None):
    dataset = open_dataset(out)
    return [Columns(record, dataset.features, name) for name, record in dataset.records(split)]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_every_number_and_frame_is_there(sources, version, tmp_path):
    out = tmp_path / "set" / "1.0.0"
    done = to_rlds(sources[version], out)
    assert (done.episodes, done.steps, done.notes) == (3, sum(maker.LENGTHS), ())
    found = [*read(out, "train"), *read(out, "val")]
    assert [columns.steps for columns in found] == list(maker.LENGTHS)
    for episode, columns in enumerate(found):
        given = maker.columns(episode)
        for name, key in (
            ("action", "action"), ("observation.state", "observation/state"), ("timestamp", "timestamp"),
            ("observation.effort", "observation/effort"), ("next.reward", "reward"), ("next.done", "is_terminal"),
            ("counts", "counts"),
        ):  # fmt: skip
            values = columns.array(f"steps/{key}")
            expected = np.array(given[name], values.dtype)
            assert values.dtype == maker.FEATURES[name]["dtype"]
            np.testing.assert_array_equal(values, expected)
        assert columns.texts("steps/note") == given["note"]
        assert columns.texts("steps/language_instruction") == [maker.TASKS[task] for task in given["task_index"]]
        assert columns.texts("episode_metadata/tasks") == list(
            dict.fromkeys(maker.TASKS[t] for t in given["task_index"])
        )
        assert columns.array("steps/is_first").tolist() == [True] + [False] * (columns.steps - 1)
        assert columns.array("steps/is_last").tolist() == [False] * (columns.steps - 1) + [True]


@pytest.mark.parametrize(("version", "frames"), [("v2.1", "png"), ("v3.0", "jpeg")])
def test_each_step_shows_its_own_frame(sources, version, frames, tmp_path):
    out = tmp_path / "set" / "1.0.0"
    to_rlds(sources[version], out, frames=frames)
    spec = load_spec(None, out)
    for index, episode in enumerate(read_episodes(open_dataset(out), spec)):
        images, given = episode.cameras["primary"].decode_all(), maker.frames(index)
        error = [[np.abs(image.astype(float) - other).mean() for other in given] for image in images]
        assert np.argmin(error, axis=1).tolist() == list(range(len(given)))
        assert np.diagonal(error).max() < 4


def test_the_result_is_healthy_and_relabelled_without_a_spec(sources, tmp_path):
    out = tmp_path / "set" / "1.0.0"
    to_rlds(sources["v3.0"], out)
    assert {finding.code for finding in inspect_dataset(out, strict=True).findings} == {"W502"}
    spec = load_spec(None, out)
    assert (spec.control_period_s, spec.last_action_valid, spec.language) == (0.1, True, ("language_instruction",))
    assert not {"control_period_s", "last_action_valid", "language", "columns.timestamp"} & set(spec.guessed)
    assert spec.columns["effector_position"] == "observation/state[0:3]"
    done = relabel(RelabelOptions(out, tmp_path / "out"))
    assert (done.exit_code, done.episodes) == (0, 3)
    assert done.labels > 20


def test_card_licence_and_memory_go_along(sources, tmp_path):
    out = tmp_path / "set" / "1.0.0"
    to_rlds(sources["v2.1"], out)
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-4.0\n---\n# My robot\n\n## Conversion\n\nConverted from LeRobot v2.1")
    assert (out / "LICENSE").read_text() == "All of it."
    info = json.loads((out / "dataset_info.json").read_text())
    assert (info["name"], info["redistributionInfo"]) == ("my_robot", {"license": "cc-by-4.0"})
    memory = json.loads((out / "lerobot.json").read_text())
    assert (memory["robot_type"], memory["tasks"]) == ("so100", list(maker.TASKS))


def test_joint_angles_are_not_taken_for_a_pose(source, tmp_path):
    path = source / "meta" / "info.json"
    info = json.loads(path.read_text())
    joints = [f"joint_{i}.pos" for i in range(6)] + ["gripper.pos"]
    info["features"]["observation.state"]["names"] = {"motors": joints}
    path.write_text(json.dumps(info))
    to_rlds(source, tmp_path / "set" / "1.0.0")
    spec = load_spec(None, tmp_path / "set" / "1.0.0")
    assert "effector_position" not in spec.columns
    text = (tmp_path / "set" / "1.0.0" / "spec.toml").read_text()
    assert "# No end effector pose (x, y, z, roll, pitch, yaw): observation/state is named joint_0.pos, " in text


def test_an_interrupted_conversion_is_finished(sources, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole" / "1.0.0", tmp_path / "set" / "1.0.0"
    monkeypatch.setattr("embodied_cf.datasets.convert.result._SHARD_BYTES", 1)
    to_rlds(sources["v3.0"], whole, name="a")
    seen = []

    def stop(episodes, steps):
        seen.append(steps)
        if len(seen) == 2:
            raise KeyboardInterrupt

    options = ConvertOptions(sources["v3.0"], out, "rlds", name="a")
    with pytest.raises(KeyboardInterrupt):
        convert(options, stop)
    assert [path.name for path in out.iterdir() if "tfrecord" in path.name] == ["a-train.tfrecord-00000-of-00002"]
    with pytest.raises(OutputError, match="another unfinished dataset"):
        convert(replace(options, frames="png"))
    convert(options)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {p.name: p.read_bytes() for p in whole.iterdir()}
    with pytest.raises(OutputError, match="the directory is not empty"):
        convert(options)


def edit_info(source, **changes):
    path = source / "meta" / "info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_rows(path, **changes):
    table = pq.read_table(path)
    for name, change in changes.items():
        place = table.schema.field(name)
        values = pa.array(change(table[name].to_pylist()), place.type)
        table = table.set_column(table.schema.get_field_index(name), place, values)
    pq.write_table(table, path)


def drop_column(path, name):
    pq.write_table(pq.read_table(path).drop_columns([name]), path)


VIDEO = f"videos/{maker.CAMERA}/chunk-000/file-000.mp4"
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda s: (s / VIDEO).unlink(), r"file-000\.mp4: the video is missing\. Copy the whole"),
        (lambda s: (s / VIDEO).write_bytes(b"no video"), r"the video cannot be decoded"),
        (lambda s: maker.write_video(s / VIDEO, maker.frames(0)), r"0 frames for 9 rows, from 1\.200 s on"),
        (lambda s: maker.write_video(s / VIDEO, maker.frames(0)[:5]), "5 frames for 12 rows"),
        (lambda s: edit_rows(s / EPISODES, length=lambda v: [v[0] + 3, *v[1:]]), "has 12.0 frames of .* for 15 rows"),
        (lambda s: edit_rows(s / DATA, episode_index=lambda v: [7, *v[1:]]), "the rows are not those of this episode"),
        (lambda s: edit_rows(s / DATA, frame_index=lambda v: [1, *v[1:]]), "the rows are not those of this episode"),
        (lambda s: edit_rows(s / DATA, task_index=lambda v: [5, *v[1:]]), "task 5 is not in the table of tasks"),
        (lambda s: edit_rows(s / DATA, action=lambda v: [v[0][:-1], *v[1:]]), "not float32 of shape"),
        # as many numbers as there should be, but every one after the fifth would be another row's
        (lambda s: edit_rows(s / DATA, action=lambda v: [v[0][:5], [*v[0][5:], *v[1]], *v[2:]]), "they differ in len"),
        (lambda s: edit_rows(s / DATA, action=lambda v: [[None] * 7, *v[1:]]), "7 values are missing"),
        (lambda s: drop_column(s / DATA, "action"), "no columns action"),
        (lambda s: (s / DATA).write_bytes(b"PAR1"), "not a readable parquet file"),
        (lambda s: (s / DATA).unlink(), "no such file"),
        (lambda s: pq.write_table(pq.read_table(s / DATA)[:15], s / DATA), "15 rows where 21 are promised"),
        (lambda s: drop_column(s / EPISODES, "data/file_index"), "no columns data/file_index"),
        (lambda s: edit_rows(s / EPISODES, length=lambda v: [0, *v[1:]]), "frames of .* for 0 rows"),
        (lambda s: edit_info(s, codebase_version="v1.6"), r"'v1\.6' is not one of v2\.0, v2\.1, v3\.0"),
        (lambda s: edit_info(s, fps=0), "fps 0.0 and chunks_size"),
        (lambda s: edit_info(s, fps="fast", features=[]), "fps: .*; features: "),
        (lambda s: edit_info(s, splits={"train": "all"}), "split 'train' is 'all', not first:end"),
        (lambda s: edit_info(s, splits={"train": "2:1"}), "split 'train' is '2:1', not first:end"),
        (lambda s: edit_info(s, splits={"train": "0:9"}), "split 'train' is '0:9', and there are 3 episodes"),
        (
            lambda s: edit_info(s, splits={"val": "1:3", "none": "1:1", "train": "0:2"}),
            "splits 'train' and 'val' share episodes from 1 on",
        ),
        (lambda s: edit_info(s, data_path="../{chunk_index:03d}.parquet"), "points outside the dataset"),
        (lambda s: edit_info(s, data_path="/etc/passwd"), "points outside the dataset"),
        (lambda s: edit_info(s, data_path="{chunk_index.__class__}"), "no such file"),
        (lambda s: edit_info(s, data_path="{nothing}"), "unknown field 'nothing'"),
        (lambda s: edit_info(s, video_path="{video_key}/../../../x.mp4"), "points outside the dataset"),
        (lambda s: edit_info(s, video_path=None), "but no video_path"),
        (lambda s: (s / "meta" / "info.json").write_text("{"), "not a readable JSON file"),
        (lambda s: (s / "meta" / "tasks.parquet").unlink(), "no such file"),
        (lambda s: shutil.rmtree(s / "meta" / "episodes"), "no episodes"),
    ],
)  # fmt: skip
def test_broken_sources_are_named(source, tmp_path, harm, message):
    harm(source)
    with pytest.raises(DatasetError, match=message):
        to_rlds(source, tmp_path / "set" / "1.0.0")
    assert not (tmp_path / "set" / "1.0.0" / "dataset_info.json").exists()


def test_a_video_with_more_frames_than_rows_is_named(sources, tmp_path):
    source = shutil.copytree(sources["v2.1"], tmp_path / "source")
    maker.write_video(source / f"videos/chunk-000/{maker.CAMERA}/episode_000001.mp4", maker.frames(0))
    with pytest.raises(DatasetError, match="more than 9 frames for 9 rows"):
        to_rlds(source, tmp_path / "set" / "1.0.0")


def test_what_is_no_dataset_and_what_cannot_be_joined(tmp_path, sources):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="neither LeRobot"):
        to_rlds(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(UsageError, match="no conversion from lerobot to gnm"):
        convert(ConvertOptions(sources["v3.0"], tmp_path / "out", "gnm"))


def test_keys_become_folders_unless_a_feature_is_in_the_way():
    number = LeRobotFeature("float32", (1,))
    names = ["action", "action.gripper.force", "observation.state", "next.reward", "next.success", "index"]
    assert list(rlds_keys(dict.fromkeys(names, number)).values()) == [
        "steps/action", "steps/action_gripper_force", "steps/observation/state", "steps/reward", "steps/next/success"
    ]  # fmt: skip
    with pytest.raises(DatasetError, match=r"features next\.reward, reward cannot be told"):
        rlds_keys({"reward": number, "next.reward": number})
    with pytest.raises(DatasetError, match="features is_first cannot"):
        rlds_keys({"is_first": number})


@pytest.mark.parametrize(
    ("names", "flat"),
    [
        (["x", "y"], ["x", "y"]),
        ({"motors": ["a", "b"]}, ["a", "b"]),
        ({"b": 1, "a": 0}, ["a", "b"]),
        ([["a"], ["b"]], ["a", "b"]),
        (None, []),
    ],
)
def test_names_of_numbers_in_all_their_forms(names, flat):
    assert flat_names(names) == flat


def test_language_columns_and_embedded_images_are_kept(tmp_path):
    from embodied_cf.datasets.convert.lerobot_to_rlds import _column

    rows = pa.chunked_array([[[{"role": "user", "content": "hé"}], None]])
    language = LeRobotFeature("language", (1,))
    assert _column(rows, language, "x") == ['[{"role": "user", "content": "hé"}]', "[]"]
    image = LeRobotFeature("image", (4, 4, 3))
    assert _column(pa.chunked_array([[{"bytes": b"PNG", "path": None}]]), image, "x") == [b"PNG"]
    with pytest.raises(DatasetError, match="the images are not in the parquet file"):
        _column(pa.chunked_array([[{"bytes": None, "path": "a.png"}]]), image, "here")
    assert LeRobotFeature("video", (3, 48, 64)).image_shape == (48, 64, 3)
