import builtins
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_vlms import FAMILIES, save_vlm

from embodied_cf.datasets import normalise
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.errors import CheckpointError, MissingLibraryError, UsageError
from embodied_cf.policies.build import build_model, new_card
from embodied_cf.policies.checkpoint import CONFIG, MODEL, load_policy, load_tensors, save_policy
from embodied_cf.policies.config import HeadConfig, HfVlaConfig
from embodied_cf.policies.contract import Observation, Policy
from embodied_cf.policies.hf_base import find_base, fingerprint
from embodied_cf.policies.hf_families import QwenVl
from embodied_cf.policies.kept import kept_state, trained_parameters, with_weights
from embodied_cf.policies.vla import VlaPolicy, fit_on

NAV = load_embodiment("nav")
SAID = ("go to the red post", "stop", "", "turn left <image> right")


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    return {family: save_vlm(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}


def config_of(folder, **options):
    return HfVlaConfig(**{"size": 32, "base": str(folder), "weights": "fp32", "rank": 2, "width": 16, **options})


def make_policy(folder, body=NAV, **options):
    config = config_of(folder, **options)
    batch = config.fake_batch(len(SAID), body)
    torch.manual_seed(0)
    model = build_model(new_card(config, body, ()))
    normalizer = normalise.fit([(batch.action, batch.mask)], "quantile", body, "fake")
    fit_on(model, normalizer, [(batch.action, batch.mask)])
    return VlaPolicy(model.eval(), normalizer), batch


def act(policy, image, said=SAID):
    return policy.act(Observation(image), said, np.random.default_rng(0)).chunk


@pytest.mark.parametrize("family", FAMILIES)
class TestFamily:
    def test_acts_on_what_it_sees_and_hears(self, family, bases):
        policy, batch = make_policy(bases[family])
        assert isinstance(policy, Policy)
        chunk = act(policy, batch.image)
        assert chunk.shape == (4, 8, 2)
        assert np.isfinite(chunk).all()
        assert not np.array_equal(chunk, act(policy, batch.image[[2, 3, 0, 1]]))
        assert not np.array_equal(chunk[:2], act(policy, batch.image, (SAID[1], SAID[0], *SAID[2:]))[:2])

    def test_padding_changes_nothing(self, family, bases):
        policy, batch = make_policy(bases[family])
        alone = [act(policy, batch.image[i : i + 1], SAID[i : i + 1])[0] for i in range(4)]
        np.testing.assert_allclose(act(policy, batch.image), np.stack(alone), atol=1e-5)

    def test_every_frame_of_the_history_is_seen(self, family, bases):
        policy, batch = make_policy(bases[family], history=2)
        other = batch.image.copy()
        other[:, 0] = 255 - other[:, 0]
        assert np.abs(act(policy, batch.image) - act(policy, other)).max(axis=(1, 2)).min() > 0

    def test_trained_is_little_and_nothing_else_is_kept(self, family, bases):
        model = make_policy(bases[family])[0].model
        trained = {name for name, value in model.named_parameters() if value.requires_grad}
        assert {*kept_state(model)} == trained | {"step"}
        own = {"read.0", "read.1", "stop", "head", "head.chunk"}
        assert {name.rpartition(".")[0] for name in trained if not name.startswith("vlm.")} == own
        inside = {name for name in trained if name.startswith("vlm.")}
        assert all(name.endswith("embed_tokens.queries") or ".lora_" in name for name in inside)
        assert sum("lora_A" in name for name in inside) == 2 * 7  # seven linear layers in each of two blocks

    def test_round_trip(self, family, bases, tmp_path):
        policy, batch = make_policy(bases[family])
        policy = replace(policy, model=with_weights(policy.model, moved(policy.model)))
        save_policy(tmp_path, policy.model.card, kept_state(policy.model), policy.normalizer)
        assert {*load_tensors(tmp_path / MODEL)} == {*kept_state(policy.model)}
        loaded = load_policy(tmp_path, NAV)
        assert loaded.model.card == policy.model.card
        np.testing.assert_array_equal(act(loaded, batch.image), act(policy, batch.image))


def moved(model):
    """Return other weights of the same names."""
    noise = torch.Generator().manual_seed(1)
    return {name: value + 0.1 * torch.randn(value.shape, generator=noise) for name, value in kept_state(model).items()}


def test_other_weights_share_the_frozen_ones(bases):
    model = make_policy(bases["smolvlm"])[0].model
    other = with_weights(model, moved(model))
    shared = {id(value) for value in model.parameters()} & {id(value) for value in other.parameters()}
    assert len(shared) == sum(not value.requires_grad for value in model.parameters())
    assert not torch.equal(model.read[1].weight, other.read[1].weight)
    assert other._prompt is model._prompt


@pytest.mark.parametrize("head", ["bins", "flow"])
def test_other_heads(head, bases):
    policy, batch = make_policy(bases["smolvlm"], load_embodiment("arm"), head=HeadConfig(head, bins=8))
    assert act(policy, batch.image).shape == (4, 8, 7)


def test_frozen_bf16_and_trained_fp32(bases):
    policy, batch = make_policy(bases["paligemma"], weights="bf16")
    types = {value.requires_grad: value.dtype for value in policy.model.parameters()}
    assert types == {True: torch.float32, False: torch.bfloat16}
    np.testing.assert_allclose(
        act(policy, batch.image), act(make_policy(bases["paligemma"])[0], batch.image), atol=0.05
    )


def test_adapting_vision_adds_adapters(bases):
    language, both = (
        make_policy(bases["qwen2_5_vl"], adapt_vision=adapt_vision)[0].model for adapt_vision in (False, True)
    )
    assert trained_parameters(both) > trained_parameters(language)
    assert any("visual" in name and "lora" in name for name in kept_state(both))


def test_frames_are_scaled_to_what_the_base_looks_at(bases):
    model = make_policy(bases["paligemma"], size=64)[0].model
    grey = torch.full((2, 1, 64, 64, 3), 102, dtype=torch.uint8)
    pixels = model._pixels(grey)
    assert pixels.shape == (2, 1, 3, 32, 32)
    torch.testing.assert_close(pixels, torch.full_like(pixels, (102 / 255 - 0.5) / 0.5))


def test_qwen_patches_by_hand():
    """Numbers are 10 row + column; blocks of 2 x 2 patches of 1 pixel follow one another, each shown twice."""
    place = torch.arange(4)[:, None] * 10 + torch.arange(4)
    frame = torch.stack([place, place + 100, place + 200]).float()[None]
    rows = QwenVl(side=4, patch=1, merge=2, repeat=2).patches(frame)
    assert rows[:, 0].tolist() == [0, 1, 10, 11, 2, 3, 12, 13, 20, 21, 30, 31, 22, 23, 32, 33]
    assert rows[1].tolist() == [1, 1, 101, 101, 201, 201]


class TestRefused:
    def test_no_base(self):
        with pytest.raises(UsageError, match=r"no pretrained model is named\. Use --set model\.base=DIR"):
            find_base("")

    def test_no_such_directory(self, tmp_path):
        with pytest.raises(UsageError, match=r"absent: no pretrained model here: no config\.json"):
            find_base(str(tmp_path / "absent"))

    def test_not_on_the_hub(self, monkeypatch):
        import huggingface_hub
        from huggingface_hub.errors import LocalEntryNotFoundError

        def offline(name, allow_patterns):
            raise LocalEntryNotFoundError("no network")

        monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
        with pytest.raises(UsageError, match=r"nobody/nothing: neither a directory nor .* \(no network\)"):
            find_base("nobody/nothing")

    def test_on_the_hub(self, monkeypatch, bases):
        import huggingface_hub

        monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, allow_patterns: str(bases["smolvlm"]))
        assert find_base("somebody/smolvlm") == bases["smolvlm"]

    def test_unknown_family(self, bases, tmp_path):
        folder = changed(bases["paligemma"], tmp_path, model_type="llava")
        with pytest.raises(
            UsageError, match=r"model of type 'llava'.* Use PaliGemma, SmolVLM, Idefics3 or Qwen2\.5-VL"
        ):
            make_policy(folder)

    def test_unknown_architecture(self, bases, tmp_path):
        folder = changed(bases["paligemma"], tmp_path, model_type="abacus")
        with pytest.raises(CheckpointError, match=r"not a readable pretrained model .*abacus"):
            make_policy(folder)

    def test_missing_weights(self, bases, tmp_path):
        deep = json.loads((bases["smolvlm"] / "config.json").read_text())["text_config"] | {"num_hidden_layers": 3}
        with pytest.raises(CheckpointError, match=r"no weights for text_model\.layers\.2"):
            make_policy(changed(bases["smolvlm"], tmp_path, text_config=deep))

    @pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "preprocessor_config.json"])
    def test_broken_files(self, name, bases, tmp_path):
        folder = changed(bases["smolvlm"], tmp_path)
        (folder / name).write_text("cut")
        with pytest.raises(CheckpointError, match="not a readable pretrained model"):
            make_policy(folder)

    def test_pickled_weights(self, bases, tmp_path):
        folder = changed(bases["smolvlm"], tmp_path)
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match=r"not a readable pretrained model .*safetensors"):
            make_policy(folder)

    def test_code_beside_the_weights(self, bases, tmp_path):
        folder = changed(bases["smolvlm"], tmp_path, model_type="new", auto_map={"AutoConfig": "theirs.Theirs"})
        (folder / "theirs.py").write_text("raise SystemExit('their code ran')")
        with pytest.raises(CheckpointError, match="not a readable pretrained model"):
            make_policy(folder)

    @pytest.mark.parametrize("package", ["transformers", "peft"])
    def test_without_the_extra(self, package, bases, monkeypatch):
        real = builtins.__import__

        def without(name, *args):
            if name == package:
                raise ImportError(f"No module named {name!r}")
            return real(name, *args)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(MissingLibraryError, match=rf"{package}.* pip install 'embodied-cf\[hf\]'"):
            make_policy(bases["smolvlm"])


def changed(folder, tmp_path, **settings):
    """Return a copy of a base whose config.json says something else."""
    copy = shutil.copytree(folder, tmp_path / "base")
    told = json.loads((copy / "config.json").read_text()) | settings
    (copy / "config.json").write_text(json.dumps(told))
    return copy


class TestBaseOfACheckpoint:
    @pytest.fixture
    def saved(self, bases, tmp_path):
        base = shutil.copytree(bases["smolvlm"], tmp_path / "base")
        policy, batch = make_policy(base)
        run = tmp_path / "run"
        run.mkdir()
        save_policy(run, policy.model.card, kept_state(policy.model), policy.normalizer)
        return base, run, act(policy, batch.image), batch

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
    def test_changed(self, name, saved):
        base, run, _, _ = saved
        with open(base / name, "r+b") as file:
            file.seek(-1, 2)
            last = file.read(1)
            file.seek(-1, 2)
            file.write(b"\n" if last != b"\n" else b" ")
        with pytest.raises(CheckpointError, match=r"not the pretrained model .* Restore it, or name its place"):
            load_policy(run)

    def test_gone_and_found_elsewhere(self, saved):
        base, run, chunk, batch = saved
        elsewhere = base.rename(base.with_name("elsewhere"))
        with pytest.raises(UsageError, match="no pretrained model here"):
            load_policy(run)
        (run / CONFIG).write_text((run / CONFIG).read_text().replace(str(base), str(elsewhere)))
        np.testing.assert_array_equal(act(load_policy(run), batch.image), chunk)

    def test_corrupted_adapters(self, saved):
        run = saved[1]
        (run / MODEL).write_text("cut")
        with pytest.raises(CheckpointError, match=r"model\.safetensors: not readable weights"):
            load_policy(run)

    def test_adapters_of_another_rank(self, saved, bases):
        run = saved[1]
        other = make_policy(bases["smolvlm"], adapt_vision=True)[0]
        save_policy(run, load_policy(run).model.card, kept_state(other.model), other.normalizer)
        with pytest.raises(CheckpointError, match="weights of another model"):
            load_policy(run)

    def test_fingerprint_is_of_the_files(self, saved, bases):
        assert fingerprint(saved[0]) == fingerprint(bases["smolvlm"]) != fingerprint(bases["idefics3"])
