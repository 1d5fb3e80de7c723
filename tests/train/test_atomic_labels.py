"""The atomic policy: trained on a dataset's own segments, then asked what other commands would look like there."""

import numpy as np
import pytest

from embodied_cf.cli import main
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.images import resized
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.errors import CheckpointError, UsageError
from embodied_cf.policies.checkpoint import load_policy
from embodied_cf.policies.contract import Observation
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel


@pytest.fixture(scope="module")
def run(labelled, tmp_path_factory):
    out = tmp_path_factory.mktemp("atomic") / "run"
    settings = ("schedule.steps=400", "data.batch=32", "model.history=2", "validation.every=400", "save_every=400")
    told = ["train", "--data", str(labelled), "--out", str(out), "--preset", "atomic-debug", "--kinds", "hindsight",
            "atomic", "--set", *settings]  # fmt: skip
    with pytest.raises(SystemExit, match="0"):
        main(told)
    return out


def _labels(path):
    dataset = open_dataset(path)
    episodes = list(read_episodes(dataset, load_spec(None, dataset.path)))
    return [(episode, episode.labels["labels"]) for episode in episodes]


def test_counterfactual_chunks_are_what_the_policy_does_there(driving, run, tmp_path):
    out = tmp_path / "1.0.0"
    relabel(RelabelOptions(driving, out, synthesizer="atomic", policy=run))
    policy, found, commands = load_policy(run), 0, set()
    for episode, labels in _labels(out):
        frames = next(iter(episode.cameras.values()))
        for row in np.flatnonzero([kind == "counterfactual" for kind in labels.kind]).tolist():
            step = int(labels.start[row])
            seen = np.stack([resized(frames.decode(max(0, at)), policy.camera) for at in (step - 1, step)])
            done = policy.act(Observation(seen[None]), (labels.command[row],), np.random.default_rng(0))
            np.testing.assert_allclose(labels.action[row], done.chunk[0], atol=1e-4)
            commands.add(labels.command[row])
            found += 1
    assert found > 20
    assert len(commands) > 1
    told = (out / "labels/provenance.jsonl").read_text()
    assert r"\"synthesizer\": \"atomic\"" in told
    assert str(run) not in told


def test_processes_do_not_change_the_bytes(driving, run, tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        relabel(RelabelOptions(driving, tmp_path / name / "1.0.0", synthesizer="atomic", policy=run, workers=workers))
    for shard in (tmp_path / "one/1.0.0").glob("*tfrecord*"):
        assert shard.read_bytes() == (tmp_path / "two/1.0.0" / shard.name).read_bytes()


def test_bad_policies_are_named(driving, arm, run, tmp_path):
    with pytest.raises(UsageError, match="--policy and --synthesizer atomic need each other"):
        RelabelOptions(driving, tmp_path / "out", synthesizer="atomic")
    with pytest.raises(UsageError, match="need each other"):
        RelabelOptions(driving, tmp_path / "out", policy=run)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        relabel(RelabelOptions(driving, tmp_path / "out", synthesizer="atomic", policy=tmp_path / "nothing"))
    with pytest.raises(CheckpointError, match="made for the embodiment 'nav'"):
        relabel(RelabelOptions(arm, tmp_path / "out", "bridge", synthesizer="atomic", policy=run))
    assert not (tmp_path / "out").exists()
