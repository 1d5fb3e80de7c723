import json
import re
import warnings

import numpy as np
import pytest
import torch
from rich.console import Console

from embodied_cf.cli import main
from embodied_cf.explain.checkpoints import load_policy, save_policy
from embodied_cf.explain.policies import MlpPolicy
from embodied_cf.explain.policy.command import print_policy
from embodied_cf.explain.policy.distance import Proximity, Returns, Visits
from embodied_cf.explain.policy.explanation import Cost, PolicyExplanation
from embodied_cf.explain.policy.search import Estimate

FAST = [
    "--mode",
    "paper",
    "--episodes",
    "10",
    "--confirm",
    "100",
    "--rate",
    "0.05",
    "--proximity",
    "0.1",
    "--delta",
    "5",
]


def balancing():
    """Pushes the cart towards where the pole falls, now and then wrongly: a return of some 56."""
    policy = MlpPolicy((4, 2), "categorical")
    with torch.no_grad():
        policy.layers[0].weight.copy_(torch.tensor([[0, 0, -1, -0.5], [0, 0, 1, 0.5]]))
        policy.layers[0].bias.zero_()
    return policy


def run(*arguments):
    with pytest.raises(SystemExit) as left:
        main(["explain", "policy", *map(str, arguments)])
    return left.value.code


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """A run of the command that writes everything."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("explained")
    save_policy(balancing(), out / "base.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pygame's own deprecations
        code = run(out / "base.safetensors", "--env", "CartPole-v1", "--target", 35, "--seed", 1, *FAST,
                   "--json", out / "e.json", "--html", out / "e.html", "--save", out / "new.safetensors")  # fmt: skip
    return code, out


def test_the_command_finds_a_worse_policy(explained):
    code, out = explained
    told = json.loads((out / "e.json").read_text())
    assert code == 0
    assert told["valid"]
    assert told["before"]["stochastic"]["mean"] > 45
    assert abs(told["after"]["stochastic"]["mean"] - 35) <= max(5, 2 * told["after"]["stochastic"]["error"])
    assert 0 < told["proximity"]["trajectory_kl"] < 20
    assert told["proximity"]["plausibility"] < 0
    assert told["cost"]["environment_steps"] > 0
    assert told["measures"]["validity"] == 1.0
    assert told["measures"]["placebo"] is told["measures"]["stability"] is told["measures"]["diversity"] is None
    assert told["measures"]["simulatability"] >= told["measures"]["blind_reader"] - 0.02


def test_the_json_has_the_map_of_the_page(explained):
    told = json.loads((explained[1] / "e.json").read_text())["map"]
    assert len(told["dimensions"]) == 2
    rows = told["kl"]
    assert len(rows) == len(rows[0]) == len(told["moved"]) == 24
    visited = [cell for row in rows for cell in row if cell is not None]
    assert 0 < len(visited) < 24 * 24
    page = (explained[1] / "e.html").read_text()
    assert f"dark {max(visited):.3g} nats" in page
    assert page.count("not measured") == 3


NEAR = Proximity(*(0.5,) * 8)
NOWHERE = Visits(torch.zeros(0, 4), torch.zeros(0, 4), *[torch.zeros(0)] * 2, *[torch.zeros(0, dtype=torch.int64)] * 2)


def returns(estimate):
    return Returns(estimate, estimate, (estimate.mean,))


def test_the_price_and_what_counts_as_valid_are_printed(explained, capsys):
    off, met = Estimate(12.0, 0.25, 100), Estimate(10.5, 0.25, 100)
    for after, valid, words in ((met, True, "confirm"), (off, False, "do not confirm")):
        told = PolicyExplanation(10.0, 1.0, "dual", -0.125, False, valid, returns(off), returns(after), NEAR,
                                 Cost(1, 1, 1.0), torch.nn.Identity(), NOWHERE)  # fmt: skip
        print_policy(told, Console(width=200))
        said = capsys.readouterr().out
        assert f"Fresh episodes {words} the target 10: valid is at most 1 off" in said
        assert "Price: -0.125 nats per unit of return" in said


def test_the_saved_policy_is_the_changed_one(explained):
    _, out = explained
    changed, told = load_policy(str(out / "new.safetensors")), json.loads((out / "e.json").read_text())
    moved = (changed.layers[0].weight - balancing().layers[0].weight).norm() ** 2 + changed.layers[0].bias.norm() ** 2
    distance = float(moved.detach()) ** 0.5 / float(balancing().layers[0].weight.detach().norm())
    assert distance == pytest.approx(told["proximity"]["parameters"], rel=1e-5)


def test_the_page_stands_alone(explained):
    page = (explained[1] / "e.html").read_text()
    assert "What must change so that the return is 35 instead of" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert page.count("<svg") == 3
    assert page.count("<img") >= 2
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page)


@pytest.mark.parametrize(
    ("policy", "env", "target", "words"),
    [
        ("p.pickle", "CartPole-v1", "100", "unknown policy format"),
        ("{base}", "NoSuchEnv-v0", "100", "gymnasium has no environment `NoSuchEnv-v0`"),
        ("{base}", "Acrobot-v1", "-100", "cannot read observations of shape"),
    ],
)
def test_bad_input_is_named(explained, capsys, policy, env, target, words):
    base = explained[1] / "base.safetensors"
    assert run(policy.format(base=base), "--env", env, "--target", target, *FAST) == 2
    assert words in capsys.readouterr().err


def test_an_unreachable_return_is_said_with_the_nearest(explained, capsys):
    base = explained[1] / "base.safetensors"
    code = run(base, "--env", "CartPole-v1", "--target", "900", *FAST, "--iterations", "3")
    assert code == 2
    assert re.search(r"no policy with return 900 was found: the nearest has \d+", capsys.readouterr().err)


def test_options_that_mean_nothing_are_refused(explained, capsys):
    base = explained[1] / "base.safetensors"
    for option, value, words in (
        ("--episodes", "0", "`episodes` is 0, not positive"),
        ("--rank", "-1", "`rank` is -1, negative"),
        ("--delta", "-1", "`delta` is -1.0, not positive"),
        ("--delta", "inf", "`delta` is inf, not positive and finite"),
        ("--scale", "nan", "`scale` is nan, not positive and finite"),
        ("--proximity", "nan", "`proximity` is nan, negative or not finite"),
        ("--episodes", "1", "`episodes` is 1, and mode dual is paced by how returns vary"),
        ("--confirm", "1", "`confirm` is 1, and one episode has no standard error"),
    ):
        assert run(base, "--env", "CartPole-v1", "--target", "30", option, value) == 2
        assert words in " ".join(capsys.readouterr().err.split())
    assert run(base, "--env", "CartPole-v1", "--target", "nan") == 2
    assert "the target nan is no return" in capsys.readouterr().err


def test_a_policy_that_needs_no_change(explained, capsys):
    base = explained[1] / "base.safetensors"
    assert run(base, "--env", "CartPole-v1", "--target", "55", *FAST[:-1], "50") == 0
    assert "nothing needs to change" in capsys.readouterr().err


def test_what_cannot_be_saved_is_refused_at_once(capsys, tmp_path):
    code = run(
        "test_explain_command:not_a_perceptron", "--env", "CartPole-v1", "--target", "30", "--save", tmp_path / "x"
    )
    assert code == 2
    assert "only multilayer perceptrons can be saved" in capsys.readouterr().err


def test_outputs_that_cannot_be_written_are_refused_before_the_search(explained, capsys, tmp_path):
    (tmp_path / "file").touch()
    base = explained[1] / "base.safetensors"
    for output, words in ((tmp_path / "file" / "why.json", "Not a directory"), (tmp_path, "Is a directory")):
        assert run(base, "--env", "CartPole-v1", "--target", "nan", "--json", output) == 2
        assert words in " ".join(capsys.readouterr().err.split())


def test_more_searches_tell_how_stable_the_answer_is(explained, tmp_path):
    base = explained[1] / "base.safetensors"
    code = run(base, "--env", "CartPole-v1", "--target", "45", *FAST, "--repeat", "1", "--json", tmp_path / "e.json")
    assert code == 0
    measures = json.loads((tmp_path / "e.json").read_text())["measures"]
    assert -1 <= measures["stability"] <= 1
    assert 0 < measures["diversity"] < 1


def not_a_perceptron():
    return torch.nn.Identity()


def test_the_generator_alone_decides(explained):
    """Torch's global generator plays no part."""
    from embodied_cf.explain.rollout import make_envs, play

    envs = make_envs("CartPole-v1")(3)
    torch.manual_seed(0)
    first = play(balancing(), envs, np.random.default_rng(5))
    torch.manual_seed(1)
    second = play(balancing(), envs, np.random.default_rng(5))
    assert (first.action == second.action).all()
    envs.close()
