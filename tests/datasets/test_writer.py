"""What the writer stores is what TFDS' own parser and ours read back, nested and ragged features included."""

import numpy as np
import pytest

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.features import flatten, read_features
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.writer import DatasetCard, encode_example, write_dataset
from embodied_cf.errors import DatasetError, OutputError, RecordError, SpecError


def _tree():
    from tensorflow_datasets.core import features as tf

    seen = tf.Sequence({"xy": tf.Tensor(shape=(2,), dtype=np.float32), "name": tf.Text()})
    step = {
        "observation": {
            "image": tf.Image(shape=(2, 2, 3)),
            "seen": seen,
            "words": tf.Tensor(shape=(2,), dtype=np.str_),
        },
        "action": tf.Tensor(shape=(2,), dtype=np.float64),
        "flag": np.bool_,
        "count": np.int64,
    }
    return tf.FeaturesDict({"steps": tf.Dataset(step), "who": tf.Text(), "lists": tf.Sequence(tf.Sequence(np.int64))})


def _episode(steps=3):
    return {
        "steps": {
            "observation": {
                "image": [b"png"] * steps,
                "seen": {
                    "xy": [np.full((k, 2), k, np.float32) for k in range(steps)],
                    "name": [[f"thing {i}" for i in range(k)] for k in range(steps)],
                },
                "words": [["a", ""]] * steps,
            },
            "action": np.arange(2 * steps, dtype=np.float64).reshape(steps, 2) / 4,
            "flag": np.arange(steps) == 0,
            "count": np.array([-1, 300, 2**40][:steps]),
        },
        "who": "Ünal",
        "lists": [[1, 2], [], [3]],
    }


def test_our_reader_gets_back_what_was_written():
    features = flatten(_tree())
    columns = Columns(encode_example(features, _episode()), features, "here")
    assert columns.array("steps/action").tolist() == [[0.0, 0.25], [0.5, 0.75], [1.0, 1.25]]
    assert columns.array("steps/action").dtype == np.float64
    assert columns.array("steps/flag").tolist() == [True, False, False]
    assert columns.array("steps/count").tolist() == [-1, 300, 2**40]
    assert [rows.tolist() for rows in columns.array("steps/observation/seen/xy")] == [[], [[1, 1]], [[2, 2], [2, 2]]]
    names = columns.array("steps/observation/seen/name")
    assert [[bytes(n).decode() for n in row] for row in names] == [[], ["thing 0"], ["thing 0", "thing 1"]]
    assert columns.texts("steps/observation/words") == ["a", ""] * 3
    assert columns.texts("who") == ["Ünal"]
    assert [row.tolist() for row in columns.array("lists")] == [[1, 2], [], [3]]


def test_tfds_parses_it_the_same_way():
    from tensorflow_datasets.core.example_parser import ExampleParserNp

    tree, episode = _tree(), _episode()
    record = encode_example(flatten(tree), episode)
    parsed = ExampleParserNp(tree.get_serialized_info()).parse_example(record)
    np.testing.assert_array_equal(parsed["steps"]["action"], episode["steps"]["action"])
    np.testing.assert_array_equal(parsed["steps"]["count"], episode["steps"]["count"])
    assert parsed["who"] == "Ünal".encode()
    assert [list(map(int, row)) for row in parsed["lists"]] == episode["lists"]
    for ours, theirs in zip(episode["steps"]["observation"]["seen"]["xy"], parsed["steps"]["observation"]["seen"]["xy"],
                            strict=True):  # fmt: skip
        np.testing.assert_array_equal(ours, np.array(theirs, np.float32).reshape(-1, 2))


def test_an_episode_of_no_steps_is_read_as_such():
    features = flatten(_tree())
    episode = _episode(0)
    episode["steps"]["action"] = np.zeros((0, 2))
    columns = Columns(encode_example(features, episode), features, "here")
    assert columns.steps == 0
    assert columns.array("steps/action").shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e["steps"].pop("flag"), "steps/flag are in the episode or in the features"),
        (lambda e: e.update(extra=1), "extra are in the episode"),
        (lambda e: e["steps"].update(action=np.zeros((3, 5))), r"steps/action.* shape \(3, 5\) where \(None, 2\)"),
        (lambda e: e["steps"].update(count=np.zeros(3)), "float64 does not go into int64"),
    ],
)
def test_an_episode_that_does_not_fit_is_named(change, message):
    episode = _episode()
    change(episode)
    with pytest.raises(DatasetError, match=message):
        encode_example(flatten(_tree()), episode)


def test_columns_name_what_is_wrong():
    features = flatten(_tree())
    columns = Columns(encode_example(features, _episode()), features, "set/0/7")
    with pytest.raises(SpecError, match=r"set/0/7: no feature 'steps/pose' in the dataset. It has: lists, "):
        columns.array("steps/pose")
    with pytest.raises(RecordError, match=r"set/0/7: not a tf.train.Example"):
        Columns(b"\x0a\xff", features, "set/0/7")


def test_writing_resumes_and_refuses_what_is_not_its_own(tmp_path):
    made = []

    def shard(index, fail=False):
        def episodes():
            made.append(index)
            yield _episode()
            if fail:
                raise KeyboardInterrupt

        return episodes

    out = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        write_dataset(out, DatasetCard("set"), _tree(), {"train": [shard(0), shard(1, fail=True)]})
    assert not (out / "dataset_info.json").exists()
    for card, shards in ((DatasetCard("set", recipe="seed 1"), 2), (DatasetCard("set"), 1)):
        with pytest.raises(OutputError, match=r"another unfinished dataset.*options it began with"):
            write_dataset(out, card, _tree(), {"train": [shard(0), shard(1)][:shards]})
    write_dataset(out, DatasetCard("set"), _tree(), {"train": [shard(0), shard(1)]}, {"spec.toml": "name = 1"})
    assert made == [0, 1, 1]
    dataset = open_dataset(out)
    assert [(s.path.name, s.records) for s in dataset.shards()] == [
        ("set-train.tfrecord-00000-of-00002", 1), ("set-train.tfrecord-00001-of-00002", 1)
    ]  # fmt: skip
    assert sorted(p.name for p in out.iterdir() if "tfrecord" not in p.name) == [
        "dataset_info.json", "features.json", "spec.toml"
    ]  # fmt: skip
    assert read_features(out) == flatten(_tree())
    with pytest.raises(OutputError, match="the directory is not empty"):
        write_dataset(out, DatasetCard("set"), _tree(), {"train": [shard(0)]})
