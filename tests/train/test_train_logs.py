import importlib.util
import sys
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType

import pytest

from embodied_cf.errors import MissingLibraryError
from embodied_cf.train.config import LogConfig, TrainConfig
from embodied_cf.train.logs import refuse_missing, scalars, together, watches
from embodied_cf.train.run import Run
from embodied_cf.train.trainer import Progress
from embodied_cf.train.validate import Validation

PLAIN = Progress(6, {"imitation": 0.5, "rate": 0.1}, None)
SEEN = replace(PLAIN, step=7, validation=Validation({"atomic": 0.25}, {"atomic": 2.0}, 0.75))


def test_scalars_by_hand():
    assert scalars(PLAIN) == {"train/imitation": 0.5, "train/rate": 0.1}
    assert scalars(SEEN) == {
        "train/imitation": 0.5,
        "train/rate": 0.1,
        "validation/loss/atomic": 0.25,
        "validation/error_m/atomic": 2.0,
        "validation/sensitivity_m": 0.75,
    }


@pytest.mark.parametrize("package", ["tensorboard", "wandb"])
def test_missing_packages_are_named(package, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refuse_missing(LogConfig())
    with pytest.raises(MissingLibraryError, match=rf"log\.{package}: .* pip install 'embodied-cf\[{package}\]'"):
        refuse_missing(LogConfig(**{package: True}))


def told(config, run, monkeypatch, name, module):
    """Return what a stand-in for a package is told of two steps; the packages themselves are large."""
    monkeypatch.setitem(sys.modules, name, module)
    with watches(TrainConfig(log=config), run, 5) as opened:
        watch = together(opened)
        watch(PLAIN)
        watch(SEEN)
    return module.told


def test_tensorboard(tmp_path, monkeypatch):
    module = ModuleType("tensorboard")
    module.told = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            module.told.append((folder, purge_step))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            module.told.append("closed")

        def add_scalar(self, name, value, step):
            module.told.append((name, value, step))

    module.SummaryWriter = SummaryWriter
    seen = told(LogConfig(tensorboard=True), Run(tmp_path), monkeypatch, "torch.utils.tensorboard", module)
    assert seen[:3] == [(tmp_path / "tensorboard", 6), ("train/imitation", 0.5, 6), ("train/rate", 0.1, 6)]
    assert seen[-2:] == [("validation/sensitivity_m", 0.75, 7), "closed"]


@pytest.mark.parametrize(("variable", "mode"), [(None, "offline"), ("online", "online"), ("disabled", "disabled")])
def test_wandb_sends_nothing_unless_told(variable, mode, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    module = ModuleType("wandb")
    module.told = []

    class Session:
        def log(self, values, step):
            module.told.append((values, step))

    @contextmanager
    def init(**options):
        module.told.append(options)
        yield Session()

    module.init = init
    options, *steps = told(LogConfig(wandb=True), Run(tmp_path / "red"), monkeypatch, "wandb", module)
    assert (options["mode"], options["group"], options["dir"]) == (mode, "red", tmp_path / "red")
    assert options["config"]["schedule"]["steps"] == TrainConfig().schedule.steps
    assert steps == [(scalars(PLAIN), 6), (scalars(SEEN), 7)]
