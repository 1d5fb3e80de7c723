"""One request to a chat-completions server: bytes or a Failure, never an exception that remembers the request.

An exception of the HTTP libraries holds the request, hence the key and the pixels; here it ends.
"""

import asyncio
import importlib
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import openai

from embodied_cf.vlm.access import Secret, is_loopback
from embodied_cf.vlm.question import Json
from embodied_cf.vlm.retry import Failure, is_passing, retry_after_s

# the HTTP library that the installed openai speaks through: httpx before its version 3, httpx2 since
_http: Any = importlib.import_module(type(openai.DEFAULT_CONNECTION_LIMITS).__module__.partition(".")[0])

_SHOWN_CHARACTERS = 300


class _TooLargeError(Exception):
    """The body exceeds the limit."""


class _Bounded(_http.AsyncByteStream):  # type: ignore[misc]
    """A response body that stops with `_TooLargeError` after `limit` bytes."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._left = stream, limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise _TooLargeError
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class Transport:
    """A connection pool to one server. `concurrency` connections at most; `timeout_s` for a whole request."""

    def __init__(self, base_url: str, key: Secret, *, concurrency: int, timeout_s: float, max_body_bytes: int) -> None:
        self._key, self._timeout_s, self._limit = key, timeout_s, max_body_bytes
        pool = openai.DefaultAsyncHttpxClient(
            limits=_http.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            # not even to a path of the same host: whoever moved the server can move the setting
            follow_redirects=False,
            # a proxy from the environment would carry loopback traffic off this machine
            trust_env=not is_loopback(base_url),
            event_hooks={"response": [self._bound]},
        )
        self._client = openai.AsyncOpenAI(
            api_key=key.reveal(),
            base_url=base_url,
            max_retries=0,
            timeout=timeout_s,
            http_client=pool,
            default_headers={"Accept-Encoding": "identity"},
        )

    async def _bound(self, response: Any) -> None:
        # a few compressed bytes may unfold to gigabytes, and we said that we take none
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _TooLargeError
        response.stream = _Bounded(response.stream, self._limit)

    async def post(self, body: Json) -> bytes | Failure:
        """Ask one question. Returns the scrubbed body of a 2xx response, or what went wrong."""
        return await self.request("post", "/chat/completions", body=body)

    async def request(self, method: Literal["get", "post", "delete"], path: str, **content: Any) -> bytes | Failure:
        """Send one request. Returns the scrubbed body of a 2xx response, or what went wrong."""
        send = getattr(self._client, method)
        try:
            # the limit of the HTTP library is per read: a server that drips would never meet it
            async with asyncio.timeout(self._timeout_s):
                response = await send(path, cast_to=_http.Response, **content)
            return self._key.scrub(response.content)
        except openai.APIStatusError as error:
            return self._status_failure(error)
        except (TimeoutError, openai.APITimeoutError):
            return Failure("timeout", f"no answer in {self._timeout_s:g} s", True, maybe_billed=True)
        except (openai.APIConnectionError, _http.RequestError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, _http.ConnectError):
                return Failure("unreachable", "no connection to the server", True)
            return Failure("connection", f"connection lost ({type(cause).__name__})", True, maybe_billed=True)
        except _TooLargeError:
            text = f"the response is larger than {self._limit} bytes or compressed unasked"
            return Failure("too large", text, False, maybe_billed=True)

    def _status_failure(self, error: openai.APIStatusError) -> Failure:
        body = self._key.scrub(error.response.content)
        code, text = _read_error(body)
        status = error.status_code
        return Failure(
            kind=f"status {status}",
            text=f"the server answered {status}" + (f": {text}" if text else ""),
            passing=is_passing(status, code),
            status=status,
            pause_s=retry_after_s(error.response.headers.get("retry-after")),
            code=code,
        )

    async def close(self) -> None:
        """Close the pool."""
        await self._client.close()


def _read_error(body: bytes) -> tuple[str, str]:
    """Return code and message of an error body, whatever its shape."""
    text = body.decode("utf-8", "replace")
    try:
        error = json.loads(text)
        error = error.get("error", error) if isinstance(error, dict) else None
        if isinstance(error, dict):
            return str(error.get("code") or ""), str(error.get("message") or text)[:_SHOWN_CHARACTERS]
    except (ValueError, RecursionError):
        pass
    return "", text[:_SHOWN_CHARACTERS]
