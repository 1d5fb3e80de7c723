"""The Batch API: the same answers as from a server that answers at once, each paid for once, whatever dies."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from dataclasses import replace

import makers
import pytest
from loopback_server import make_server
from test_relabel_with_model import EVERY, coloured_shard, command, digest
from vlm_helpers import COLOURS, KEY, Loopback, colour_question

from embodied_cf.datasets.writer import DatasetCard, write_dataset
from embodied_cf.errors import BudgetError, OutputError, UsageError, VlmError
from embodied_cf.relabel.options import RelabelOptions, VlmOptions
from embodied_cf.relabel.runner import relabel
from embodied_cf.vlm.access import AccessError
from embodied_cf.vlm.batch import BatchAsker
from embodied_cf.vlm.batch_api import BatchApi, _outcomes, _remote
from embodied_cf.vlm.batch_store import BatchStore
from embodied_cf.vlm.budget import Prices
from embodied_cf.vlm.client import VlmClient


@pytest.fixture
def start_server(tmp_path):
    """Servers in threads, which start faster than processes."""
    servers = []

    def start(*arguments):
        log = tmp_path / f"requests{len(servers)}.jsonl"
        server = make_server(["--log", str(log), *arguments])
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return Loopback(server.server_address[1], log)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


QUESTIONS = [colour_question(COLOURS[case % 8], case) for case in range(8)]


def ask(settings, folder, questions=QUESTIONS):
    """Ask in rounds until nothing waits. Returns what came of each question, the usage, and what was told."""

    async def run():
        told = []
        async with VlmClient(replace(settings, cache=folder / "cache")) as client:
            with closing(BatchStore(folder / "batches")) as store:
                api = BatchApi(client.options)
                batch = BatchAsker(client, store, api, told.append)
                try:
                    await batch.collect()
                    while True:
                        before = batch.waiting
                        found = await asyncio.gather(*map(batch.ask, questions), return_exceptions=True)
                        for error in found:
                            if isinstance(error, AccessError):
                                raise error
                        if batch.waiting == before:
                            break
                        await batch.collect()
                    batch.settle()
                    found = await asyncio.gather(*map(batch.ask, questions), return_exceptions=True)
                finally:
                    await api.close()
        return found, client.usage, told

    return asyncio.run(run())


def colours(found):
    return [answer.value["colour"].removeprefix("colour ") for answer in found]


def batches(server):
    return [(line["name"], line["requests"]) for line in server.requests() if line["fault"] == "batch"]


RIGHT = [COLOURS[case % 8] for case in range(8)]


def test_answers_are_joined_to_their_questions(server, tmp_path):
    found, usage, told = ask(server.options(), tmp_path)
    assert colours(found) == RIGHT, "the server answers in another order"
    assert batches(server) == [("ok", 8)]
    assert (usage.requests, usage.questions, usage.cached, usage.failed) == (8, 8, 0, 0)
    assert (usage.input_tokens, usage.output_tokens) == (800, 80)
    assert told == ["batch batch_0: 8 requests sent", "batch batch_0: completed, 8 of 8"]
    deleted = [line["name"] for line in server.requests() if line["fault"] == "deleted"]
    assert len(deleted) == 2, "requests and answers do not stay with the server"
    again, usage, _ = ask(server.options(), tmp_path)
    assert colours(again) == RIGHT
    assert (usage.requests, usage.cached, len(batches(server))) == (0, 8, 1)


def test_the_same_question_is_sent_once(server, tmp_path):
    found, _, _ = ask(server.options(), tmp_path, [QUESTIONS[0]] * 3 + [QUESTIONS[1]])
    assert colours(found) == [RIGHT[0]] * 3 + [RIGHT[1]]
    assert batches(server) == [("ok", 2)]


def test_bad_answers_are_repaired_in_the_next_batch(start_server, tmp_path):
    server = start_server("--faults", "truncated,off_enum,not_json,ok,ok,ok,ok,ok")
    found, usage, _ = ask(server.options(), tmp_path)
    assert colours(found) == RIGHT
    assert batches(server) == [("ok", 8), ("ok", 2)], "an enum that is none is no fault here"
    assert usage.repaired == 2
    assert server.requests()[-1]["fault"] == "deleted"
    assert sum(bool(line.get("repair")) for line in server.requests()) == 2


def test_answers_that_stay_bad_fail(start_server, tmp_path):
    server = start_server("--fraction", "1", "--kinds", "not_json")
    found, usage, _ = ask(server.options(), tmp_path, QUESTIONS[:2])
    assert all("no usable answer even after a repair round: it is not JSON" in str(error) for error in found)
    assert [str(error).partition(":")[0] for error in found] == ["episode 0", "episode 1"]
    assert (usage.failed, batches(server)) == (2, [("ok", 2), ("ok", 2)])
    ask(server.options(), tmp_path, QUESTIONS[:2])
    assert len(batches(server)) == 2, "it is known that they fail"


@pytest.mark.parametrize("fault", ["429", "500"])
def test_failed_rows_are_sent_again(start_server, tmp_path, fault):
    server = start_server("--faults", f"ok,{fault},ok,{fault}")
    found, usage, _ = ask(server.options(), tmp_path)
    assert colours(found) == RIGHT
    assert batches(server) == [("ok", 8), ("ok", 2)]
    assert usage.faults == {f"status {fault}": 2}
    assert server.asked_twice() == []


def test_rows_that_fail_for_ever_end(start_server, tmp_path):
    server = start_server("--fraction", "1", "--kinds", "500")
    found, _, _ = ask(server.options(max_attempts=3), tmp_path, QUESTIONS[:1])
    assert "episode 0: colours: the server answered 500: fault 500" in str(found[0])
    assert batches(server) == [("ok", 1)] * 3


def test_a_server_without_schemas_is_asked_in_words(start_server, tmp_path):
    server = start_server("--plain-only")
    found, _, _ = ask(server.options(), tmp_path)
    assert colours(found) == RIGHT
    assert batches(server) == [("ok", 8), ("ok", 8)]


@pytest.mark.parametrize(("fault", "again"), [("expired", 4), ("scrambled", 1)])
def test_what_a_batch_leaves_open_is_sent_again(start_server, tmp_path, fault, again):
    server = start_server("--batch-faults", fault)
    found, usage, _ = ask(server.options(), tmp_path)
    assert colours(found) == RIGHT
    assert batches(server) == [(fault, 8), ("ok", again)]
    assert usage.requests == 8 + again


def test_a_cancelled_batch_stops_and_keeps_its_answers(start_server, tmp_path):
    server = start_server("--batch-faults", "cancelled")
    with pytest.raises(AccessError, match=r"batch_0: the batch was cancelled\. What it had answered is kept"):
        ask(server.options(), tmp_path)
    assert colours(ask(server.options(), tmp_path)[0]) == RIGHT
    assert batches(server) == [("cancelled", 8), ("ok", 4)]


def test_a_refused_batch_is_named(start_server, tmp_path):
    server = start_server("--batch-faults", "refused")
    with pytest.raises(AccessError, match=r"batch_0: the server refused a batch \(fault refused\)"):
        ask(server.options(), tmp_path)
    assert colours(ask(server.options(), tmp_path)[0]) == RIGHT, "nothing of it had been done"


def test_batches_shrink_to_what_the_server_takes(start_server, tmp_path):
    server = start_server("--batch-most", "3")
    assert colours(ask(server.options(), tmp_path)[0]) == RIGHT
    assert [size for _, size in batches(server)] == [8, 4, 2, 2, 2, 2]
    assert server.asked_twice() == []


def test_a_batch_that_nobody_told_of_is_found(start_server, tmp_path):
    server = start_server("--batch-faults", "ok,lost,ok")
    ask(server.options(), tmp_path, QUESTIONS[:1])
    assert colours(ask(server.options(), tmp_path)[0]) == RIGHT
    assert batches(server) == [("ok", 1), ("lost", 7)]
    assert server.asked_twice() == []


class TestBudget:
    def test_requests(self, server, tmp_path):
        with pytest.raises(BudgetError, match="run again with a larger --max-requests"):
            ask(server.options(max_requests=5), tmp_path)
        assert batches(server) == [("ok", 5)]
        assert colours(ask(server.options(), tmp_path)[0]) == RIGHT
        assert batches(server) == [("ok", 5), ("ok", 3)]

    def test_nothing_is_sent_that_may_cost_too_much(self, server, tmp_path):
        prices = Prices(1000.0, 1000.0)
        with pytest.raises(BudgetError):
            ask(server.options(max_cost_usd=0.01, prices=prices), tmp_path)
        assert batches(server) == []

    def test_what_was_reserved_and_not_spent_is_spent_later(self, server, tmp_path):
        """The worst case of a request is 1 USD and its true cost 0.11: eight fit into 2.5 USD, two or so at a time."""
        settings = server.options(max_cost_usd=2.5, prices=Prices(1000.0, 1000.0), max_output_tokens=400)
        found, usage, _ = ask(settings, tmp_path)
        assert colours(found) == RIGHT
        assert usage.cost_usd == pytest.approx(0.88)
        assert 2 < len(batches(server)) < 8


class TestAccess:
    def test_images_leave_the_machine_only_if_told(self, server, tmp_path):
        with pytest.raises(AccessError, match="--send-images"):
            ask(server.options(base_url="https://models.invalid/v1"), tmp_path, QUESTIONS[:1])

    def test_another_server_is_not_asked_about_our_batches(self, start_server, tmp_path):
        server = start_server("--batch-faults", "refused")
        store = BatchStore(tmp_path / "batches")
        store.begin("t", "http://elsewhere/v1", [("k", 0.0)])
        store.close()
        with pytest.raises(UsageError, match=r"under way at another server \(http://elsewhere/v1\)"):
            ask(server.options(), tmp_path)

    def test_a_server_without_batches(self, server, tmp_path):
        with pytest.raises(AccessError, match="could not upload: the server answered 404"):
            ask(server.options(base_url=f"http://127.0.0.1:{server.port}/v2"), tmp_path)

    def test_a_file_that_is_no_list(self, server, tmp_path):
        (tmp_path / "batches").write_text("x" * 100)
        with pytest.raises(OutputError, match="batches: the list of batches cannot be used"):
            ask(server.options(), tmp_path)

    def test_a_newer_list(self, server, tmp_path):
        with closing(sqlite3.connect(tmp_path / "batches")) as file:
            file.execute("PRAGMA user_version=99")
        with pytest.raises(OutputError, match="newer version 99"):
            ask(server.options(), tmp_path)


class TestWhateverTheServerSays:
    @pytest.mark.parametrize("row", [
        {"id": "b", "status": 3, "request_counts": [1], "errors": {"data": [7]}},
        {"id": "b", "status": "failed", "request_counts": {"completed": "9"}, "errors": "none"},
        {"id": "b", "status": None, "errors": {"data": {}}, "output_file_id": ""},
    ])  # fmt: skip
    def test_a_batch_is_read(self, row):
        remote = _remote(row)
        assert (remote.id, remote.done, remote.failed, remote.output_file) == ("b", 0, 0, "")

    @pytest.mark.parametrize("row", [{}, {"id": 3}, {"id": "../files"}, {"id": "b", "output_file_id": "a/b"}])
    def test_an_id_that_is_none_leads_nowhere(self, row):
        with pytest.raises(AccessError, match="names no id"):
            _remote(row)

    def test_lines_that_make_no_sense_are_no_answers(self):
        lines = [b"{", b"3", b"{}", b'{"custom_id": "a", "response": []}', b'{"custom_id": "b", "error": 3}',
                 b'{"custom_id": "c", "response": {"status_code": 200, "body": "x"}}',
                 b'{"custom_id": "d", "response": {"status_code": 400, "body": {"error": {"message": "no"}}}}',
                 b'{"custom_id": "e", "response": {"status_code": 200, "body": {"choices": []}}}']  # fmt: skip
        found = dict(_outcomes(b"\n".join(lines)))
        assert [found[key].passing for key in "abc"] == [True] * 3, "undone, so asked again"
        assert (found["d"].text, found["d"].passing) == ("the server answered 400: no", False)
        assert found["e"] == b'{"choices": []}'
        assert len(found) == 5


DEATHS = ("begin", "uploaded", "created", "finish")


@pytest.mark.parametrize("step", DEATHS)
@pytest.mark.parametrize("after", [False, True])
def test_death_at_any_step_pays_nothing_twice(server, tmp_path, monkeypatch, step, after):
    """The process ends just before or just after a step is on record; the next one goes on."""
    real = getattr(BatchStore, step)

    def die(self, *arguments):
        if after:
            real(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BatchStore, step, die)
        with pytest.raises(KeyboardInterrupt):
            ask(server.options(), tmp_path)
    found, usage, _ = ask(server.options(), tmp_path)
    assert colours(found) == RIGHT
    assert len(batches(server)) == 1
    assert server.asked_twice() == []
    assert usage.requests == (0 if (step, after) == ("finish", True) else 8)


def test_open_batches_count_against_the_budget(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(BatchStore, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ask(server.options(), tmp_path, QUESTIONS[:5])
    with pytest.raises(BudgetError):
        ask(server.options(max_requests=6), tmp_path)
    assert batches(server) == [("ok", 5), ("ok", 1)]


@pytest.fixture(scope="module")
def arm_logs(tmp_path_factory):
    out = tmp_path_factory.mktemp("coloured") / "1.0.0"
    shards = [lambda: coloured_shard(0), lambda: coloured_shard(1)]
    write_dataset(out, DatasetCard("coloured"), makers.arm_features(), {"train": shards})
    return out


class TestARun:
    def wanted(self, logs, out, server, **vlm):
        return RelabelOptions(logs, out, "bridge", captioner="openai", limit=5,
                              vlm=VlmOptions(model="m", base_url=server.base_url, every=EVERY, **vlm))  # fmt: skip

    def test_the_labels_are_those_of_a_run_that_is_answered_at_once(self, arm_logs, start_server, tmp_path):
        at_once, later = start_server(), start_server("--fraction", "0.2", "--kinds", "500,truncated,off_enum")
        relabel(self.wanted(arm_logs, tmp_path / "once", at_once))
        done = relabel(self.wanted(arm_logs, tmp_path / "batch", later, batch=True))
        assert (done.exit_code, done.usage["failed"]) == (0, 0)
        assert digest(tmp_path / "batch") == digest(tmp_path / "once")
        assert later.asked_twice() == []
        assert 4 <= len(batches(later)) <= 14, "describe, summarise, filter, propose, and what repairs take"
        assert not list(tmp_path.glob("*.lock"))

    def test_killed_and_started_again(self, arm_logs, start_server, tmp_path):
        server = start_server("--batch-polls", "4")
        out, environment = tmp_path / "out", {**os.environ, "TEST_VLM_KEY": KEY}
        process = subprocess.Popen(
            command(arm_logs, out, server.base_url, "--batch", "--limit", "5"), env=environment,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while len(batches(server)) < 2 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)  # one batch is collected, one is open
        process.wait()
        done = relabel(self.wanted(arm_logs, out, server, batch=True))
        assert done.exit_code == 0
        assert server.asked_twice() == []
        assert len(batches(server)) == 4, "describe, summarise, filter, propose"
        relabel(self.wanted(arm_logs, tmp_path / "once", start_server()))
        assert digest(out) == digest(tmp_path / "once")
        held = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
        assert held == []

    def test_only_a_server_is_asked_in_batches(self, arm_logs, server, tmp_path):
        with pytest.raises(UsageError, match="--batch asks a server; the captioner motion asks none"):
            replace(self.wanted(arm_logs, tmp_path, server, batch=True), captioner="motion")


def test_waiting_is_no_answer_for_good(server, tmp_path):
    """Whoever asks after the last round what no batch brought hears so."""

    async def run():
        async with VlmClient(server.options()) as client:
            with closing(BatchStore(tmp_path / "batches")) as store:
                batch = BatchAsker(client, store, BatchApi(client.options), print)
                batch.settle()
                await batch.ask(QUESTIONS[0])

    with pytest.raises(VlmError, match="episode 0: colours: no batch brought an answer"):
        asyncio.run(run())
