"""Bad input through the command: one message that names file, record and remedy; the right exit code; no debris."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import makers
import numpy as np
import pytest

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.features import flatten
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.shards import ShardWriter, read_shard
from embodied_cf.datasets.spec import load_spec
from embodied_cf.datasets.writer import DatasetCard, encode_example, write_dataset
from embodied_cf.errors import VlmError
from embodied_cf.relabel.dry_run import dry_run
from embodied_cf.relabel.options import RelabelOptions, VlmOptions


def run(*arguments, before=(), **options):
    command = [*before, sys.executable, "-m", "embodied_cf", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def refused(done, *words):
    """Exit code 2, one message with all the words, no traceback."""
    message = " ".join(done.stderr.split())
    assert done.returncode == 2, message
    assert "Traceback" not in message
    for word in words:
        assert word in message, (word, message)


@pytest.fixture
def source(arm, tmp_path):
    return shutil.copytree(arm, tmp_path / "source")


def _shard(source, index=0):
    return source / f"arm_logs-train.tfrecord-{index:05d}-of-00002"


def test_a_missing_directory(tmp_path):
    refused(run("relabel", tmp_path / "nowhere", tmp_path / "out", "--spec", "bridge"), "nowhere: no such directory")


def test_a_directory_that_is_no_dataset(tmp_path):
    (tmp_path / "1.0.0").mkdir()
    refused(run("relabel", tmp_path / "1.0.0", tmp_path / "out", "--spec", "bridge"), "not a prepared TFDS dataset",
            "Name the version directory")  # fmt: skip


def test_the_directory_above_the_version(source, tmp_path):
    shutil.move(source, tmp_path / "set" / "1.0.0")
    refused(run("relabel", tmp_path / "set", tmp_path / "out", "--spec", "bridge"), "Did you mean", "set/1.0.0?")


def test_a_remote_path(tmp_path):
    refused(run("relabel", "gs://bucket/set/1.0.0", tmp_path / "out", "--spec", "bridge"), "remote paths are not read",
            "Copy it first")  # fmt: skip


def test_an_unknown_split(source, tmp_path):
    refused(run("relabel", source, tmp_path / "out", "--spec", "bridge", "--split", "test"), "no split 'test'",
            "It has: train")  # fmt: skip


def test_a_missing_shard(source, tmp_path):
    _shard(source, 1).unlink()
    refused(run("relabel", source, tmp_path / "out", "--spec", "bridge"), "1 shards are missing",
            "arm_logs-train.tfrecord-00001-of-00002")  # fmt: skip


def test_damaged_metadata(source, tmp_path):
    (source / "dataset_info.json").write_text("{")
    refused(run("relabel", source, tmp_path / "out", "--spec", "bridge"), "dataset_info.json cannot be read")


def test_a_shard_outside_the_dataset(source, tmp_path):
    info = json.loads((source / "dataset_info.json").read_text())
    info["splits"][0]["filepathTemplate"] = "../{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    (source / "dataset_info.json").write_text(json.dumps(info))
    refused(run("relabel", source, tmp_path / "out", "--spec", "bridge"), "points outside the dataset")


def test_no_spec(source, tmp_path):
    refused(run("relabel", source, tmp_path / "out"), "no spec.toml beside the data", "--suggest-spec")


def test_an_unknown_spec(source, tmp_path):
    refused(run("relabel", source, tmp_path / "out", "--spec", "brigde"), "'brigde'", "bridge, gnm, simulator")


def _spec(tmp_path, change):
    from importlib import resources

    shipped = (resources.files("embodied_cf.datasets") / "specs" / "bridge.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(change(shipped))
    return path


def test_a_spec_key_that_the_data_lacks(source, tmp_path):
    spec = _spec(tmp_path, lambda text: text.replace('"observation/state"', '"observation/joints"'))
    refused(run("relabel", source, tmp_path / "out", "--spec", spec), "no columns.state = 'steps/observation/joints'",
            "Its features are:")  # fmt: skip


def test_a_misspelt_spec_key(source, tmp_path):
    spec = _spec(tmp_path, lambda text: text.replace("control_period_s", "control_period"))
    refused(run("relabel", source, tmp_path / "out", "--spec", spec), "control_period_s: Field required", "mine.toml")


def test_a_slice_beyond_the_column(source, tmp_path):
    spec = _spec(tmp_path, lambda text: text.replace("state[3:6]", "state[7:10]"))
    done = run("relabel", source, tmp_path / "out", "--spec", spec)
    refused(done, "the robot never moves")


def test_a_misspelt_threshold(driving, tmp_path):
    from importlib import resources

    shipped = (resources.files("embodied_cf.datasets") / "embodiments" / "nav.toml").read_text()
    (tmp_path / "body.toml").write_text(f"{shipped}\n[thresholds]\nstil = 0.2\n")
    spec = tmp_path / "mine.toml"
    spec.write_text((driving / "spec.toml").read_text().replace('"nav"', f'"{tmp_path / "body.toml"}"'))
    refused(run("relabel", driving, tmp_path / "out", "--spec", spec), "unknown thresholds stil. It has: still, moving")


def test_an_unknown_unit(driving, tmp_path):
    """Goals need metres; where the unit is unknown the goal synthesizer refuses, and the others go on."""
    spec = tmp_path / "mine.toml"
    spec.write_text((driving / "spec.toml").read_text().replace('position_unit = "m"', 'position_unit = "unknown"'))
    refused(run("relabel", driving, tmp_path / "out", "--spec", spec, "--synthesizer", "goal"),
            "position_unit is 'unknown'", 'Set position_unit = "m"')  # fmt: skip
    assert run("relabel", driving, tmp_path / "out", "--spec", spec).returncode == 0
    spec.write_text((driving / "spec.toml").read_text().replace('position_unit = "m"', 'position_unit = "feet"'))
    refused(run("relabel", driving, tmp_path / "other", "--spec", spec), "position_unit 'feet' is not one of")


def test_goals_need_a_camera_and_a_robot_that_drives(driving, source, tmp_path):
    spec = tmp_path / "mine.toml"
    spec.write_text((driving / "spec.toml").read_text().split("[camera_model]")[0])
    refused(run("relabel", driving, tmp_path / "out", "--spec", spec, "--synthesizer", "goal"), "no [camera_model]")
    refused(run("relabel", source, tmp_path / "out", "--spec", "bridge", "--synthesizer", "goal"), "arm")


def test_a_dry_run_leaves_out_what_the_run_would(source, tmp_path):
    """A broken record is dropped and frames that no model can see are quarantined: neither ends the forecast."""
    spoiled = makers.arm_episode(20, 1)
    spoiled["steps"]["observation"]["image_0"] = [b"\xff\xd8 no picture"] * 20
    features = flatten(makers.arm_features())
    sound = [record.data for record in read_shard(_shard(source), "tfrecord")]
    with ShardWriter(_shard(source), "tfrecord") as writer:
        for record in (sound[0], encode_example(features, spoiled), sound[2]):
            writer.write(record)
    raw = bytearray(_shard(source).read_bytes())
    raw[300] ^= 1
    _shard(source).write_bytes(raw)
    asked = VlmOptions(base_url="http://127.0.0.1:9/v1")
    options = RelabelOptions(source, tmp_path / "out", "bridge", captioner="openai", limit=2, dry_run=True, vlm=asked)
    assert dry_run(options).forecast["requests"] > 0
    with pytest.raises(VlmError, match="an image is neither PNG nor JPEG"):
        dry_run(replace(options, limit=1))


def test_a_flipped_bit_drops_one_record_and_says_so(source, tmp_path):
    raw = bytearray(_shard(source).read_bytes())
    raw[500] ^= 1
    _shard(source).write_bytes(raw)
    done = run("relabel", source, tmp_path / "out", "--spec", "bridge")
    assert done.returncode == 3
    told = " ".join(done.stderr.split())
    assert "arm_logs-train.tfrecord-00000-of-00002, record 0: the data's checksum is wrong" in told
    dataset = open_dataset(tmp_path / "out")
    assert [shard.records for shard in dataset.shards()] == [3, 4]
    assert len(list(read_episodes(dataset, load_spec("bridge")))) == 7
    row = json.loads((tmp_path / "out" / "labels" / "manifest.jsonl").read_text().splitlines()[1])
    assert row["dropped"] == [{"index": 0, "problem": "the data's checksum is wrong", "rest_lost": False}]


def test_a_truncated_shard_keeps_what_comes_before(source, tmp_path):
    _shard(source, 1).write_bytes(_shard(source, 1).read_bytes()[:-100])
    done = run("relabel", source, tmp_path / "out", "--spec", "bridge")
    assert done.returncode == 3
    assert [shard.records for shard in open_dataset(tmp_path / "out").shards()] == [4, 3]
    assert "record 3: the file ends inside a record; nothing after it" in " ".join(done.stderr.split())


def test_a_shard_cut_between_two_records_is_told_of(source, tmp_path):
    """Every checksum is right, yet fewer records are there than the metadata promises."""
    with ShardWriter(tmp_path / "short", "tfrecord") as writer:
        for record in list(read_shard(_shard(source), "tfrecord"))[:2]:
            writer.write(record.data)
    shutil.copy(tmp_path / "short", _shard(source))
    done = run("relabel", source, tmp_path / "out", "--spec", "bridge")
    assert done.returncode == 3
    assert "record 2: the file ends before it, though dataset_info.json promises 4" in " ".join(done.stderr.split())
    assert [shard.records for shard in open_dataset(tmp_path / "out").shards()] == [2, 4]


def test_records_beyond_what_the_metadata_promises_are_kept(source, tmp_path):
    info = source / "dataset_info.json"
    told = json.loads(info.read_text())
    told["splits"][0]["shardLengths"] = ["1", "4"]
    info.write_text(json.dumps(told))
    assert run("relabel", source, tmp_path / "out", "--spec", "bridge").returncode == 0
    assert [shard.records for shard in open_dataset(tmp_path / "out").shards()] == [4, 4]


def _with_episode(tmp_path, change):
    """An arm set whose second episode is changed."""
    episodes = [makers.arm_episode(20, seed) for seed in range(3)]
    change(episodes[1]["steps"])
    out = tmp_path / "changed"
    write_dataset(out, DatasetCard("changed"), makers.arm_features(), {"train": [lambda: episodes]})
    return out


def _nan(steps):
    steps["action"][3, 2] = np.nan


def _no_image(steps):
    steps["observation"]["image_0"][7] = b"this is no picture"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_nan, "action is not finite (first at step 3)"),
        (_no_image, "image_0 is not a readable image (first at step 7)"),
    ],
)
def test_an_unusable_episode_passes_through_without_labels(tmp_path, change, reason):
    source = _with_episode(tmp_path, change)
    done = run("relabel", source, tmp_path / "out", "--spec", "bridge", "--json", tmp_path / "result.json")
    assert done.returncode == 3
    assert json.loads((tmp_path / "result.json").read_text())["quarantined_episodes"] == 1
    (line,) = (tmp_path / "out" / "labels" / "quarantine.jsonl").read_text().splitlines()
    assert reason in " ".join(done.stderr.split())
    told = json.loads(line)
    assert told["episode"] == "changed/1.0.0/train/00000/00001"
    assert reason in told["reason"]
    dataset = open_dataset(tmp_path / "out")
    counts = [len(Columns(record, dataset.features, name).texts("labels/kind")) for name, record in dataset.records()]
    assert counts[1] == 0 < min(counts[0], counts[2])


def test_episodes_of_no_and_of_one_step(tmp_path):
    features = flatten(makers.arm_features())
    source = _with_episode(tmp_path, lambda steps: None)
    from embodied_cf.datasets.writer import encode_example

    empty, single = makers.arm_episode(0, 1), makers.arm_episode(1, 2)
    with ShardWriter(next(source.glob("*tfrecord*")), "tfrecord") as writer:
        for episode in (empty, single, makers.arm_episode(20, 3)):
            writer.write(encode_example(features, episode))
    done = run("relabel", source, tmp_path / "out", "--spec", "bridge")
    assert done.returncode == 3
    told = (tmp_path / "out" / "labels" / "quarantine.jsonl").read_text()
    assert told.count("\n") == 1
    assert "an episode of zero steps" in told
    assert [shard.records for shard in open_dataset(tmp_path / "out").shards()] == [3]


def test_an_empty_instruction_becomes_no_label(tmp_path):
    source = _with_episode(tmp_path, lambda steps: steps.update(language_instruction=[""] * 20))
    assert run("relabel", source, tmp_path / "out", "--spec", "bridge").returncode == 0
    episodes = list(read_episodes(open_dataset(tmp_path / "out"), load_spec("bridge")))
    assert episodes[1].language[0].text == "", "it is a text, not a missing one"
    assert all(text for episode in episodes for text in episode.labels["labels"].instruction)


def test_a_robot_that_never_moves(tmp_path):
    source = _with_episode(tmp_path, lambda steps: None)
    features = flatten(makers.arm_features())
    from embodied_cf.datasets.writer import encode_example

    still = makers.arm_episode(20, 1)
    still["steps"]["observation"]["state"][:] = 0.5
    with ShardWriter(next(source.glob("*tfrecord*")), "tfrecord") as writer:
        writer.write(encode_example(features, still))
    refused(run("relabel", source, tmp_path / "out", "--spec", "bridge"), "the robot never moves")


def test_a_directory_that_holds_something_else(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    refused(run("relabel", source, tmp_path / "out", "--spec", "bridge"), "not empty and not a relabel run")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_file_where_the_output_should_go(source, tmp_path):
    (tmp_path / "out").write_text("precious")
    refused(run("relabel", source, tmp_path / "out", "--spec", "bridge"), "it is a file", "Choose another")
    assert (tmp_path / "out").read_text() == "precious"
    assert not list(tmp_path.glob(".*")), "no lock is left behind"


def test_two_runs_exclude_each_other(source, tmp_path):
    from embodied_cf.datasets.files import exclusive

    with exclusive(tmp_path / ".out.lock"):
        refused(run("relabel", source, tmp_path / "out", "--spec", "bridge"), "another run is writing here")


def test_a_full_disk(tmp_path):
    """A limit on file size stands in for a full disk: the write fails in the middle of a shard, for real."""
    source = makers.arm(tmp_path / "source", shards=2, episodes=12)
    small = 200_000
    assert _shard(source).stat().st_size > small
    limited = ("bash", "-c", f'ulimit -f {small // 1024}; exec "$@"', "bash")  # who has loaded JAX must not fork
    refused(run("relabel", source, tmp_path / "out", "--spec", "bridge", before=limited),
            "cannot write (File too large)", "arm_logs-train.tfrecord-00000-of-00002")  # fmt: skip
    assert not list((tmp_path / "out").glob("*tfrecord*")), "nothing half written"
    assert run("relabel", source, tmp_path / "out", "--spec", "bridge").returncode == 0, "space came back: it resumes"


def test_options_that_make_no_sense(source, tmp_path):
    refused(
        run("relabel", source, tmp_path / "out", "--spec", "bridge", "--workers", "0"), "--workers 0 is less than 1"
    )
    refused(run("relabel", source, tmp_path / "out", "--spec", "bridge", "--label-set", "a b"), "label set name 'a b'")
    assert run("relabel", source, tmp_path / "out", "--captioner", "oracle").returncode == 2


def test_a_model_without_a_key(source, tmp_path):
    import os

    environment = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    done = run("relabel", source, tmp_path / "out", "--spec", "bridge", "--captioner", "openai", "--base-url",
               "https://models.invalid/v1", "--send-images", env=environment)  # fmt: skip
    refused(done, "OPENAI_API_KEY")


def test_replay_without_a_cache(source, tmp_path):
    refused(run("relabel", source, tmp_path / "out", "--spec", "bridge", "--captioner", "replay"),
            "no answer cache to replay")  # fmt: skip
