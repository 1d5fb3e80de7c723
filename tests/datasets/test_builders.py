"""The builders make, by tfds' own command, the episodes that `embodied-cf collect` writes.

tfds and TensorFlow run in a process of their own: they are loud, and must not meet warnings-as-errors.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tensorflow_datasets.proto.tf_example_generated_pb2 import Example

from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.datasets.tfdata import by_step
from embodied_cf.envs.collect import CollectOptions, collect
from embodied_cf.envs.rollouts import Plan
from embodied_cf.envs.tabletop.collect import collect_tables

ROOT = Path(__file__).parents[2]
DRIVING = {"name": "tiny", "world": "corridors", "people": [1, 2], "bias": 0.5, "seed": 3, "size": 32, "steps": 8,
           "train": 3, "dev": 1, "test": 0}  # fmt: skip
TABLETOP = {"name": "tiny", "bias": 0.5, "seed": 3, "size": 48, "steps": 8, "train": 2, "dev": 0, "test": 1}


# `tfds build` itself, without its sister commands, which import Apache Beam
BUILD = """
import sys
from tensorflow_datasets.scripts.cli import build, cli_utils
cli_utils.make_flags_parser(build.Args, description="")(["tfds build", *sys.argv[1:]]).execute()
"""


def build(name, config, data):
    """Run `tfds build` in the repository and return the dataset's directory."""
    command = [sys.executable, "-c", BUILD, f"datasets/builders/{name}"]
    command += ["--data_dir", str(data), "--config", json.dumps(config)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return data / name / "tiny" / "1.0.0"


@pytest.fixture(scope="module")
def driving(tmp_path_factory):
    return build("embodied_cf_driving", DRIVING, tmp_path_factory.mktemp("driving"))


@pytest.fixture(scope="module")
def tabletop(tmp_path_factory):
    return build("embodied_cf_tabletop", TABLETOP, tmp_path_factory.mktemp("tabletop"))


def records(directory, split):
    """Return each record of a split as a mapping from key to the feature's bytes."""
    found = open_dataset(directory).records(split)
    examples = [Example.FromString(bytes(record)) for _, record in found]
    return [{key: value.SerializeToString() for key, value in example.features.feature.items()} for example in examples]


@pytest.mark.parametrize(("split", "count"), [("train", 3), ("dev", 1)])
def test_driving_logs_are_those_of_collect(driving, tmp_path, split, count):
    """Every value and every byte of every image, in the same order."""
    collect(tmp_path / "out", CollectOptions("corridors", count, 3, split, 0.5, 8, 32, (1, 2)))
    built = records(driving, split)
    assert len(built) == count
    assert built == records(tmp_path / "out", "train")


@pytest.mark.parametrize(("split", "count"), [("train", 2), ("test", 1)])
def test_tables_are_those_of_collect(tabletop, tmp_path, split, count):
    collect_tables(tmp_path / "out", Plan(count, 3, max_steps=8, says=False), split, 48, 0.5)
    built = records(tabletop, split)
    assert len(built) == count
    assert built == records(tmp_path / "out", "train")


def test_a_built_dataset_is_read_with_the_shipped_spec(driving):
    episodes = list(read_episodes(open_dataset(driving), load_spec("simulator")))
    assert len(episodes) == 4
    assert episodes[0].cameras["primary"].decode(0).shape == (32, 32, 3)


@pytest.mark.parametrize("name", ["driving", "tabletop"])
def test_the_card_travels_with_the_data(name, request):
    info = json.loads((request.getfixturevalue(name) / "dataset_info.json").read_text())
    assert "was told" in info["description"] or "were told" in info["description"]
    assert "arXiv preprint arXiv:2111.02767" in info["citation"]
    assert info["redistributionInfo"]["license"] == "Apache-2.0"
    absent = {"driving": "test", "tabletop": "dev"}[name]
    assert absent not in {split["name"] for split in info["splits"]}, "a split of no episodes is left out"


CONFIGS = """
import json, sys
sys.path.insert(0, "datasets/builders")
import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_metadata import valid_tags
found = {}
for name in ("embodied_cf_driving", "embodied_cf_tabletop"):
    cls = tfds.core.community.builder_cls_from_module(f"{name}.{name}_dataset_builder")
    found[cls.name] = [config.name for config in cls.BUILDER_CONFIGS]
    found[f"{name} tags"] = [tag for tag in cls.get_metadata().tags if tag not in valid_tags()]
print(json.dumps(found))
"""


def test_one_configuration_for_each_world_and_bias():
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run([sys.executable, "-c", CONFIGS], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["embodied_cf_driving"]) == 3 * 2 * 3
    assert found["embodied_cf_driving"][:4] == ["rooms_bias80", "rooms_bias50", "rooms_bias20", "rooms_social_bias80"]
    assert found["embodied_cf_tabletop"] == ["bias80", "bias50", "bias20"]
    assert found["embodied_cf_driving tags"] == found["embodied_cf_tabletop tags"] == [], "tags that tfds does not know"


def test_columns_become_rows():
    rows = by_step({"steps": {"is_first": [True, False], "seen": {"image": [b"a", b"b"]}}, "about": 1})
    assert rows["about"] == 1
    assert [row["is_first"] for row in rows["steps"]] == [True, False]
    assert [row["seen"]["image"].read() for row in rows["steps"]] == [b"a", b"b"]
