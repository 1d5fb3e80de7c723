from dataclasses import replace

import pytest
import torch

from benchmarks import toy
from benchmarks.toy_listening import ARMS, followed_when_told
from embodied_cf.errors import UsageError
from embodied_cf.train.config import PRESETS, ScheduleConfig, ValidationConfig, load_preset
from embodied_cf.train.run import Plan, Run
from embodied_cf.train.trainer import Patience, Trainer

TRAIN, TEST = toy.scenes(1200, 1), toy.scenes(200, 2)


def begun(path, config):
    run = Run(path / "run")
    run.begin(Plan(config, ()), overwrite=True)
    return run


def test_counterfactual_labels_make_a_policy_listen():
    """Same steps, same scenes: told all three posts, or only the nearest, which the expert drives to."""
    told = {arm: followed_when_told(TRAIN, TEST, posts, 170, 0) for arm, posts in ARMS.items()}
    assert told["counterfactual"] > 0.6  # chance is a third
    assert told["counterfactual"] > told["observational"] + 0.12


@pytest.mark.parametrize("preset", sorted({*PRESETS} - {"sentence", "atomic", "arm", "chain", "hf"}))
def test_validation_reports_every_kind(preset, tmp_path):
    config = load_preset(f"{preset}-debug")
    config = replace(config, model=replace(config.model, history=1))  # the toy has no past
    trainer = Trainer.new(config, toy.Toy(TRAIN, batch=8), toy.Toy(TEST, batch=32))
    seen = []
    trainer.fit(4, begun(tmp_path, config), seen.append)
    looks = [progress.validation for progress in seen if progress.validation]
    assert len(looks) == 2
    assert looks[0].loss.keys() == looks[0].error_m.keys() == {"hindsight", "counterfactual"}
    assert looks[0].sensitivity_m > 0


def test_a_deaf_model_has_no_sensitivity(tmp_path):
    config = replace(load_preset("tiny-debug"), schedule=ScheduleConfig(rate=0.0))
    trainer = Trainer.new(config, toy.Toy(TRAIN, batch=8), toy.Toy(TEST, batch=32))
    for parameter in trainer.model.text.parameters():
        torch.nn.init.zeros_(parameter)
    trainer = Trainer(config, trainer.data, trainer.heldout, trainer.model, trainer.normalizer)
    seen = []
    trainer.fit(2, begun(tmp_path, config), seen.append)
    assert seen[-1].validation.sensitivity_m == 0


def test_patience():
    config = ValidationConfig(patience=2)
    state = Patience()
    over = []
    for sensitivity in (0.1, 0.3, 0.2, 0.3):
        state = state.after(sensitivity)
        over.append(state.is_over(config))
    assert over == [False, False, False, True]
    assert not state.is_over(ValidationConfig(patience=0))


def test_stops_early_and_saves(tmp_path):
    config = load_preset("tiny-debug")
    config = replace(config, validation=ValidationConfig(every=1, batches=1, patience=1), save_every=50,
                     schedule=ScheduleConfig(steps=40, warmup=0, rate=0.0))  # fmt: skip
    trainer = Trainer.new(config, toy.Toy(TRAIN, batch=8), toy.Toy(TEST, batch=8))
    run = begun(tmp_path, config)
    trainer.fit(40, run)
    assert trainer.step == 2  # nothing is learnt at a rate of 0, so the second look is no better
    assert run.last.resolve().name == "step-0000002"


def test_a_loss_that_is_not_finite_is_told(tmp_path):
    trainer = Trainer.new(load_preset("tiny-debug"), toy.Toy(TRAIN, batch=8), None)
    with torch.no_grad():
        trainer.model.trunk.query.fill_(float("nan"))
    with pytest.raises(UsageError, match=r"step 1: the loss is not finite\. Lower schedule\.rate"):
        trainer.fit(1, begun(tmp_path, trainer.config))


def test_the_atomic_policy_needs_commands(tmp_path):
    trainer = Trainer.new(load_preset("atomic-debug"), toy.Toy(TRAIN, batch=8), None)
    with pytest.raises(UsageError, match=r"no instruction of a batch can be read, such as .* --kinds hindsight atomic"):
        trainer.fit(1, begun(tmp_path, trainer.config))
