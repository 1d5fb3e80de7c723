import hashlib
from dataclasses import replace

import numpy as np
import pytest
from scenes import room

from embodied_cf.cli import main
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.images import encode_jpeg
from embodied_cf.datasets.privileged import read_scene, read_visible
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.envs.collect import CollectOptions, collect
from embodied_cf.envs.motion.branch import branch
from embodied_cf.envs.motion.tracking import pose_from
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.rendering.visible import visible_things
from embodied_cf.envs.scene import stack
from embodied_cf.envs.scene_json import from_json
from embodied_cf.envs.state import draw_noise, initial_state
from embodied_cf.errors import OutputError, UsageError

OPTIONS = CollectOptions("rooms", episodes=3, steps=10, size=48, people=(1, 2), episodes_per_shard=2)


def digest(directory):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
        if path.is_file()
    }


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    directory = tmp_path_factory.mktemp("collected") / "1.0.0"
    collect(directory, OPTIONS)
    return directory


@pytest.fixture(scope="module")
def episodes(collected):
    return list(read_episodes(open_dataset(collected), load_spec(None, collected)))


def test_the_data_read_back_by_their_own_spec(episodes):
    assert len(episodes) == 3
    for episode in episodes:
        assert 6 <= len(episode) <= 10
        assert episode.language == (), "nobody told the robot anything"
        assert episode.pose[0].tolist() == [0, 0, 0]
        assert episode.cameras["primary"].decode(0).shape == (48, 48, 3)


def test_the_shortest_episodes_have_a_way_driven(tmp_path):
    directory = tmp_path / "1.0.0"
    collect(directory, replace(OPTIONS, episodes=4, steps=2))
    told = read_episodes(open_dataset(directory), load_spec(None, directory))
    assert [len(episode) for episode in told] == [2] * 4


def test_the_privileged_feature_is_the_truth(episodes):
    """Scene, chance and the logged actions replay the episode exactly: poses, pictures, and what they show."""
    for episode in episodes:
        columns, seed = read_scene(episode)
        scene, length = from_json(columns), len(episode)
        actions = episode.action[None, : length - 1].astype(np.float64)
        run = branch(stack([scene]), initial_state([scene]), actions, draw_noise([seed], length))
        since_start = pose_from(run.pose[0, [0] * length], run.pose[0])
        np.testing.assert_array_equal(since_start.astype(np.float32), episode.pose)
        last = render(stack([scene]), run.state(length - 1), Camera(48, 48))
        shown = visible_things(last.segmentation, scene, run.state(length - 1).pose, Camera(48, 48))
        assert shown == read_visible(episode)[-1:]
        assert encode_jpeg(last.rgb[0]) == bytes(episode.cameras["primary"].frames[length - 1])


def test_boxes_enclose_what_frames_show(episodes):
    things = [thing for episode in episodes for frame in read_visible(episode) for thing in frame]
    assert things
    for thing in things:
        x0, y0, x1, y1 = thing.box
        assert 0 <= x0 < x1 <= 48
        assert 0 <= y0 < y1 <= 48
        assert 1 <= thing.pixels <= (x1 - x0) * (y1 - y0)


def test_the_same_seed_gives_the_same_bytes_and_an_interrupted_run_finishes_them(collected, tmp_path):
    again = tmp_path / "1.0.0"
    heard = []

    def stop_in_the_second_shard():
        heard.append(1)
        if len(heard) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(again, OPTIONS, stop_in_the_second_shard)
    assert "dataset_info.json" not in digest(again)
    for other in ({"seed": 1}, {"episodes": 2}, {"size": 32}, {"steps": 9}, {"bias": 0.1}, {"people": (0, 2)}):
        with pytest.raises(OutputError, match="another unfinished dataset"):
            collect(again, replace(OPTIONS, **other))
    collect(again, OPTIONS)
    assert digest(again) == digest(collected)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--env", "EmbodiedCF/Moon-v0"], "no collector for environment 'EmbodiedCF/Moon-v0'"),
        (["--episodes", "0"], "--episodes 0 is less than 1"),
        (["--bias", "2"], "--bias 2.0 is not in"),
        (["--split", "all"], "unknown split 'all'"),
        (["--steps", "1"], "an episode has at least 2"),
    ],
)
def test_bad_input_is_named(arguments, text, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["collect", "--out", str(tmp_path / "out"), *arguments])
    assert stopped.value.code == 2
    assert text in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists(), "nothing is left behind"


def test_sizes_are_checked():
    with pytest.raises(UsageError, match="--size 0"):
        CollectOptions("rooms", episodes=1, size=0)


def test_doors_are_told_apart():
    """Two doors side by side in one frame: the left one on the left."""
    scene = room(doors=[("green", 4, -1, 4, 0), ("red", 4, 1, 4, 2)])
    camera = Camera(64, 64)
    seen = visible_things(
        render(stack([scene]), initial_state([scene]), camera).segmentation, scene, scene.start[None], camera
    )
    boxes = {thing.name: thing.box for thing in seen[0]}
    assert set(boxes) == {"green door", "red door"}
    # 90 degrees over 64 pixels: a point (4, y) lies in column 32 - 8 y
    assert boxes["red door"][::2] == pytest.approx((16, 24), abs=1)
    assert boxes["green door"][::2] == pytest.approx((32, 40), abs=1)
