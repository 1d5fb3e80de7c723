"""Pure parts: pictures, prompts, retry rules, forecasts."""

import asyncio
import json
import random
from collections import Counter
from email.utils import formatdate
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vlm_helpers import PROMPT, Loopback, colour_question, picture

from embodied_cf.errors import UsageError, VlmError
from embodied_cf.vlm.budget import Prices
from embodied_cf.vlm.client import VlmClient
from embodied_cf.vlm.forecast import forecast, stand_in
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Picture, Prompt, Question
from embodied_cf.vlm.retry import Failure, delay_s, is_passing, is_worth_waiting, retry_after_s
from embodied_cf.vlm.templates import NAMES, SHIPPED, inline, load_prompt, load_prompts
from embodied_cf.vlm.usage import Usage
from embodied_cf.vlm.wire import Reply, judge, read_reply


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([".png", ".jpg"]), st.booleans())
def test_picture_size_is_read_from_the_head(width: int, height: int, kind: str, progressive: bool) -> None:
    flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)] if kind == ".jpg" else []
    data = cv2.imencode(kind, np.zeros((height, width, 3), np.uint8), flags)[1].tobytes()
    read = Picture.read(memoryview(data))
    assert (read.width, read.height) == (width, height)
    assert read.mime == {".png": "image/png", ".jpg": "image/jpeg"}[kind]


@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\x00\x10"]),
)
def test_no_bytes_crash_the_picture_reader(tail: bytes, head: bytes) -> None:
    try:
        Picture.read(head + tail)
    except VlmError as error:
        assert str(error).startswith("an image ")  # noqa: PT017 - some of these bytes are a head


def test_prompt_rendering_is_strict() -> None:
    assert Prompt("p", "{{ images[0].width }} px", {}).render({}, [Picture.read(picture("red"))]) == "32 px"
    with pytest.raises(VlmError, match="prompt p: 'absent' is undefined"):
        Prompt("p", "{{ absent }}", {}).render({})
    with pytest.raises(VlmError, match="prompt p: "):
        Prompt("p", "{% if %}", {}).render({})
    with pytest.raises(VlmError, match=r"prompt p: .*unsafe"):
        Prompt("p", "{{ ''.__class__.__mro__ }}", {}).render({})


def test_prompt_folder_is_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"describe.json: prompt file cannot be read .*NAME.json"):
        load_prompts(tmp_path)
    (tmp_path / "p.txt").write_text("hello")
    for schema, text in [
        ("{", "not a JSON schema"),
        ('{"type": 3}', "not a JSON schema"),
        ('{"type": "array"}', "must be"),
    ]:
        (tmp_path / "p.json").write_text(schema)
        with pytest.raises(UsageError, match=text):
            load_prompt(tmp_path, "p")
    (tmp_path / "p.json").write_text('{"type": "object"}')
    assert load_prompt(tmp_path, "p").text == "hello"
    with pytest.raises(UsageError, match="not a prompt name"):
        load_prompt(tmp_path, "../p")


def test_own_schema_must_require_what_is_read(tmp_path: Path) -> None:
    for file in SHIPPED.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    assert load_prompts(tmp_path) == load_prompts()
    schema = json.loads((SHIPPED / "propose.json").read_text())
    del schema["$defs"]["object"]
    schema["properties"]["proposals"]["items"]["required"].remove("reason")
    (tmp_path / "propose.json").write_text(json.dumps(schema))
    with pytest.raises(UsageError, match=r"propose.json: the schema lacks reason, \$defs/object\. Own prompts may"):
        load_prompts(tmp_path)


def test_inline_fills_definitions() -> None:
    schema = {
        "a": [{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/y"}],
        "$defs": {"x": {"enum": []}, "y": {"type": "null"}},
    }
    assert inline(schema, {"x": {"enum": ["stop"]}}) == {"a": [{"enum": ["stop"]}, {"type": "null"}]}


@pytest.mark.parametrize("name", NAMES)
def test_shipped_schemas_suit_strict_servers(name: str) -> None:
    """Strict mode: each object closed, each property required, no keyword outside the supported set."""
    supported = {
        "type", "properties", "required", "additionalProperties", "items", "enum", "description", "$defs",
        "$ref", "minItems", "maxItems", "minimum", "maximum", "anyOf",
    }  # fmt: skip

    def walk(node: dict) -> None:
        assert set(node) <= supported
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert set(node["required"]) == set(node["properties"])
        for inner in [
            *node.get("properties", {}).values(),
            *node.get("$defs", {}).values(),
            *node.get("anyOf", []),
        ]:
            walk(inner)
        if "items" in node:
            walk(node["items"])

    schema = load_prompts()[name].schema
    walk(schema)
    json.dumps(schema)


def test_which_failures_pass() -> None:
    statuses = (200, 307, 400, 401, 404, 408, 409, 422, 429, 500, 503)
    assert [status for status in statuses if is_passing(status, "")] == [408, 409, 429, 500, 503]
    assert not is_passing(429, "insufficient_quota")
    again = Failure("status 429", "", passing=True)
    assert is_worth_waiting(again, 0, 2)
    assert not is_worth_waiting(again, 1, 2)
    assert not is_worth_waiting(Failure("status 429", "", passing=True, pause_s=301), 0, 2)
    assert not is_worth_waiting(Failure("status 400", "", passing=False), 0, 2)


def test_retry_after_forms() -> None:
    assert retry_after_s("7") == 7
    assert retry_after_s(formatdate(1000.0, usegmt=True), now=lambda: 993.0) == 7
    for nonsense in (None, "", "soon", "-3", "nan", formatdate(10.0, usegmt=True)):
        assert retry_after_s(nonsense) == 0


@given(st.integers(0, 200), st.floats(0, 100))
def test_delay_is_bounded_and_never_early(attempt: int, pause: float) -> None:
    delay = delay_s(attempt, pause, 0.5, random.Random(attempt))
    assert pause <= delay <= pause + min(30, 0.5 * 2.0 ** min(attempt, 100))


KEYS = st.sampled_from(["choices", "message", "content", "usage", "refusal", "type", "text"])
BODIES = st.recursive(
    st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)
)


@given(st.binary(max_size=200) | BODIES.map(lambda value: json.dumps(value).encode()))
def test_no_body_crashes_the_reader(body: bytes) -> None:
    reply = read_reply(body)
    if reply is not None:
        judge(reply, PROMPT.schema)


def test_deep_nesting_is_an_invalid_answer() -> None:
    assert read_reply(b"[" * 100_000) is None
    assert judge(Reply("[" * 100_000, "stop", ""), PROMPT.schema).kind == "not_json"


def test_usage_summary_by_hand() -> None:
    usage = Usage(Prices(1.0, 1.0), requests=3, cost_usd=0.5, faults=Counter({"timeout": 2}))
    usage.latencies_s.extend([1.0, 2.0, 3.0])
    summary = json.loads(json.dumps(usage.summary()))
    assert (summary["latency_p50_s"], summary["latency_p95_s"]) == (2.0, pytest.approx(2.9))
    assert (summary["cost_usd"], summary["faults"], summary["requests"]) == (0.5, {"timeout": 2}, 3)
    assert Usage().summary()["cost_usd"] is None
    assert Usage().summary()["latency_p50_s"] is None


def test_forecast_counts_misses_and_asks_nothing(server: Loopback, tmp_path: Path) -> None:
    options = server.options(cache=tmp_path / "c.sqlite", prices=Prices(1.0, 10.0))
    questions = [colour_question("red", case, expected_output_tokens=20) for case in (1, 2, 3, 3)]

    async def run():
        async with VlmClient(options) as client:
            await client.ask(questions[0])
        async with VlmClient(options) as client:
            return await forecast(client, iter(questions)), client.usage.requests

    found, requests = asyncio.run(run())
    assert requests == 0
    assert len(server.requests()) == 1
    text = len("Which colour is it? Case 2.") + len(json.dumps(PROMPT.schema))
    each = -(-text // 4) + 255
    assert found.summary() == {
        "questions": 4, "cached": 1, "repeated": 1, "requests": 2,
        "input_tokens": 2 * each, "output_tokens": 40, "cost_usd": (2 * each + 400) / 1e6,
    }  # fmt: skip


def test_forecast_needs_neither_key_nor_leave(monkeypatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)

    async def run() -> dict:
        async with VlmClient(ClientOptions(model="m", api_key_env="MY_KEY")) as client:
            return (await forecast(client, [Question(PROMPT, {"case": 1}, (picture("red"),))])).summary()

    summary = asyncio.run(run())
    assert (summary["requests"], summary["cost_usd"]) == (1, None)


@pytest.mark.parametrize("name", NAMES)
def test_stand_ins_meet_the_shipped_schemas(name: str) -> None:
    schema = inline(load_prompts()[name].schema, {})
    jsonschema.validate(stand_in(schema), schema)
