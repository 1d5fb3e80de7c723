"""TFDS is imported before a bar is shown: meanwhile nothing that rich's thread imports can be had."""

import sys

import pytest
from rich.progress import Progress

from embodied_cf.datasets.convert.command import run_convert
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.envs.collect import CollectOptions
from embodied_cf.envs.collect_command import run_collect
from embodied_cf.evaluate.demo_command import run_demo


@pytest.mark.parametrize(
    "shown",
    [
        lambda out: run_collect("EmbodiedCF/Rooms-v0", out, CollectOptions("", 1), None),
        lambda out: run_convert(ConvertOptions(out, out, to="rlds"), None),
        lambda out: run_demo(out, 1.0, 0, None),
    ],
    ids=["collect", "convert", "demo"],
)
def test_tfds_comes_before_the_bar(shown, tmp_path, monkeypatch):
    monkeypatch.setattr(Progress, "start", lambda bar: pytest.fail("the bar came first"))
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)  # importing it fails
    with pytest.raises(ModuleNotFoundError, match="tensorflow_datasets"):
        shown(tmp_path)
