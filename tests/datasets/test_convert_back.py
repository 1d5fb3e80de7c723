"""RLDS into LeRobot v3.0 and back: numbers, frames, labels and their provenance survive."""

import json
import shutil
from dataclasses import fields

import lerobot_maker as maker
import numpy as np
import pyarrow.parquet as pq
import pytest

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import Labels
from embodied_cf.datasets.convert.lerobot_info import open_lerobot
from embodied_cf.datasets.convert.lerobot_labels import language_columns
from embodied_cf.datasets.convert.lerobot_stats import joined, number_stats, picture_stats, sampled
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.rows import numbers
from embodied_cf.datasets.convert.run import convert
from embodied_cf.datasets.convert.video import read_frames
from embodied_cf.datasets.inspection import inspect_dataset
from embodied_cf.datasets.label_store import decode_labels
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.errors import DatasetError, OutputError, UsageError
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A LeRobot set, its RLDS relabelled, and that as LeRobot again: with AV1 videos, and with images embedded."""
    made = tmp_path_factory.mktemp("chain")
    convert(ConvertOptions(maker.v30(made / "first"), made / "rlds", "rlds"))
    relabel(RelabelOptions(made / "rlds", made / "labelled"))
    convert(ConvertOptions(made / "labelled", made / "av1", "lerobot"))
    convert(ConvertOptions(made / "labelled", made / "images", "lerobot", video="none"))
    return made


def table(root):
    files = sorted((root / "data").glob("*/*.parquet"))
    return {name: [v for file in files for v in pq.read_table(file)[name].to_pylist()]
            for name in pq.read_schema(files[0]).names}  # fmt: skip


def labels_of(directory):
    dataset = open_dataset(directory)
    return [decode_labels(Columns(record, dataset.features, name), "labels") for name, record in dataset.records()]


def same(one: Labels, other: Labels) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Labels))


@pytest.mark.parametrize("kind", ["av1", "images"])
def test_every_number_comes_back(chain, kind):
    first, again = table(chain / "first"), table(chain / kind)
    for name, values in first.items():
        assert again[name] == values, name
    for name in maker.FEATURES:
        if name != maker.CAMERA:
            assert open_lerobot(chain / kind).info.features[name] == open_lerobot(chain / "first").info.features[name]
    info = json.loads((chain / kind / "meta" / "info.json").read_text())
    assert (info["total_episodes"], info["total_frames"], info["fps"]) == (3, 36, 10)
    assert (info["robot_type"], info["splits"]) == ("so100", {"train": "0:2", "val": "2:3"})


def test_every_frame_comes_back(chain):
    for root in (chain / "first", chain / "av1"):
        for episode in open_lerobot(root).episodes:
            part = episode.videos[maker.CAMERA]
            images = list(read_frames(part.path, part.start_s, episode.length, maker.FPS, False))
            given = maker.frames(episode.index)
            error = [[np.abs(image.astype(float) - other).mean() for other in given] for image in images]
            assert np.argmin(error, axis=1).tolist() == list(range(episode.length))


def test_embedded_images_are_the_same_bytes(chain):
    dataset = open_dataset(chain / "labelled")
    records = [Columns(record, dataset.features, name) for name, record in dataset.records()]
    stored = [bytes(image) for columns in records for image in columns.images("steps/observation/images/front")]
    assert [cell["bytes"] for cell in table(chain / "images")[maker.CAMERA]] == stored


def test_labels_are_language_columns(chain):
    rows, labels = table(chain / "av1"), labels_of(chain / "labelled")
    at = 0
    for own in labels[:1]:
        said = [(row["content"], row["style"], row["timestamp"]) for row in rows["language_persistent"][at]]
        assert said == [(text, {"hindsight": "subtask", "atomic": "motion"}[kind], np.float32(start / maker.FPS))
                        for kind, start, text in zip(own.kind, own.start, own.instruction, strict=True)
                        if kind != "counterfactual"]  # fmt: skip
        for step in range(maker.LENGTHS[0]):
            asked = [row["content"] for row in rows["language_events"][at + step]]
            assert asked == [
                text
                for kind, start, text in zip(own.kind, own.start, own.instruction, strict=True)
                if kind == "counterfactual" and start == step
            ]
    assert any(rows["language_events"])
    features = open_lerobot(chain / "av1").info.features
    assert features["language_events"].dtype == features["language_persistent"].dtype == "language"


def test_labels_and_provenance_come_back(chain, tmp_path):
    out = tmp_path / "set" / "1.0.0"
    convert(ConvertOptions(chain / "images", out, "rlds"))
    before, after = labels_of(chain / "labelled"), labels_of(out)
    assert sum(map(len, after)) > 20
    assert all(same(*pair) for pair in zip(before, after, strict=True))
    assert (out / "labels" / "provenance.jsonl").read_text() == (
        chain / "labelled" / "labels" / "provenance.jsonl"
    ).read_text()
    assert (out / "views" / "steps" / "features.json").is_file()
    assert not [f for f in inspect_dataset(out, strict=True).findings if f.severity == "error"]


def test_hugging_face_and_pandas_read_it_as_lerobot_does(chain, tmp_path):
    import pandas

    import datasets  # noqa: TID251 (Hugging Face's)

    tasks = pandas.read_parquet(chain / "av1" / "meta" / "tasks.parquet")
    assert (list(tasks.index), list(tasks.task_index)) == (list(maker.TASKS), [0, 1])
    files = [str(file) for file in sorted((chain / "images" / "data").glob("*/*.parquet"))]
    value, calls = datasets.Value, datasets.List(datasets.Json())
    row = {name: value("string") for name in ("role", "content", "style", "camera")}
    plain = datasets.Dataset.from_parquet(files, cache_dir=str(tmp_path))
    assert plain.features["action"] == datasets.List(value("float32"), length=7)
    assert isinstance(plain.features[maker.CAMERA], datasets.Image)
    wanted = {
        **plain.features,
        "observation.effort": datasets.Array2D(shape=(2, 3), dtype="float64"),
        "language_events": datasets.List({**row, "tool_calls": calls}),
        "language_persistent": datasets.List({**row, "timestamp": value("float32"), "tool_calls": calls}),
        maker.CAMERA: datasets.Image(decode=False),
    }
    rows = datasets.Dataset.from_parquet(files, features=datasets.Features(wanted), cache_dir=str(tmp_path / "typed"))
    assert len(rows) == 36
    assert rows[0]["observation.effort"] == maker.columns(0)["observation.effort"][0]
    episodes = [str(file) for file in sorted((chain / "av1" / "meta" / "episodes").glob("*/*.parquet"))]
    about = datasets.Dataset.from_parquet(episodes, cache_dir=str(tmp_path))
    assert about["length"][:] == list(maker.LENGTHS)
    assert about[f"videos/{maker.CAMERA}/from_timestamp"][:] == [0.0, 1.2, 0.0]


def test_a_set_that_never_was_lerobot(arm, tmp_path):
    with pytest.raises(UsageError, match="nothing says how fast the data plays"):
        convert(ConvertOptions(arm, tmp_path / "x", "lerobot"))
    done = convert(ConvertOptions(arm, tmp_path / "arm", "lerobot", spec="bridge", video="h264"))
    assert (done.episodes, done.steps) == (8, 160)
    dataset, rows = open_dataset(arm), table(tmp_path / "arm")
    columns = [Columns(record, dataset.features, name) for name, record in dataset.records()]
    state = np.concatenate([c.array("steps/observation/state") for c in columns])
    np.testing.assert_array_equal(np.array(rows["observation.state"], np.float32), state)
    assert {"next.reward", "discount", "next.done", "language_embedding"} <= rows.keys()
    assert not {"is_first", "is_last", "language_instruction"} & rows.keys()
    tasks = pq.read_table(tmp_path / "arm" / "meta" / "tasks.parquet")["task"].to_pylist()
    assert [tasks[index] for index in rows["task_index"]] == [
        text for c in columns for text in c.texts("steps/language_instruction")
    ]
    rows = pq.read_table(tmp_path / "arm" / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    assert json.loads(rows["episode_metadata"][0].as_py())["episode_metadata/file_path"] == "/logs/0"
    assert len(list((tmp_path / "arm").glob("videos/*/chunk-000/file-*.mp4"))) == 8


def test_the_card_says_what_the_hub_asks(chain):
    card = (chain / "av1" / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-4.0\ntask_categories:\n- robotics\ntags:\n- LeRobot\nconfigs:\n")
    assert "\n---\n# My robot\n" in card
    assert (card.count("license:"), card.count("## Conversion")) == (1, 2)
    assert (chain / "av1" / "LICENSE").read_text() == "All of it."


def test_odd_sides_do_not_go_into_a_video(tmp_path, write_tiny):
    from tiny import tiny_episode, tiny_features

    source = write_tiny([tiny_episode(0)], tiny_features())
    (source / "spec.toml").write_text('name = "t"\nembodiment = "nav"\ncontrol_period_s = 0.5\n[cameras]\n[columns]\n')
    done = convert(ConvertOptions(source, tmp_path / "ok", "lerobot", video="h264"))
    assert (done.episodes, done.steps) == (1, 6)
    from embodied_cf.datasets.convert.video import VideoWriter

    with pytest.raises(OutputError, match=r"33x64 frames do not go into a video of even sides.*--video none"):
        VideoWriter(tmp_path / "x.mp4", "h264", 10.0, (64, 33))


def test_export_resumes_where_it_stopped(chain, tmp_path):
    seen = []

    def stop(episodes, steps):
        seen.append((episodes, steps))
        if len(seen) == 1:
            raise KeyboardInterrupt

    options = ConvertOptions(chain / "labelled", tmp_path / "out", "lerobot", video="none")
    with pytest.raises(KeyboardInterrupt):
        convert(options, stop)
    first = tmp_path / "out" / "data" / "chunk-000" / "file-000.parquet"
    stamp = first.stat().st_mtime_ns
    convert(options)
    assert first.stat().st_mtime_ns == stamp
    assert table(tmp_path / "out") == table(chain / "images")
    for name in ("info.json", "stats.json", "embodied_cf/export.json"):
        assert (tmp_path / "out" / "meta" / name).read_text() == (chain / "images" / "meta" / name).read_text()
    with pytest.raises(OutputError, match="not empty"):
        convert(options)


def test_damaged_label_tables_are_named(chain, tmp_path):
    source = shutil.copytree(chain / "images", tmp_path / "source")
    path = source / "meta" / "embodied_cf" / "export.json"
    path.write_text('{"label_sets": {"labels": [3, 7]}}')
    with pytest.raises(DatasetError, match="not float32 of shape"):
        convert(ConvertOptions(source, tmp_path / "a", "rlds"))
    path.write_text('{"label_sets": {"labels": "many"}}')
    with pytest.raises(DatasetError, match=r"export\.json: label_sets"):
        convert(ConvertOptions(source, tmp_path / "b", "rlds"))


def test_language_columns_by_hand():
    labels = Labels(
        kind=("hindsight", "counterfactual"),
        start=np.array([0, 1], np.int32),
        end=np.array([2, 2], np.int32),
        instruction=("go", "stop"),
        command=("", ""),
        action=np.zeros((2, 1, 2), np.float32),
        action_mask=np.ones((2, 1), bool),
        score=np.ones(2, np.float32),
        source=("a", "b"),
    )
    columns = language_columns(labels, [0.0, 0.5])
    none = {"camera": None, "tool_calls": None}
    subtask = {"role": "assistant", "content": "go", "style": "subtask", "timestamp": 0.0, **none}
    assert columns["language_persistent"] == [[subtask]] * 2
    assert columns["language_events"] == [[], [{"role": "user", "content": "stop", "style": None, **none}]]


def test_an_episode_without_a_finite_number_leaves_the_statistics_alone():
    sound, none = number_stats(np.array([[5.0], [6.0]])), number_stats(np.array([[np.nan]]))
    assert joined([none, sound]) == joined([sound]) == joined([sound, none])
    assert joined([sound, none])["min"] == [5.0]
    assert joined([none])["count"] == [0]


def test_statistics_of_the_whole_are_those_of_its_parts():
    values = np.random.default_rng(0).normal(size=(30, 2))
    values[3, 0] = np.nan
    whole = number_stats(values)
    parts = joined([number_stats(values[:10]), number_stats(values[10:])])
    for key in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(parts[key], whole[key], rtol=1e-12)
    assert whole["count"] == [29]
    assert number_stats(np.full((4, 1), np.inf))["count"] == [0]
    flat = picture_stats([np.full((2, 2, 3), 255, np.uint8)])
    assert (np.shape(flat["mean"]), flat["mean"][0][0][0], flat["count"]) == ((3, 1, 1), 1.0, [1])
    assert (sampled(1), sampled(3), len(sampled(500))) == ([0], [0, 1, 2], 16)


def test_numbers_of_every_nesting():
    import pyarrow as pa

    nested = pa.chunked_array([pa.array([[[1, 2], [3, 4]]]), pa.array([[[5, 6], [7, 8]]])])
    assert numbers(nested.slice(1), "int64", (2, 2), "x").tolist() == [[[5, 6], [7, 8]]]
    assert numbers(
        pa.chunked_array([pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))]), "float32", (2,), "x"
    ).shape == (1, 2)
    with pytest.raises(DatasetError, match=r"here: not int64 of shape \(3,\)"):
        numbers(pa.chunked_array([[[1, 2]]]), "int64", (3,), "here")
