"""Which failures pass by themselves, and how long to wait for that."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
LONGEST_PAUSE_S = 300.0
"""A server that asks for a longer pause than this has closed shop for us."""


@dataclass(frozen=True)
class Failure:
    """A request that brought no answer."""

    kind: str
    """For counting: `timeout`, `unreachable`, `connection`, `too large`, `status 429`."""
    text: str
    """For people; scrubbed of the key."""
    passing: bool
    """Whether the same request may well succeed later."""
    status: int | None = None
    pause_s: float = 0.0
    """The server's Retry-After."""
    maybe_billed: bool = False
    """The server may have done the work although we did not see it."""
    code: str = ""
    """The server's own error code, such as `insufficient_quota`."""

    @property
    def is_redirect(self) -> bool:
        """Whether the server points elsewhere, where we do not follow."""
        return self.status is not None and 300 <= self.status < 400


def is_passing(status: int, code: str) -> bool:
    """Tell whether an HTTP status is worth another try.

    408 timeout, 409 conflict, 429 too many, 5xx: yes. 429 `insufficient_quota` (no money left), 4xx, 3xx: no.
    """
    return status >= 500 or (status in (408, 409, 429) and code != "insufficient_quota")


def retry_after_s(header: str | None, now: Callable[[], float] = time.time) -> float:
    """Return what a Retry-After header asks for: "7" and a date 7 s ahead give 7 s, nonsense gives 0."""
    if not header:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now()
        except (ValueError, TypeError):
            return 0.0
    return seconds if seconds > 0 else 0.0  # also drops NaN


def delay_s(attempt: int, pause_s: float, first_s: float, chance: random.Random) -> float:
    """Return how long to wait after failed attempt number `attempt` (0, 1, ...).

    Full jitter: uniform in [0, first · 2^attempt], so that 64 askers who failed together do not return
    together; never before the pause that the server asked for.
    """
    return pause_s + chance.uniform(0, min(LONGEST_DELAY_S, first_s * 2.0**attempt))


def is_worth_waiting(failure: Failure, attempt: int, max_attempts: int) -> bool:
    """Tell whether to try again after attempt number `attempt` (0, 1, ...) of `max_attempts`."""
    return failure.passing and attempt + 1 < max_attempts and failure.pause_s <= LONGEST_PAUSE_S
