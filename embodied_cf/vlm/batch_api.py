"""OpenAI's Batch API: a file of requests goes up, one of responses comes down, within a day and at half the price.

https://platform.openai.com/docs/guides/batch. Other servers that offer `/files` and `/batches` do as well.
"""

import asyncio
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from embodied_cf.vlm.access import AccessError, read_key
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Json
from embodied_cf.vlm.retry import Failure, delay_s, is_passing, is_worth_waiting
from embodied_cf.vlm.transport import Transport

MOST_REQUESTS, MOST_BYTES = 50_000, 100 << 20
"""Of one batch. OpenAI takes 200 MB; half of it is held in memory more easily."""
_TOKEN = "embodied_cf_batch"
"""Under this name the server keeps our own name of a batch."""
_OVER = frozenset({"completed", "failed", "expired", "cancelled"})
_BYTES_PER_RESPONSE = 1 << 16
_PAGES = 20
"""Of a hundred batches each, that are looked through for one of ours."""
_SLOWEST_BYTES_PER_S = 1 << 18
_SHOWN_CHARACTERS = 300
_MULTIPART: Any = {"headers": {"Content-Type": "multipart/form-data"}}


@dataclass(frozen=True)
class Remote:
    """A batch as the server tells of it."""

    id: str
    status: str
    done: int = 0
    failed: int = 0
    output_file: str = ""
    error_file: str = ""
    code: str = ""
    """Why it was refused as a whole: the first error's code."""
    problem: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in _OVER


class BatchApi:
    """The calls, each repeated while its failure may pass. Raises AccessError if one fails for good."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._chance = random.Random()  # for backoff only

    async def upload(self, name: str, lines: bytes) -> str:
        """Upload a file of requests, one a line; return its id."""
        server = self._connect(timeout_s=self._options.timeout_s + len(lines) / _SLOWEST_BYTES_PER_S)
        content = {"body": {"purpose": "batch"}, "files": [("file", (name, lines, "application/jsonl"))]}
        try:
            told = await self._persist("upload", server, "post", "/files", options=_MULTIPART, **content)
        finally:
            await server.close()
        return _id(told)

    async def create(self, file: str, token: str) -> Remote:
        """Begin a batch, once: after a failure that leaves it open, look whether the server has it."""
        body = {
            "input_file_id": file,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {_TOKEN: token},
        }
        for attempt in itertools.count():
            outcome = await self._server.request("post", "/batches", body=body)
            if isinstance(outcome, bytes):
                return _remote(_object(outcome))
            if not is_worth_waiting(outcome, attempt, self._options.max_attempts):
                raise self._error("begin a batch", outcome)
            await self._pause(attempt, outcome)
            if (found := await self.find(token)) is not None:
                return found
        raise AssertionError("counting does not end")

    async def find(self, token: str) -> Remote | None:
        """Return the batch that was begun under our name for it, or None."""
        after: Json = {}
        for _ in range(_PAGES):
            query = {"params": {"limit": 100, **after}}
            page = await self._persist("list batches", self._server, "get", "/batches", options=query)
            rows = [row for row in _list(page.get("data")) if isinstance(row, dict)]
            for row in rows:
                if _dict(row.get("metadata")).get(_TOKEN) == token:
                    return _remote(row)
            if not rows or not page.get("has_more"):
                return None
            after = {"after": _id(rows[-1])}
        return None

    async def get(self, batch: str) -> Remote:
        """Return a batch as it stands."""
        return _remote(await self._persist("ask about a batch", self._server, "get", f"/batches/{batch}"))

    async def outcomes(self, file: str, requests: int) -> dict[str, bytes | Failure]:
        """Download a file of responses to at most so many requests; the first of equal keys counts."""
        limit = max(self._options.max_body_bytes, requests * _BYTES_PER_RESPONSE)
        server = self._connect(timeout_s=self._options.timeout_s + limit / _SLOWEST_BYTES_PER_S, max_body_bytes=limit)
        try:
            body = await self._fetch("download answers", server, "get", f"/files/{file}/content")
        finally:
            await server.close()
        found: dict[str, bytes | Failure] = {}
        for key, outcome in _outcomes(body):
            found.setdefault(key, outcome)
        return found

    async def discard(self, file: str) -> None:
        """Delete a file at the server; that it cannot be deleted is no reason to stop."""
        await self._server.request("delete", f"/files/{file}")

    async def close(self) -> None:
        """Close the connections."""
        if "_server" in self.__dict__:
            await self._server.close()

    @cached_property
    def _server(self) -> Transport:
        return self._connect()

    def _connect(self, timeout_s: float | None = None, max_body_bytes: int | None = None) -> Transport:
        options = self._options
        return Transport(
            options.base_url,
            read_key(options.api_key_env, options.base_url),
            concurrency=4,
            timeout_s=timeout_s or options.timeout_s,
            max_body_bytes=max_body_bytes or options.max_body_bytes,
        )

    async def _persist(self, what: str, server: Transport, method: Any, path: str, **content: Any) -> Json:
        return _object(await self._fetch(what, server, method, path, **content))

    async def _fetch(self, what: str, server: Transport, method: Any, path: str, **content: Any) -> bytes:
        for attempt in itertools.count():
            outcome = await server.request(method, path, **content)
            if isinstance(outcome, bytes):
                return outcome
            if not is_worth_waiting(outcome, attempt, self._options.max_attempts):
                raise self._error(what, outcome)
            await self._pause(attempt, outcome)
        raise AssertionError("counting does not end")

    async def _pause(self, attempt: int, failure: Failure) -> None:
        await asyncio.sleep(delay_s(attempt, failure.pause_s, self._options.first_delay_s, self._chance))

    def _error(self, what: str, failure: Failure) -> AccessError:
        remedy = "Run the same command again: it goes on where it was, and nothing is asked twice."
        if failure.status in (401, 403, 404):
            remedy = f"Check the key in {self._options.api_key_env}, --base-url, and that the server has a Batch API."
        return AccessError(f"could not {what}: {failure.text}", remedy=remedy)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise AccessError("the server's answer is no JSON object", remedy="Has the server at --base-url a Batch API?")
    return value


def _id(row: Json) -> str:
    found = row.get("id")
    if not isinstance(found, str) or not found or not all(letter.isalnum() or letter in "-_." for letter in found):
        raise AccessError("the server's answer names no id", remedy="Has the server at --base-url a Batch API?")
    return found


def _remote(row: Json) -> Remote:
    counts = _dict(row.get("request_counts"))
    files = {name: _id({"id": row[f"{name}_id"]}) for name in ("output_file", "error_file") if row.get(f"{name}_id")}
    first = _dict(next(iter(_list(_dict(row.get("errors")).get("data"))), None))
    return Remote(
        _id(row),
        str(row.get("status")),
        _count(counts.get("completed")),
        _count(counts.get("failed")),
        code=str(first.get("code") or ""),
        problem=str(first.get("message") or "no reason is given")[:_SHOWN_CHARACTERS],
        **files,
    )


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _outcomes(body: bytes) -> Iterator[tuple[str, bytes | Failure]]:
    """Yield key and outcome of each line that makes sense."""
    for line in body.splitlines():
        try:
            row = json.loads(line)
            yield str(row["custom_id"]), _outcome(row)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # whatever it was about stays unanswered, and is asked again


def _outcome(row: Json) -> bytes | Failure:
    response = _dict(row.get("response"))
    status, body = response.get("status_code"), response.get("body")
    if status == 200 and isinstance(body, dict):
        return json.dumps(body).encode()
    told = _dict(row.get("error")) or _dict(_dict(body).get("error"))
    code, text = str(told.get("code") or ""), str(told.get("message") or "no reason is given")[:_SHOWN_CHARACTERS]
    if not isinstance(status, int) or status == 200:  # not done: batch_expired, batch_cancelled
        return Failure("not done", f"the server left it undone: {text}", True, code=code)
    return Failure(f"status {status}", f"the server answered {status}: {text}", is_passing(status, code), status)
