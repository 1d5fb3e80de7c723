"""GNM folders become RLDS and come back byte for byte, and a pickle is never run."""

import io
import json
import os
import pickle
import shutil

import gnm_maker as maker
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.convert.gnm_pickle import load_arrays
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.run import convert
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.inspection import inspect_dataset
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.errors import DatasetError, UsageError
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """GNM folders, RLDS, RLDS relabelled, GNM folders again."""
    made = tmp_path_factory.mktemp("gnm")
    convert(ConvertOptions(maker.write_gnm(made / "first"), made / "rlds", "rlds", control_period_s=0.5))
    relabel(RelabelOptions(made / "rlds", made / "labelled"))
    convert(ConvertOptions(made / "labelled", made / "again", "gnm"))
    return made


@pytest.fixture
def source(tmp_path):
    return maker.write_gnm(tmp_path / "source")


def test_rlds_holds_poses_with_all_their_digits(chain):
    dataset, spec = open_dataset(chain / "rlds"), load_spec(None, chain / "rlds")
    assert (spec.control_period_s, spec.position_unit, spec.guessed) == (0.5, "m", ())
    episodes = list(read_episodes(dataset, spec))
    assert len(episodes) == 3
    for episode in episodes:
        name = episode.metadata["episode_metadata/episode_id"]
        given_arrays = maker.arrays(name)
        np.testing.assert_array_equal(episode.pose[:, :2], given_arrays["position"])
        np.testing.assert_array_equal(episode.pose[:, 2], given_arrays["yaw"].ravel().astype(np.float64))
        frame = (chain / "first" / name / "3.jpg").read_bytes()
        assert bytes(episode.cameras["primary"].frames[3]) == frame
        assert np.abs(episode.state[0, :2]).max() == 0
        # each way is 0.25 m, straight ahead but for the turn that the maker made first
        np.testing.assert_allclose(np.linalg.norm(episode.action[:-1], axis=1), 0.25, atol=1e-6)
        assert not episode.action[-1].any()
        assert not episode.action_mask[-1]
    codes = {finding.code for finding in inspect_dataset(chain / "rlds", strict=True).findings}
    assert codes <= {"W401", "W601", "W602", "I302", "I306"}


def test_everything_comes_back_byte_by_byte(chain):
    for name, length in maker.LENGTHS.items():
        for file in (*(f"{at}.jpg" for at in range(length)), "traj_data.pkl"):
            assert (chain / "again" / name / file).read_bytes() == (chain / "first" / name / file).read_bytes()
        arrays = load_arrays(chain / "again" / name / "traj_data.pkl")
        for key, values in maker.arrays(name).items():
            np.testing.assert_array_equal(arrays[key], values)
            assert arrays[key].dtype == values.dtype


def test_labels_lie_beside_each_trajectory(chain):
    dataset, spec = open_dataset(chain / "labelled"), load_spec(None, chain / "labelled")
    provenance = (chain / "again" / "labels" / "provenance.jsonl").read_text().splitlines()
    sources = {json.loads(line)["source"] for line in provenance}
    for episode in read_episodes(dataset, spec):
        folder = chain / "again" / str(episode.metadata["episode_metadata/episode_id"])
        rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
        labels = episode.labels["labels"]
        assert [row["instruction"] for row in rows] == list(labels.instruction)
        np.testing.assert_array_equal(np.array([row["action"] for row in rows], np.float32), labels.action)
        assert [row["start"] for row in rows] == labels.start.tolist()
        assert {row["source"] for row in rows} <= sources


def test_rlds_of_other_origin(driving, arm, tmp_path):
    done = convert(ConvertOptions(driving, tmp_path / "out", "gnm"))
    assert (done.episodes, done.steps, done.notes) == (9, 216, ())
    folder = tmp_path / "out" / "train" / "00001_00002"
    assert len(list(folder.glob("*.jpg"))) == 24
    dataset, spec = open_dataset(driving), load_spec(None, driving)
    episode = next(e for e in read_episodes(dataset, spec) if e.episode_id.endswith("/train/00001/00002"))
    arrays = load_arrays(folder / "traj_data.pkl")
    np.testing.assert_array_equal(arrays["position"], episode.pose[:, :2])
    np.testing.assert_array_equal(arrays["yaw"], episode.pose[:, 2])
    with pytest.raises(UsageError, match="robots that drive"):
        convert(ConvertOptions(arm, tmp_path / "arm", "gnm", spec="bridge"))


def test_an_interrupted_export_is_finished(chain, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(chain / "again", out)
    shutil.rmtree(out / "recon")
    (out / ".parts").mkdir()
    recipe = {"from": str((chain / "labelled").resolve()), "spec": str(load_spec(None, chain / "labelled"))}
    (out / ".parts" / "recipe.json").write_text(json.dumps(recipe))
    convert(ConvertOptions(chain / "labelled", out, "gnm"))
    for path in (chain / "again").rglob("*"):
        assert path.is_dir() or (out / path.relative_to(chain / "again")).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: (f / "7.jpg").unlink(), r"walk_1: frame 7\.jpg is missing"),
        (lambda f: (f / "20.jpg").write_bytes(b"x"), r"21 frames for positions of shape \(20, 2\) and 20 yaws"),
        (lambda f: (f / "19.jpg").unlink(), "19 frames for positions"),
        (lambda f: (f / "traj_data.pkl").write_bytes(pickle.dumps({"yaw": np.zeros(20)})), "no array position"),
        (lambda f: (f / "traj_data.pkl").write_bytes(pickle.dumps({})), "no array position and no yaw"),
        (lambda f: (f / "traj_data.pkl").write_bytes(b"junk"), "refused: not a plain pickle"),
    ],
)
def test_broken_trajectories_are_named(source, tmp_path, harm, message):
    harm(source / "sacson" / "walk_1")
    with pytest.raises(DatasetError, match=message):
        convert(ConvertOptions(source, tmp_path / "out", "rlds"))


def test_a_name_that_leads_outside_is_refused(chain, tmp_path):
    evil = tmp_path / "evil"
    shutil.copytree(chain / "rlds", evil)
    shard = next(evil.glob("*.tfrecord*"))
    dataset = open_dataset(evil)
    from embodied_cf.datasets import wire
    from embodied_cf.datasets.shards import ShardWriter

    records = [record for _, record in dataset.records()]
    for name, message in (("../../x", "points outside the dataset"), ("/x", "points outside"), (".", "second episode")):
        with ShardWriter(shard, "tfrecord") as writer:
            for record in records:
                key = {"episode_metadata/episode_id": wire.text_feature([name])}
                writer.write(record, wire.encode_example(key))
        with pytest.raises(DatasetError, match=message):
            convert(ConvertOptions(evil, tmp_path / f"out{len(name)}", "gnm"))


PLAIN = {
    "position": np.arange(8.0).reshape(4, 2),
    "yaw": np.arange(4, dtype=">f4"),
    "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "scalar": np.float64(3.5),
    "list": [1, 2.5],
    "flags": np.array([True, False]),
    "none": np.zeros((0, 2)),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_arrays_of_every_protocol(tmp_path, protocol):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(PLAIN, protocol=protocol))
    arrays = load_arrays(path)
    for name, value in PLAIN.items():
        np.testing.assert_array_equal(arrays[name], value)
        assert arrays[name].dtype == np.asarray(value).dtype


class _Runs:
    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


def _forged_object_array() -> bytes:
    """An array whose dtype says object, and whose state gives raw bytes as the pointers."""
    out = io.BytesIO()
    out.write(b"\x80\x02}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR")
    out.write(
        b"(K\x01K\x01\x85cnumpy\ndtype\n(X\x02\x00\x00\x00O8K\x00K\x01tR(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xff"
    )
    out.write(b"J\xff\xff\xff\xffK\x00tb\x89C\x08AAAAAAAAtbs.")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps({"a": _Runs(os.system, "exit 1")}), "it asks for posix.system"),
        (pickle.dumps({"a": _Runs(eval, "1")}), "it asks for builtins.eval"),
        (pickle.dumps({"a": np.load}), "it asks for numpy.load"),
        (pickle.dumps({"a": _Runs(np.dtype, "O")}), "an array of dtype 'O'"),
        (_forged_object_array(), "an array of dtype 'O8'"),
        (pickle.dumps({"a": np.array([None])}), "an array of dtype 'O8'"),
        (pickle.dumps({"a": np.array(["x"])}), "an array of dtype 'U1'"),
        (pickle.dumps({"a": np.zeros(2, "f4,f4")}), "an array of dtype"),
        (pickle.dumps({"a": "text"}), "'a' is no numeric array"),
        (pickle.dumps({1: np.zeros(2)}), "'1' is no numeric array"),
        (pickle.dumps([np.zeros(2)]), "it holds a list, not a dict"),
        (b"\x80\x04}r\xff\xff\xff\x7f.", "a memo of absurd size"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "expected 9223372036854775807 bytes"),
        (b"\x80\x04N", "pickle exhausted"),
        (b"", "pickle exhausted"),
    ],
)
def test_whatever_is_not_plain_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        load_arrays(path)
    assert "refused: not a plain pickle of numeric arrays" in str(caught.value)
    assert reason in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_pickles_give_arrays_or_a_named_error(tmp_path_factory, data):
    whole = bytearray(pickle.dumps(PLAIN, protocol=data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try:
        assert all(array.dtype.kind in "biuf" for array in load_arrays(path).values())
    except DatasetError as error:
        assert error.where == str(path)  # noqa: PT017 (either outcome is right)


def test_a_huge_pickle_is_not_read(tmp_path):
    path = tmp_path / "a.pkl"
    with open(path, "wb") as file:
        file.truncate((256 << 20) + 1)
    with pytest.raises(DatasetError, match="a pickle of more than 256 MiB"):
        load_arrays(path)


def test_arrays_that_the_metadata_misdescribes_are_named(chain, tmp_path):
    dataset = open_dataset(chain / "rlds")
    name, record = next(dataset.records())
    told = json.loads(Columns(record, dataset.features, name).texts("episode_metadata/gnm_arrays")[0])
    assert told["position"]["shape"][1] == 2
    from embodied_cf.datasets.convert.rlds_to_gnm import _arrays, _Stored

    episode = next(read_episodes(dataset, load_spec(None, chain / "rlds")))
    for stored in (_Stored("<f8", (3, 3)), _Stored("O", (4,)), _Stored("<f8", (1,), "AAAA")):
        with pytest.raises(DatasetError, match=r"gnm_arrays does not describe array 'position'"):
            _arrays(episode, {"position": stored})
