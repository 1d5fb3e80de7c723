"""A whole relabel run through the command, against a real server process that answers from pixels and misbehaves."""

import functools
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import makers
import pytest
from vlm_helpers import COLOURS, KEY, picture

from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.datasets.writer import DatasetCard, write_dataset

STEPS, EPISODES, SHARDS, EVERY = 13, 4, 3, 3
FAULTS = ("--fraction", "0.3", "--kinds", "429,500,hang,truncated,off_enum", "--hang", "1.5", "--latency", "0", "0.05")


def colour_at(episode, step):
    return COLOURS[(5 * episode + step // EVERY) % 6]


def coloured_shard(shard):
    for index in range(EPISODES):
        number = EPISODES * shard + index
        example = makers.arm_episode(STEPS, number)
        frames = [picture(colour_at(number, step), (32, 32), mark=32 * number + step) for step in range(STEPS)]
        example["steps"]["observation"]["image_0"] = frames
        yield example


@pytest.fixture(scope="module")
def coloured(tmp_path_factory):
    """Arm logs whose primary camera shows one colour for as long as one answer of the model holds."""
    out = tmp_path_factory.mktemp("coloured") / "1.0.0"
    shards = [functools.partial(coloured_shard, shard) for shard in range(SHARDS)]
    write_dataset(out, DatasetCard("coloured"), makers.arm_features(), {"train": shards})
    return out


def command(coloured, out, base_url, *more):
    arguments = ["--spec", "bridge", "--captioner", "openai", "--model", "m", "--base-url", base_url,
                 "--api-key-env", "TEST_VLM_KEY", "--every", str(EVERY), "--timeout", "1", *map(str, more)]  # fmt: skip
    return [sys.executable, "-m", "embodied_cf", "relabel", str(coloured), str(out), *arguments]


def run(*arguments):
    environment = {**os.environ, "TEST_VLM_KEY": KEY}
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=environment)


def labels_of(out):
    return [(int(episode.episode_id[-11:-6]) * EPISODES + int(episode.episode_id[-5:]), episode.labels["labels"])
            for episode in read_episodes(open_dataset(out), load_spec("bridge"))]  # fmt: skip


def digest(out):
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(out.rglob("*")) if path.is_file() and not path.name.startswith("report.")}  # fmt: skip


def test_faults_cost_no_label_and_mislabel_nothing(coloured, start_server, tmp_path):
    clean, faulty = start_server(), start_server(*FAULTS)
    done = run(coloured, tmp_path / "clean", clean.base_url)
    assert done.returncode == 0, done.stderr
    done = run(coloured, tmp_path / "faulty", faulty.base_url)
    assert done.returncode == 0, done.stderr
    seen = {line["fault"] for line in faulty.requests()}
    assert {"429", "500", "hang", "truncated", "off_enum", "ok"} <= seen
    assert digest(tmp_path / "faulty") == digest(tmp_path / "clean"), "all that can be had is had, and is the same"
    from_model = 0
    for episode, labels in labels_of(tmp_path / "faulty"):
        rows = zip(labels.kind, labels.instruction, labels.start.tolist(), labels.end.tolist(), strict=True)
        for kind, text, start, end in rows:
            said = set(re.findall("|".join(COLOURS), text))
            if not text.startswith("move towards the"):
                continue
            from_model += 1
            if kind == "counterfactual":
                assert said == {colour_at(episode, start)}, (episode, start, text)
            else:
                assert said <= {colour_at(episode, step) for step in range(start, end + 1)}, (episode, start, end, text)
    assert from_model > 100


def test_an_interrupted_run_asks_nothing_twice(coloured, start_server, tmp_path):
    server = start_server("--latency", "0.01", "0.05")
    out, environment = tmp_path / "out", {**os.environ, "TEST_VLM_KEY": KEY}
    for requests in (20, 60):
        process = subprocess.Popen(command(coloured, out, server.base_url), env=environment, stderr=subprocess.DEVNULL)
        while len(server.requests()) < requests and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = run(coloured, out, server.base_url)
    assert done.returncode == 0, done.stderr
    in_flight = 2 * 32  # answers that the killed processes were waiting for
    assert len(server.asked_twice()) <= in_flight
    asked = len(server.requests())
    again = run(coloured, tmp_path / "again", server.base_url, "--cache", f"{out}.vlm-cache.sqlite")
    assert again.returncode == 0, again.stderr
    assert len(server.requests()) == asked, "every answer came from the cache"
    assert digest(tmp_path / "again") == digest(out)


def test_a_finished_run_replays_without_server_or_key(coloured, server, tmp_path):
    assert run(coloured, tmp_path / "live", server.base_url).returncode == 0
    asked = len(server.requests())
    done = subprocess.run(
        [*command(coloured, tmp_path / "replayed", "http://127.0.0.1:9/v1"), "--captioner", "replay",
         "--cache", f"{tmp_path / 'live'}.vlm-cache.sqlite"], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(server.requests()) == asked
    assert digest(tmp_path / "replayed") == digest(tmp_path / "live")


def test_tasks_on_ray_share_one_file_of_answers(coloured, start_server, tmp_path):
    alone, shared = start_server(), start_server()
    assert run(coloured, tmp_path / "local", alone.base_url).returncode == 0
    told = tmp_path / "told.json"
    done = run(coloured, tmp_path / "ray", shared.base_url, "--engine", "ray", "--workers", "2", "--json", told)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "ray") == digest(tmp_path / "local")
    usage = json.loads(told.read_text())["usage"]
    assert usage["requests"] == len(shared.requests()) > 0
    assert usage["questions"] == usage["requests"] - usage["retries"] + usage["cached"] + usage["shared"]
    again = run(coloured, tmp_path / "again", shared.base_url, "--cache", f"{tmp_path / 'ray'}.vlm-cache.sqlite")
    assert again.returncode == 0, again.stderr
    assert len(shared.requests()) == usage["requests"], "every answer came from the file"


def test_no_file_and_no_message_holds_the_key(coloured, start_server, tmp_path):
    server = start_server("--fraction", "0.5", "--kinds", "echo_key,500,429")
    done = run(coloured, tmp_path / "out", server.base_url)
    assert KEY not in done.stdout + done.stderr
    held = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert held == []


def test_a_budget_stops_cleanly_and_the_run_goes_on_later(coloured, server, tmp_path):
    done = run(coloured, tmp_path / "out", server.base_url, "--max-requests", "30")
    assert done.returncode == 2
    assert "30 requests" in done.stderr or "max" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(server.requests()) <= 30
    assert not list((tmp_path / "out").glob(".*.tmp")), "nothing half written"
    done = run(coloured, tmp_path / "out", server.base_url)
    assert done.returncode == 0, done.stderr
    assert server.asked_twice() == []


def test_images_leave_the_machine_only_if_told(coloured, tmp_path):
    done = run(coloured, tmp_path / "out", "https://models.invalid/v1")
    assert done.returncode == 2
    assert "--send-images" in done.stderr


def test_a_dry_run_asks_nothing_and_says_what_it_would_cost(coloured, server, tmp_path):
    done = run(coloured, tmp_path / "out", server.base_url, "--dry-run", "--limit", "2", "--json", str(tmp_path / "j"))
    assert done.returncode == 0, done.stderr
    assert server.requests() == []
    assert not (tmp_path / "out").exists()
    forecast = json.loads((tmp_path / "j").read_text())["forecast"]
    assert forecast["requests"] > 0
    assert forecast["cost_usd"] > 0
    assert json.loads((tmp_path / "j").read_text())["forecast_for_all"]["requests"] == forecast["requests"] * 6
