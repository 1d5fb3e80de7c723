"""The command `explain episode` and `explain input`."""

import json
import re

import gymnasium
import pytest

from embodied_cf.cli import main
from embodied_cf.explain.episode.decisive import OPTIONS
from embodied_cf.explain.input.known_causes import ColourSeeker, Listener

TASK = ["--world", "rooms", "--people", "0", "0", "--seed", "1"]
BASES = "benchmarks/counterpol_bases"
CART = ["--env", "CartPole-v1"]


def seeker():
    return ColourSeeker(colour="purple")


def listener():
    return Listener()


def no_policy():
    return "nothing"


def arm():
    from embodied_cf.datasets.embodiment import load_embodiment

    class Arm(ColourSeeker):
        embodiment = load_embodiment("arm")

    return Arm()


def digs(env, rng):
    return lambda observation: 2 if observation["at"] == 2 else 1


def no_actor(env, rng):
    return "nothing"


def run(*arguments):
    with pytest.raises(SystemExit) as left:
        main(["explain", *map(str, arguments)])
    return left.value.code


def test_an_episode_is_explained_with_page_picture_and_numbers(tmp_path, capsys):
    files = ["--json", tmp_path / "e.json", "--html", tmp_path / "e.html", "--picture", tmp_path / "e.png"]
    few = ["--search", "4", "--draws", "1", "--samples", "2"]
    code = run("episode", "test_explain_kinds:seeker", *TASK, *few, *files)
    assert code == 0
    assert "Told “" in capsys.readouterr().err
    told = json.loads((tmp_path / "e.json").read_text())
    assert told["failure"] != "succeeded"
    assert len(told["takeover"]) == told["decisions"] + 1
    assert set(told["averted"]) == set(OPTIONS)
    page = (tmp_path / "e.html").read_text()
    assert "why did it fail?" in page
    assert page.index("<img") < page.index("<svg") < page.index("<table")
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert (tmp_path / "e.png").read_bytes()[:4] == b"\x89PNG"


def test_an_input_is_explained_with_a_page_and_numbers(tmp_path, capsys):
    code = run("input", "test_explain_kinds:listener", *TASK, "--views", "2", "--nearby", "1",
               "--json", tmp_path / "i.json", "--html", tmp_path / "i.html")  # fmt: skip
    assert code == 0
    told = json.loads((tmp_path / "i.json").read_text())
    assert told["measures"]["placebo"] == 0.0
    assert {it["concept"] for it in told["concepts"]} >= {"placebo", "instruction"}
    assert "actions changed" in capsys.readouterr().err
    page = (tmp_path / "i.html").read_text()
    assert page.count("<img") >= 3
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("episode", "nothing.here:at_all"), "cannot be imported"),
        (("episode", "neither"), "no run, factory or address"),
        (("episode", "test_explain_kinds:no_policy"), "str is no policy: it needs camera, history"),
        (("input", "test_explain_kinds:arm"), "a policy for 'arm', not for a robot that drives"),
        (("episode", "test_explain_kinds:seeker", "--world", "moon"), "moon"),
        (("input", "test_explain_kinds:seeker", "--views", "0"), "views is at least 1"),
        (("input", "test_explain_kinds:seeker", "--tolerance", "0"), "tolerance positive"),
        (("input", "test_explain_kinds:listener", *TASK, "--decision", "999"), "no decision 999: the episode has "),
        (
            ("episode", "test_explain_kinds:seeker", "--execute", "0"),
            "execute at least 1: --draws 4, --samples 16, --execute 0",
        ),
        (("episode", "test_explain_kinds:seeker", "--execute", "9"), "--execute 9 is beyond the 8 control periods"),
        (("episode", "test_explain_kinds:seeker", "--search", "0"), "--search 0 is less than 1"),
        (
            ("episode", "test_explain_kinds:seeker", "--succeeds-at", "3"),
            "--succeeds-at, --hold and --greedy are for --env",
        ),
        (("episode", "json:dumps"), "cannot be called without arguments: missing a required argument: 'obj'"),
        (("episode", "json:__name__"), "cannot be called without arguments: 'json' is not a callable object"),
        (("episode", "json:dumps", *CART), "json:dumps: cannot be called with (env, rng)"),
        (("episode", "test_explain_kinds:no_actor", *CART), "returns str, which is no policy"),
        (("episode", "test_explain_kinds:digs", "--env", "Pendulum-v1", "--learn", "4"), "a model is learnt of a few"),
        (("episode", "test_explain_kinds:digs", "--env", "foo bar"), "no environment 'foo bar'"),
        (("episode", "test_explain_kinds:digs", *CART, "--hold", "0"), "--hold is 0"),
        (("episode", "test_explain_kinds:digs", *CART, "--hold", "2", "--learn", "4"), "Leave out --hold or --learn"),
        (("episode", "test_explain_kinds:seeker", "--hold", "2"), "--hold and --greedy are for --env"),
        (("episode", "test_explain_kinds:digs", *CART, "--greedy"), "--greedy is for checkpoints"),
        (("episode", "test_explain_kinds:digs", *CART, "--picture", "x.png"), "Ask for --html"),
        (("episode", "test_explain_kinds:digs", *CART, "--world", "courtyard"), "and --execute are the simulator's"),
        (("episode", "test_explain_kinds:digs", *CART, "--execute", "2"), "Leave them out with --env"),
        (("episode", "test_explain_kinds:digs", *CART, "--seed", "-3"), "--seed is -3"),
        (("episode", "test_explain_kinds:digs", *CART, "--succeeds-at", "nan"), "--succeeds-at is nan"),
        (("episode", "missing.safetensors", *CART), "there is no such file"),
        (("episode", "runs/rooms", *CART), "Name a function of (environment, generator)"),
        (("episode", f"{BASES}/Acrobot-v1.safetensors", *CART), "cannot read observations of shape (4,)"),
        (("episode", "test_explain_kinds:digs", *CART, "--learn", "1"), "learn is 0 or at least 2"),
    ],
)
def test_bad_input_is_named(arguments, words, capsys):
    assert run(*arguments) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_an_outside_environment_is_re_executed(tmp_path, capsys):
    gymnasium.register("Corridor-v0", entry_point="test_reexecute:Corridor")
    code = run("episode", "test_reexecute:walks_on", "--env", "Corridor-v0", "--json", tmp_path / "c.json")
    assert code == 0
    assert json.loads((tmp_path / "c.json").read_text())["decisive"] == [2, 2]
    assert "at step 2, dig instead of right" in " ".join(capsys.readouterr().err.split())
    assert run("episode", "test_explain_kinds:digs", "--env", "Corridor-v0", "--search", "2") == 2
    assert "no episode fails from seed 0 to 1" in capsys.readouterr().err


def test_a_greedy_checkpoint_of_continuous_actions(tmp_path):
    swing = ("episode", f"{BASES}/Pendulum-v1.safetensors", "--env", "Pendulum-v1", "--succeeds-at=-250", "--greedy")
    told = []
    for name in ("one.json", "again.json"):
        assert run(*swing, "--search", "9", "--hold", "50", "--json", tmp_path / name) == 0
        told.append(json.loads((tmp_path / name).read_text()))
    assert told[0] == told[1]
    assert (told[0]["choices"], told[0]["hold"], len(told[0]["averted"])) == (["-2", "0", "2"], 50, 4)
    assert all(-2 <= torque <= 2 for (torque,) in told[0]["actions"])
