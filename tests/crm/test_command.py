"""`embodied-cf crm`: files in, JSON and pages out, errors told."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from embodied_cf.cli import main
from embodied_cf.crm.draw import Mark, curve, intervals, weight_histogram
from embodied_cf.crm.log_files import StoredLog, write_npz
from embodied_cf.crm.logs import from_arrays

N = 900


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Costs in [-1, 0] of a blind logger that could do better."""
    rng = np.random.default_rng(0)
    context = rng.normal(size=(N, 2))
    action = rng.integers(2, size=N)
    good = action == (context.sum(axis=1) > 0)
    reward = -(rng.random(N) < np.where(good, 0.1, 0.7)).astype(float)
    path = tmp_path_factory.mktemp("logs") / "log.npz"
    log = from_arrays(context, action, np.full(N, 0.5), reward, (-1.0, 0.0), logger="nav<1>")
    write_npz(path, StoredLog(log))
    return path


def crm(*arguments):
    with pytest.raises(SystemExit) as done:
        main(["crm", *map(str, arguments)])
    return done.value.code


def test_evaluate_fit_improve(logs, tmp_path, capsys):
    span = ("--low", -1, "--high", 0)
    grid = ("--grid", 0.0, 0.3)
    policy, better = tmp_path / "fit.json", tmp_path / "better.json"
    outputs = ("--json", tmp_path / "out.json", "--html", tmp_path / "out.html")
    assert crm("fit", logs, *span, "--out", policy, *grid, *outputs) == 0
    assert json.loads((tmp_path / "out.json").read_text())["chosen"] in (0.0, 0.3)
    assert crm("improve", logs, *span, "--out", better, *grid, *outputs) == 0
    improved = json.loads((tmp_path / "out.json").read_text())
    assert improved["decision"] == "deploy"
    assert improved["tested"][0]["lower"] > 0.1
    assert "A better policy was found" in (tmp_path / "out.html").read_text()
    capsys.readouterr()
    assert crm("evaluate", logs, *span, "--target", better, "--max-weight", 3, *outputs) == 0
    told = capsys.readouterr().out
    assert told.index("amount to") < told.index("IPS"), "diagnostics first"
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["interval"]["holds"]
    assert result["interval"]["lower"] < -0.2 < result["interval"]["upper"] + 0.15
    assert [row["estimator"] for row in result["estimates"]][:2] == ["IPS", "SNIPS"]
    page = (tmp_path / "out.html").read_text()
    assert page.count("<svg") == 3
    assert "nav&lt;1&gt;" in page, "names are escaped"
    assert not re.search(r"(src|href)=|nan|@import", page), "self-contained, every number is one"


def test_the_logger_is_its_own_target(logs, tmp_path):
    assert crm("evaluate", logs, "--low", -1, "--high", 0, "--json", tmp_path / "e.json") == 0
    result = json.loads((tmp_path / "e.json").read_text())
    assert result["estimates"][0]["value"] == pytest.approx(result["loggers"][0]["mean"])
    assert result["interval"]["lower"] < result["loggers"][0]["mean"] < result["interval"]["upper"]


def test_an_interval_whose_ends_cross_holds_nothing(tmp_path, capsys):
    log = from_arrays(np.zeros((90, 1)), np.zeros(90, int), np.full(90, 1 / 3), np.arange(90) % 2 - 1.0, (-1.0, 0.0))
    write_npz(tmp_path / "log.npz", StoredLog(log, np.zeros(90)))  # the target always does what was always done
    assert crm("evaluate", tmp_path / "log.npz", "--low", -1, "--high", 0, "--json", tmp_path / "e.json") == 0
    assert not json.loads((tmp_path / "e.json").read_text())["interval"]["holds"]
    told = " ".join(capsys.readouterr().out.split())
    assert "No value agrees with these weights" in told
    assert "confidence" not in told


def test_a_single_decision_has_no_standard_error(tmp_path, capsys):
    log = from_arrays(np.zeros((1, 1)), np.zeros(1, int), np.full(1, 0.5), np.zeros(1), (-1.0, 0.0))
    write_npz(tmp_path / "log.npz", StoredLog(log))
    options = ("--low", -1, "--high", 0, "--json", tmp_path / "e.json", "--html", tmp_path / "e.html")
    assert crm("evaluate", tmp_path / "log.npz", *options) == 0
    assert json.loads((tmp_path / "e.json").read_text())["estimates"][0]["standard_error"] is None
    assert not re.search("nan|inf", (tmp_path / "e.html").read_text().replace("[-inf, inf]", ""))
    assert crm("evaluate", tmp_path / "log.npz", *options, "--method", "student_t") == 2
    assert "student_t needs at least two values" in capsys.readouterr().err


def test_evaluate_counts_episodes(tmp_path, capsys):
    """Twenty decisions with one outcome are one trial, in the interval, the standard errors and the loggers' record."""
    wide, narrow = tmp_path / "wide.json", tmp_path / "narrow.json"
    for out, repeats in ((narrow, 1), (wide, 20)):
        rng = np.random.default_rng(0)
        outcome = -np.repeat(rng.random(50) < 0.4, repeats).astype(float)
        n = len(outcome)
        log = from_arrays(np.zeros((n, 1)), rng.integers(2, size=n), np.full(n, 0.5), outcome, (-1.0, 0.0))
        write_npz(tmp_path / "log.npz", StoredLog(replace(log, episode=np.arange(n) // repeats)))
        assert crm("evaluate", tmp_path / "log.npz", "--low", -1, "--high", 0, "--json", out, "--html",
                   tmp_path / "e.html") == 0  # fmt: skip
    assert "the mean over 50 episodes of an episode's mean" in " ".join(capsys.readouterr().out.split())
    assert "The interval is for the mean over 50 episodes" in (tmp_path / "e.html").read_text()
    once, often = json.loads(narrow.read_text()), json.loads(wide.read_text())
    assert (often["decisions"], often["episodes"]) == (1000, 50)
    for told in ("interval", "loggers"):
        a, b = (found[told] if told == "interval" else found[told][0] for found in (once, often))
        assert (b["lower"], b["upper"]) == pytest.approx((a["lower"], a["upper"]))
    assert often["estimates"][0]["standard_error"] == pytest.approx(once["estimates"][0]["standard_error"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--low", 0, "--high", 1), "a reward outside its range"),
        (("--low", 0, "--high", 1), "--low, --high"),
        (("--low", -1, "--high", 0, "--logger", "who"), "no decision of logger 'who'"),
        (("--low", -1, "--high", 0, "--method", "hoeffding"), "needs a finite max_weight"),
        (("--low", -1, "--high", 0, "--target", "absent.json"), "not a policy file"),
    ],
)
def test_errors_are_told(logs, arguments, text, capsys):
    assert crm("evaluate", logs, *arguments) == 2
    assert text in capsys.readouterr().err


def test_actions_and_policies_must_fit(logs, tmp_path, capsys):
    assert crm("fit", logs, "--low", -1, "--high", 0, "--out", tmp_path / "p", "--policy", "gaussian") == 2
    assert "a gaussian policy does not fit actions that are whole numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "arguments", "text"),
    [
        ("fit", ("--hidden", -2), "hidden is at least 0"),
        ("fit", ("--scale", 0), "scale positive"),
        ("fit", ("--grid", "nan"), "--grid takes finite numbers at least 0 for variance"),
        ("fit", ("--grid", 0, "--objective", "log-smoothing"), "finite numbers above 0 for log-smoothing"),
        ("improve", ("--tests", 0), "--tests is 0"),
        ("improve", ("--delta", 0.5), "between 0 and 0.5, and not 0.5"),
    ],
)
def test_options_out_of_range_are_told(logs, tmp_path, verb, arguments, text, capsys):
    assert crm(verb, logs, "--low", -1, "--high", 0, "--out", tmp_path / "p.json", *arguments) == 2
    assert text in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "p.json").exists()


def test_lognormal_policies_need_settings_above_0(tmp_path, capsys):
    action = np.array([0.5, -0.5, 1.0])
    log = from_arrays(np.zeros((3, 1)), action, np.full(3, 0.3), np.zeros(3), (-1.0, 0.0))
    write_npz(tmp_path / "log.npz", StoredLog(log))
    assert crm("fit", tmp_path / "log.npz", "--low", -1, "--high", 0, "--out", tmp_path / "p.json",
               "--policy", "lognormal") == 2  # fmt: skip
    assert "a lognormal policy does not fit settings of 0 or less" in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()


@pytest.mark.parametrize("verb", ["fit", "improve"])
def test_outputs_are_checked_before_learning(logs, tmp_path, verb, capsys):
    """A page that cannot be written leaves no policy behind either."""
    assert crm(verb, logs, "--low", -1, "--high", 0, "--out", tmp_path / "p.json", "--html", tmp_path) == 2
    assert "cannot write (Is a directory)" in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()


def test_pictures_of_edge_cases():
    """One weight, weights of zero, no spread, infinite ends: every coordinate is a number inside the picture."""
    drawn = [
        weight_histogram(np.ones(3)),
        weight_histogram(np.zeros(2)),
        weight_histogram(np.array([1e-9, 1e9])),
        intervals([Mark("a & b", 1.0, 1.0, 1.0)], reference=1.0),
        intervals([Mark("x", 0.2, 0.1, float("inf"))], reference=0.0),
        curve([Mark("v1", -0.5, -0.6, -0.4), Mark("v2", -0.3, -0.4, -0.2)]),
    ]
    for picture in drawn:
        assert "nan" not in picture
        assert "inf" not in picture.replace("inf]", "")
        for x in re.findall(r'(?:cx|x|x1|x2)="(-?[\d.]+)"', picture):
            assert 0 <= float(x) <= 520
    assert "a &amp; b" in drawn[3]
