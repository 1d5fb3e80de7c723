import json
import shutil

import numpy as np
import pytest

from embodied_cf.cli import main
from embodied_cf.policies.checkpoint import load_policy
from embodied_cf.policies.contract import Observation
from embodied_cf.policies.vision import detector_memory
from embodied_cf.train.config import PRESETS, load_preset

FILES = ("model.safetensors", "config.json", "stats.json", "train_state.safetensors", "train_state.json")


def command(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["train", *map(str, arguments)])
    return exit_.value.code


@pytest.mark.parametrize("preset", sorted({*PRESETS} - {"sentence", "hf"}))  # those need pretrained weights
def test_every_preset_trains_resumes_loads_and_acts(preset, labelled, labelled_arm, tmp_path):
    run = tmp_path / "run"
    data = ("--data", labelled_arm, "--spec", "bridge") if preset == "arm" else ("--data", labelled)
    kinds = ("--kinds", "atomic", "hindsight") if preset == "atomic" else ()
    assert command(*data, *kinds, "--out", run, "--preset", f"{preset}-debug") == 0
    assert command("--out", run, "--resume", "--steps", "5") == 0
    policy = load_policy(run)
    shape = (2, policy.history, *policy.camera, 3)
    said = ("turn left", "stop") if preset != "arm" else ("move up", "grasp")
    told_here = np.zeros((2, policy.history + 1, 3), np.float32)
    done = policy.act(Observation(np.zeros(shape, np.uint8), told_here), said, np.random.default_rng(0))
    assert done.chunk.shape == (2, policy.embodiment.chunk_length, policy.embodiment.chunk_dimensions)
    assert np.isfinite(done.chunk).all()


def test_robots_that_stop_at_the_end_are_part_of_the_plan(labelled, tmp_path, capsys):
    run = ("--out", tmp_path / "run")
    assert command("--data", labelled, *run, "--preset", "tiny-debug", "--stop-at-end") == 0
    assert [source["stop_at_end"] for source in json.loads((run[1] / "config.json").read_text())["sources"]] == [True]
    assert command(*run, "--resume", "--data", labelled) == 2  # that would be other data
    assert "sources" in capsys.readouterr().err


def test_an_eye_of_another_field_of_view_is_told(labelled, tmp_path, capsys):
    told = ("--data", labelled, "--out", tmp_path / "run", "--preset", "seeing-debug", "--set")
    assert command(*told, "model.field_of_view_deg=120") == 2
    assert "--set model.field_of_view_deg=90" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("tiny", ["data.accumulate=2", "data.batch=4"]),
        ("bins", ["data.per_observation=2", "loss.preference=0.1"]),
        ("flow", ["loss.contrastive=0.1", "loss.candidates=1"]),
        ("seeing", ["data.per_observation=2"]),
    ],
)
def test_stopped_and_resumed_is_bit_equal(preset, changes, labelled, tmp_path):
    settings = ["schedule.steps=60", "validation.every=40", "save_every=25", *changes]
    options = ("--data", labelled, "--preset", f"{preset}-debug", "--set", *settings)
    assert command(*options, "--out", tmp_path / "whole", "--steps", 60) == 0
    assert command(*options, "--out", tmp_path / "parts", "--steps", 30) == 0
    detector_memory.cache_clear()
    assert command("--out", tmp_path / "parts", "--resume", "--steps", 60) == 0
    for name in FILES:
        whole, parts = ((tmp_path / run / "last" / name).read_bytes() for run in ("whole", "parts"))
        assert whole == parts, name
    whole, parts = (losses(tmp_path / run) for run in ("whole", "parts"))
    assert whole == parts
    assert [line["step"] for line in whole] == list(range(1, 61))


def losses(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "imitation" in line]


class TestExistingRun:
    @pytest.fixture
    def run(self, labelled, tmp_path):
        run = tmp_path / "run"
        assert command("--data", labelled, "--out", run, "--preset", "tiny-debug") == 0
        return run

    def test_is_kept_unless_told(self, run, labelled, capsys):
        assert command("--data", labelled, "--out", run, "--preset", "tiny-debug") == 2
        assert "a run is here already. Use --resume or --overwrite." in capsys.readouterr().err
        assert command("--data", labelled, "--out", run, "--preset", "tiny-debug", "--overwrite", "--steps", 2) == 0
        assert (run / "last").resolve().name == "step-0000002"

    def test_is_not_changed_by_resuming(self, run, capsys):
        assert command("--out", run, "--resume", "--set", "schedule.rate=0.1") == 2
        assert "schedule.rate was 0.002 and is asked to be 0.1" in capsys.readouterr().err
        assert command("--out", run, "--resume", "--overwrite") == 2
        for told in (("--kinds", "counterfactual"), ("--min-score", "0.5"), ("--stop-at-end",)):
            assert command("--out", run, "--resume", *told) == 2
            assert "--resume cannot change a run: sources was" in " ".join(capsys.readouterr().err.split())
        assert command("--out", run, "--resume", "--label-sets", "labels") == 0  # as it is

    def test_goes_on_after_a_kill(self, run, tmp_path):
        """A line of a step that was not saved, half a line, and a checkpoint that was not linked yet."""
        whole = losses(run)
        with open(run / "log.jsonl", "a") as log:
            log.write('{"step": 5, "imitation": 0}\n{"step": 6, "imi')
        shutil.copytree(run / "last", run / "step-0000006")
        assert command("--out", run, "--resume", "--steps", 6) == 0
        assert losses(run)[:4] == whole
        assert [line["step"] for line in losses(run)] == [1, 2, 3, 4, 5, 6]
        assert sorted(path.name for path in run.iterdir() if path.name.startswith("step")) == ["step-0000006"]

    def test_broken_state_is_named(self, run, capsys):
        (run / "last" / "train_state.safetensors").write_bytes(b"cut")
        assert command("--out", run, "--resume") == 2
        assert "train_state.safetensors: not readable weights" in capsys.readouterr().err

    def test_other_data_is_refused(self, run, labelled_arm, labelled, capsys):
        config = run / "config.json"
        config.write_text(config.read_text().replace('"min_score": 0.0', '"min_score": 0.1'))
        assert command("--out", run, "--resume", "--steps", 6) == 2
        assert "statistics of another dataset" in capsys.readouterr().err

    def test_another_embodiment_is_refused(self, run, labelled_arm, labelled, capsys):
        config = run / "config.json"
        text = config.read_text().replace(str(labelled), str(labelled_arm)).replace('"spec": null', '"spec": "bridge"')
        config.write_text(text)
        assert command("--out", run, "--resume", "--steps", 6) == 2
        assert "made for the embodiment 'nav'" in capsys.readouterr().err


def test_nothing_is_left_behind_by_bad_input(driving, labelled, tmp_path, capsys):
    run = tmp_path / "run"
    for options, told in [
        ((), "no data to train on"),
        (("--data", driving), "no labels in this dataset"),
        (("--data", labelled, "--preset", "huge"), "no preset 'huge'"),
        (("--data", labelled, "--min-score", "2"), "min_score 2.0 is not in [0, 1]"),
        (("--data", labelled, "--kinds", "atomic", "--stop-at-end"), "stop_at_end is for hindsight labels"),
        (("--resume",), "no run to resume"),
        (("--data", labelled, "--steps", "0"), "--steps 0 is less than 1"),
    ]:
        assert command("--out", run, *options) == 2
        assert told in capsys.readouterr().err
        assert not run.exists()


def test_data_are_never_written_into(labelled, capsys):
    before = set(labelled.rglob("*"))
    assert command("--data", labelled, "--out", labelled / "run", "--preset", "tiny-debug") == 2
    assert "the output directory is the source, or lies inside it" in capsys.readouterr().err
    assert set(labelled.rglob("*")) == before


def test_a_folder_of_something_else_is_kept(labelled, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert command("--data", labelled, "--out", tmp_path, "--preset", "tiny-debug", "--overwrite") == 2
    assert "neither empty nor a run. Choose another --out." in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").exists()


def test_result_for_machines(labelled, tmp_path):
    report = tmp_path / "report.json"
    assert command("--data", labelled, "--out", tmp_path / "run", "--preset", "tiny-debug", "--json", report) == 0
    told = json.loads(report.read_text())
    assert told["steps"] == load_preset("tiny-debug").schedule.steps
    assert told["parameters"] > 0
