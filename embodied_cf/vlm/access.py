"""Whom we talk to, with which key, and what they may see."""

import ipaddress
import json
import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from embodied_cf.errors import UsageError, VlmError

NO_KEY = "none-needed"
"""Sent to loopback servers when the environment holds no key; the protocol demands some text."""
SHORTEST_SECRET = 8
"""Shorter "keys" (`EMPTY`, `x`) are stand-ins; blotting them out would garble honest answers."""


class AccessError(VlmError):
    """The server as a whole is out of reach: no key, key refused, unknown model, images not allowed.

    Every further question would fail alike, so a run should stop rather than quarantine each episode.
    """


def check_url(base_url: str) -> str:
    """Return `base_url` unless it is no http(s) address or carries a user name, a password or a query."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:  # its text may quote a password
        raise UsageError("not an http(s) address: brackets or port are wrong", where="--base-url") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise UsageError(f"not an http(s) address: {parts.scheme}://{parts.hostname}", where="--base-url")
    # reports say which server was asked, and a query may hold a key
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise UsageError(
            "the address holds credentials",
            where="--base-url",
            remedy="Put the key into an environment variable and name it with --api-key-env.",
        )
    return base_url


def is_loopback(base_url: str) -> bool:
    """Tell whether the address stays on this machine: localhost, 127.0.0.0/8 or ::1.

    `http://127.0.0.1:8000/v1` does; `http://localhost.example.com/v1` does not. Names are not resolved: what
    a name server says today it may not say tomorrow.
    """
    host = urlsplit(base_url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Secret:
    """A key that shows itself to `reveal()` only: not to repr, str, or a pickled options object."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """Return the key, for the one header that needs it."""
        return self._text

    def scrub(self, body: bytes) -> bytes:
        """Return `body` with every copy of the key blotted out, plain or as JSON escapes it."""
        if len(self._text) < SHORTEST_SECRET or self._text == NO_KEY:
            return body
        for form in {self._text, json.dumps(self._text)[1:-1]}:
            body = body.replace(form.encode(), b"[key]")
        return body

    def __reduce__(self) -> tuple:
        raise TypeError("a key is not to be stored")


def read_key(variable: str, base_url: str) -> Secret:
    """Return the key in the environment variable, or a dummy for a loopback server that needs none.

    Raises AccessError that names the variable if a server elsewhere is to be asked without a key, or if it holds what
    no request can carry.
    """
    key = os.environ.get(variable, "").strip()
    if not key and not is_loopback(base_url):
        raise AccessError(
            f"no key: the environment variable {variable} is not set",
            where=urlsplit(base_url).hostname or "",
            remedy=f"Set {variable}, or name another variable with --api-key-env.",
        )
    if not (key.isascii() and key.isprintable()):
        # the HTTP library's error would quote it
        raise AccessError(
            f"the environment variable {variable} holds signs that stand in no key",
            remedy="Set it again: typographic quotes or a line break may have been copied along.",
        )
    return Secret(key or NO_KEY)


def check_images_allowed(base_url: str, send_images: bool) -> None:
    """Raise AccessError if images would leave this machine without leave to."""
    if not send_images and not is_loopback(base_url):
        raise AccessError(
            "images would be sent to another machine",
            where=urlsplit(base_url).hostname or "",
            remedy="Pass --send-images if they may be; --before-send can blur or crop them first.",
        )
