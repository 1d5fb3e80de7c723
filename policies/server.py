"""A policy over HTTP.

GET /policy     what it wants: {"camera": [h, w], "history": t, "embodiment": {...}}
POST /act       an .npz with image (b, t, h, w, 3) uint8, instruction (b) text, seed; answered by an .npz with
                chunk (b, k, a), mask (b, k) and, where the policy draws, log_probability (b)
"""

import json
import zipfile
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

import numpy as np

from embodied_cf.errors import EmbodiedError, UsageError
from embodied_cf.policies.client import ARRAYS, pack, unpack
from embodied_cf.policies.contract import Observation, Policy

_LARGEST = 1 << 28
"""Bytes of a request."""


def make_server(policy: Policy, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server that answers for a policy once `serve_forever` is called; port 0 takes any that is free.

    Anyone who reaches the port can ask: bind to another host than loopback only on a network that you trust.
    """
    acting = Lock()

    class Answerer(_Answerer):
        def answer(self, body: bytes) -> bytes:
            with acting:
                return _act(policy, unpack(body))

        def card(self) -> bytes:
            wanted = {"camera": policy.camera, "history": policy.history, "embodiment": asdict(policy.embodiment)}
            return json.dumps(wanted).encode()

    try:
        return ThreadingHTTPServer((host, port), Answerer)
    except OSError as error:
        raise UsageError(f"cannot listen ({error})", where=f"{host}:{port}", remedy="Choose another --port.") from None


def _act(policy: Policy, asked: dict[str, np.ndarray]) -> bytes:
    image, said, seed = asked["image"], asked["instruction"], int(asked["seed"])
    if image.ndim != 5 or image.dtype != np.uint8 or said.ndim != 1 or said.dtype.kind != "U":
        raise ValueError("image must be (b, t, h, w, 3) uint8 and instruction (b) text")
    done = policy.act(Observation(image), tuple(said.tolist()), np.random.default_rng(seed))
    law = {} if done.log_probability is None else {"log_probability": done.log_probability}
    return pack(chunk=done.chunk, mask=done.mask, **law)


class _Answerer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body: bytes) -> bytes:
        """Return what is done, as arrays."""
        raise NotImplementedError

    def card(self) -> bytes:
        """Return what the policy wants, as JSON."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer GET /policy."""
        if self.path == "/policy":
            self._send(200, "application/json", self.card())
        else:
            self._send(404, "text/plain", b"GET /policy or POST /act")

    def do_POST(self) -> None:
        """Answer POST /act."""
        length = int(self.headers.get("Content-Length", 0))
        if self.path != "/act" or length > _LARGEST:
            self.close_connection = True
            self._send(404, "text/plain", f"POST /act with at most {_LARGEST} bytes".encode())
            return
        try:
            self._send(200, ARRAYS, self.answer(self.rfile.read(length)))
        except (EmbodiedError, ValueError, KeyError, zipfile.BadZipFile) as error:
            self._send(400, "text/plain", str(error).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: a robot asks several times a second."""
