"""A model's server that misbehaves is left in bounded time and memory, and never sees what it should not."""

import asyncio
import json
import time
import tracemalloc

import pytest
from hostile_server import response, saying
from hypothesis import given
from hypothesis import strategies as st
from vlm_helpers import KEY, SCHEMA, colour_question

from embodied_cf.errors import VlmError
from embodied_cf.vlm.access import AccessError
from embodied_cf.vlm.client import VlmClient
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.retry import delay_s, is_worth_waiting, retry_after_s
from embodied_cf.vlm.transport import _read_error
from embodied_cf.vlm.wire import Reply, judge, read_reply

GOOD = json.dumps({"colour": "red", "note": "n"})


def completion(text=GOOD, **usage):
    choices = [{"message": {"content": text}, "finish_reason": "stop"}]
    return json.dumps({"choices": choices, "usage": usage}).encode()


def ask(base_url, **changes):
    """Ask one question with two attempts of half a second each."""
    quick = {"model": "m", "base_url": base_url, "first_delay_s": 0.01, "timeout_s": 0.5, "max_attempts": 2,
             "max_rounds": 1, "max_body_bytes": 100_000, "api_key_env": "MY_KEY"}  # fmt: skip

    async def run():
        async with VlmClient(ClientOptions(**quick | changes)) as client:
            return await client.ask(colour_question("red"))

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "forever", "told"),
    [
        pytest.param([b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n" * 4000], True, "connection lost|no answer",
                     id="endless headers"),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n" * 1000], True, "connection lost|no answer", id="endless 100"),
        pytest.param([CHUNKED, b"100000000\r\n", b"x" * 65536], False, "connection lost|larger than 100000",
                     id="a chunk that ends early"),
        pytest.param([CHUNKED + b"-1\r\n\r\n"], False, "connection lost", id="a chunk of negative length"),
        pytest.param([response(GOOD.encode(), length=10**15)], False, "connection lost", id="a length that lies"),
        pytest.param([response(b"", length=-1)], False, "connection lost", id="a negative length"),
        pytest.param([b"nothing like HTTP\r\n\r\n"], False, "connection lost", id="no HTTP"),
        pytest.param([b""], False, "connection lost", id="silence"),
        pytest.param([b"\x16\x03\x01\x02\x00"], False, "connection lost", id="TLS"),
        pytest.param([response(b"<html>Please log in.</html>", "Content-Type: text/html")], False,
                     "no chat completion", id="a page"),
        pytest.param([response(b"\x1f\x8b" + bytes(99), "Content-Encoding: gzip")], False, "compressed unasked",
                     id="gzip"),
        pytest.param([response(b"\0" * 99, "Content-Encoding: br, gzip")], False, "compressed unasked", id="twice"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_left_in_time(pieces, forever, told):
    with saying(*pieces, forever=forever) as server:
        started = time.monotonic()
        with pytest.raises(VlmError, match=told):
            ask(server.base_url)
        assert time.monotonic() - started < 20, "two attempts of half a second, on a busy machine"
        assert len(server.requests) <= 2


@pytest.mark.parametrize("piece", [b" ", b"1\r\nx\r\n"])
def test_a_drip_is_left_in_time(piece):
    head = CHUNKED if b"\r" in piece else b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"
    with saying(head + piece * 3, *[piece] * 40, every_s=0.05) as server, pytest.raises(VlmError, match="no answer in"):
        ask(server.base_url, max_attempts=1)


@pytest.mark.parametrize("kind", ["text/html", "text/event-stream; x="])
def test_the_content_type_does_not_matter_where_the_content_is_right(kind):
    with saying(response(completion(), f"Content-Type: {kind}")) as server:
        assert ask(server.base_url, timeout_s=10).value["colour"] == "red"


@pytest.mark.parametrize("status", ["302 x", "307 x", "308 x"])
def test_no_redirect_leads_key_or_picture_elsewhere(status):
    with saying(response(completion())) as other:
        for place in (f"http://127.0.0.1:{other.port}/v1/chat/completions", f"//localhost:{other.port}/", "file:///x"):
            with saying(response(b"", f"Location: {place}", status=status)) as server:
                with pytest.raises(AccessError, match=status[:3]):
                    ask(server.base_url, timeout_s=10)
                assert len(server.requests) == 1
        assert other.requests == []


def test_a_cookie_is_not_carried_and_a_refresh_not_followed():
    with saying(response(b"", "Set-Cookie: a=b", "Refresh: 0; url=/x", status="500 x")) as server:
        with pytest.raises(VlmError, match="500"):
            ask(server.base_url, timeout_s=10)
        assert [request.split(b"\r\n")[0] for request in server.requests] == [b"POST /v1/chat/completions HTTP/1.1"] * 2


def test_a_body_takes_no_more_memory_than_its_limit():
    with saying(b"HTTP/1.1 200 OK\r\n\r\n", b" " * (1 << 20), forever=True) as server:
        ask_limited = pytest.raises(VlmError, match="larger than 1000000 bytes")
        tracemalloc.start()
        with ask_limited:
            ask(server.base_url, max_body_bytes=1_000_000, timeout_s=10)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 30_000_000


def verdict(text):
    return judge(Reply(text, "stop", ""), SCHEMA)


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("I see a robot.", "not_json", "Expecting value"),
        (GOOD + GOOD, "not_json", "Extra data"),
        ('{"colour": "red", "note": NaN}', "not_json", "NaN is no JSON number"),
        ('{"colour": "red", "note": -Infinity}', "not_json", "-Infinity is no JSON number"),
        ('{"colour": "red", "note": 1e999}', "not_json", "1e999 is no JSON number"),
        ('{"colour": "red", "note": ' + "9" * 5000 + "}", "not_json", "an integer of 5000 digits"),
        ('{"colour": "red", "note": ' + "9" * 17 + "}", "not_json", "an integer of 17 digits"),
        ('{"colour": "red", "note": "a", "note": "b"}', "not_json", "a key stands twice in one object"),
        ('{"colour": "red", "note": "\\ud800"}', "not_json", "surrogates not allowed"),
        ('{"colour": "red", "\\udfff": "n"}', "not_json", "surrogates not allowed"),
        ('{"colour": ' + "[" * 100_000 + "]" * 100_000 + ', "note": "n"}', "not_json", "recursion depth"),
        ('{"note":' * 100_000, "not_json", "recursion depth"),
        ('{"colour": ' + "[" * 600 + "]" * 600 + ', "note": "n"}', "schema", "is not of type 'string'"),
        ("null", "schema", "None is not of type 'object'"),
        ("[" + "1," * 500_000 + "1]", "schema", "is not of type 'object'"),
        ('{"colour": ["red"], "note": "n"}', "schema", "at colour: ['red'] is not of type 'string'"),
        ('{"colour": "red", "note": true}', "schema", "at note: True is not of type 'string'"),
        ('{"colour": "red"}', "schema", "'note' is a required property"),
        ('{"colour": "red", "note": "n", "__class__": {}}', "schema", "'__class__' was unexpected"),
    ],
)
def test_an_answer_that_cannot_be_used_is_named(text, kind, problem):
    found = verdict(text)
    assert (found.value, found.kind) == (None, kind)
    assert problem in found.problem
    assert len(found.problem) < 1000


def test_odd_but_sound_answers_are_taken():
    assert verdict('{"colour": "\\ud83d\\ude00 \\u0000", "note": "</script>"}').value == {
        "colour": "😀 \0", "note": "</script>"
    }  # fmt: skip


def test_a_hundred_thousand_breaches_of_the_schema_are_not_all_described():
    many = {"type": "array", "items": {"type": "string"}}
    tracemalloc.start()
    assert judge(Reply("[" + "1," * 100_000 + "1]", "stop", ""), many).kind == "schema"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(), max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(value=json_values | st.fixed_dictionaries({"colour": json_values, "note": json_values}), cut=st.integers(0, 60))
def test_whatever_is_answered_is_usable_or_named(value, cut):
    """What passes is what SCHEMA says, can be written as UTF-8, and reads the same everywhere."""
    text = json.dumps(value)
    for said in (text, text[:cut], text[cut:], f"```json\n{text}\n```"):
        found = verdict(said)
        if found.value is None:
            assert found.problem
        else:
            assert set(found.value) == {"colour", "note"}
            json.dumps(found.value, allow_nan=False, ensure_ascii=False).encode()


@given(body=st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_a_body_holds_is_a_reply_or_none(body):
    reply = read_reply(body)
    assert reply is None or reply.text.encode().decode() == reply.text
    code, text = _read_error(body)
    assert len(text) <= 300
    assert isinstance(code, str)


@given(message=json_values, usage=json_values, finish=json_values)
def test_completions_of_odd_parts_are_a_reply_or_none(message, usage, finish):
    body = json.dumps({"choices": [{"message": message, "finish_reason": finish}], "usage": usage}).encode()
    reply = read_reply(body)
    if reply is not None:
        judge(reply, SCHEMA)
        assert min(reply.input_tokens, reply.output_tokens) >= -1


def test_half_a_surrogate_in_a_reply_is_replaced():
    assert read_reply(b'{"choices": [{"message": {"content": "a\\ud800"}}]}').text == "a?"


@pytest.mark.parametrize("tokens", [-5, 2**53, int("9" * 4000), True, "many", None, 1.5])
def test_absurd_counts_of_tokens_are_not_believed(tokens, tmp_path):
    """The answer stands, is booked at an estimate, and fits the cache."""
    with saying(response(completion(prompt_tokens=tokens, completion_tokens=tokens))) as server:
        answer = ask(server.base_url, cache=tmp_path / "cache.sqlite", timeout_s=10)
    assert 0 < answer.input_tokens < 1000
    assert 0 < answer.output_tokens < 1000


def test_an_error_text_neither_moves_the_cursor_nor_breaks_a_file():
    body = json.dumps({"error": {"message": "\x1b[2J\x07\ud800 sorry"}}).encode()
    with saying(response(body, status="400 x")) as server, pytest.raises(VlmError) as caught:
        ask(server.base_url, timeout_s=10)
    assert "sorry" in str(caught.value)
    assert not set(str(caught.value)) & {"\x1b", "\x07", "\ud800"}
    str(caught.value).encode()


def test_a_deep_error_body_is_an_error_like_another():
    deep = b'{"error": {"message": ' + b"[" * 900 + b"]" * 900 + b"}}"
    for body in (deep, b"[" * 90_000, b'{"error": {"code": ' + b"[" * 900 + b"]" * 900 + b"}}"):
        with saying(response(body, status="500 x")) as server, pytest.raises(VlmError, match="500"):
            ask(server.base_url, max_attempts=1, timeout_s=10)


@pytest.mark.parametrize("header", ["inf", "1e400", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "-1", "nan", "soon",
                                    "Fri, 31 Dec 99999 23:59:59 GMT", "\0", ""])  # fmt: skip
def test_no_pause_is_waited_for_that_is_beyond_reason(header):
    from embodied_cf.vlm.retry import LONGEST_PAUSE_S, Failure

    pause = retry_after_s(header)
    failure = Failure("status 429", "", True, 429, pause)
    assert pause == 0 or pause > LONGEST_PAUSE_S
    assert is_worth_waiting(failure, 0, 6) == (pause == 0)


def test_backoff_does_not_overflow():
    import random

    assert delay_s(1000, 0.0, 0.5, random.Random(0)) <= 30


@pytest.mark.parametrize("answer", ["{", '{"colour": 1}', "[]", "null", '{"colour": "red"}'])
def test_a_cache_that_was_tampered_with_is_not_believed(tmp_path, answer):
    """Of an answer that is no JSON the file is named; one that breaks the schema is asked for again."""
    import sqlite3

    cache = tmp_path / "cache.sqlite"
    with saying(response(completion())) as server:
        ask(server.base_url, cache=cache, timeout_s=10)
        with sqlite3.connect(cache) as file:
            file.execute("UPDATE answers SET answer = ?", (answer,))
        file.close()
        if answer == "{":
            with pytest.raises(Exception, match=r"cache.sqlite: answer cache cannot be used \(Expecting"):
                ask(server.base_url, cache=cache, timeout_s=10)
        else:
            assert ask(server.base_url, cache=cache, timeout_s=10).value["colour"] == "red"
            with pytest.raises(VlmError, match="not in the answer cache"):
                ask(server.base_url, cache=cache, offline=True)
