"""Keys, pixels and addresses stay where they belong."""

import asyncio
import base64
import logging
import pickle
import traceback
from pathlib import Path

import cv2
import numpy as np
import pytest
from vlm_helpers import KEY, PROMPT, Loopback, colour_question, picture

from embodied_cf.errors import UsageError, VlmError
from embodied_cf.vlm.access import AccessError, Secret, check_images_allowed, is_loopback, read_key
from embodied_cf.vlm.client import VlmClient
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Question


async def ask_one(options: ClientOptions, question: Question) -> dict:
    async with VlmClient(options) as client:
        return dict((await client.ask(question)).value)


@pytest.fixture
def key(monkeypatch) -> str:
    monkeypatch.setenv("MY_KEY", KEY)
    return KEY


def chain(error: BaseException) -> list[BaseException]:
    links = [error]
    while (inner := links[-1].__cause__ or links[-1].__context__) is not None:
        links.append(inner)
    return links


@pytest.mark.parametrize("fault", ["echo401", "echo500", "echo_raw"])
def test_key_in_an_error_body_is_blotted_out(start_server, key: str, fault: str, caplog) -> None:
    server = start_server("--fraction", "1", "--kinds", fault)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(VlmError) as caught:
        asyncio.run(ask_one(server.options(api_key_env="MY_KEY", max_attempts=2), colour_question("red")))
    assert "Bearer [key]" in str(caught.value), "the server did get the key and did echo it"
    for link in chain(caught.value):
        assert KEY not in "".join(traceback.format_exception(link)) + repr(link) + repr(vars(link))
    assert KEY not in caplog.text
    assert KEY not in repr(pickle.dumps(caught.value))


def test_no_file_holds_key_or_pixels(start_server, key: str, tmp_path: Path) -> None:
    server = start_server("--faults", "echo_answer,echo500")
    options = server.options(api_key_env="MY_KEY", cache=tmp_path / "cache.sqlite")
    image = picture("red", (96, 96))
    assert asyncio.run(ask_one(options, Question(PROMPT, {"case": 1}, (image,))))["colour"] == "Bearer [key]"
    asyncio.run(ask_one(options, Question(PROMPT, {"case": 2}, (image,))))
    files = list(tmp_path.glob("cache.sqlite*"))
    assert files
    for file in files:
        stored = file.read_bytes()
        for secret in (KEY.encode(), image[200:232], base64.b64encode(image)[240:272], b"127.0.0.1"):
            assert secret not in stored, (file, secret)
    assert b"Bearer [key]" in b"".join(file.read_bytes() for file in files), "the answer is in there"


def test_nothing_shows_the_key(key: str) -> None:
    options = ClientOptions(model="m", api_key_env="MY_KEY")
    secret = read_key("MY_KEY", options.base_url)
    client = VlmClient(options)
    client._server(with_images=False)
    shown = [options, secret, str(secret), vars(options), client, client.identity, client.usage.summary()]
    assert KEY not in repr(shown)
    assert secret.reveal() == KEY
    with pytest.raises(TypeError, match="not to be stored"):
        pickle.dumps(secret)
    asyncio.run(client.close())


def test_short_stand_in_keys_do_not_garble_answers() -> None:
    assert Secret("a").scrub(b'{"a": 1}') == b'{"a": 1}'
    assert Secret('quo"ted-secret').scrub(b'say quo\\"ted-secret or quo"ted-secret') == b"say [key] or [key]"


def test_absent_key(monkeypatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    assert read_key("MY_KEY", "http://127.0.0.1:1/v1").reveal()
    with pytest.raises(AccessError, match=r"the environment variable MY_KEY is not set.*--api-key-env"):
        read_key("MY_KEY", "https://api.example.com/v1")


@pytest.mark.parametrize("spoiled", ["\u201csk-very-secret\u201d", "sk-very\nsecret", "sk-very\x1bsecret"])
def test_a_key_that_no_request_can_carry(monkeypatch, spoiled: str) -> None:
    monkeypatch.setenv("MY_KEY", spoiled)
    with pytest.raises(AccessError, match="the environment variable MY_KEY holds signs that stand in no key") as caught:
        asyncio.run(ask_one(ClientOptions("m", "http://127.0.0.1:9/v1", "MY_KEY"), colour_question("red")))
    assert "very" not in "".join(traceback.format_exception(caught.value))


def test_loopback_is_decided_by_address() -> None:
    here = [
        "http://localhost:1/v1",
        "http://127.0.0.1/v1",
        "http://127.9.9.9/",
        "https://[::1]:8/v1",
        "http://LOCALHOST/",
    ]
    away = ["http://localhost.example.com/", "http://127.0.0.1.example.com/", "http://10.0.0.1/", "http://0.0.0.0/",
            "https://api.openai.com/v1", "http://example.com/?localhost", "http://[fe80::1]/"]  # fmt: skip
    assert [url for url in here if not is_loopback(url)] == []
    assert [url for url in away if is_loopback(url)] == []


def test_images_stay_unless_sent_on_purpose(key: str) -> None:
    options = ClientOptions(model="m", base_url="http://vlm.invalid/v1", api_key_env="MY_KEY", max_attempts=1)
    with pytest.raises(AccessError, match=r"images would be sent to another machine.*--send-images"):
        asyncio.run(ask_one(options, colour_question("red")))
    check_images_allowed("http://vlm.invalid/v1", send_images=True)
    with pytest.raises(AccessError, match="no connection"):  # text may go: this one fails on the name only
        asyncio.run(ask_one(options, Question(PROMPT, {"case": 1})))


def test_credentials_in_the_address_are_refused_unshown() -> None:
    for address in (f"https://me:{KEY}@api.example.com/v1", f"https://api.example.com/v1?key={KEY}",
                    f"https://{KEY}@api.example.com/v1", f"https://api.example.com/v1#{KEY}"):  # fmt: skip
        with pytest.raises(UsageError, match="the address holds credentials") as caught:
            ClientOptions(model="m", base_url=address)
        assert KEY not in repr(caught.value) + str(caught.value)


def test_addresses_that_are_none_are_refused() -> None:
    for address in ("http://[::1:8000/v1", "http://127.0.0.1:80o0/v1", "http://127.0.0.1:80000/v1", f"http://me:{KEY}",
                    "http://127.0.0.1:0/v1", "127.0.0.1:8000/v1"):  # fmt: skip
        with pytest.raises(UsageError, match=r"not an http\(s\) address") as caught:
            ClientOptions(model="m", base_url=address)
        assert KEY not in "".join(traceback.format_exception(caught.value))


def test_proxy_from_the_environment_gets_no_loopback_traffic(server: Loopback, monkeypatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert asyncio.run(ask_one(server.options(max_attempts=1), colour_question("red")))["colour"] == "colour red"


def invert(encoded: bytes) -> bytes:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(".png", 255 - image)[1].tobytes()


def fail(encoded: bytes) -> bytes:
    raise RuntimeError("no face detector")


def test_hook_sees_each_image_before_the_server(server: Loopback, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    cache = tmp_path / "c.sqlite"
    for hook in (invert, "test_privacy:invert"):
        answer = asyncio.run(ask_one(server.options(before_send=hook, cache=cache), colour_question("red")))
        assert answer["colour"] == "colour cyan"
    assert len(server.requests()) == 1, "hashed after the hook: one question, cached"
    assert asyncio.run(ask_one(server.options(cache=cache), colour_question("red")))["colour"] == "colour red"


def test_failing_hook_sends_nothing(server: Loopback) -> None:
    for hook, text in ((fail, "RuntimeError: no face detector"), (lambda _: b"text", "neither PNG nor JPEG")):
        with pytest.raises(VlmError, match=text):
            asyncio.run(ask_one(server.options(before_send=hook), colour_question("red")))
    assert server.requests() == []


def test_redirect_is_not_followed(start_server, key: str) -> None:
    server = start_server("--fraction", "1", "--kinds", "redirect")
    with pytest.raises(AccessError, match="307"):
        asyncio.run(ask_one(server.options(api_key_env="MY_KEY"), colour_question("red")))
    assert [line["path"] for line in server.requests()] == ["/v1/chat/completions"]
