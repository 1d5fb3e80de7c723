"""An HTTP server that anyone may throw anything at: few connections, little time, small requests, no strangers' pages.

A page in a browser can send requests to loopback, and can give its own name the address 127.0.0.1 (DNS rebinding).
The first is told by `Origin` and by the content type, for which a browser asks leave beforehand; the second by
`Host`, which then holds the page's name.
"""

import io
import ipaddress
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import urlsplit

LARGEST = 1 << 26
"""Bytes of a request."""
MOST_CONNECTIONS = 16
PATIENCE_S = 30.0
"""Seconds from the wait for a request to its last byte, and for taking the answer."""


class GuardedServer(ThreadingHTTPServer):
    """A thread for each of few connections; further ones are closed at once."""

    daemon_threads = True

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.own_name = host.lower()
        self._slots = BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((host, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection, or close it if there are too many."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a client that went away; what goes wrong in answering is answered."""


class _Impatient(io.RawIOBase):
    """What a client sends, until the deadline."""

    deadline = 0.0

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # a timeout of the socket would hold for each read: a client that drips would never meet it
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class GuardedHandler(BaseHTTPRequestHandler):
    """Handles requests that have passed `refusal`."""

    protocol_version = "HTTP/1.1"
    server: GuardedServer

    def setup(self) -> None:
        """Put a deadline on what the client sends."""
        super().setup()
        self.rfile.close()
        self._incoming = _Impatient(self.connection)
        self.rfile = io.BufferedReader(self._incoming)

    def handle_one_request(self) -> None:
        """Handle a request that is here before the deadline."""
        self._incoming.deadline = time.monotonic() + PATIENCE_S
        super().handle_one_request()

    def refusal(self) -> tuple[int, str] | None:
        """Return status and text for a request that no friend sends."""
        hosts, origins = self.headers.get_all("Host", []), self.headers.get_all("Origin", [])
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return 403, "the Host header must hold an address, localhost, or the name given with --host"
        if origins and origins != [f"http://{hosts[0]}"]:
            return 403, "pages of other origins may not ask"
        if "Transfer-Encoding" in self.headers:
            return 411, "send a Content-Length, not chunks"
        return None

    def body_refusal(self, kind: str) -> tuple[int, str] | None:
        """Return status and text for a body of another kind, or of no, two or too great a length."""
        lengths = self.headers.get_all("Content-Length", [])
        if len(lengths) != 1 or not (lengths[0].isascii() and lengths[0].isdigit()) or len(lengths[0]) > 12:
            return 411, "send one Content-Length"
        if int(lengths[0]) > LARGEST:
            return 413, f"at most {LARGEST} bytes"
        if self.headers.get_content_type() != kind:
            return 415, f"the Content-Type must be {kind}"
        return None

    def body(self) -> bytes:
        """Return the request's body. Raises ConnectionError if the client goes away in its midst."""
        length = int(self.headers["Content-Length"])
        content = self.rfile.read(length)
        if len(content) < length:
            raise ConnectionError
        return content

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in ("localhost", self.server.own_name):
            return True
        try:
            return bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def answer_with(self, status: int, kind: str, body: bytes) -> None:
        """Send an answer; after one that is no success the connection ends: its rest may be anything."""
        self.connection.settimeout(PATIENCE_S)
        self.close_connection = self.close_connection or status >= 400
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: a robot asks several times a second."""
