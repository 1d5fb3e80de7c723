"""Batches under way and what came of them, on disk: whatever was sent is sent once, even if the process dies.

No pixels, no question texts, no keys: a request is known by the hash of its body.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from embodied_cf.errors import OutputError, UsageError
from embodied_cf.vlm.retry import Failure

SCHEMA_VERSION = 1

_CREATE = """
CREATE TABLE IF NOT EXISTS batches (
  token TEXT PRIMARY KEY, server TEXT NOT NULL, input_file TEXT, batch TEXT, is_over INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
  key TEXT PRIMARY KEY, token TEXT NOT NULL, tries INTEGER NOT NULL, worst_usd REAL NOT NULL, reply BLOB, failure TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_batch ON requests (token);
"""


@dataclass(frozen=True)
class OpenBatch:
    """A batch that was begun and is not over."""

    token: str
    """Our own name for it, which the server keeps: so it is found again if we died before we heard of its id."""
    input_file: str | None
    """The server's id of the file of requests; None until it is uploaded."""
    batch: str | None
    """The server's id of the batch; None until it is created."""
    requests: int
    worst_usd: float


class BatchStore:
    """One SQLite file. Raises OutputError naming it if it is no such file or cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, isolation_level=None)
            version = self._file.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise OutputError(f"list of batches of newer version {version}", where=path, remedy="Upgrade.")
            self._file.execute("PRAGMA synchronous=FULL")  # what was sent costs money: a power cut must not lose it
            self._file.executescript(_CREATE)
            self._file.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def outcome(self, key: str) -> bytes | Failure | None:
        """Return the response to a request, why it got none, or None if neither is known."""
        rows = self._run("SELECT reply, failure FROM requests WHERE key = ?", key)
        if not rows or rows[0] == (None, None):
            return None
        reply, failure = rows[0]
        return Failure(**json.loads(failure)) if reply is None else bytes(reply)

    def is_open(self, key: str) -> bool:
        """Tell whether a request stands in a batch that is not over."""
        query = "SELECT 1 FROM requests JOIN batches USING (token) WHERE key = ? AND NOT is_over"
        return bool(self._run(query, key))

    def open_batches(self, server: str) -> list[OpenBatch]:
        """Return the batches that are not over. Raises UsageError if another server has them."""
        rows = self._run("SELECT token, server, input_file, batch FROM batches WHERE NOT is_over ORDER BY token")
        if elsewhere := {row[1] for row in rows} - {server}:
            raise UsageError(
                f"batches are under way at another server ({', '.join(sorted(elsewhere))})",
                where=self.path,
                remedy="Go on with its --base-url, or move the file away to give them up.",
            )
        return [OpenBatch(token, file, batch, *self._size(token)) for token, _, file, batch in rows]

    def keys(self, token: str) -> list[str]:
        """Return the requests of a batch."""
        return [key for (key,) in self._run("SELECT key FROM requests WHERE token = ?", token)]

    def begin(self, token: str, server: str, requests: Iterable[tuple[str, float]]) -> None:
        """Note a batch, and the (key, worst cost in USD) of its requests, before anything of it is sent."""
        with self._transaction():
            self._run("INSERT INTO batches (token, server) VALUES (?, ?)", token, server)
            for key, worst in requests:
                self._run(
                    "INSERT INTO requests (key, token, tries, worst_usd) VALUES (?, ?, 1, ?) ON CONFLICT (key) "
                    "DO UPDATE SET token = excluded.token, tries = tries + 1, worst_usd = excluded.worst_usd",
                    key, token, worst,
                )  # fmt: skip

    def uploaded(self, token: str, file: str) -> None:
        """Note the server's id of a batch's file of requests."""
        self._run("UPDATE batches SET input_file = ? WHERE token = ?", file, token)

    def created(self, token: str, batch: str) -> None:
        """Note the server's id of a batch."""
        self._run("UPDATE batches SET batch = ? WHERE token = ?", batch, token)

    def finish(self, token: str, outcomes: Mapping[str, bytes | Failure], tries: int) -> None:
        """Note what came of a batch. What failed and may pass is free to be sent again, `tries` times in all."""
        with self._transaction():
            known = dict(self._run("SELECT key, tries FROM requests WHERE token = ?", token))
            for key in known.keys() & outcomes.keys():
                outcome = outcomes[key]
                if isinstance(outcome, bytes):
                    self._run("UPDATE requests SET reply = ? WHERE key = ?", outcome, key)
                elif not outcome.passing or known[key] >= tries:
                    self._run("UPDATE requests SET failure = ? WHERE key = ?", json.dumps(asdict(outcome)), key)
            self._run("UPDATE batches SET is_over = 1 WHERE token = ?", token)

    def give_up(self, token: str) -> None:
        """Note that nothing of a batch was done, so that its requests are as if they had not been sent."""
        with self._transaction():
            self._run("UPDATE requests SET tries = tries - 1 WHERE token = ?", token)
            self._run("UPDATE batches SET is_over = 1 WHERE token = ?", token)

    def _size(self, token: str) -> tuple[int, float]:
        count, worst = self._run("SELECT COUNT(*), TOTAL(worst_usd) FROM requests WHERE token = ?", token)[0]
        return count, worst

    def _run(self, statement: str, *values: object) -> list[tuple]:
        with self._told():
            return self._file.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._run("ROLLBACK")
            raise
        self._run("COMMIT")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise OutputError(
                f"the list of batches cannot be used ({error})",
                where=self.path,
                remedy="It says what was paid for: free the disk or restore the file before you run again.",
            ) from error
