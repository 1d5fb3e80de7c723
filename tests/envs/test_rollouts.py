import json
import string
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gl import drawing
from gymnasium import spaces

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.datasets.writer import DatasetCard
from embodied_cf.envs.babyai import bot, make_babyai
from embodied_cf.envs.rollouts import Plan, Reading, features_of, write_rollouts
from embodied_cf.envs.tabletop.collector import Collector
from embodied_cf.envs.tabletop.environment import READING, TabletopEnv
from embodied_cf.errors import OutputError, UsageError

GRID = Reading("nav", 1.0, {"state": "observation/pose", "action": "action", "pose": "observation/pose"})
CARD = DatasetCard("walks")


class Walk(gymnasium.Env):
    """Moves by what the action says; over after `seed % 3 + 2` steps, a success if the walk ends at x > 0."""

    def __init__(self):
        image, pose = spaces.Box(0, 255, (8, 8, 3), np.uint8), spaces.Box(-9, 9, (3,), np.float32)
        more = spaces.Dict({"battery": spaces.Discrete(5), "note": spaces.Text(9)})
        text = spaces.Text(30, charset=string.printable)
        self.observation_space = spaces.Dict({"image": image, "pose": pose, "more": more, "instruction": text})
        self.action_space = spaces.Box(-1, 1, (2,))

    def _observe(self):
        image = np.full((8, 8, 3), 10 * self.taken, np.uint8)
        more = {"battery": 4 - self.taken % 5, "note": "ok"}
        return {"image": image, "pose": self.pose.astype(np.float32), "more": more, "instruction": "walk on"}

    def reset(self, *, seed=None, options=None):
        self.pose, self.taken, self.limit = np.zeros(3), 0, seed % 3 + 2
        return self._observe(), {}

    def step(self, action):
        self.pose[:2] += action
        self.taken += 1
        over = self.taken == self.limit
        return self._observe(), 1.0, over, False, {"success": over and bool(self.pose[0] > 0)}


def wanderer(env, rng):
    return lambda observation: rng.uniform(-1, 1, 2).astype(np.float32)


def contents(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}


def written(directory, plan, policy=wanderer, make=Walk, reading=GRID):
    write_rollouts(directory, CARD, make, policy, plan, reading)
    return list(read_episodes(open_dataset(directory), load_spec(None, directory)))


def test_what_the_log_holds_replays_the_episode_exactly(tmp_path):
    def exact(env, rng):
        return lambda observation: rng.uniform(-1, 1, 2)  # float64, of which the log keeps float32

    (episode,) = written(tmp_path / "a", Plan(1, images="png"), exact)
    env = Walk()
    env.reset(seed=int(episode.metadata["episode_metadata/seed"]))
    for action, after in zip(episode.action[:-1], episode.pose[1:], strict=True):
        seen, *_ = env.step(action)
        np.testing.assert_array_equal(seen["pose"], after)


def test_what_was_rolled_out_is_read_back(tmp_path):
    plan = Plan(5, seed=3, episodes_per_shard=2, images="png")
    episodes = written(tmp_path / "a", plan)
    assert [shard.records for shard in open_dataset(tmp_path / "a").shards("train")] == [2, 2, 1]
    assert len(episodes) == 5
    for episode in episodes:
        steps = len(episode)
        assert episode.action_mask.tolist() == [True] * (steps - 1) + [False]
        np.testing.assert_allclose(np.diff(episode.pose[:, :2], axis=0), episode.action[:-1], atol=1e-6)
        np.testing.assert_array_equal(episode.cameras["primary"].decode_all()[:, 0, 0, 0], 10 * np.arange(steps))
        assert [span.text for span in episode.language] == ["walk on"]
        assert episode.metadata["episode_metadata/success"] == (episode.pose[-1, 0] > 0)
        assert steps == episode.metadata["episode_metadata/seed"] % 3 + 3
    assert len({float(episode.action[0, 0]) for episode in episodes}) == 5, "each episode has chance of its own"


READ = """
import json, sys
import tensorflow_datasets as tfds
episode = next(iter(tfds.as_numpy(tfds.builder_from_directory(sys.argv[1]).as_dataset(split="train"))))
rows = list(episode["steps"])
keys = ("is_first", "is_last", "is_terminal", "discount", "reward")
columns = {key: [float(row[key]) for row in rows] for key in keys}
battery = [row["observation"]["more"]["battery"].tolist() for row in rows]
print(json.dumps({**columns, "battery": battery, "shape": rows[0]["observation"]["image"].shape}))
"""


def test_tfds_reads_it(tmp_path):
    steps = len(written(tmp_path / "a", Plan(2, images="png"))[0])
    # TensorFlow in a process of its own: see envs/physics/library.py
    done = subprocess.run([sys.executable, "-c", READ, tmp_path / "a"], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout.splitlines()[-1])
    last = [0.0] * (steps - 1) + [1.0]
    assert seen["is_first"] == last[::-1]
    assert seen["is_last"] == seen["is_terminal"] == last
    assert seen["discount"] == [1.0] * (steps - 1) + [0.0]
    assert seen["reward"] == [1.0] * (steps - 1) + [0.0]
    assert seen["battery"][:2] == [[4.0], [3.0]]
    assert seen["shape"] == [8, 8, 3]


def test_one_seed_gives_one_set_of_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        written(tmp_path / name, Plan(4, seed=seed, episodes_per_shard=3))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_an_interrupted_run_is_finished_shard_by_shard(tmp_path):
    plan, calls = Plan(6, episodes_per_shard=2), []

    def failing(env, rng):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return wanderer(env, rng)

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "a", plan, failing)
    kept = len(calls)
    written(tmp_path / "a", plan, failing)
    assert len(calls) == kept + 4, "the first shard was not made again"
    written(tmp_path / "b", plan)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    with pytest.raises(OutputError, match="not empty"):
        written(tmp_path / "a", plan)


def test_an_instruction_that_was_not_followed_is_not_written(tmp_path):
    episodes = written(tmp_path / "a", Plan(1, says=False))
    assert episodes[0].language == ()


def test_long_episodes_are_cut(tmp_path):
    assert {len(episode) for episode in written(tmp_path / "a", Plan(4, max_steps=1))} == {2}


def test_babyai_rollouts(tmp_path):
    episodes = written(tmp_path / "a", Plan(3, images="png"), bot, make_babyai)
    for episode in episodes:
        assert episode.metadata["episode_metadata/success"]
        assert episode.language[0].text.startswith("go to")
        assert set(episode.action[:, 0].tolist()) <= {0.0, 1.0, 2.0}


def test_tabletop_rollouts_are_arm_data(tmp_path):
    def collector(env, rng):
        here = env.unwrapped
        player = Collector(here.task.layout, rng)
        return lambda observation: player.act(here.table.instant(here.state))

    plan = Plan(1, max_steps=12, says=False)
    with drawing():
        (episode,) = written(tmp_path / "a", plan, collector, lambda: TabletopEnv(size=32), READING)
        spec = load_spec(None, tmp_path / "a")
        assert spec.body() == load_embodiment("arm")
        assert len(episode) == 13
        moved = np.diff(episode.effector[:, :3], axis=0)
        np.testing.assert_allclose(moved, np.clip(episode.action[:-1, :3], -0.05, 0.05), atol=0.012)


def test_spaces_without_a_feature_and_plans_without_episodes_are_refused():
    env = Walk()
    env.action_space = spaces.MultiBinary(3)
    with pytest.raises(UsageError, match=r"action is MultiBinary\(3\), which has no feature"):
        features_of(env)
    env.observation_space = spaces.Discrete(3)
    with pytest.raises(UsageError, match="has no `image`"):
        features_of(env)
    with pytest.raises(UsageError, match="at least 1"):
        Plan(0)
