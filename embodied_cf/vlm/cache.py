"""Answers on disk: a SQLite file that several processes may share. No pixels, no question texts, no keys."""

import json
import sqlite3
import time
from pathlib import Path
from typing import Protocol, runtime_checkable

from embodied_cf.errors import OutputError
from embodied_cf.vlm.question import Answer

SCHEMA_VERSION = 1
LOCK_TIMEOUT_S = 30.0

_CREATE = """
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY,
  prompt TEXT NOT NULL,
  model TEXT NOT NULL,
  answer TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL
) WITHOUT ROWID
"""


@runtime_checkable
class Cache(Protocol):
    """Remembers validated answers by the key of their question."""

    def get(self, key: str) -> Answer | None:
        """Return the stored answer, or None."""
        ...

    def put(self, key: str, prompt: str, model: str, answer: Answer) -> None:
        """Store an answer; the first one stays if another process was faster."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class NoCache:
    """Remembers nothing."""

    def get(self, key: str) -> Answer | None:
        """Return None."""
        return None

    def put(self, key: str, prompt: str, model: str, answer: Answer) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class SqliteCache:
    """A cache in one file, safe for several processes (write-ahead log, each answer its own transaction).

    Raises OutputError naming the file if it is no such cache, is of a newer version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # autocommit: an answer that was returned is on disk, so a killed run never pays for it twice
            self._file = sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._broken(error) from error
        try:
            self._set_up()
        except BaseException:
            self._file.close()
            raise

    def _set_up(self) -> None:
        version = self._run("PRAGMA user_version")[0][0]
        if version > SCHEMA_VERSION:
            raise OutputError(f"answer cache of newer version {version}", where=self._path, remedy="Upgrade.")
        self._switch_to_log()
        self._run("PRAGMA synchronous=NORMAL")  # a power cut may lose the newest answers, never the file
        self._run(_CREATE)
        if version != SCHEMA_VERSION:
            self._run(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _switch_to_log(self) -> None:
        """Set the write-ahead log; SQLite's own waiting does not cover two processes that do so at once."""
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                self._file.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise self._broken(error) from error
                time.sleep(0.01)

    def _run(self, statement: str, values: tuple = ()) -> list[tuple]:
        try:
            return self._file.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> OutputError:
        return OutputError(
            f"answer cache cannot be used ({error})",
            where=self._path,
            remedy="Give another cache file, or move this one away.",
        )

    def get(self, key: str) -> Answer | None:
        """Return the stored answer; None if there is none, or not one that was ever put there."""
        rows = self._run("SELECT answer, input_tokens, output_tokens FROM answers WHERE key = ?", (key,))
        if not rows:
            return None
        try:
            value, tokens = json.loads(rows[0][0]), (int(rows[0][1]), int(rows[0][2]))
            return Answer(value, *tokens, cached=True) if isinstance(value, dict) else None
        except (ValueError, TypeError, RecursionError) as error:
            raise self._broken(error) from error

    def put(self, key: str, prompt: str, model: str, answer: Answer) -> None:
        """Store an answer; the first one stays if another process was faster."""
        row = (key, prompt, model, json.dumps(answer.value), answer.input_tokens, answer.output_tokens)
        self._run("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        """Release the file."""
        self._file.close()
