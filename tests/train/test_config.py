import json
import subprocess
import sys
from dataclasses import asdict

import pydantic
import pytest

from embodied_cf.errors import UsageError
from embodied_cf.policies.config import HeadConfig, HfVlaConfig
from embodied_cf.train.config import PRESETS, TrainConfig, change, load_preset


@pytest.mark.parametrize("name", [*PRESETS, "flow-debug"])
def test_presets_survive_json(name):
    config = load_preset(name)
    assert pydantic.TypeAdapter(TrainConfig).validate_python(json.loads(json.dumps(asdict(config)))) == config


def test_every_preset_says_its_command():
    assert all("embodied-cf train" in preset.__doc__ for preset in PRESETS.values())


def test_dotted_changes():
    changed = change(load_preset("tiny"), ["schedule.rate=0.5", "model.head.kind=bins", "model.rows=0.1,0.9", "seed=3"])
    assert changed.schedule.rate == 0.5
    assert changed.model.head == HeadConfig("bins")
    assert changed.model.rows == (0.1, 0.9)
    assert changed.seed == 3
    assert change(changed, []) == changed


@pytest.mark.parametrize(("told", "meant"), [("false", False), ("False", False), ("true", True)])
def test_switches(told, meant):
    assert change(load_preset("hf"), [f"model.recompute={told}"]).model.recompute is meant


def test_a_preset_fixes_the_kind_of_network():
    assert change(load_preset("hf"), ["model.base=somewhere", "model.rank=4"]).model == HfVlaConfig(
        base="somewhere", rank=4
    )
    with pytest.raises(UsageError, match=r"no setting 'model\.rows'"):
        change(load_preset("hf"), ["model.rows=0,1"])


@pytest.mark.parametrize("setting", ["schedule.speed=1", "schedule.rate", "", "__class__=1"])
def test_what_is_no_setting(setting):
    with pytest.raises(UsageError, match=r"no setting .* Write NAME=VALUE"):
        change(load_preset("tiny"), [setting])


@pytest.mark.parametrize(
    "setting",
    ["data.accumulate=0", "data.kind_weights=0,0,0", "schedule.rate=nan", "schedule.rate=inf", "optimiser.clip=0",
     "optimiser.clip=nan", "optimiser.weight_decay=nan", "validation.every=0", "save_every=0", "threads=0",
     "data.fit_samples=0", "schedule.steps=0", "schedule.warmup=-1", "schedule.floor=nan", "optimiser.ema=1",
     "loss.stop=-1", "loss.score_power=nan", "loss.candidates=0", "loss.instruction_dropout=1.1", "loss.temperature=0",
     "validation.batches=0", "validation.patience=-1"],
)  # fmt: skip
def test_settings_that_no_training_has(setting):
    with pytest.raises(UsageError, match=setting.partition("=")[0]):
        change(load_preset("tiny"), [setting])


def test_wrong_type_exits_with_2(capsys):
    with pytest.raises(SystemExit) as exit_:
        change(load_preset("tiny"), ["seed=many"])
    assert exit_.value.code == 2
    assert "--seed" in capsys.readouterr().err


def test_unknown_preset():
    with pytest.raises(UsageError, match=r"no preset 'huge'.* Use one of tiny, bins"):
        load_preset("huge")


def test_help_loads_no_torch():
    code = "import sys, embodied_cf.cli, embodied_cf.train.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_names_every_preset():
    done = subprocess.run([sys.executable, "-m", "embodied_cf", "train", "--help"], capture_output=True, text=True)
    assert all(name in done.stdout.split("--preset")[1].split("--set")[0] for name in PRESETS)
