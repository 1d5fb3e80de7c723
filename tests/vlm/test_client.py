import asyncio
import time
from collections import Counter

import pytest
from vlm_helpers import COLOURS, PROMPT, Loopback, colour_question, picture

from embodied_cf.errors import UsageError, VlmError
from embodied_cf.vlm.access import AccessError
from embodied_cf.vlm.budget import Prices
from embodied_cf.vlm.client import VlmClient, ask_all
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Answer, Prompt, Question


def ask(options: ClientOptions, *questions: Question) -> tuple[list[Answer], dict]:
    async def run() -> tuple[list[Answer], dict]:
        async with VlmClient(options) as client:
            return await ask_all(client, questions), client.usage.summary()

    return asyncio.run(run())


def ask_one(options: ClientOptions, question: Question) -> tuple[Answer, dict]:
    answers, usage = ask(options, question)
    return answers[0], usage


def test_answer_comes_from_the_pixels(server: Loopback) -> None:
    for kind in (".jpg", ".png"):
        question = Question(PROMPT, {"case": kind}, (picture("green", kind=kind), picture("blue", kind=kind)))
        answer, usage = ask_one(server.options(), question)
        assert answer.value["colour"] == "colour green then blue"
        assert answer.sizes == ((32, 24), (32, 24))
        assert (answer.input_tokens, answer.output_tokens) == (100, 10)
        assert usage["latency_p50_s"] > 0
    assert [line["path"] for line in server.requests()] == ["/v1/chat/completions"] * 2


def test_no_answer_is_attached_to_another_question(start_server) -> None:
    """512 questions, 64 at a time, completing in random order, a fifth of the requests failing."""
    kinds = "429,500,cut,truncated,wrong_schema,drop"
    server = start_server("--latency", "0", "0.1", "--fraction", "0.2", "--kinds", kinds)

    async def run() -> tuple[list, VlmClient]:
        async with VlmClient(server.options(concurrency=64, max_attempts=20)) as client:
            questions = [colour_question(COLOURS[case % 8], case) for case in range(512)]
            return await asyncio.gather(*map(client.ask, questions), return_exceptions=True), client

    outcomes, client = asyncio.run(run())
    log = server.requests()
    assert [line["n"] for line in log] != sorted(line["n"] for line in log), "nothing was out of order"
    lost = [case for case, outcome in enumerate(outcomes) if isinstance(outcome, VlmError)]
    assert len(lost) == client.usage.failed < 20, "two bad answers in a row: one in a hundred"
    for case in set(range(512)) - set(lost):
        assert outcomes[case].value["colour"] == f"colour {COLOURS[case % 8]}"
    assert client.usage.requests == len(log)
    assert client.usage.retries == client.usage.faults.total() > 20
    assert client.usage.repaired > 20
    assert server.asked_twice() == []


def test_same_question_in_flight_is_asked_once(start_server) -> None:
    server = start_server("--latency", "0.1", "0.1")
    answers, usage = ask(server.options(), *[colour_question("red")] * 20, colour_question("red", 1))
    assert {answer.value["colour"] for answer in answers} == {"colour red"}
    assert len(server.requests()) == 2
    assert (usage["questions"], usage["shared"]) == (21, 19)


def test_questions_are_laid_out_as_they_are_sent(start_server) -> None:
    """A crowd of askers waits at the door, unrendered: memory does not grow with the number of questions."""
    server = start_server("--latency", "0.3", "0.3")
    seen: list[bytes] = []

    def count(image: bytes) -> bytes:
        seen.append(image)
        return image

    async def run() -> None:
        async with VlmClient(server.options(concurrency=3, before_send=count)) as client:
            askers = [asyncio.create_task(client.ask(colour_question("red", case))) for case in range(50)]
            await asyncio.sleep(0.2)
            assert len(seen) == 6
            for asker in askers:
                asker.cancel()

    asyncio.run(run())


def test_cancelled_asker_does_not_harm_the_other(start_server) -> None:
    server = start_server("--latency", "0.2", "0.2")

    async def run() -> Answer:
        async with VlmClient(server.options()) as client:
            first, second = (asyncio.create_task(client.ask(colour_question("red"))) for _ in range(2))
            await asyncio.sleep(0.05)
            first.cancel()
            return await second

    assert asyncio.run(run()).value["colour"] == "colour red"
    assert len(server.requests()) == 1


def test_closing_cancels_what_is_under_way(start_server) -> None:
    server = start_server("--faults", "hang")

    async def run() -> None:
        client = VlmClient(server.options())
        asking = asyncio.create_task(client.ask(colour_question("red")))
        await asyncio.sleep(0.1)
        await client.close()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(asyncio.wait_for(run(), 3))


@pytest.mark.parametrize("fault", ["429", "500", "503", "drop", "garbage", "hang", "drip"])
def test_passing_fault_is_retried(start_server, fault: str) -> None:
    server = start_server("--faults", f"{fault},{fault}")
    start = time.perf_counter()
    answer, usage = ask_one(server.options(timeout_s=0.8), colour_question("red"))
    assert time.perf_counter() - start < 4.0, "a server that hangs or drips for 5 s is left before that"
    assert answer.value["colour"] == "colour red"
    assert (usage["requests"], usage["retries"], sum(usage["faults"].values())) == (3, 2, 2)


def test_server_pause_is_honoured(start_server) -> None:
    server = start_server("--faults", "429", "--retry-after", "0.4")
    ask_one(server.options(), colour_question("red"))
    first, second = (line["arrived"] for line in server.requests())
    assert 0.4 <= second - first < 2.0


def test_pause_beyond_reason_is_an_error(start_server) -> None:
    server = start_server("--faults", "429,429", "--retry-after", "3600")
    with pytest.raises(VlmError, match="429: slow down"):
        ask_one(server.options(), colour_question("red"))
    assert len(server.requests()) == 1


def test_attempts_end(start_server) -> None:
    server = start_server("--fraction", "1", "--kinds", "500")
    with pytest.raises(VlmError, match="episode 7: colours: the server answered 500: fault 500"):
        ask_one(server.options(max_attempts=4), colour_question("red", 7))
    assert len(server.requests()) == 4


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("truncated", "truncated"),
        ("cut", "not_json"),
        ("not_json", "not_json"),
        ("nan", "not_json"),
        ("wrong_schema", "schema"),
        ("refusal", "refused"),
        ("content_filter", "refused"),
        ("no_choices", "empty"),
    ],
)
def test_unusable_answer_is_repaired_once(start_server, fault: str, kind: str) -> None:
    server = start_server("--faults", fault)
    answer, usage = ask_one(server.options(), colour_question("cyan"))
    assert answer.value["colour"] == "colour cyan"
    assert (answer.input_tokens, answer.output_tokens) == (200, 20)
    assert (usage["repaired"], usage["invalid"]) == (1, {kind: 1})
    first, second = server.requests()
    assert first["repair"] == ""
    assert second["repair"].startswith("This answer cannot be used: ")
    assert second["digest"] == first["digest"], "the repair round shows question and images again"

    hopeless = start_server("--faults", f"{fault},{fault}")
    with pytest.raises(VlmError, match="even after a repair round"):
        ask_one(hopeless.options(max_rounds=1), colour_question("cyan"))
    assert len(hopeless.requests()) == 2

    stubborn = start_server("--faults", f"{fault},{fault}")
    answer, _ = ask_one(stubborn.options(), colour_question("cyan"))
    assert answer.value["colour"] == "colour cyan"
    assert [line["repair"] == "" for line in stubborn.requests()] == [True, False, True], "asked anew"


def test_repair_shows_bad_answer_and_reason(start_server) -> None:
    server = start_server("--faults", "off_enum")
    schema = {
        "type": "object",
        "properties": {"command": {"type": "string", "enum": ["stop", "turn left"]}},
        "required": ["command"],
        "additionalProperties": False,
    }
    answer, usage = ask_one(server.options(), Question(Prompt("p", "Choose.", schema)))
    assert answer.value["command"] in ("stop", "turn left")
    assert usage["invalid"] == {"off_list": 1}
    repair = server.requests()[1]
    assert repair["said"] == '{"command": "fly away"}'
    assert "at command: 'fly away' is not one of ['stop', 'turn left']" in repair["repair"]


@pytest.mark.parametrize("form", ["fenced", "parts", "wrong_finish", "no_usage"])
def test_odd_but_usable_answer_is_taken(start_server, form: str) -> None:
    server = start_server("--faults", form)
    answer, usage = ask_one(server.options(), colour_question("red"))
    assert answer.value["colour"] == "colour red"
    assert usage["requests"] == 1
    assert usage["input_tokens"] > 0, "estimated where the server does not say"
    assert usage["output_tokens"] > 0


def test_server_without_response_format_gets_the_schema_in_the_text(start_server) -> None:
    server = start_server("--plain-only", "--faults", "ok,ok,cut")
    questions = [colour_question("red", case) for case in range(5)]
    answers, usage = ask(server.options(concurrency=1), *questions)
    assert {answer.value["colour"] for answer in answers} == {"colour red"}
    structured = [line["structured"] for line in server.requests()]
    assert structured == [True] + [False] * 6, "learnt once, kept through a repair"
    assert usage["faults"] == {"status 400": 1}


def test_400_about_something_else_is_an_error(start_server) -> None:
    server = start_server("--faults", "ok,400,422")
    with pytest.raises(VlmError, match="400: fault 400") as caught:
        ask(server.options(concurrency=1), colour_question("red", 1), colour_question("red", 2))
    assert not isinstance(caught.value, AccessError)
    assert len(server.requests()) == 2, "response_format is known to work here"


@pytest.mark.parametrize(
    ("fault", "text"), [("401", "401"), ("404", "404"), ("quota", "no money left"), ("redirect", "307")]
)
def test_server_closed_to_us_is_asked_once(start_server, fault: str, text: str) -> None:
    server = start_server("--faults", fault)
    with pytest.raises(AccessError, match=text):
        ask(server.options(concurrency=1), *[colour_question("red", case) for case in range(5)])
    assert [line["fault"] for line in server.requests()] == [fault], "neither retried nor followed"


def test_absent_server_is_an_access_error() -> None:
    options = ClientOptions(model="m", base_url="http://127.0.0.1:9/v1", first_delay_s=0.001, max_attempts=2)
    with pytest.raises(AccessError, match="no connection to the server"):
        ask_one(options, colour_question("red"))


@pytest.mark.parametrize("fault", ["endless", "endless500", "gzip"])
def test_body_beyond_the_limit_is_not_read(start_server, fault: str) -> None:
    server = start_server("--faults", fault)
    with pytest.raises(VlmError, match="larger than 100000 bytes or compressed"):
        ask_one(server.options(max_body_bytes=100_000), colour_question("red"))
    assert len(server.requests()) <= 1, "not worth another try"


def test_ask_all_waits_for_every_answer(start_server, tmp_path) -> None:
    """An error in one question must not throw away answers that others have paid for."""
    server = start_server("--latency", "0.05", "0.05")
    options = server.options(cache=tmp_path / "c.sqlite")
    questions = [colour_question("red", case) for case in range(4)]
    with pytest.raises(VlmError):
        ask(server.options(cache=tmp_path / "c.sqlite", max_attempts=1), Question(PROMPT, {}), *questions)
    assert Counter(line["fault"] for line in server.requests())["ok"] >= 4
    asked = len(server.requests())
    ask(options, *questions)
    assert len(server.requests()) == asked


def test_impossible_options_are_refused(tmp_path) -> None:
    for changes, text in [
        ({"max_cost_usd": 1.0}, "needs prices"),
        ({"max_cost_usd": float("nan"), "prices": Prices(1.0, 1.0)}, "max_cost_usd=nan is no amount of money"),
        ({"offline": True}, "needs a cache"),
        ({"concurrency": 0}, "at least 1"),
        ({"timeout_s": 0.0}, "positive"),
        ({"base_url": "ftp://x/"}, "not an http"),
        ({"before_send": "nowhere:hook"}, "no such function: nowhere:hook"),
        ({"before_send": "os:sep"}, "is not a function"),
    ]:
        with pytest.raises(UsageError, match=text):
            VlmClient(ClientOptions(**{"model": "m"} | changes))
