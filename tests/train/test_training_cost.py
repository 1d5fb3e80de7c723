import sys

import pytest
import torch
from tiny_vlms import save_vlm
from transformers import AutoConfig, AutoModelForImageTextToText

from benchmarks.random_vlms import SIZES
from benchmarks.training_cost import CASES, Case, main, measured


def test_a_pretrained_model(labelled, tmp_path):
    base = save_vlm("smolvlm", tmp_path / "base")
    row = measured(Case("hf-debug", (), str(base)), labelled, tmp_path, 8, "cpu")
    assert row["base"] == base.name
    assert row["peak_gib"] is None
    assert 0 < row["trained"] < row["parameters"]
    assert min(row["seconds_a_step"], *row["decision_ms"].values(), *row["loss"]) > 0


@pytest.mark.parametrize(
    ("name", "published"),
    [("smolvlm-500m", 507_482_304), ("paligemma-3b", 2_923_466_480), ("qwen2.5-vl-3b", 3_754_622_976)],
)
def test_shapes_have_as_many_weights_as_the_published_models(name, published):
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(**SIZES[name]))
    assert sum(value.numel() for value in model.parameters()) == published


@pytest.mark.parametrize(
    ("options", "told"),
    [(("--steps", "6"), "--steps 6 leaves none"), (("--only", "huge"), f"no case huge; there are {', '.join(CASES)}")],
)
def test_bad_options_are_named(options, told, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["training_cost", *options])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert told in capsys.readouterr().err
