import sys

import pytest
from tiny_vlms import save_vlm

from benchmarks.training_cost import CASES, Case, main, measured


def test_a_pretrained_model(labelled, tmp_path):
    base = save_vlm("smolvlm", tmp_path / "base")
    row = measured(Case("hf-debug", (), str(base)), labelled, tmp_path, 8, "cpu")
    assert row["base"] == base.name
    assert row["peak_gib"] is None
    assert 0 < row["trained"] < row["parameters"]
    assert min(row["seconds_a_step"], *row["decision_ms"].values(), *row["loss"]) > 0


@pytest.mark.parametrize(
    ("options", "told"),
    [(("--steps", "6"), "--steps 6 leaves none"), (("--only", "huge"), f"no case huge; there are {', '.join(CASES)}")],
)
def test_bad_options_are_named(options, told, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["training_cost", *options])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert told in capsys.readouterr().err
