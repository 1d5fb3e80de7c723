"""Logs: refusals, splits by episode, files, RLDS rollouts, estimated propensities."""

from dataclasses import replace

import numpy as np
import pytest

from embodied_cf.crm import estimators as E  # noqa: N812
from embodied_cf.crm.log_files import StoredLog, read_log, write_npz
from embodied_cf.crm.logs import DecisionLog, EpisodeEnds, from_arrays
from embodied_cf.crm.policies import LinearGaussian, Softmax
from embodied_cf.crm.propensity import estimate, recompute
from embodied_cf.errors import DatasetError, RecordError, UsageError


def small(**changes):
    log = DecisionLog(
        context=np.array([[0.0], [1.0], [2.0]]),
        action=np.array([0, 1, 1]),
        log_prob=np.log([0.5, 0.25, 0.75]),
        reward=np.array([-1.0, 0.0, -0.5]),
        reward_range=(-1.0, 0.0),
        logger=("nav@1", "nav@1", "nav@2"),
        episode=np.array([0, 0, 1]),
        ends=EpisodeEnds(("failure", "timeout"), np.array([1.0, 0.5])),
    )
    return replace(log, **changes)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"reward": np.array([1.0, 0.0, 0.0])}, r"a reward outside its range \[-1\.0, 0\.0\]"),
        ({"log_prob": np.array([np.nan, 0.0, 0.0])}, "values of log_prob that are no numbers"),
        ({"log_prob": np.array([-np.inf, 0.0, 0.0])}, "values of log_prob that are no numbers"),
        ({"reward_range": (0.0, 0.0)}, r"a reward range from 0\.0 to 0\.0"),
        ({"reward_range": (-1.0, np.inf)}, r"a reward range from -1\.0 to inf"),
        ({"logger": ("nav@1",)}, "columns of different length"),
        ({"log_prob": np.log([0.5, 0.25, 1.5])}, r"a choice of probability 1\.5, and none exceeds 1"),
        ({"action": np.array([0, -1, 1])}, "a choice below 0"),
        ({"action": np.array([0.0, np.nan, 1.0])}, "values of action that are no numbers"),
    ],
)
def test_logs_refuse(change, text):
    with pytest.raises(RecordError, match=text):
        small(**change)


def test_endings_are_four_and_a_timeout_is_no_failure():
    with pytest.raises(RecordError, match="ends by 'crash'"):
        EpisodeEnds(("crash",), np.zeros(1))
    assert small().endings() == {"success": 0.0, "failure": 0.5, "timeout": 0.5, "intervention": 0.0}
    assert small().take(np.array([2])).endings()["timeout"] == 1.0


def test_deterministic_loggers_are_refused():
    with pytest.raises(UsageError, match=r"logger 'nav@2' acted deterministically.*record the propensities"):
        small(log_prob=np.log([0.5, 0.25, 1.0])).batch(np.zeros(3))
    with pytest.raises(UsageError, match="deterministically"):
        small(deterministic=True).decisions()
    settings = from_arrays(np.zeros((2, 1)), np.array([0.1, 0.2]), np.array([3.0, 5.0]), np.zeros(2), (0.0, 1.0))
    assert settings.batch(np.log([3.0, 5.0])).weight == pytest.approx(np.ones(2)), "densities may exceed 1"


def test_weights_and_losses():
    log = small()
    assert log.batch(np.log([0.25, 0.5, 0.75])).weight == pytest.approx(np.array([0.5, 2.0, 1.0]))
    assert log.decisions().loss.tolist() == [0.0, -1.0, -0.5], "least reward minus reward"


def test_several_loggers_are_no_policy():
    assert [len(part) for part in small().by_logger().values()] == [2, 1]
    with pytest.raises(UsageError, match=r"2 loggers took these decisions \(nav@1, nav@2"):
        small().refuse_several("which?")


def test_splits_keep_episodes_whole():
    log = from_arrays(np.zeros((100, 1)), np.zeros(100, int), np.full(100, 0.5), np.zeros(100), (0.0, 1.0))
    log = replace(log, episode=np.arange(100) // 4)
    first, rest = log.split(0.6, np.random.default_rng(0))
    assert len(first) == 60
    assert not set(first.episode) & set(rest.episode)


def test_npz_and_parquet_bring_back_the_log(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    target = np.log([0.1, 0.2, 0.3])
    write_npz(tmp_path / "log.npz", StoredLog(small(), target))
    log = small()
    table = pyarrow.table(
        {
            "context": log.context.tolist(),
            "action": log.action.tolist(),
            "propensity": np.exp(log.log_prob).tolist(),
            "reward": log.reward.tolist(),
            "logger": list(log.logger),
            "episode": [7, 7, 9],
            "ending": ["failure", "failure", "timeout"],
            "cost": [1.0, 1.0, 0.5],
            "target_log_prob": target.tolist(),
        }
    )
    parquet.write_table(table, tmp_path / "log.parquet")
    for name in ("log.npz", "log.parquet"):
        read = read_log(tmp_path / name, (-1.0, 0.0))
        for column in ("context", "action", "log_prob", "reward", "episode"):
            assert getattr(read.log, column) == pytest.approx(getattr(log, column)), column
        assert read.log.logger == log.logger
        assert read.log.ends.ending == ("failure", "timeout")
        assert read.target_log_prob == pytest.approx(target)


def test_files_that_are_no_logs(tmp_path):
    np.savez(tmp_path / "a.npz", context=np.zeros((1, 1)), action=np.zeros(1), reward=np.zeros(1))
    with pytest.raises(DatasetError, match=r"neither log_prob nor propensity.*estimate it"):
        read_log(tmp_path / "a.npz", (0.0, 1.0))
    np.savez(tmp_path / "b.npz", reward=np.zeros(1))
    with pytest.raises(DatasetError, match=r"no column 'context'\. It has: reward"):
        read_log(tmp_path / "b.npz", (0.0, 1.0))
    (tmp_path / "c.npz").write_text("no")
    with pytest.raises(DatasetError, match="not a readable npz"):
        read_log(tmp_path / "c.npz", (0.0, 1.0))
    with pytest.raises(UsageError, match="not a kind of log"):
        read_log(tmp_path / "d.csv", (0.0, 1.0))
    with pytest.raises(DatasetError, match="no such file"):
        read_log(tmp_path / "d.npz", (0.0, 1.0))


def test_rlds_rollouts(tmp_path):
    """Two episodes of three steps; decisions are the steps with a log probability."""
    from tensorflow_datasets.core import features

    from embodied_cf.datasets.writer import DatasetCard, write_dataset

    tree = features.FeaturesDict(
        {
            "steps": features.Dataset(
                {
                    "observation": {"context": features.Tensor(shape=(2,), dtype=np.float32)},
                    "action": features.Tensor(shape=(), dtype=np.int64),
                    "log_prob": features.Scalar(dtype=np.float32),
                    "reward": features.Scalar(dtype=np.float32),
                }
            ),
            "episode_metadata": {"logger": features.Text(), "ending": features.Text(),
                                 "cost": features.Scalar(dtype=np.float32)},
        }
    )  # fmt: skip

    def episode(name, ending):
        return {
            "steps": {
                "observation": {"context": np.arange(6, dtype=np.float32).reshape(3, 2)},
                "action": np.array([0, 0, 1]),
                "log_prob": np.array([-0.5, np.nan, -1.0], np.float32),
                "reward": np.array([0.0, 0.0, 1.0], np.float32),
            },
            "episode_metadata": {"logger": name, "ending": ending, "cost": np.float32(2.0)},
        }

    made = [episode("nav@1", "success"), episode("nav@2", "intervention")]
    write_dataset(tmp_path / "r" / "1.0.0", DatasetCard("r"), tree, {"train": [lambda: made]})
    log = read_log(tmp_path / "r" / "1.0.0", (0.0, 1.0)).log
    assert log.context.tolist() == [[0, 1], [4, 5]] * 2
    assert log.action.tolist() == [0, 1, 0, 1]
    assert log.episode.tolist() == [0, 0, 1, 1]
    assert log.logger == ("nav@1", "nav@1", "nav@2", "nav@2")
    assert log.ends.ending == ("success", "intervention")


def test_propensities_recomputed_and_estimated():
    """Estimates come near the truth, are marked, and their mark stays with every estimate."""
    rng = np.random.default_rng(0)
    policy, theta = Softmax(1, 2), np.array([0.3, -0.3, 0.5, -0.5])
    context = rng.normal(size=(2000, 1))
    action = policy.sample(theta, context, rng)
    log = from_arrays(context, action, np.full(2000, 0.5), np.ones(2000), (0.0, 1.0))
    right = recompute(log, policy, theta)
    assert right.propensity_source == "recomputed"
    found = estimate(log, policy, rng)
    assert np.abs(np.exp(found.log.log_prob) - np.exp(right.log_prob)).max() < 0.06
    assert found.log_likelihood == pytest.approx(right.log_prob.mean(), abs=0.02)
    told = str(E.IPS()(found.log.batch(right.log_prob)))
    assert "no guarantee" in told


def test_the_scale_of_settings_is_estimated_too():
    rng = np.random.default_rng(1)
    context = rng.normal(size=(500, 1))
    action = 1 + 2 * context[:, 0] + rng.normal(scale=0.3, size=500)
    log = from_arrays(context, action, np.ones(500), np.zeros(500), (0.0, 1.0))
    found = estimate(log, LinearGaussian(1, 1.0), rng, folds=1)
    assert found.folds == 1
    assert found.log_likelihood == pytest.approx(-0.5 * np.log(2 * np.pi * np.e * 0.09), abs=0.1)


def columns(**changes):
    """Three decisions as a file has them."""
    fine = {"context": np.zeros((3, 2)), "action": [0, 1, 1], "propensity": [0.5] * 3, "reward": [-1.0, 0.0, 0.0]}
    return fine | changes


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"target_log_prob": [-0.7]}, r"column 'target_log_prob' has shape \(1,\), and reward \(3,\)"),
        ({"context": np.zeros(6)}, r"column 'context' has shape \(6,\)"),
        ({"propensity": np.full((3, 1), 0.5)}, r"column 'propensity' has shape \(3, 1\)"),
        ({"reward": -1.0}, r"has shape .*, and reward \(\)"),
        ({"action": ["left", "right", "left"]}, r"column 'action' holds something else than numbers.*number choices"),
        ({"episode": [0.0, np.nan, np.nan]}, "an episode without a number"),
        ({"propensity": [0.5, 0.0, 0.5]}, "log.npz: a logged action whose propensity is not above 0.*record it"),
        ({"propensity": [0.5, np.nan, 0.5]}, "propensity is not above 0"),
        ({"target_log_prob": [-0.7, 0.5, -0.7]}, "a target_log_prob above 0"),
        ({"reward": [], "context": np.zeros((0, 2)), "action": [], "propensity": []}, "no decisions"),
    ],
)
def test_columns_have_one_number_per_decision(tmp_path, change, text):
    np.savez(tmp_path / "log.npz", **columns(**change))
    with pytest.raises(DatasetError, match=text):
        read_log(tmp_path / "log.npz", (-1.0, 0.0))


@pytest.mark.parametrize("change", [{"reward": [-1.0, None, 0.0]}, {"context": [[0.0], [1.0, 2.0], [1.0]]},
                                    {"logger": ["nav@1", None, "nav@1"]}])  # fmt: skip
def test_parquet_with_gaps_is_refused(tmp_path, change):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = columns(context=[[0.0, 1.0]] * 3) | change
    parquet.write_table(pyarrow.table(table), tmp_path / "log.parquet")
    with pytest.raises(DatasetError, match=f"column '{next(iter(change))}' holds something else than"):
        read_log(tmp_path / "log.parquet", (-1.0, 0.0))


@pytest.mark.parametrize("name", ["cut.npz", "empty.npz", "array.npz", "cut.parquet"])
def test_damaged_files_are_told(tmp_path, name):
    np.savez(tmp_path / "whole.npz", **columns())
    whole = (tmp_path / "whole.npz").read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    array = (tmp_path / "array.npy").read_bytes()
    (tmp_path / name).write_bytes({"cut.npz": whole[: len(whole) // 2], "array.npz": array}.get(name, b""))
    with pytest.raises(DatasetError, match=r"not a readable (npz|parquet) file"):
        read_log(tmp_path / name, (-1.0, 0.0))


def test_endings_need_no_episode_numbers(tmp_path):
    """By default each decision is an episode, so that it has an ending of its own."""
    np.savez(tmp_path / "log.npz", **columns(ending=["success", "failure", "timeout"]))
    assert read_log(tmp_path / "log.npz", (-1.0, 0.0)).log.ends.ending == ("success", "failure", "timeout")


def test_loggers_may_be_bytes(tmp_path):
    np.savez(tmp_path / "log.npz", **columns(logger=np.array([b"nav-7"] * 3)))
    assert read_log(tmp_path / "log.npz", (-1.0, 0.0)).log.logger == ("nav-7",) * 3
