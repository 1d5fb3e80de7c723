import json

import numpy as np
import pytest
import torch
from test_train_command import FILES, command, losses
from tiny_vlms import FAMILIES, save_vlm

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.policies.checkpoint import load_policy
from embodied_cf.policies.contract import Observation
from embodied_cf.train.config import change, load_preset
from embodied_cf.train.trainer import Trainer


class Fake:
    """A stream of one batch, for ever."""

    embodiment = load_embodiment("nav")
    instructions = ()
    fingerprint = "fake"
    steps_per_epoch = 1

    def __init__(self, config):
        self.batch = config.model.fake_batch(8, self.embodiment)

    def batches(self, epoch, start_step=0, rank=0, world=1):
        yield self.batch

    def chunks(self):
        yield self.batch.action, self.batch.mask


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    return {family: save_vlm(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}


def trainer_of(folder, *settings):
    settings = ["model.weights=fp32", "optimiser.precision=fp32", f"model.base={folder}", *settings]
    config = change(load_preset("hf-debug"), settings)
    return Trainer.new(config, Fake(config), None)


def frozen_and_trained(model):
    named = {name: value.detach().clone() for name, value in model.named_parameters()}
    needs = {name for name, value in model.named_parameters() if value.requires_grad}
    return {name: named[name] for name in named if name not in needs}, {name: named[name] for name in needs}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_changes_adapters_queries_and_head_only(family, bases):
    trainer = trainer_of(bases[family], "schedule.rate=0.01", "schedule.warmup=0")
    frozen, trained = frozen_and_trained(trainer.model)
    for _ in range(2):  # an adapter's first half moves once its second half is no longer zero
        trainer.make_step([trainer.data.batch])
    still, moved = frozen_and_trained(trainer.model)
    assert all(torch.equal(frozen[name], still[name]) for name in frozen)
    assert [name for name in trained if torch.equal(trained[name], moved[name])] == []


@pytest.mark.parametrize("settings", [(), ("model.recompute=True",), ("loss.contrastive=0.1",)])
def test_learns(settings, bases):
    trainer = trainer_of(bases["smolvlm"], "schedule.rate=0.01", "schedule.steps=99", *settings)
    seen = [trainer.make_step([trainer.data.batch])["imitation"] for _ in range(12)]
    assert np.mean(seen[-3:]) < 0.9 * np.mean(seen[:3])


def test_recomputing_changes_nothing(bases):
    plain, again = (trainer_of(bases["smolvlm"], f"model.recompute={on}") for on in (False, True))
    told = [trainer.make_step([trainer.data.batch]) for trainer in (plain, again)]
    assert told[0] == pytest.approx(told[1], rel=1e-5)


def test_bf16_is_near_fp32(bases):
    exact, near = (trainer_of(bases["paligemma"], f"optimiser.precision={p}") for p in ("fp32", "bf16"))
    told = [trainer.make_step([trainer.data.batch])["imitation"] for trainer in (exact, near)]
    assert told[0] != told[1]
    assert told[0] == pytest.approx(told[1], rel=0.05)
    assert {value.dtype for value in near.optimiser.averaged().values()} == {torch.float32}


def test_through_the_command(bases, labelled, tmp_path):
    options = ("--data", labelled, "--preset", "hf-debug", "--set", f"model.base={bases['qwen2_5_vl']}")
    assert command(*options, "--out", tmp_path / "whole") == 0
    assert command(*options, "--out", tmp_path / "parts", "--steps", 2) == 0
    assert command("--out", tmp_path / "parts", "--resume") == 0
    for name in FILES:
        whole, parts = ((tmp_path / run / "last" / name).read_bytes() for run in ("whole", "parts"))
        assert whole == parts, name
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    policy = load_policy(tmp_path / "parts")
    done = policy.act(Observation(np.zeros((1, 1, 32, 32, 3), np.uint8)), ("stop",), np.random.default_rng(0))
    assert done.chunk.shape == (1, 8, 2)
    assert json.loads((tmp_path / "parts" / "last" / "config.json").read_text())["base"] == policy.model.card.base


def test_a_base_must_be_named(labelled, tmp_path, capsys):
    assert command("--data", labelled, "--preset", "hf-debug", "--out", tmp_path / "run") == 2
    assert "no pretrained model is named. Use --set model.base=DIR." in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_another_network_is_not_resumed(labelled, tmp_path, capsys):
    assert command("--data", labelled, "--preset", "tiny-debug", "--out", tmp_path / "run", "--steps", 1) == 0
    assert command("--preset", "hf-debug", "--out", tmp_path / "run", "--resume") == 2
    assert "model.base was None and is asked to be ''" in capsys.readouterr().err
