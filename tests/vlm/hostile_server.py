"""Servers that speak HTTP as nobody should: raw bytes on a socket, each connection given the same."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Heard:
    """What a server was sent: the head of each request, and all bytes."""

    port: int
    requests: list[bytes] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def saying(*pieces: bytes, every_s: float = 0.0, forever: bool = False) -> Iterator[Heard]:
    """A server that reads a request, then sends pieces, one by one, perhaps again and again, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard, over = Heard(listener.getsockname()[1]), threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            heard.requests.append(_request(connection))
            while not over.is_set():
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(every_s)
                if not forever:
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield heard
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()


def _request(connection: socket.socket) -> bytes:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += connection.recv(65536)
    head, _, body = raw.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        part = connection.recv(65536)
        raw, body = raw + part, body + part
    return raw


def response(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """A response, its Content-Length right unless given."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
