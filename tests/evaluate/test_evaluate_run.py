import json
from dataclasses import dataclass

import numpy as np
import pytest

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.errors import DatasetError, OutputError, UsageError
from embodied_cf.evaluate.load import load
from embodied_cf.evaluate.record import read_records
from embodied_cf.evaluate.run import PARTS, PLAN, RECORDS, Plan, evaluate
from embodied_cf.evaluate.suites import parse_suite
from embodied_cf.policies.contract import ActionChunk, Policy

SUITE = parse_suite("rooms/object/dev", (0, 0))


class Straight:
    """Drives straight on whatever it sees, and counts what it is asked."""

    camera, history = (16, 24), 2
    embodiment = load_embodiment("nav")

    def __init__(self):
        self.asked = []

    def act(self, observation, instruction, rng):
        self.asked.append((observation.image, instruction))
        way = np.stack([np.arange(1, 9) * 0.2, np.zeros(8)], axis=1)
        return ActionChunk(
            np.tile(way, (len(observation), 1, 1)).astype(np.float32), np.ones((len(observation), 8), bool)
        )


class Still(Straight):
    """Stands still."""

    def act(self, observation, instruction, rng):
        return ActionChunk(np.zeros((len(observation), 8, 2), np.float32), np.ones((len(observation), 8), bool))


def test_suites():
    assert [str(cell) for cell in parse_suite("corridors/all/test").cells] == [
        "corridors/object/test", "corridors/referential/test", "corridors/continuous/test", "corridors/chained/test",
    ]  # fmt: skip
    assert len(parse_suite("all/all/dev").cells) == 12
    cell, seeds = next(SUITE.seeds(0, 3))
    assert next(SUITE.seeds(0, 2))[1] == seeds[:2]
    assert next(SUITE.seeds(1, 3))[1][0] != seeds[0]
    assert next(parse_suite("rooms/object/test").seeds(0, 1))[1][0] != seeds[0]
    assert cell.task(seeds[0]) is cell.task(seeds[0])


@pytest.mark.parametrize("text", ["rooms", "rooms/object", "moon/object/dev", "rooms/verbs/dev", "rooms/object/tests"])
def test_unknown_suites(text):
    with pytest.raises(UsageError, match=r"suite|split"):
        parse_suite(text)


def test_records_resume_and_repeat(tmp_path):
    plan = Plan("straight", SUITE, 3, controls=("none", "empty"))
    policy = Straight()
    made = evaluate(policy, plan, tmp_path / "one")
    assert {record.control for record in made} == {"none", "empty"}
    assert {image.shape[1:] for image, _ in policy.asked} == {(2, 16, 24, 3)}
    first, second = (next(record for record in made if record.control == name) for name in ("none", "empty"))
    assert first.told
    assert second.told == ""
    assert first.path == second.path
    assert len(first.path) == first.steps + 1
    asked = len(policy.asked)
    assert evaluate(policy, plan, tmp_path / "one") == made
    assert len(policy.asked) == asked
    again = evaluate(Straight(), plan, tmp_path / "two")
    assert again == made
    assert (tmp_path / "one" / RECORDS).read_bytes() == (tmp_path / "two" / RECORDS).read_bytes()
    assert not (tmp_path / "one" / PARTS).exists()


def test_a_kill_loses_the_batch_in_flight_only(tmp_path, monkeypatch):
    monkeypatch.setattr("embodied_cf.evaluate.run.BATCH", 1)
    plan = Plan("straight", SUITE, 3)
    heard = []

    def killed(told, drives):
        heard.append(told)
        if len(heard) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(Straight(), plan, tmp_path, killed)
    policy = Straight()
    made = evaluate(policy, plan, tmp_path)
    told = {text for _, texts in policy.asked for text in texts}
    assert told == {made[2].told}


def test_no_episode_is_left_alone_in_a_batch(tmp_path, monkeypatch):
    """`shuffled-image` has no other's frames to show to who drives alone."""
    monkeypatch.setattr("embodied_cf.evaluate.run.BATCH", 2)
    made = evaluate(Still(), Plan("still", SUITE, 5, controls=("shuffled-image",)), tmp_path)
    ((_, seeds),) = SUITE.seeds(0, 5)
    assert [record.seed for record in made] == list(seeds)


def test_standing_still_fails_as_a_wrong_stop(tmp_path):
    (record,) = evaluate(Still(), Plan("still", SUITE, 1), tmp_path)
    assert (record.success, record.ending, record.travelled) == (False, "wrong stop", 0.0)
    assert record.measures["spl"] == 0.0
    assert record.sight in ("nearest", "far", "unseen")


def test_directories_of_others_are_refused(tmp_path):
    evaluate(Still(), Plan("still", SUITE, 1), tmp_path / "run")
    with pytest.raises(OutputError, match="another policy or plan"):
        evaluate(Still(), Plan("still", SUITE, 2), tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="holds something else"):
        evaluate(Still(), Plan("still", SUITE, 1), tmp_path / "mine")


def test_broken_records_are_named(tmp_path):
    evaluate(Still(), Plan("still", SUITE, 1), tmp_path)
    file = tmp_path / RECORDS
    file.write_text(file.read_text() + json.dumps({"world": "rooms"}) + "\n")
    with pytest.raises(DatasetError, match=r"episodes\.jsonl:2: no record"):
        list(read_records(file))


def test_a_torn_plan_is_named(tmp_path):
    evaluate(Still(), Plan("still", SUITE, 1), tmp_path)
    for torn in (b"", b"\xff"):
        (tmp_path / PLAN).write_bytes(torn)
        with pytest.raises(OutputError, match=r"plan\.json: no plan of an evaluation"):
            evaluate(Still(), Plan("still", SUITE, 1), tmp_path)


def test_no_more_is_carried_out_than_the_policy_tells(tmp_path):
    evaluate(Still(), Plan("still", SUITE, 1, execute=8), tmp_path / "whole")
    with pytest.raises(UsageError, match="--execute 9 is beyond the 8 control periods"):
        evaluate(Still(), Plan("still", SUITE, 1, execute=9), tmp_path / "more")
    assert not (tmp_path / "more").exists()


def filled(value, shape, meant=8):
    return ActionChunk(np.full(shape, value, np.float32), np.tile(np.arange(shape[1]) < meant, (shape[0], 1)))


@dataclass
class Answering(Still):
    """Answers with this, whatever it is asked."""

    answer: object

    def act(self, observation, instruction, rng):
        return self.answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "with NoneType, which is no ActionChunk"),
        (filled(0, (1, 8, 2)), r"shape \(1, 8, 2\) .* want \(2, 8, 2\)"),
        (filled(0, (2, 1, 2)), r"shape \(2, 1, 2\) .* want \(2, 8, 2\)"),
        (filled(np.nan, (2, 8, 2)), "not finite"),
        (filled(np.nan, (2, 8, 2), meant=0), "not finite"),
    ],
)
def test_answers_that_are_no_chunks_are_refused(tmp_path, answer, told):
    with pytest.raises(UsageError, match=told):
        evaluate(Answering(answer), Plan("odd", SUITE, 2), tmp_path)
    assert not (tmp_path / RECORDS).exists()


def test_what_lies_beyond_a_mask_need_not_be_finite(tmp_path):
    answer = filled(0, (2, 8, 2), meant=3)
    answer.chunk[:, 3:] = np.nan
    evaluate(Answering(answer), Plan("odd", SUITE, 2), tmp_path)


def test_plans_are_checked():
    with pytest.raises(UsageError, match="--episodes 0"):
        Plan("p", SUITE, 0)
    with pytest.raises(UsageError, match="unknown control 'shout'"):
        Plan("p", SUITE, 1, controls=("shout",))
    with pytest.raises(UsageError, match=r"--episodes 1 is too few for .*'shuffled-image'\. It needs 2"):
        Plan("p", SUITE, 1, controls=("none", "shuffled-image"))
    with pytest.raises(UsageError, match="names one of them twice"):
        Plan("p", SUITE, 1, controls=("none", "none"))
    with pytest.raises(UsageError, match="--execute 0"):
        Plan("p", SUITE, 1, execute=0)
    with pytest.raises(UsageError, match="coefficient is nan"):
        Plan("p", SUITE, 1, ensemble=float("nan"))


def test_policies_by_name():
    assert isinstance(load("test_evaluate_run:Straight"), Policy)
    for name, told in (("no/such/run", "no run, factory or address"), ("json:nothing", "cannot be imported"),
                       ("builtins:dict", "dict is no policy"), (":Straight", "no run, factory or address"),
                       (".json:loads", "no run, factory or address")):  # fmt: skip
        with pytest.raises(UsageError, match=told):
            load(name)


class Nervous(Straight):
    """Says half left and half right in turn."""

    def act(self, observation, instruction, rng):
        self.asked.append(instruction)
        side = 1.0 if len(self.asked) % 2 else -1.0
        way = np.stack([np.arange(1, 9) * 0.2, side * np.arange(1, 9) * 0.2], axis=1)
        return ActionChunk(
            np.tile(way, (len(observation), 1, 1)).astype(np.float32), np.ones((len(observation), 8), bool)
        )


def test_an_ensemble_calms_who_changes_his_mind(tmp_path):
    turned = {}
    for name, ensemble in (("alone", None), ("ensemble", 0.01)):
        plan = Plan("nervous", SUITE, 1, execute=1, ensemble=ensemble)
        (record,) = evaluate(Nervous(), plan, tmp_path / name)
        yaw = np.array([pose[2] for pose in record.path])
        turned[name] = np.abs(np.diff(yaw)).sum() / len(yaw)
    assert turned["ensemble"] < 0.75 * turned["alone"]


def test_an_ensemble_of_one_is_what_was_said(tmp_path):
    """Whoever carries a chunk out to its end has nothing to average."""
    paths = [
        evaluate(Straight(), Plan("p", SUITE, 1, execute=8, ensemble=ensemble), tmp_path / str(ensemble))[0].path
        for ensemble in (None, 0.01)
    ]
    assert np.allclose(paths[0], paths[1], atol=2e-3)


def test_the_same_episodes_in_mujoco(tmp_path):
    """Same scene, same start, nearly the same way; not the same pictures."""
    seen, paths = {}, {}
    for backend in ("raycast", "mujoco"):
        policy = Straight()
        plan = Plan("straight", parse_suite("rooms/object/dev", (0, 0)), 2, backend=backend)
        records = evaluate(policy, plan, tmp_path / backend)
        seen[backend] = policy.asked[0][0].astype(float)
        paths[backend] = [np.array(record.path)[:6] for record in records]
    assert seen["raycast"].shape == seen["mujoco"].shape
    assert 1 < np.abs(seen["raycast"] - seen["mujoco"]).mean() < 60
    for ours, theirs in zip(paths["raycast"], paths["mujoco"], strict=True):
        assert np.allclose(ours[0], theirs[0])
        assert np.hypot(*(ours[5] - theirs[5])[:2]) < 0.3
