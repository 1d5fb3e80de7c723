"""The soak at a small size, and its arithmetic on numbers made by hand."""

import argparse
import math
from xml.etree import ElementTree

import pytest

from benchmarks.processes import Sample, Watched
from benchmarks.soak import growth, soak
from benchmarks.soak_figure import _round_step, draw


def _run(engine, workers, rate):
    samples = [{"seconds": float(t), "largest_mb": 100.0, "total_mb": 200.0} for t in range(11)]
    return {"engine": engine, "workers": workers, "steps_per_second": rate, "process_seconds": 10.0, "samples": samples}


def test_a_small_soak_says_what_was_done_and_used(tmp_path):
    size = argparse.Namespace(steps=400, shards=4, every=0.05, variants=["local:1"])
    (run,) = soak(tmp_path, size)
    assert (run["engine"], run["workers"], run["steps"]) == ("local", 1, 400)
    assert run["labels"] > 400
    assert run["process_seconds"] > run["seconds"] > 0
    assert run["cpu_seconds"] > 0.1
    assert max(sample["largest_mb"] for sample in run["samples"]) > 20
    assert all(sample["total_mb"] >= sample["largest_mb"] > 0 for sample in run["samples"])
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["bench"], "outputs are removed, data stay"


def test_growth_is_the_slope_after_the_first_fifth():
    # 50 MB more during start-up, then 0.1 MB a second: 10 MB in 100 s of 500 000 steps
    samples = [Sample(float(t), 50.0 + 0.1 * t if t >= 20 else 2.0 * t, 0.0) for t in range(101)]
    assert growth(Watched(seconds=100.0, samples=samples), 500_000) == pytest.approx(20.0)
    assert math.isnan(growth(Watched(seconds=100.0, samples=[Sample(30.0, 50.0, 50.0)]), 10)), "one says nothing"


@pytest.mark.parametrize(("most", "step"), [(100, 20), (9, 2), (4, 1), (12_000, 2_000), (27_000, 5_000)])
def test_grid_lines_stand_at_round_numbers(most, step):
    assert _round_step(most) == step


def test_the_figure_is_a_drawing_of_every_run():
    result = {"steps": 1000, "shards": 4, "runs": [_run("local", 1, 4000.0), _run("ray", 2, 8000.0)]}
    root = ElementTree.fromstring(draw(result))
    space = "{http://www.w3.org/2000/svg}"
    heights = [float(bar.get("height")) for bar in root.iter(f"{space}rect") if bar.get("fill") != "white"]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    lines = [line.get("points").split() for line in root.iter(f"{space}polyline")]
    assert [len(points) for points in lines] == [11, 11]
    assert len({point.split(",")[1] for points in lines for point in points}) == 1, "flat memory is a flat line"
    assert {"4,000", "8,000", "local 1", "ray 2"} <= {text.text for text in root.iter(f"{space}text")}
