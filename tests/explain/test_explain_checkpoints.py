import io
import json
import os
import pickle
import zipfile

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from embodied_cf.errors import UsageError
from embodied_cf.explain import torch_archive
from embodied_cf.explain.checkpoints import load_policy, save_policy
from embodied_cf.explain.errors import PolicyError
from embodied_cf.explain.policies import MlpPolicy, distribution, sample
from embodied_cf.explain.rollout import check_fits, make_envs

GAUSSIAN = MlpPolicy((3, 5, 2), "gaussian", "relu")
OBSERVATION = torch.linspace(-1, 1, 12).reshape(4, 3)


def archive(path, weights, told=None):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data", json.dumps(told or {}))
        with file.open("policy.pth", "w") as entry:
            torch.save(weights, entry)
    return str(path)


def test_own_policies_come_back_bit_by_bit(tmp_path):
    save_policy(GAUSSIAN, tmp_path / "p.safetensors")
    again = load_policy(str(tmp_path / "p.safetensors"))
    assert (again(OBSERVATION).mean == GAUSSIAN(OBSERVATION).mean).all()
    assert again.state_dict().keys() == GAUSSIAN.state_dict().keys()


@pytest.mark.parametrize(
    ("algorithm", "env", "settings"),
    [
        ("A2C", "CartPole-v1", {}),
        ("PPO", "Pendulum-v1", {"policy_kwargs": {"activation_fn": nn.ReLU, "net_arch": [7]}}),
    ],
)
@pytest.mark.filterwarnings("default")
def test_stable_baselines_checkpoints_mean_the_same(tmp_path, algorithm, env, settings):
    import stable_baselines3

    model = getattr(stable_baselines3, algorithm)("MlpPolicy", env, n_steps=64, seed=0, device="cpu", **settings)
    if "log_std" in dict(model.policy.named_parameters()):
        model.policy.log_std.data.fill_(-0.7)
    model.save(tmp_path / "model")
    loaded = load_policy(str(tmp_path / "model.zip"))
    observation = torch.randn(6, *model.observation_space.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs, ours = model.policy.get_distribution(observation).distribution, distribution(loaded, observation)
    if algorithm == "A2C":
        torch.testing.assert_close(ours.logits, theirs.logits)
    else:
        torch.testing.assert_close(ours.mean, theirs.mean)
        torch.testing.assert_close(ours.stddev, theirs.stddev)


def test_the_archive_is_read_without_stable_baselines(tmp_path):
    """One hidden layer of two tanh units: 0.5 tanh(x) + tanh(2x) + 0.25, by hand at x = 1."""
    weights = {
        "mlp_extractor.policy_net.0.weight": torch.tensor([[1.0], [2.0]]),
        "mlp_extractor.policy_net.0.bias": torch.zeros(2),
        "mlp_extractor.value_net.0.weight": torch.zeros(2, 1),
        "action_net.weight": torch.tensor([[0.5, 1.0]]),
        "action_net.bias": torch.tensor([0.25]),
        "log_std": torch.zeros(1),
    }
    policy = load_policy(archive(tmp_path / "a.zip", weights))
    expected = 0.5 * np.tanh(1) + np.tanh(2) + 0.25
    assert policy(torch.ones(1, 1)).mean.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "told", "words"),
    [
        ({"q_net.q_net.0.weight": torch.zeros(1, 1)}, {}, "without log-probabilities"),
        ({"actor.mu.0.weight": torch.zeros(1, 1)}, {}, "without log-probabilities"),
        (
            {"actor.mu.weight": torch.zeros(1, 1), "actor.log_std.weight": torch.zeros(1, 1)},
            {},
            r"a squashed Gaussian \(SAC\): it has log-probabilities, but only A2C and PPO are read",
        ),
        (
            {"action_net.weight": torch.zeros(1, 1), "pi_features_extractor.cnn.0.weight": torch.zeros(1)},
            {},
            "feature extractor of its own",
        ),
        ({"action_net.weight": torch.zeros(1, 1), "log_std": torch.zeros(2, 2)}, {}, "state-dependent exploration"),
        (
            {"action_net.weight": torch.zeros(1, 1), "action_net.bias": torch.zeros(1)},
            {"policy_kwargs": {"activation_fn": "<class 'torch.nn.modules.activation.Mish'>"}},
            "unknown activation",
        ),
    ],
)
def test_archives_that_cannot_be_explained(tmp_path, weights, told, words):
    with pytest.raises(PolicyError, match=words):
        load_policy(archive(tmp_path / "a.zip", weights, told))


class _Runs:
    def __reduce__(self):
        return os.system, ("exit 1",)


def forged(path, pickled, numbers=b"", told="{}", key="0"):
    """An archive whose inner pickle is given."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("policy/data.pkl", pickled)
        file.writestr(f"policy/data/{key}", numbers)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data", told)
        file.writestr("policy.pth", inner.getvalue())
    return str(path)


def rebuilt(size, stride, offset=0, key="0", storage="ctorch\nFloatStorage\n"):
    """A pickle of {"action_net.weight": a tensor of so many numbers of a storage}."""
    pid = f"(S'storage'\n{storage}S'{key}'\nS'cpu'\nI4\ntQ"
    numbers = "".join(f"I{offset}\n({''.join(f'I{side}' + chr(10) for side in size)}t" for _ in "x")
    strides = f"({''.join(f'I{step}' + chr(10) for step in stride)}t"
    return (f"(dS'action_net.weight'\nctorch._utils\n_rebuild_tensor_v2\n({pid}{numbers}{strides}I00\n"
            "ccollections\nOrderedDict\n)RtRs.").encode()  # fmt: skip


@pytest.mark.parametrize(
    ("pickled", "told"),
    [
        (pickle.dumps({"action_net.weight": _Runs()}), "it asks for posix.system"),
        (b"ctorch.storage\n_load_from_bytes\n(S'x'\ntR.", "it asks for torch.storage._load_from_bytes"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "it asks for builtins.eval"),
        (pickle.dumps([1]), "not a dict of tensors"),
        (pickle.dumps({"action_net.weight": 1}), "not a dict of tensors"),
        (b"", "pickle exhausted"),
        (rebuilt((10**12,), (0,)), "a tensor of more numbers than it stores"),
        (rebuilt((4,), (10**9,)), "out of bounds"),
        (rebuilt((4,), (1,), offset=10**9), "out of bounds"),
        (rebuilt((4,), (-1,)), "Negative strides"),
        (rebuilt((4,), (1,), key="../../secret"), "a storage that is not plain"),
        (rebuilt((4,), (1,), storage="S'<U9'\n"), "a storage that is not plain"),
    ],
)
def test_archives_that_would_run_or_reach_elsewhere(tmp_path, pickled, told):
    with pytest.raises(PolicyError, match=f"no stable-baselines3 archive .*{told}"):
        load_policy(forged(tmp_path / "a.zip", pickled, bytes(16)))


def test_the_forger_can_also_be_honest(tmp_path):
    """So the refusals above are refusals of what they are meant to be."""
    with pytest.raises(PolicyError, match=r"no stable-baselines3 archive \('action_net.bias'\)"):
        load_policy(forged(tmp_path / "a.zip", rebuilt((2, 2), (2, 1)), bytes(16)))


@pytest.mark.parametrize("told", ["{", "[" * 100_000, "[]", "null"])
def test_archives_whose_data_are_no_table(tmp_path, told):
    with pytest.raises(PolicyError, match="no stable-baselines3 archive"):
        load_policy(forged(tmp_path / "a.zip", rebuilt((2, 2), (2, 1)), bytes(16), told))


def test_entries_beyond_the_limit_are_not_inflated(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_archive, "LARGEST", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data", " " * 10**7)
    with pytest.raises(PolicyError, match="data has more than 1000 bytes"):
        load_policy(str(tmp_path / "a.zip"))


@pytest.mark.parametrize(
    "shape",
    ['{"sizes": [1000000, 1000000], "actions": "categorical"}', '{"sizes": [1, 2]}', "{", "[]", '{"sizes": null}',
     '{"sizes": [1, 2], "actions": "categorical", "activation": "eval"}'],
)  # fmt: skip
def test_a_shape_that_the_weights_do_not_have_is_not_allotted(tmp_path, shape):
    from safetensors.torch import save_file

    save_file({"layers.0.weight": torch.zeros(2, 1)}, tmp_path / "p.safetensors", {"embodied-cf mlp policy 1": shape})
    with pytest.raises(PolicyError, match="not the weights of a policy"):
        load_policy(str(tmp_path / "p.safetensors"))


def test_unknown_formats_and_broken_files(tmp_path):
    for name, content, words in (
        ("p.pt", b"", "unknown policy format"),
        ("p.zip", b"no archive", "no stable-baselines3 archive"),
        ("p.safetensors", b"no tensors", "damaged safetensors"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PolicyError, match=words):
            load_policy(str(tmp_path / name))
    with pytest.raises(PolicyError, match="no such file"):
        load_policy(str(tmp_path / "absent.zip"))


def test_weights_that_are_not_finite(tmp_path):
    policy = MlpPolicy((4, 2), "categorical")
    with torch.no_grad():
        policy.layers[0].bias[1] = float("nan")
    save_policy(policy, tmp_path / "p.safetensors")
    with pytest.raises(PolicyError, match=r"weights that are not finite: layers\.0\.bias"):
        load_policy(str(tmp_path / "p.safetensors"))


def test_a_saved_policy_may_be_read_like_any_file(tmp_path):
    (tmp_path / "plain").touch()
    save_policy(MlpPolicy((4, 2), "categorical"), tmp_path / "p.safetensors")
    assert (tmp_path / "p.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_safetensors_of_something_else(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "p.safetensors")
    with pytest.raises(PolicyError, match="metadata do not say"):
        load_policy(str(tmp_path / "p.safetensors"))


def uniform():
    return MlpPolicy((4, 2), "categorical")


def text():
    return "no policy"


class Deterministic(nn.Module):
    def forward(self, observation):
        return observation[:, :2].argmax(dim=1)


def test_factories():
    assert isinstance(load_policy("test_explain_checkpoints:uniform"), MlpPolicy)
    with pytest.raises(PolicyError, match="returns str, not a torch module"):
        load_policy("test_explain_checkpoints:text")
    with pytest.raises(PolicyError, match="the factory cannot be imported"):
        load_policy("test_explain_checkpoints:absent")
    with pytest.raises(PolicyError, match="the factory cannot be imported"):
        load_policy("no_such_package:policy")
    with pytest.raises(PolicyError, match="this is a policy, and no function"):
        load_policy("test_explain_checkpoints:GAUSSIAN")
    for name in ("json:dumps", "test_explain_checkpoints:OBSERVATION"):
        with pytest.raises(PolicyError, match="the factory cannot be called without arguments"):
            load_policy(name)


class Unpacks(nn.Module):
    def forward(self, observation):
        _, _, height, width = observation.shape
        return height * width


class TakesTwo(nn.Module):
    def forward(self, observation, instruction):
        return observation


class Table(nn.Module):
    def forward(self, observation):
        return {}[observation.shape]


def test_what_does_not_fit_the_environment():
    envs = make_envs("CartPole-v1")(1)
    check_fits(uniform(), envs)
    for policy, words in (
        (Deterministic(), "returns Tensor, not a distribution"),
        (MlpPolicy((3, 2), "categorical"), "cannot read observations"),
        *((policy, r"cannot read observations of shape \(4,\)") for policy in (Unpacks(), TakesTwo(), Table())),
        (MlpPolicy((4, 3), "categorical"), "does not fit actions"),
        (MlpPolicy((4, 2), "gaussian"), "does not fit actions"),
    ):
        with pytest.raises(PolicyError, match=words):
            check_fits(policy, envs)
    envs.close()


def test_environments_whose_extra_is_missing(monkeypatch):
    def needs(name):
        raise ModuleNotFoundError("No module named 'mujoco'")

    envs = make_envs("CartPole-v1")
    monkeypatch.setattr(gym, "make", needs)
    monkeypatch.setattr(gym, "make_vec", lambda name, num_envs: needs(name))
    with pytest.raises(UsageError, match=r"no environment `CartPole-v1` \(No module named 'mujoco'\).*extra"):
        envs(1)


def test_environments_without_arrays_to_see():
    class Blind(gym.vector.VectorEnv):
        single_observation_space = gym.spaces.Discrete(3)
        single_action_space = gym.spaces.Discrete(2)

    with pytest.raises(PolicyError, match=r"observations are Discrete\(3\)"):
        check_fits(uniform(), Blind())


def test_drawing_follows_the_distribution_and_the_generator():
    policy = MlpPolicy((1, 3), "categorical")
    with torch.no_grad():
        policy.layers[0].bias.copy_(torch.log(torch.tensor([0.5, 0.3, 0.2])))
        policy.layers[0].weight.zero_()
    given = policy(torch.zeros(50_000, 1))
    drawn = sample(given, np.random.default_rng(0))
    assert (drawn == sample(given, np.random.default_rng(0))).all()
    assert np.bincount(drawn.numpy()) / 50_000 == pytest.approx([0.5, 0.3, 0.2], abs=0.01)
    normal = GAUSSIAN(torch.zeros(50_000, 3))
    values = sample(normal, np.random.default_rng(1))
    torch.testing.assert_close(values.mean(dim=0), normal.mean[0].detach(), atol=0.02, rtol=0)
    assert float(values.std(dim=0)[0].detach()) == pytest.approx(1, abs=0.02)
