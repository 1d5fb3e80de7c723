"""The policy server under clients that mean no good: each gets its status, and the next friend is served."""

import io
import json
import socket
import time
import zipfile
from contextlib import contextmanager
from threading import Thread

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.errors import UsageError
from embodied_cf.policies import client, guarded_http
from embodied_cf.policies.client import ARRAYS, RemotePolicy, pack, unpack
from embodied_cf.policies.contract import ActionChunk, Observation, check_observation
from embodied_cf.policies.server import make_server

NAV = load_embodiment("nav")


class Standing:
    """A policy that stands still, and fails when told to."""

    camera, history, embodiment = (8, 8), 1, NAV

    def act(self, observation, instruction, rng):
        check_observation(self, observation, instruction)
        if "fail" in instruction:
            raise RuntimeError("a secret of the policy")
        shape = (len(observation), NAV.chunk_length, NAV.chunk_dimensions)
        return ActionChunk(np.zeros(shape, np.float32), np.ones(shape[:2], bool))


IMAGE = np.zeros((1, 1, 8, 8, 3), np.uint8)
SAID, SEED = np.array(["stop"]), np.array(1)
GOOD = pack(image=IMAGE, instruction=SAID, seed=SEED)


@pytest.fixture(scope="module")
def port():
    with make_server(Standing(), "127.0.0.1", 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def served(port):
    """Whether a friend is served as ever."""
    done = RemotePolicy(f"http://127.0.0.1:{port}").act(Observation(IMAGE), ("stop",), np.random.default_rng(0))
    return done.chunk.shape == (1, NAV.chunk_length, NAV.chunk_dimensions)


def talk(port, raw: bytes) -> bytes:
    """Send bytes, hang up on that side, return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has hung up already, which is an answer too
        return heard(connection)


def heard(connection) -> bytes:
    got = b""
    try:
        while part := connection.recv(65536):
            got += part
    except ConnectionResetError:
        pass
    return got


def post(body=GOOD, path="/act", host="127.0.0.1", kind=ARRAYS, length=None, **more):
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Type: {kind}"]
    lines += [f"Content-Length: {len(body) if length is None else length}"] if length != "" else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


CARD = "GET /policy HTTP/1.1\r\nHost: {}\r\n{}\r\n"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (post(), 200),
        (post(host="localhost:8765"), 200),
        (post(host="[::1]:8765"), 200),
        (post(host="192.168.1.7"), 200),
        (post(host="evil.example"), 403),
        (post(host="127.0.0.1.evil.example:8765"), 403),
        (post(host="localhost.evil.example"), 403),
        (post(host="evil.example#@localhost"), 403),
        (post(host=""), 403),
        (post(host="[::1"), 403),
        (post(host="127.0.0.1\r\nHost: evil.example"), 403),
        (GOOD.join([b"POST /act HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b""]), 403),
        (post(Origin="http://127.0.0.1"), 200),
        (post(Origin="http://evil.example"), 403),
        (post(Origin="null"), 403),
        (post(Origin="http://127.0.0.1:99"), 403),
        (post(Origin="https://127.0.0.1"), 403),
        (CARD.format("127.0.0.1", "").encode(), 200),
        (CARD.format("evil.example", "").encode(), 403),
        (CARD.format("127.0.0.1", "Origin: http://evil.example\r\n").encode(), 403),
        (CARD.format("127.0.0.1", "Content-Length: 5\r\n").encode() + b"POST ", 404),
        (post(kind="text/plain"), 415),
        (post(kind="application/json", body=b'{"image":'), 415),
        (post(kind="multipart/form-data; boundary=x"), 415),
        (post(length=-1), 411),
        (post(length="1e3"), 411),
        (post(length="+5"), 411),
        (post(length="\u0661"), 411),
        (post(length="9" * 5000), 411),
        (post(length=""), 411),
        (post(length=f"{len(GOOD)}\r\nContent-Length: 5"), 411),
        (post(length=(1 << 26) + 1), 413),
        (post(length="", body=b"5\r\nhello\r\n0\r\n\r\n", Transfer_Encoding="chunked"), 411),
        (post(Transfer_Encoding="chunked"), 411),
        (post(path="/../../etc/passwd"), 404),
        (post(path="/" + "a" * 70_000), 414),
        (post(**{f"X_{number}": "y" for number in range(200)}), 431),
        (post(X="y" * 70_000), 431),
        (b"OPTIONS /act HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n\r\n", 501),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /policy HTTP/9.9\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"\r\n" * 50, 0),
        (b"", 0),
        (post(length=len(GOOD) + 1), 0),
        (post(body=GOOD[:-1]), 400),
    ],
)  # fmt: skip
def test_strangers_and_the_malformed_get_their_status(port, raw, expected):
    answer = talk(port, raw)
    if not answer.startswith(b"HTTP/") and answer:
        assert f"Error code: {expected}".encode() in answer, "HTTP/0.9 has no status line"
    else:
        assert status(answer) == expected, answer[:300]
    assert b"Traceback" not in answer
    assert served(port)


def test_after_a_refusal_the_rest_is_not_taken_for_a_request(port):
    """What follows a refused request on its connection may be its body."""
    assert talk(port, post(kind="text/plain", body=CARD.format("127.0.0.1", "").encode())).count(b"HTTP/1.1") == 1
    assert talk(port, post() + CARD.format("127.0.0.1", "").encode()).count(b"HTTP/1.1 200") == 2, "friends may go on"


def _npz(*members: tuple[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def _npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def _overlapping() -> bytes:
    """Eight members of the same bytes: the directory names one entry over and over."""
    whole = _npz(("image.npy", b"x" * 50_000))
    start, size = whole.index(b"PK\x01\x02"), len(whole) - whole.index(b"PK\x05\x06")
    entry, end = whole[start : len(whole) - size], bytearray(whole[-size:])
    end[8:12] = (8).to_bytes(2, "little") * 2
    end[12:16] = (8 * len(entry)).to_bytes(4, "little")
    return whole[:start] + entry * 8 + bytes(end)


def _deflated() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, image=np.zeros((100, 1, 256, 256, 3), np.uint8), instruction=SAID, seed=SEED)
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "no arrays"),
        (b"PK\x03\x04", "no arrays"),
        (b'{"image": [1, 2, {"a":', "no arrays"),
        (_deflated(), "compressed or overlapping"),
        (_overlapping(), "compressed or overlapping"),
        (pack(**{f"a{number}": SEED for number in range(9)}), "more than 8 arrays"),
        (_npz(("image.npy", _npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,)}"))), "no arrays"),
        (
            _npz(("image.npy", _npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-5,)}"))),
            "of dtype uint8 and shape",
        ),
        (_npz(("image.npy", _npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"))), "dtype object"),
        (_npz(("image.npy", _npy("{'descr': '<U0', 'fortran_order': False, 'shape': (9999999999,)}"))), "no arrays"),
        (_npz(("image.npy", _npy("(" * 100))), "no arrays"),
        (_npz(("image.npy", _npy("[__import__('os').abort()]"))), "no arrays"),
        (_npz(("image.npy", b"no array")), "no arrays"),
        (pack(image=np.array([{}], object)), "dtype object"),
        (pack(image=IMAGE, instruction=SAID), "seed too much or missing"),
        (pack(image=IMAGE, instruction=SAID, seed=SEED, more=SEED), "more too much or missing"),
        (pack(image=IMAGE, instruction=SAID, seed=np.array(-1)), "seed must be"),
        (pack(image=IMAGE, instruction=SAID, seed=np.array([1, 2])), "seed must be"),
        (pack(image=IMAGE, instruction=SAID, seed=np.array(1.5)), "seed must be"),
        (pack(image=IMAGE, instruction=SAID, seed=np.array("x")), "seed must be"),
        (pack(image=IMAGE.astype(np.float32), instruction=SAID, seed=SEED), "image must be"),
        (pack(image=IMAGE[..., :1], instruction=SAID, seed=SEED), "image must be"),
        (pack(image=IMAGE, instruction=np.array([1]), seed=SEED), "image must be"),
        (pack(image=IMAGE, instruction=np.array(["x" * 5000]), seed=SEED), "more than 4096 characters"),
        (pack(image=IMAGE[:0], instruction=SAID, seed=SEED), "1 instructions for 0 observations"),
        (pack(image=np.zeros((1, 1, 9, 8, 3), np.uint8), instruction=SAID, seed=SEED), "frames of shape"),
    ],
)
def test_arrays_that_are_none_are_refused_by_name(port, body, told):
    answer = talk(port, post(body))
    assert status(answer) == 400
    assert told.encode() in answer
    assert served(port)


def test_a_policy_that_fails_tells_no_secrets_and_goes_on(port):
    answer = talk(port, post(pack(image=IMAGE, instruction=np.array(["fail"]), seed=SEED)))
    assert status(answer) == 500
    assert b"the policy failed (RuntimeError)" in answer
    assert b"secret" not in answer
    assert served(port)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_arrays_are_arrays_or_a_value_error(data):
    raw = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        arrays = unpack(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    except ValueError:
        return
    assert all(array.dtype.kind in "biufU" for array in arrays.values())


@contextmanager
def impatient(monkeypatch, patience_s, connections=16):
    monkeypatch.setattr(guarded_http, "PATIENCE_S", patience_s)
    monkeypatch.setattr(guarded_http, "MOST_CONNECTIONS", connections)
    with make_server(Standing(), "127.0.0.1", 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("start", [b"", b"POST /act HTTP/1.1\r\n", post(length=9999, body=b"")])
def test_a_client_that_drips_is_left(monkeypatch, start):
    """A byte every 50 ms meets no limit of a single read; the whole request has half a second."""
    with impatient(monkeypatch, 0.5) as port, socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(start)
        began, left = time.monotonic(), False
        while not left and time.monotonic() - began < 20:
            try:
                slow.sendall(b"X")
                slow.settimeout(0.05)
                left = slow.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                left = True
        assert left


def test_a_crowd_is_turned_away_and_friends_come_in_afterwards(monkeypatch):
    with impatient(monkeypatch, 30.0, connections=3) as port:
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
        for one in crowd:
            one.settimeout(10)
        turned_away = sum(_left(one) for one in crowd[3:])
        assert turned_away == 5
        for one in crowd:
            one.close()
        began = time.monotonic()
        while time.monotonic() - began < 20:
            try:
                assert served(port)
                return
            except UsageError:
                time.sleep(0.05)
        raise AssertionError("the places were not given back")


def _left(connection) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@contextmanager
def answering(raw: bytes, forever: bool = False):
    """A server that answers whatever it is asked by the same bytes; gives its port and what it was sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def serve():
        try:
            while True:
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(65536))
                    try:
                        connection.sendall(raw)
                        while forever:
                            connection.sendall(b" " * 65536)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):
                            pass
                    except OSError:
                        pass
        except OSError:
            pass

    thread = Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], asked
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def _answer(body: bytes, head: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _chunk(**changes):
    whole = {"chunk": np.zeros((1, 2, 2), np.float32), "mask": np.ones((1, 2), bool)} | changes
    return _answer(pack(**{name: array for name, array in whole.items() if array is not None}))


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (_answer(b"no arrays"), "no action chunk .no arrays"),
        (_chunk(chunk=None), "no action chunk"),
        (_chunk(chunk=np.full((1, 2, 2), np.nan, np.float32)), "not finite float32"),
        (_chunk(chunk=np.zeros((2, 2, 2), np.float32)), "not finite float32 of shape"),
        (_chunk(chunk=np.zeros((1, 2, 2))), "chunk is float64"),
        (_chunk(mask=np.ones((1, 3), bool)), "mask is bool of shape"),
        (_chunk(log_probability=np.zeros(3, np.float32)), "log_probability is"),
        (b"HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", "refuses"),
        (b"HTTP/1.1 302 x\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", "refuses"),
        (b"nothing like HTTP", "no policy server answers"),
        (b"", "no policy server answers"),
    ],
)
def test_a_policy_server_that_lies_is_named(raw, told):
    with answering(raw) as (port, asked), pytest.raises(UsageError, match=told):
        RemotePolicy(f"http://127.0.0.1:{port}").act(Observation(IMAGE), ("stop",), np.random.default_rng(0))
    assert len(asked) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 10**5, json.dumps({"camera": "x"}).encode()])
def test_a_card_that_is_none_is_named(body):
    with answering(_answer(body)) as (port, _), pytest.raises(UsageError, match="is no policy server"):
        _ = RemotePolicy(f"http://127.0.0.1:{port}").camera


def test_an_endless_answer_is_left(monkeypatch):
    monkeypatch.setattr(client, "_LARGEST", 1 << 20)
    told = pytest.raises(UsageError, match="an answer of more than 1048576 bytes")
    with answering(b"HTTP/1.1 200 OK\r\n\r\n", forever=True) as (port, _), told:
        RemotePolicy(f"http://127.0.0.1:{port}").act(Observation(IMAGE), ("stop",), np.random.default_rng(0))


def test_no_proxy_sees_the_frames(port, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert served(port)
