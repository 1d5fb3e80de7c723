import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from test_train_command import command, losses

from embodied_cf.policies.checkpoint import load_policy
from embodied_cf.policies.contract import Observation
from embodied_cf.train.team import ALONE, joined

PLAIN = (
    "data.augment=none",
    "loss.instruction_dropout=0",
    "optimiser.ema=0",
    "schedule.steps=6",
    "validation.every=3",
)


def together(*arguments):
    """Run the command as two processes, as docs/training.md says."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    told = [*launcher, "-m", "embodied_cf", "train", *map(str, arguments)]
    done = subprocess.run(told, check=False, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return done.returncode, done.stderr


def test_two_processes_are_one(labelled, tmp_path):
    """Begun by one and gone on with by two: the same as one but for the order of sums."""
    options = ("--data", labelled, "--preset", "tiny-debug", "--set", *PLAIN)
    assert command(*options, "--out", tmp_path / "one") == 0
    assert command(*options, "--out", tmp_path / "two", "--steps", 2) == 0
    code, said = together("--resume", "--out", tmp_path / "two", "--json", tmp_path / "told.json")
    assert code == 0, said
    for alone, shared in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert shared == pytest.approx(alone, rel=1e-3)
    one, two = (load_policy(tmp_path / run) for run in ("one", "two"))
    seen = Observation(np.random.default_rng(0).integers(0, 256, (8, 1, 32, 32, 3), np.uint8))
    done = [policy.act(seen, ("turn left",) * 8, np.random.default_rng(0)).chunk for policy in (one, two)]
    np.testing.assert_allclose(*done, atol=1e-4)
    assert " ".join(said.split()).count("6 steps in all") == 1
    assert json.loads((tmp_path / "told.json").read_text())["steps_now"] == 4


def test_alone_nothing_is_shared():
    weight = torch.nn.Parameter(torch.zeros(2))
    ALONE.average_gradients([weight])
    assert weight.grad is None
    assert ALONE.leads
    assert ALONE.average({"loss": 3.0}) == {"loss": 3.0}
    assert ALONE.told(lambda: "found") == "found"
    with joined() as team:
        assert team == ALONE
