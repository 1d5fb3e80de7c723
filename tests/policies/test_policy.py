import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from embodied_cf.cli import main
from embodied_cf.datasets import normalise
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.errors import CheckpointError, DatasetError, SpecError, UsageError
from embodied_cf.policies.checkpoint import CONFIG, MODEL, load_policy, save_policy
from embodied_cf.policies.config import HeadConfig, ModelCard, NavVlaTinyConfig
from embodied_cf.policies.contract import Observation, Policy
from embodied_cf.policies.kept import trained_parameters
from embodied_cf.policies.nav_vla_tiny import NavVlaTiny
from embodied_cf.policies.text import vocabulary_of
from embodied_cf.policies.vla import VlaPolicy, fit_on

SMALL = NavVlaTinyConfig(size=32, channels=(8, 8, 16), width=16, layers=1, heads=2, text_width=16)
BODIES = {name: load_embodiment(name) for name in ("nav", "arm")}


def make_policy(head="l1", body="nav", model=SMALL, **options):
    config = replace(model, head=HeadConfig(head, bins=8))
    batch = config.fake_batch(64, BODIES[body])
    torch.manual_seed(0)
    network = NavVlaTiny(ModelCard(config, BODIES[body], vocabulary_of(batch.instruction)))
    normalizer = normalise.fit([(batch.action, batch.mask)], "quantile", BODIES[body], "fake")
    fit_on(network, normalizer, [(batch.action, batch.mask)])
    return VlaPolicy(network.eval(), normalizer, **options), batch


def rng(seed=0):
    return np.random.default_rng(seed)


def act(policy, batch, seed=0):
    return policy.act(Observation(batch.image), batch.instruction, rng(seed))


@pytest.mark.parametrize("body", ["nav", "arm"])
@pytest.mark.parametrize("head", ["l1", "bins", "flow"])
def test_acts(head, body):
    policy, batch = make_policy(head, body)
    assert isinstance(policy, Policy)
    done = act(policy, batch)
    assert done.chunk.shape == batch.action.shape
    assert done.mask.all()
    assert done.log_probability is None
    assert np.isfinite(done.chunk).all()


def test_the_default_is_small_enough():
    for head in ("l1", "bins", "flow"):
        config = NavVlaTinyConfig(history=4, head=HeadConfig(head))
        card = ModelCard(config, BODIES["nav"], tuple(f"word{i}" for i in range(500)))
        assert trained_parameters(NavVlaTiny(card)) < 2_000_000


@pytest.mark.parametrize("head", ["l1", "bins", "flow"])
def test_a_batch_is_its_samples(head):
    policy, batch = make_policy(head)
    alone = [
        policy.act(Observation(batch.image[i : i + 1]), batch.instruction[i : i + 1], rng()).chunk[0] for i in (0, 5)
    ]
    np.testing.assert_allclose(act(policy, batch).chunk[[0, 5]], np.stack(alone), atol=1e-4)


@pytest.mark.parametrize("head", ["l1", "bins", "flow"])
def test_draws_depend_on_the_generator_alone(head):
    policy, batch = make_policy(head, sample=True)
    one, same, other = (act(policy, batch, seed).chunk for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("head", ["l1", "bins"])
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_log_probability_of_what_was_drawn(head, guidance):
    policy, batch = make_policy(head, sample=True, guidance=guidance)
    done = act(policy, batch)
    told = policy.log_probability(Observation(batch.image), batch.instruction, done.chunk)
    np.testing.assert_allclose(told, done.log_probability, rtol=1e-4, atol=1e-3)


def test_log_probability_is_per_metre():
    policy, batch = make_policy("l1")
    scale = policy.normalizer.scale
    twice = replace(policy.normalizer.statistics, q01=tuple(2 * np.array(policy.normalizer.statistics.q01)),
                    q99=tuple(2 * np.array(policy.normalizer.statistics.q99)))  # fmt: skip
    wide = replace(policy, normalizer=replace(policy.normalizer, statistics=twice))
    np.testing.assert_allclose(wide.normalizer.scale, 2 * scale, rtol=1e-5)
    policy.model.step.fill_(0.0)  # nothing stands still
    narrow_law, wide_law = (
        p.log_probability(Observation(batch.image), batch.instruction, factor * batch.action)
        for p, factor in ((policy, 1), (wide, 2))
    )
    np.testing.assert_allclose(narrow_law - wide_law, 16 * np.log(2), rtol=1e-3)  # 8 rows x 2 numbers


def test_flow_says_that_it_has_no_log_probability():
    policy, batch = make_policy("flow")
    with pytest.raises(UsageError, match=r"no log-probability.* Train with --set model.head.kind=bins"):
        policy.log_probability(Observation(batch.image), batch.instruction, batch.action)


def test_stop_is_all_zeros_where_its_output_says_so():
    policy, batch = make_policy()
    torch.nn.init.zeros_(policy.model.stop.weight)
    for bias, stands in ((10.0, True), (-10.0, False)):
        torch.nn.init.constant_(policy.model.stop.bias, bias)
        assert (act(policy, batch).chunk == 0).all() == stands


def test_what_counts_as_standing_still():
    policy, _ = make_policy()
    policy.model.step.fill_(0.5)
    action = torch.zeros(3, 8, 2)
    action[1, 3, 0], action[2, 7, 1] = 0.06, 0.06
    mask = torch.ones(3, 8, dtype=torch.bool)
    mask[2, 7] = False
    assert policy.model.stands(action, mask).tolist() == [True, False, True]  # 0.1 steps are 0.05 m
    assert not make_policy(body="arm")[0].model.stands(torch.zeros(1, 8, 7), mask[:1]).any()


def test_other_frames_are_refused():
    policy, batch = make_policy()
    with pytest.raises(UsageError, match=r"\(1, 16, 32\) where the policy wants \(1, 32, 32\)"):
        policy.act(Observation(batch.image[:, :, :16]), batch.instruction, rng())
    with pytest.raises(UsageError, match="1 instructions for 64 observations"):
        policy.act(Observation(batch.image), ("stop",), rng())


class TestCheckpoint:
    @pytest.fixture
    def saved(self, tmp_path):
        policy, batch = make_policy("bins")
        save_policy(tmp_path, policy.model.card, policy.model.state_dict(), policy.normalizer)
        return policy, batch, tmp_path

    def test_round_trip(self, saved):
        policy, batch, folder = saved
        loaded = load_policy(folder, BODIES["nav"])
        assert loaded.model.card == policy.model.card
        assert loaded.normalizer == policy.normalizer
        np.testing.assert_array_equal(act(loaded, batch).chunk, act(policy, batch).chunk)

    def test_another_embodiment_is_refused(self, saved):
        with pytest.raises(CheckpointError, match=r"made for the embodiment 'nav' \(8 x 2\), not for 'arm' \(8 x 7\)"):
            load_policy(saved[2], BODIES["arm"])

    @pytest.mark.parametrize(
        ("name", "text", "error", "match"),
        [
            (MODEL, "cut off", CheckpointError, "not readable weights .* Restore the file"),
            (CONFIG, "{", CheckpointError, "not readable"),
            (CONFIG, "[]", CheckpointError, "not a table"),
            (CONFIG, '{"format": 2}', CheckpointError, "format 2 where this version reads 1"),
            (CONFIG, '{"format": 1}', CheckpointError, "not a model's configuration"),
            ("stats.json", "{}", DatasetError, "not the statistics"),
            ("stats.json", "\xff", DatasetError, "not the statistics"),
        ],
    )
    def test_corrupted_files_are_named(self, saved, name, text, error, match):
        (saved[2] / name).write_text(text, "latin-1")
        with pytest.raises(error, match=match) as caught:
            load_policy(saved[2])
        assert name in str(caught.value)

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "policy.pth", "last.ckpt", "weights.pkl"])
    def test_pickled_weights_are_refused_by_name(self, saved, name):
        (saved[2] / MODEL).rename(saved[2] / name)
        with pytest.raises(CheckpointError, match=f"{name} may hold a pickle, which is never opened. Save the weights"):
            load_policy(saved[2])

    @pytest.mark.parametrize(
        ("name", "value"),
        [("width", 10**9), ("layers", 10**7), ("channels", [8, 8, 10**8]), ("text_width", 10**9), ("size", 8 * 10**6),
         ("history", 10**9), ("heads", 0), ("heads", 3), ("width", -2)],
    )  # fmt: skip
    def test_a_network_that_no_memory_holds_is_not_built(self, saved, name, value):
        card = json.loads((saved[2] / CONFIG).read_text())
        card["model"][name] = value
        (saved[2] / CONFIG).write_text(json.dumps(card))
        with pytest.raises((CheckpointError, SpecError), match="not a model's configuration"):
            load_policy(saved[2])

    def test_a_run_that_was_trained_anew_is_another_policy(self, saved, tmp_path, capsys):
        """Its records are not taken for those of the run that bore the name before."""
        policy, _, run = saved
        out = tmp_path / "look"
        asked = ["evaluate", str(run), "--out", str(out), "--suite", "rooms/object/dev", "--episodes", "1",
                 "--no-frames", "--controls", "none"]  # fmt: skip
        for weight, code in ((1.0, 0), (1.0, 0), (0.5, 2)):
            weights = {name: tensor * weight for name, tensor in policy.model.state_dict().items()}
            save_policy(run, policy.model.card, weights, policy.normalizer)
            with pytest.raises(SystemExit) as ended:
                main(asked)
            assert ended.value.code == code
        assert "holds the evaluation of another policy or plan" in " ".join(capsys.readouterr().err.split())
        assert json.loads((out / "plan.json").read_text())["checkpoint"]

    def test_weights_of_another_model(self, saved):
        other, _ = make_policy("l1")
        save_policy(saved[2], saved[0].model.card, other.model.state_dict(), other.normalizer)
        with pytest.raises(CheckpointError, match="weights of another model"):
            load_policy(saved[2])

    def test_nothing_there(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"model\.safetensors, config\.json, stats\.json missing"):
            load_policy(tmp_path)
