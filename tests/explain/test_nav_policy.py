import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sights import BLUE, GREEN, RED, Constant
from sights import task as hand_made
from torch.distributions import kl_divergence

from embodied_cf.cli import main
from embodied_cf.counterfactual.errors import UnreachableError
from embodied_cf.datasets import normalise
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.envs.episodes import start_episodes
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.rollout import run_episodes
from embodied_cf.evaluate.suites import parse_suite
from embodied_cf.explain.chunk_law import chunk_law
from embodied_cf.explain.errors import PolicyError
from embodied_cf.explain.navigation.change import sentence, where_changed
from embodied_cf.explain.navigation.command import explain_nav_policy
from embodied_cf.explain.navigation.envs import NavEnvs, Tasks
from embodied_cf.explain.navigation.policy import Chunks, NavPolicy, changed_policy, load_run, perceive, save_run
from embodied_cf.explain.navigation.situations import CONTEXT, context, situations
from embodied_cf.explain.options import NavOptions, SearchOptions
from embodied_cf.explain.policies import divergence, log_likelihood, sample
from embodied_cf.explain.policy.distance import Visits
from embodied_cf.explain.rollout import check_fits, play
from embodied_cf.policies.checkpoint import load_policy, save_policy
from embodied_cf.policies.config import HeadConfig, ModelCard, NavVlaTinyConfig
from embodied_cf.policies.contract import Observation
from embodied_cf.policies.kept import kept_state
from embodied_cf.policies.nav_vla_tiny import NavVlaTiny
from embodied_cf.policies.text import vocabulary_of
from embodied_cf.policies.vla import VlaPolicy, fit_on

SUITE = "rooms/object/dev"
QUICK = SearchOptions(episodes=4, iterations=8, reuse=4, confirm=8, polish=0, rate=0.03, delta=0.15)


def make_policy(head="l1", history=1, **options):
    """Not trained: it creeps, and hardly ever stands."""
    body = load_embodiment("nav")
    config = NavVlaTinyConfig(size=32, history=history, channels=(8, 8, 16), width=16, layers=1, heads=2,
                              text_width=16, head=HeadConfig(head, bins=8))  # fmt: skip
    config = replace(config, **options)
    batch = config.fake_batch(64, body)
    torch.manual_seed(0)
    network = NavVlaTiny(ModelCard(config, body, vocabulary_of(batch.instruction)))
    normalizer = normalise.fit([(batch.action, batch.mask)], "quantile", body, "fake")
    fit_on(network, normalizer, [(batch.action, batch.mask)])
    return VlaPolicy(network.eval(), normalizer)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    policy, folder = make_policy(), tmp_path_factory.mktemp("run")
    save_policy(folder, policy.model.card, kept_state(policy.model), policy.normalizer)
    return folder


class HandMade(Tasks):
    """Always the same room."""

    def task(self, seed):
        return 0, hand_made()


def envs(policy, lanes=2, **options):
    return NavEnvs(policy, HandMade(parse_suite(SUITE)), lanes, **options)


def observations(policy, count=5):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (count, policy.history, 32, 32, 3), np.uint8)
    return perceive(policy, Observation(image), ("bear left", "turn right", "", "bear left", "")[:count]), image


@pytest.mark.parametrize("head", ["l1", "bins"])
def test_the_law_is_the_policys_own(head):
    """Log-probabilities are those that the policy tells of the chunks, but for the units of a density."""
    policy = make_policy(head)
    seen, image = observations(policy)
    law = NavPolicy(policy)(torch.from_numpy(seen))
    event = law.draw(np.random.default_rng(1)).detach()
    chunk = Chunks(policy).metric(event.numpy())
    told = policy.log_probability(Observation(image), ("bear left", "turn right", "", "bear left", ""), chunk)
    drives = (event[:, 0] < 0.5).numpy()
    units = 0.0 if head == "bins" else chunk.shape[1] * np.log(policy.normalizer.scale).sum()
    expected = told + np.where(drives, units, 0.0)
    np.testing.assert_allclose(log_likelihood(law, event).detach().numpy(), expected, rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("head", ["l1", "bins"])
def test_the_mode_is_what_is_carried_out(head):
    policy = make_policy(head)
    seen, image = observations(policy, 2)
    done = policy.act(Observation(image), ("bear left", "turn right"), np.random.default_rng(0))
    event = NavPolicy(policy)(torch.from_numpy(seen)).mode.detach().numpy()
    np.testing.assert_allclose(Chunks(policy).metric(event), done.chunk, atol=1e-5)


@pytest.mark.parametrize("head", ["l1", "bins"])
def test_the_divergence_is_that_of_many_draws(head):
    one, other = make_policy(head).model, make_policy(head).model
    with torch.no_grad():
        for weight in (other.head.chunk if head == "l1" else other.head.logits).parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)))
    tokens = torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(1))
    many = tokens.expand(10_000, -1, -1)
    p, q = (chunk_law(it.head, many, torch.full((10_000,), stop)) for it, stop in ((one, -1.0), (other, -0.5)))
    with torch.no_grad():
        event = sample(p, np.random.default_rng(0))
        ratio = log_likelihood(p, event) - log_likelihood(q, event)
        exact = float(divergence(p, q)[0])
        assert float(kl_divergence(p, p)[0]) == pytest.approx(0.0, abs=1e-6)
    assert exact > 0.05
    assert float(ratio.mean()) == pytest.approx(exact, abs=4 * float(ratio.std()) / 100)
    assert float(event[:, 0].mean()) == pytest.approx(1 / (1 + np.e), abs=0.02)


def test_a_narrower_law_draws_nearer_to_the_centre():
    policy = make_policy()
    seen = torch.from_numpy(observations(policy, 1)[0])
    wide, narrow = (NavPolicy(policy, width=width)(seen) for width in (1.0, 0.25))
    torch.testing.assert_close(narrow.stddev[:, 1:], wide.stddev[:, 1:] / 4)
    torch.testing.assert_close(narrow.mode, wide.mode)


def test_a_head_without_a_law_is_refused(tmp_path):
    policy = make_policy("flow")
    save_policy(tmp_path, policy.model.card, kept_state(policy.model), policy.normalizer)
    with pytest.raises(PolicyError, match=r"FlowHead tells no log-probabilities.*head.kind=l1 or =bins"):
        load_run(str(tmp_path))


def test_policies_that_are_no_networks_are_refused(monkeypatch):
    monkeypatch.setattr("embodied_cf.explain.navigation.policy.load", lambda run: Constant())
    with pytest.raises(PolicyError, match=r"Constant draws no actions.*Name a run directory"):
        load_run("sights:Constant")


def test_only_what_decides_may_change():
    policy = make_policy()
    names = {name for name, it in NavPolicy(policy).named_parameters() if it.requires_grad}
    assert any(name.startswith("model.trunk.layers.0") for name in names)
    assert not any(name.startswith(("model.eye", "model.text")) for name in names)
    changed = NavPolicy(policy, ("stop", "trunk.layers.*.linear?"))
    few = {name for name, it in changed.named_parameters() if it.requires_grad}
    assert few == {"model.stop.weight", "model.stop.bias", *(f"model.trunk.layers.0.linear{at}.{part}" for at in (1, 2)
                                                            for part in ("weight", "bias"))}  # fmt: skip
    with pytest.raises(UsageError, match=r"no layer is called eye\.\*.*head\.chunk.*stop"):
        NavPolicy(policy, ("eye.*",))


@pytest.mark.parametrize("history", [1, 3])
def test_the_environment_is_the_evaluation(history):
    """Without draws, the same ways as `evaluate` drives."""
    policy = make_policy(history=history)
    world = envs(policy)
    check_fits(NavPolicy(policy), world)
    seed = int(np.random.default_rng(5).integers(2**31 - 2))
    played = play(NavPolicy(policy), world, np.random.default_rng(5), greedy=True)
    assert played.count == 2
    task = replace(hand_made(), seed=seed)  # the chance of a lane is that of its own seed
    # as many side by side: a batch of one differs from one of two in the last bits, and those grow
    driven = run_episodes(policy, [task] * 2, [task.text] * 2, np.random.default_rng(0))
    np.testing.assert_allclose(world.path(0)[:20], driven.path(0)[:20], atol=1e-5)


def test_returns_are_successes_or_progress():
    policy = make_policy()
    for measure in ("success", "progress"):
        world = envs(policy, measure=measure)
        played = play(NavPolicy(policy), world, np.random.default_rng(0))
        worth = world.now.success if measure == "success" else world.now.tracker.progress
        np.testing.assert_allclose(played.returns.numpy(), worth)


def test_pools_come_round_and_are_apart():
    suite = parse_suite("rooms/all/dev")
    few, all_ = Tasks(suite, 3), Tasks(suite)
    assert few.task(1)[1].seed == few.task(4)[1].seed
    assert few.task(1)[1].seed != all_.task(1)[1].seed
    assert [few.task(at)[0] for at in range(3)] == [0, 1, 2]


def test_situations_of_a_known_room():
    """The red chair is 3.5 m ahead and 0.8 m left; robot and chair have radii 0.25 and 0.36 m."""
    now = start_episodes([hand_made((RED, BLUE, GREEN))])
    told = dict(zip(CONTEXT, context(now, np.array([2]))[0], strict=True))
    assert told["distance to the target (m)"] == pytest.approx(np.hypot(3.5, 0.8) - 0.61, abs=1e-6)
    assert told["bearing of the target (rad, left positive)"] == pytest.approx(np.arctan2(0.8, 3.5))
    assert told["target in view"] == told["names a target"] == 1
    assert told["free way ahead (m)"] == pytest.approx(np.hypot(3.5, 1.2) - 0.32 - 0.25, abs=1e-6)
    assert told["distance to people (m)"] == 10
    assert told["cell"] == 2


def test_answers_to_one_question_leave_nothing_out():
    given = np.random.default_rng(0).uniform(0, 3, (50, len(CONTEXT)))
    given[:, CONTEXT.index("names a target")], given[:, CONTEXT.index("rule")] = 1, 0
    for question, answers in situations(given).items():
        assert (sum(rows.astype(int) for rows in answers.values()) == 1).all(), question


def test_the_map_in_words_names_what_was_planted():
    """A policy that stops more, everywhere; divergence is planted near the target."""
    policy = make_policy()
    original, changed = NavPolicy(policy), NavPolicy(policy)
    with torch.no_grad():
        changed.model.stop.bias.add_(4.0)
    seen = torch.from_numpy(np.repeat(observations(policy)[0], 20, axis=0))
    given = torch.zeros(100, len(CONTEXT))
    given[:, CONTEXT.index("names a target")] = given[:, CONTEXT.index("target in view")] = 1
    given[:, 0] = torch.tensor([0.2, 1.0, 2.0, 5.0, 5.0]).repeat(20)
    kl = (given[:, 0] < 0.5).float()
    places = where_changed(
        Visits(seen, given, kl, torch.ones(100), *[torch.zeros(100, dtype=torch.int64)] * 2),
        changed,
        original,
        Chunks(policy),
        4,
    )
    said = sentence(places, "how far is the target?")
    assert said.startswith("Most changed: at the target (< 0.5 m). That is 20% of the decisions and 100% of the change")
    assert "stops more" in said
    assert sentence(places, "no such question") == ""


@pytest.fixture
def one_room(monkeypatch):
    """No time is spent on making tasks."""
    monkeypatch.setattr("embodied_cf.explain.navigation.envs.Tasks", HandMade)
    monkeypatch.setattr("embodied_cf.explain.navigation.film._LANES", 4)


def test_the_command_writes_everything(run, tmp_path, one_room):
    """Asked for about what it has, the policy comes back as it is; what is saved is it."""
    out = tmp_path / "changed"
    arguments = ["explain", "policy", str(run), "--suite", SUITE, "--measure", "progress", "--target", "0.8",
                 "--delta", "0.4", "--confirm", "8", "--json", str(tmp_path / "e.json"),
                 "--html", str(tmp_path / "e.html"), "--save", str(out)]  # fmt: skip
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    told = json.loads((tmp_path / "e.json").read_text())
    assert told["valid"]
    assert told["unchanged"]
    assert told["sentences"] == []
    assert told["places"]
    page = (tmp_path / "e.html").read_text()
    assert "data:image/jpeg" in page
    assert "http" not in page
    one, other = load_policy(out).model, load_policy(run).model
    assert one.card == other.card
    assert torch.equal(one.stop.weight, other.stop.weight)


def test_what_is_unreachable_says_how_near_it_came(one_room):
    with pytest.raises(UnreachableError, match=r"no policy with return 1 was found, nor one nearer"):
        explain_nav_policy(make_policy(), 1.0, NavOptions(suite=SUITE), QUICK)


def test_chains_that_are_told_part_by_part_are_refused():
    policy = make_policy(by_parts=True)
    with pytest.raises(PolicyError, match=r"told chains part by part.*rooms/object/dev"):
        explain_nav_policy(policy, 0.5, NavOptions(suite="rooms/all/dev"))


def test_shares_only():
    with pytest.raises(UsageError, match=r"the target 1\.5 is no share"):
        explain_nav_policy(make_policy(), 1.5, NavOptions(suite=SUITE))


@pytest.mark.parametrize("more", [[], ["--env", "CartPole-v1", "--suite", SUITE]])
def test_one_of_environment_and_suite(more, capsys):
    with pytest.raises(SystemExit) as left:
        main(["explain", "policy", "x", "--target", "0.5", *more])
    assert left.value.code == 2
    assert "name either --env or --suite" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("options", [{}, {"eye": "pretrained", "size": 144}])
def test_changes_reach_the_policy_that_is_evaluated(options):
    policy = make_policy(**options)
    changed = NavPolicy(policy)
    with torch.no_grad():
        changed.model.stop.bias.add_(50.0)
    tasks = [hand_made()]
    drives = run_episodes(changed_policy(policy, changed), tasks, [tasks[0].text], np.random.default_rng(0))
    assert drives.final.travelled[0] == 0.0


def test_a_changed_policy_with_a_shipped_eye_is_saved_and_loaded(tmp_path):
    policy = make_policy(eye="pretrained", size=144)
    changed = NavPolicy(policy)
    with torch.no_grad():
        changed.model.stop.bias.add_(1.0)
    save_run(policy, changed, tmp_path)
    loaded, kept = load_run(str(tmp_path)).model.state_dict(), policy.model.state_dict()
    other = [name for name in kept if name in loaded and not torch.equal(loaded[name], kept[name])]
    assert other == ["stop.bias"]
