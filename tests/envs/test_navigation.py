import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from scenes import room

import embodied_cf.envs  # noqa: F401 registers the ids
from embodied_cf.envs import setting as setting_module
from embodied_cf.envs.driving.pursuit import Route
from embodied_cf.envs.motion.branch import branch
from embodied_cf.envs.navigation import NavigationEnv, NavigationVectorEnv
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.tasks import Task, make_task
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import GoTo, Thing

IDS = [f"EmbodiedCF/{world}{kind}-v0" for world in ("Rooms", "Corridors", "Courtyard") for kind in ("", "-Social")]
AHEAD, STAND = np.array([0.8, 0.0]), np.zeros(2)


@pytest.fixture
def chair_ahead(monkeypatch):
    """Every task is: go to the red chair, 2.5 m ahead; a blue box stands 1.5 m to the left."""
    scene = room([("chair", "red", 2.5, 0.0), ("box", "blue", 0.0, 1.5)])
    way = Route(np.array([[0.0, 0.0], [1.6, 0.0]]), stop=True)

    def task(world, family, split, seed, people):
        return Task(scene, GoTo(Thing("chair", "red")), "go to the red chair", seed, (way,))

    monkeypatch.setattr(setting_module, "make_task", task)


def velocity(**options):
    env = NavigationEnv(control="velocity", **options)
    env.reset(seed=0)
    return env


def run(env, actions):
    """Returns (rewards, terminated, truncated, info) of actions until the end."""
    rewards, terminated, truncated, info = [], False, False, {}
    for action in actions:
        _, reward, terminated, truncated, info = env.step(action)
        rewards.append(reward)
        if terminated or truncated:
            break
    return rewards, terminated, truncated, info


def equal(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("name", IDS)
def test_gymnasium_finds_nothing_to_warn_about(name):
    env = gym.make(name, render_mode="rgb_array", family="object").unwrapped
    check_env(env)
    assert env.reset(seed=1)[0]["image"].shape == (64, 64, 3)


@pytest.mark.parametrize("control", ["chunk", "velocity"])
def test_many_environments_do_what_single_ones_do(control):
    vector = gym.make_vec("EmbodiedCF/Rooms-Social-v0", num_envs=3, vectorization_mode="vector_entry_point",
                          control=control, pool=8)  # fmt: skip
    singles = [gym.make("EmbodiedCF/Rooms-Social-v0", control=control, pool=8) for _ in range(3)]
    seen, info = vector.reset(seed=5)
    rng, ended = np.random.default_rng(0), [False] * 3
    for row, single in enumerate(singles):
        alone, facts = single.reset(seed=5 + row)
        assert equal({name: seen[name][row] for name in seen}, alone)
        assert facts["seed"] == info["seed"][row]
    for _ in range(60):
        way = np.cumsum(rng.uniform(-0.05, 0.25, (3, 8, 2)), axis=1)
        actions = way.astype(np.float32) if control == "chunk" else vector.action_space.sample()
        seen, gain, terminated, truncated, info = vector.step(actions)
        for row, single in enumerate(singles):
            alone, facts = single.reset() if ended[row] else (None, None)
            if alone is None:
                alone, reward, *ends, facts = single.step(actions[row])
                assert (reward, *ends) == (gain[row], terminated[row], truncated[row])
            assert equal({name: seen[name][row] for name in seen}, alone)
            assert equal({name: info[name][row] for name in facts}, facts)
        ended = (terminated | truncated).tolist()
    assert vector.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert seen in vector.observation_space


def test_a_seed_decides_everything_and_episodes_differ():
    def story(seed):
        env = NavigationVectorEnv(2, control="velocity", world="corridors", pool=4)
        frames = [env.reset(seed=seed)[0]["image"], env.reset()[0]["image"]]
        for _ in range(10):
            frames.append(env.step(np.full((2, 2), (0.9, 0.2)))[0]["image"])
        return np.stack(frames), env._facts["seed"]

    (one, seeds), (same, _), (other, _) = story(3), story(3), story(4)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert len({*seeds.tolist()}) == 2
    assert not np.array_equal(one[0], one[1])


def test_branches_with_the_same_actions_show_the_same_pixels_and_people():
    env = NavigationVectorEnv(24, control="velocity", world="courtyard", people=(3, 6), collision_fails=False, pool=24,
                              family="continuous")  # fmt: skip
    env.reset(seed=0)
    rng, camera = np.random.default_rng(1), Camera(64, 64)
    begun, actions, frames = env.episodes, rng.uniform(-0.5, 1.0, (24, 30, 2)), []
    running = ~begun.over
    for step in range(30):
        frames.append(env.step(actions[:, step])[0]["image"])
        running &= ~env.episodes.over
    rows = np.flatnonzero(running)
    worlds, noise = begun.worlds.take(rows), env.noise
    again = branch(worlds, begun.state.take(rows), actions[rows], type(noise)(noise.slip[rows], noise.person[rows]))
    for step in range(30):
        assert np.array_equal(render(worlds, again.state(step + 1), camera).rgb, frames[step][rows])
    assert np.array_equal(again.state(30).person, env.episodes.state.person[rows])
    assert len(rows) > 4


def test_the_return_is_the_progress_and_success_ends_the_episode(chair_ahead):
    env = velocity()
    _, info = env.reset(seed=2)
    assert (info["instruction"], info["family"], info["success"]) == ("go to the red chair", "object", False)
    assert info["shortest_path"] == pytest.approx(1.6)
    rewards, terminated, truncated, info = run(env, [AHEAD] * 8 + [STAND] * 10)
    assert terminated
    assert not truncated
    assert info["success"]
    assert info["progress"] == 1.0
    assert sum(rewards) == pytest.approx(1.0)
    assert info["travelled"] == pytest.approx(1.6, rel=0.1)
    with pytest.raises(UsageError, match=r"the episode is over.*reset"):
        env.step(AHEAD)


@pytest.mark.parametrize("fails", [True, False])
def test_a_collision_with_an_object_fails_if_so_wished(chair_ahead, fails):
    env = velocity(collision_fails=fails)
    rewards, terminated, _, info = run(env, [np.array([1.0, 0.0])] * 10)
    assert terminated == fails
    assert not info["success"]
    assert info["collisions"] == 1 if fails else info["collisions"] > 1
    assert sum(rewards) == pytest.approx(info["progress"])


def test_walls_are_counted_and_end_nothing(chair_ahead):
    env = velocity()
    env.step(np.array([0.12, -1.5]))
    actions = [np.array([0.12, -1.5])] * 3 + [np.array([1.0, 0.0])] * 24  # to the right, then straight on
    _, terminated, _, info = run(env, actions)
    assert not terminated
    assert info["wall_contacts"] > 0
    assert info["collisions"] == 0


def test_time_runs_out(chair_ahead):
    env = velocity()
    rewards, terminated, truncated, info = run(env, [np.array([0.12, 1.5])] * 200)  # in a small circle
    assert (len(rewards), terminated, truncated) == (160, False, True)  # 40 s
    assert not info["success"]


def test_a_chunk_is_driven_for_as_many_rows_as_asked(chair_ahead):
    chunk = np.linspace([0.15, 0.0], [1.2, 0.0], 8)
    for execute in (1, 4, 8):
        env = NavigationEnv(execute=execute)
        env.reset(seed=0)
        seen = env.step(chunk)[0]
        assert seen["pose"][0] == pytest.approx(0.15 * execute, rel=0.12)
    assert env.action_space.shape == (8, 2)


def test_a_chunk_ends_with_the_episode(chair_ahead):
    env = NavigationVectorEnv(1, execute=8)
    env.reset(seed=0)
    ends = [env.step(np.linspace([0.15, 0.0], [1.2, 0.0], 8)[None]) for _ in range(2)]
    assert ends[1][2][0], "the chair is hit"
    assert 8 < env.episodes.clock[0] < 16


def test_the_next_step_after_the_end_begins_anew(chair_ahead):
    env = NavigationVectorEnv(1, control="velocity")
    env.reset(seed=0)
    first = env.episodes
    while not env.step(np.array([[1.0, 0.0]]))[2][0]:
        pass
    seen, gain, terminated, truncated, info = env.step(np.array([[1.0, 0.0]]))
    assert (gain[0], terminated[0], truncated[0], env.episodes.clock[0]) == (0, False, False, 0)
    assert seen["pose"].tolist() == [[0, 0, 0]]
    assert info["progress"][0] == 0
    assert first.clock[0] == 0, "what was handed out stays"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"control": "joystick"}, "unknown control 'joystick'"),
        ({"family": "poetic"}, "unknown family 'poetic'"),
        ({"execute": 9}, "execute=9 periods of a chunk of 8"),
        ({"size": 0}, "size=0"),
        ({"size": -3}, "size=-3"),
        ({"pool": -1}, "pool=-1"),
        ({"world": "moon"}, "unknown world 'moon'"),
        ({"split": "exam"}, "unknown split 'exam'"),
        ({"people": (2, 9)}, r"people \(2, 9\)"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(UsageError, match=message):
        NavigationEnv(**options)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros(3), r"got \(1, 3\)"),
        (np.zeros((8, 2)), r"actions are \(1, 2\)"),
        (np.array([np.nan, 0]), "not finite"),
    ],
)
def test_bad_actions_are_named(chair_ahead, action, message):
    with pytest.raises(UsageError, match=message):
        velocity().step(action)


def test_steps_before_reset_and_seeds_that_do_not_fit_are_named():
    env = NavigationVectorEnv(2, control="velocity")
    with pytest.raises(UsageError, match="Call reset"):
        env.step(np.zeros((2, 2)))
    with pytest.raises(UsageError, match="3 seeds for 2 environments"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(UsageError, match="num_envs=0"):
        NavigationVectorEnv(0)


def test_an_unknown_id_is_named():
    with pytest.raises(gym.error.NameNotFound, match="Rooms"):
        gym.make("EmbodiedCF/Roms-v0")


def test_importing_registers_ids_and_loads_nothing_heavy():
    script = (
        "import sys, embodied_cf.envs, gymnasium as gym\n"
        "assert {'numba', 'torch', 'cv2'}.isdisjoint(sys.modules)\n"
        "print(*(name for name in gym.registry if name.startswith('EmbodiedCF/')))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert set(IDS) <= set(done.stdout.split())
    assert gym.make("embodied_cf.envs:EmbodiedCF/Rooms-v0").spec.kwargs["world"] == "rooms"


def test_a_seed_whose_first_twelve_scenes_offer_nothing_has_a_task():
    """Corridors with few things, and one of them to be in view: this seed once had none."""
    assert make_task("corridors", "referential", "dev", 70267).routes


def test_a_scene_with_one_thing_to_name_is_no_place_for_a_chain():
    """The first scene of this seed offers a single clause beside commands: drawing another one never ended."""
    assert make_task("corridors", "chained", "dev", 70251).routes
